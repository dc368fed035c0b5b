//! The byte budget of the process: many large bodies at once use bounded memory and get a clear answer.

use crate::support::wait::{WAIT_TIMEOUT, within};
use crate::support::{Client, Setup, Upstream, Webhook, eventually, http2};
use bytes::Bytes;
use http_body::{Body, Frame};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

const MIB: usize = 1 << 20;
const BUDGET: usize = 64 * MIB;
const SENDERS: usize = 300;

/// F09: 300 concurrent unfinished bodies of 1 MiB: resident memory without the program's file stays below the budget +
/// 64 MiB. A body that does
/// not fit is answered 503 with `Retry-After`; one that is held and completed is served.
#[test]
fn three_hundred_unfinished_bodies_stay_within_the_budget() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).route("body_timeout = \"60s\"").start();
    let mut body = vec![b'x'; MIB];
    let webhooks: Vec<Webhook> = (0..SENDERS)
        .map(|number| {
            body[..8].copy_from_slice(format!("{number:08}").as_bytes());
            Webhook::new(body.clone())
        })
        .collect();
    // All but the last byte of each body. The gateway closes the connection of a refused sender while it sends, which
    // is no error here.
    let clients: Vec<Client> = std::thread::scope(|scope| {
        let senders: Vec<_> = webhooks
            .chunks(SENDERS / 10)
            .map(|part| {
                let start = |webhook: &Webhook| {
                    let mut client = gateway.connect();
                    let request = webhook.bytes();
                    let _ = client.try_send(&request[..request.len() - 1]);
                    client
                };
                scope.spawn(move || part.iter().map(start).collect::<Vec<_>>())
            })
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    let held = eventually("every sender to be held or refused", || {
        let metrics = gateway.metrics();
        let refused = metrics.sum("hookgate_requests_total", &[("reason", "overloaded")]);
        let held = metrics.sum("hookgate_in_flight_requests", &[]);
        // Held requests have sent all but one byte, so that no other request fits.
        let bytes = metrics.sum("hookgate_intake_bytes_in_flight", &[]);
        (refused + held == SENDERS as f64 && bytes >= held * (MIB - 1) as f64).then_some(held)
    });
    let in_flight = gateway.metrics().sum("hookgate_intake_bytes_in_flight", &[]);
    assert!(in_flight <= BUDGET as f64, "{in_flight} bytes in flight");
    assert!(held >= 32.0, "only {held} of {SENDERS} are held within a budget for 64");
    let peak = gateway.peak_resident() - gateway.resident_files();
    assert!(peak <= (BUDGET + 64 * MIB) as u64, "{} MiB resident", peak >> 20);

    let mut served = 0;
    for mut client in clients {
        let _ = client.try_send(b"x");
        match client.try_response(false) {
            Ok(response) if response.status == 200 => served += 1,
            Ok(response) => {
                assert_eq!(
                    (response.status, response.reason().as_str()),
                    (503, "overloaded"),
                    "{response:?}"
                );
                assert!(response.header("Retry-After").is_some());
            }
            // The answer was lost in the reset that unread bytes cause; the metric below has counted it.
            Err(_) => {}
        }
    }
    // Memory is charged in whole buffers, so that the last byte of a body may be the one that does not fit.
    assert!(served >= 32, "only {served} of {held} were served");
    assert_eq!(upstream.requests().len(), served);
    gateway.wait_for_metric("hookgate_requests_total", &[("verdict", "forwarded")], served as f64);
    gateway.wait_for_metric(
        "hookgate_requests_total",
        &[("reason", "overloaded")],
        (SENDERS - served) as f64,
    );
    gateway.wait_for_metric("hookgate_intake_bytes_in_flight", &[], 0.0);
    let peak = gateway.peak_resident() - gateway.resident_files();
    println!("{} MiB resident at most", peak >> 20);
    assert!(peak <= (BUDGET + 64 * MIB) as u64, "{} MiB resident", peak >> 20);
    // The whole budget is free again.
    assert_eq!(gateway.exchange(&Webhook::new(vec![b'y'; MIB]).bytes()).status, 200);
}

/// All but the last byte of a body of 1 MiB; the rest never comes.
struct Unfinished {
    left: usize,
}

impl Body for Unfinished {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        const PIECE: &[u8] = &[b'x'; 16 << 10];
        let some = self.left.min(PIECE.len());
        self.left -= some;
        match some {
            0 => Poll::Pending,
            some => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE[..some]))))),
        }
    }
}

/// F09: with eight workers, bodies fill the budget on one or two of them at a time, eight times: what one worker held is
/// used by the next one, so that the memory of the process does not grow with the number of workers.
#[test]
fn memory_that_one_worker_leaves_is_used_by_the_others() {
    let gateway = Setup::new(&Upstream::ok().url())
        .top("workers = 8")
        .route("body_timeout = \"60s\"")
        .start();
    let before = gateway.resident();
    let forged = Webhook::new("another body").signature.unwrap();
    let fill = || async {
        let mut connections = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let stream = tokio::net::TcpStream::connect(gateway.plain()).await.unwrap();
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (mut sender, connection) = handshake.await.unwrap();
            connections.spawn(async { drop(connection.await) });
            for _ in 0..27 {
                let request = hyper::Request::post("http://localhost/webhooks/paddle")
                    .header("Paddle-Signature", &forged)
                    .header("Content-Length", MIB)
                    .body(Unfinished { left: MIB - 1 })
                    .unwrap();
                sender.ready().await.unwrap();
                let answer = sender.send_request(request);
                connections.spawn(async { drop(answer.await) });
            }
        }
        let held = 54.0 * (MIB - 1) as f64;
        let in_flight = || gateway.metrics().sum("hookgate_intake_bytes_in_flight", &[]);
        while in_flight() < held {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        connections.shutdown().await;
    };
    for _ in 0..8 {
        http2::run(fill());
        gateway.wait_for_metric("hookgate_intake_bytes_in_flight", &[], 0.0);
    }
    let grown = gateway.peak_resident() - before;
    assert!(
        grown <= (BUDGET + 24 * MIB) as u64,
        "memory grew by {} MiB",
        grown >> 20
    );
    // What nobody needs goes back to the system, half of it each second.
    within(WAIT_TIMEOUT * 3, "the end of the memory of the bodies", || {
        (gateway.resident() < before + 20 * MIB as u64).then_some(())
    });
}

/// F09: a flood of large unsigned bodies uses no memory: each is refused before a byte of its body is read.
#[test]
fn an_unsigned_flood_costs_no_memory() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let flood = Webhook::new(vec![b'x'; MIB]).signature(None).bytes();
    assert_eq!(gateway.exchange(&Webhook::new("warm").bytes()).status, 200);
    let before = gateway.peak_resident();
    for _ in 0..200 {
        let mut client = gateway.connect();
        let _ = client.try_send(&flood);
        if let Ok(response) = client.try_response(false) {
            assert_eq!(response.status, 401);
        }
    }
    gateway.wait_for_metric("hookgate_requests_total", &[("reason", "signature_missing")], 200.0);
    assert_eq!(gateway.metrics().sum("hookgate_intake_bytes_in_flight", &[]), 0.0);
    let grown = gateway.peak_resident() - before;
    assert!(grown < 8 * MIB as u64, "memory grew by {grown} bytes");
    assert_eq!(upstream.requests().len(), 1);
}
