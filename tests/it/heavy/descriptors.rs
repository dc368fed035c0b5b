//! F10: the file descriptors run out; the accept loop waits instead of ending or spinning, and recovers.

use crate::support::{Setup, Upstream, Webhook, eventually};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// F10: an accept loop without free descriptors waits.
#[test]
fn running_out_of_descriptors_is_survived() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).top("workers = 1").descriptors(64).start();
    assert_eq!(gateway.exchange(&Webhook::new("before").bytes()).status, 200);
    let crowd: Vec<_> = (0..200)
        .filter_map(|_| TcpStream::connect(gateway.plain()).ok())
        .collect();
    assert!(crowd.len() > 64);
    eventually("the descriptors to run out, or the connection bound below them", || {
        (gateway.open_files() >= 48).then_some(())
    });

    // Processor time over half a second of wall time: a spinning loop would use all of it.
    let (ticks, begun) = (gateway.ticks(), Instant::now());
    eventually("half a second of wall time", || {
        (begun.elapsed() > Duration::from_millis(500)).then_some(())
    });
    let spent = gateway.ticks() - ticks;
    let wall = begun.elapsed().as_millis() as u64 / 10;
    assert!(
        spent * 4 < wall,
        "{spent} of {wall} ticks used while nothing can be accepted"
    );
    assert!(gateway.runs());

    drop(crowd);
    let response = eventually("service to come back", || {
        let mut client = gateway.connect();
        client.try_send(&Webhook::new("after").bytes()).ok()?;
        client.try_response(false).ok()
    });
    assert_eq!(response.status, 200, "{response:?}");
    eventually("the descriptors to be released", || {
        (gateway.open_files() < 32).then_some(())
    });
    // It is logged, but not once per attempt.
    let lines = gateway
        .logs
        .lines()
        .iter()
        .filter(|line| line.contains("Too many open files") || line.contains("accept"))
        .count();
    assert!((1..100).contains(&lines), "{lines} log lines about it");
}
