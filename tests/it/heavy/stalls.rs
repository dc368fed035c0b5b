//! Many peers that stall at once, in every possible way, while genuine webhooks are served; each is closed within its
//! timeout.

use crate::support::upstream::answer;
use crate::support::{Setup, Upstream, Webhook, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Connections of each kind.
const MANY: usize = 500;

/// The median time of fifty webhooks, each on a new connection.
fn median_latency(gateway: &crate::support::Gateway, name: &str) -> Duration {
    let mut times: Vec<Duration> = (0..50)
        .map(|number| {
            let webhook = Webhook::new(format!("{name} {number}")).bytes();
            let begun = Instant::now();
            assert_eq!(gateway.exchange(&webhook).status, 200, "{name} {number}");
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// F01, F02, F03, F04, F05, F06, F07: 500 connections of each kind at once.
#[test]
fn thousands_of_stalled_peers_do_not_slow_others() {
    let files = rustix::process::Resource::Nofile;
    let limit = rustix::process::getrlimit(files);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    rustix::process::setrlimit(files, raised).unwrap();

    let huge = vec![b'x'; 4 << 20];
    let upstream = Upstream::new(move |request, connection| {
        let body: &[u8] = if request.body.starts_with(b"huge") {
            &huge
        } else {
            b"ok"
        };
        connection.send(&answer("200 OK", &[], body))
    });
    let limits = "handshake_timeout = \"4s\"\nhead_timeout = \"4s\"\nidle_timeout = \"4s\"\nwrite_timeout = \"4s\"";
    let mut gateway = Setup::new(&upstream.url())
        .limits(limits)
        .route("body_timeout = \"4s\"")
        // An answer whose sender is gone is read to its end within this timeout: under memory pressure the
        // retransmissions of the kernel back off for longer than a test waits.
        .upstream("timeout = \"8s\"")
        .start();
    let quiet = median_latency(&gateway, "quiet");
    let (files, memory) = (gateway.open_files(), gateway.peak_resident());

    let webhook = Webhook::new("0123456789");
    let half_body = [webhook.announcing(10), b"01234".to_vec()].concat();
    let half_head = webhook.bytes()[..60].to_vec();
    let half_hello = vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    type Begin<'a> = Box<dyn Fn(usize) -> Vec<u8> + 'a>;
    let kinds: [(&str, std::net::SocketAddr, Begin<'_>); 8] = [
        ("silent", gateway.plain(), Box::new(|_| Vec::new())),
        ("silent to TLS", gateway.tls(), Box::new(|_| Vec::new())),
        (
            "half a ClientHello",
            gateway.tls(),
            Box::new(move |_| half_hello.clone()),
        ),
        (
            "half a preface",
            gateway.plain(),
            Box::new(|_| b"PRI * HTTP/2.0\r\n".to_vec()),
        ),
        ("half a head", gateway.plain(), Box::new(move |_| half_head.clone())),
        ("half a body", gateway.plain(), Box::new(move |_| half_body.clone())),
        (
            "idle",
            gateway.plain(),
            Box::new(|number| Webhook::new(format!("idle {number}")).bytes()),
        ),
        (
            "not reading",
            gateway.plain(),
            Box::new(|number| Webhook::new(format!("huge {number}")).bytes()),
        ),
    ];
    let mut crowd = Vec::new();
    for (name, address, begin) in &kinds {
        for number in 0..MANY {
            let mut stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{name} {number}: {error}"));
            stream.write_all(&begin(number)).unwrap();
            crowd.push((*name, stream));
        }
    }
    let busy = median_latency(&gateway, "busy");
    let open = gateway.metrics().sum("hookgate_connections_open", &[]);
    assert!(open > 500.0, "{open} connections are open: the peers did not stall");
    // The machine is shared and small: a starved loop would cost at least a factor of ten.
    assert!(
        busy < quiet * 10 + Duration::from_millis(100),
        "{busy:?} instead of {quiet:?}"
    );

    for (name, stream) in &mut crowd {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut piece = vec![0; 1 << 20];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{name} is still open: {error}"),
            }
        }
    }
    gateway.wait_for_metric("hookgate_connections_open", &[], 0.0);
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 0.0);
    gateway.wait_for_metric("hookgate_intake_bytes_in_flight", &[], 0.0);
    eventually("the descriptors to be released", || {
        // Those of idle upstream connections stay open for a while.
        (gateway.open_files() < files + 200).then_some(())
    });
    let grown = (gateway.peak_resident() - memory) >> 20;
    assert!(grown < 160, "memory grew by {grown} MiB for {} peers", crowd.len());
    assert!(gateway.runs());
    median_latency(&gateway, "after");
}
