//! Group F over HTTP/2: floods that h2 itself does not end, and peers that do not read what they requested. Memory does
//! not grow, and genuine webhooks on other connections are served meanwhile.

use crate::support::frames::{self, DATA, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, frame};
use crate::support::{
    AfterAnswer, Client, Gateway, Setup, Upstream, WAIT_TIMEOUT, Webhook, assert_forwards, assert_invariants,
    eventually,
};
use std::sync::atomic::{AtomicBool, Ordering};

/// `SETTINGS_INITIAL_WINDOW_SIZE` of 0: the gateway may send no byte of any answer.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

/// Runs `flood` to its end while webhooks are sent on other connections; resident memory must not grow.
fn assert_served_during(gateway: &Gateway, name: &str, flood: impl FnOnce() + Send) {
    assert_forwards(gateway, &format!("{name} before"));
    let before = gateway.peak_resident();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            flood();
            stop.store(true, Ordering::SeqCst);
        });
        let mut number = 0;
        while number < 10 || !stop.load(Ordering::SeqCst) {
            assert_forwards(gateway, &format!("{name} {number}"));
            number += 1;
        }
    });
    let grown = gateway.peak_resident() - before;
    assert!(grown < 16 << 20, "{name}: memory grew by {} KiB", grown >> 10);
}

fn request(id: u32, webhook: &Webhook) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, id, &frames::head(webhook));
    [head, frame(DATA, END_STREAM, id, &webhook.body)].concat()
}

/// F12: PING, SETTINGS, PRIORITY and WINDOW_UPDATE floods from a peer that never reads the replies.
#[test]
fn control_frame_floods_do_not_grow_memory() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).limits("write_timeout = \"1s\"").start();
    let floods = [
        ("PING", frame(PING, 0, 0, b"01234567")),
        ("SETTINGS", frame(SETTINGS, 0, 0, &NO_WINDOW)),
        ("PRIORITY", frame(frames::PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("WINDOW_UPDATE", frame(frames::WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())),
    ];
    for (name, bytes) in floods {
        let mut client = frames::connect(&gateway);
        let many = bytes.repeat(1000);
        assert_served_during(&gateway, name, move || {
            // This ends when the gateway closes the connection or stops reading because the peer does not read.
            for _ in 0..300 {
                if client
                    .try_send_within(&many, std::time::Duration::from_secs(3))
                    .is_err()
                {
                    break;
                }
            }
        });
    }
    gateway.wait_for_metric("hookgate_connections_open", &[("listener", "tls")], 0.0);
    assert_invariants(&mut gateway, &upstream);
}

/// A peer that ignores the announced size of the table has one of 4 KiB: a field that does not fit is not kept, and a byte
/// that refers to it is an error.
#[test]
fn a_field_that_exceeds_the_hpack_table_cannot_be_referred_to() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    for (length, fits) in [(900_usize, true), (3_900, true), (5_000, false)] {
        let webhook = Webhook::new(format!("{length}"));
        let mut client = frames::connect(&gateway);
        let mut block = frames::head(&webhook);
        // As below; then one more field that is the newest entry of the table.
        let rest = length - 127;
        block.extend([0x40, 1, b'x', 0x7f, (rest & 0x7f) as u8 | 0x80, (rest >> 7) as u8]);
        block.extend(vec![b'v'; length]);
        block.push(0xbe);
        let head = frame(HEADERS, END_HEADERS, 1, &block);
        let body = frame(DATA, END_STREAM, 1, &webhook.body);
        let _ = client.try_send(&[head, body].concat());
        let end = frames::read_until(&mut client, |frame| matches!(frame.kind, HEADERS | frames::GOAWAY)).unwrap();
        assert_eq!(end.kind == HEADERS, fits, "{length}: {end:?}");
    }
    assert_eq!(upstream.requests().len(), 2);
}

/// F12: a header block of 17 KiB that expands to 64 MiB (RFC 7541: one large entry, then referenced by one byte each).
#[test]
fn an_hpack_bomb_does_not_grow_memory() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let gateway_ref = &gateway;
    assert_served_during(gateway_ref, "bomb", move || {
        for _ in 0..20 {
            let mut client = frames::connect(gateway_ref);
            let mut block = frames::head(&Webhook::new("abc"));
            // Literal with incremental indexing: name `x`, a value of 3,900 bytes, its length as an HPACK integer with
            // a 7-bit prefix.
            block.extend([
                0x40,
                1,
                b'x',
                0x7f,
                (3900 - 127) as u8 & 0x7f | 0x80,
                ((3900 - 127) >> 7) as u8,
            ]);
            block.extend([b'v'; 3900]);
            // Entry 62 is the newest of the dynamic table.
            block.extend([0xbe; 12_000]);
            let sent = client.try_send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
            let end = frames::read_until(&mut client, |frame| {
                matches!(frame.kind, HEADERS | frames::RST_STREAM | frames::GOAWAY)
            });
            let accepted = end.is_some_and(|frame| frame.kind == HEADERS && frame.payload[0] == 0x88);
            assert!(!accepted, "{sent:?}");
        }
    });
    assert_invariants(&mut gateway, &upstream);
}

/// F12: 10,000 streams on one connection, none of which ends.
#[test]
fn ten_thousand_streams_do_not_grow_memory() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).route("body_timeout = \"2s\"").start();
    let block = frames::head(&Webhook::new("abc"));
    let gateway_ref = &gateway;
    assert_served_during(gateway_ref, "streams", move || {
        let mut client = frames::connect(gateway_ref);
        for number in 0..10_000 {
            if client
                .try_send_within(&frame(HEADERS, END_HEADERS, number * 2 + 1, &block), WAIT_TIMEOUT)
                .is_err()
            {
                break;
            }
        }
        assert!(gateway_ref.metrics().sum("hookgate_in_flight_requests", &[]) <= 110.0);
    });
    assert_invariants(&mut gateway, &upstream);
}

/// F12, F07: answers that the peer's flow control blocks, both hookgate's refusals and the upstream's answers: the
/// client connection is closed, and the upstream connection too.
#[test]
fn answers_blocked_by_flow_control_are_cut_off() {
    let upstream = Upstream::new(|request, connection| {
        if request.body != b"big" {
            return connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let piece = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        while connection.send(&piece) == AfterAnswer::Keep {}
        AfterAnswer::Close
    });
    let mut gateway = Setup::new(&upstream.url())
        .limits("write_timeout = \"500ms\"")
        .upstream("timeout = \"2s\"")
        .start();
    let stall = |webhooks: &[Webhook], pinging: bool| {
        let mut client: Client = frames::connect_with(&gateway, &NO_WINDOW);
        for (at, webhook) in webhooks.iter().enumerate() {
            client.send(&request(at as u32 * 2 + 1, webhook));
        }
        if pinging {
            // Constant PINGs must not keep the connection open.
            let ping = frame(PING, 0, 0, b"01234567");
            eventually("the connection of a peer that only sends PINGs to be closed", || {
                (client.try_send(&ping).is_err() || client.closed_within(std::time::Duration::from_millis(5)))
                    .then_some(())
            });
        }
        assert!(
            client.closed_within(WAIT_TIMEOUT),
            "{} streams never end",
            webhooks.len()
        );
    };
    let forged = Webhook::new("forged").signature(None);
    stall(std::slice::from_ref(&forged), false);
    stall(std::slice::from_ref(&forged), true);
    stall(&vec![forged; 50], false);
    stall(&[Webhook::new("small")], false);
    stall(&[Webhook::new("big")], false);
    eventually("the upstream connection to be closed", || {
        (upstream.open() <= 1).then_some(())
    });
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 0.0);
    gateway.wait_for_metric("hookgate_connections_open", &[("listener", "tls")], 0.0);
    assert_forwards(&gateway, "after");
    assert!(gateway.runs());
}

/// F06: an idle HTTP/2 connection gets GOAWAY, and is closed when the peer does not answer; PINGs without requests do
/// not keep it open.
#[test]
fn an_idle_http2_connection_is_closed() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url())
        .limits("idle_timeout = \"400ms\"\nhead_timeout = \"400ms\"")
        .start();
    let mut silent = frames::connect(&gateway);
    silent.send(&request(1, &Webhook::new("first")));
    assert!(frames::read_until(&mut silent, |frame| frame.kind == frames::GOAWAY).is_some());
    assert!(silent.closed_within(WAIT_TIMEOUT));
    // Half a head, and then only PINGs.
    let mut half = frames::connect(&gateway);
    half.send(&frame(HEADERS, 0, 1, &frames::head(&Webhook::new("half"))));
    assert!(half.closed_within(WAIT_TIMEOUT));
    let mut pinging = frames::connect(&gateway);
    eventually("a connection with only PINGs to be closed", || {
        let sent = pinging.try_send(&frame(PING, 0, 0, b"01234567"));
        (sent.is_err() || pinging.closed_within(std::time::Duration::from_millis(5))).then_some(())
    });
    assert_invariants(&mut gateway, &upstream);
}
