//! HTTP messages that two servers could read in different ways, and `Expect`: decided before any byte of the body is
//! read.

use crate::support::{Setup, Upstream, Webhook};

/// A02, A06, A07, A08, A13, A15: framing and authority that another server might read differently. The status comes
/// from hyper or from hookgate; the upstream receives nothing.
#[test]
fn ambiguous_framing_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let signature = Webhook::new("abc").signature.unwrap();
    let head = |lines: &str| format!("POST /webhooks/paddle HTTP/1.1\r\nPaddle-Signature: {signature}\r\n{lines}\r\n");
    let cases = [
        (
            "two lengths",
            head("Host: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n") + "abc",
        ),
        ("a signed length", head("Host: a\r\nContent-Length: +3\r\n") + "abc"),
        ("a negative length", head("Host: a\r\nContent-Length: -1\r\n") + "abc"),
        (
            "a hexadecimal length",
            head("Host: a\r\nContent-Length: 0x3\r\n") + "abc",
        ),
        (
            "a length that overflows",
            head("Host: a\r\nContent-Length: 18446744073709551616\r\n") + "abc",
        ),
        (
            "another coding",
            head("Host: a\r\nTransfer-Encoding: xchunked\r\n") + "3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "a coding below chunked",
            head("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "identity below chunked",
            head("Host: a\r\nTransfer-Encoding: identity, chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "two codings",
            head("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "a chunk size with the prefix 0x",
            head("Host: a\r\nTransfer-Encoding: chunked\r\n") + "0x3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "a chunk size that overflows",
            head("Host: a\r\nTransfer-Encoding: chunked\r\n") + "fffffffffffffffff\r\nabc",
        ),
        (
            "Transfer_Encoding with an underscore",
            head("Host: a\r\nTransfer_Encoding: chunked\r\nContent-Length: 3\r\n") + "abc",
        ),
        (
            "Content_Length with an underscore",
            head("Host: a\r\nContent_Length: 9\r\nContent-Length: 3\r\n") + "abc",
        ),
        (
            "Paddle_Signature with an underscore",
            head("Host: a\r\nPaddle_Signature: ts=1\r\nContent-Length: 3\r\n") + "abc",
        ),
        ("no host", head("Content-Length: 3\r\n") + "abc"),
        ("two hosts", head("Host: a\r\nHost: b\r\nContent-Length: 3\r\n") + "abc"),
        (
            "a host with a path",
            head("Host: a/b@c\r\nContent-Length: 3\r\n") + "abc",
        ),
        (
            "a folded line",
            head("Host: a\r\nX: a\r\n b\r\nContent-Length: 3\r\n") + "abc",
        ),
        (
            "a space before the colon",
            head("Host: a\r\nX : a\r\nContent-Length: 3\r\n") + "abc",
        ),
        (
            "a line without a colon",
            head("Host: a\r\nX\r\nContent-Length: 3\r\n") + "abc",
        ),
        (
            "Connection that names the signature",
            head("Host: a\r\nConnection: Paddle-Signature\r\nContent-Length: 3\r\n") + "abc",
        ),
        (
            "Connection that names Content-Length",
            head("Host: a\r\nConnection: close, content-length\r\nContent-Length: 3\r\n") + "abc",
        ),
        (
            "Connection that names Host",
            head("Host: a\r\nConnection: host\r\nContent-Length: 3\r\n") + "abc",
        ),
        (
            "an unknown value of Expect",
            head("Host: a\r\nExpect: foo\r\nContent-Length: 3\r\n") + "abc",
        ),
    ];
    for (name, request) in &cases {
        let response = gateway.exchange(request.as_bytes());
        assert!(matches!(response.status, 400 | 417 | 501), "{name}: {response:?}");
        upstream.assert_untouched();
    }
    assert_eq!(gateway.exchange(&Webhook::new("genuine").bytes()).status, 200);
    assert_eq!(upstream.only().body, b"genuine");
}

/// A22, A21: a sender with `Expect: 100-continue` gets a refusal without the 100 before it.
#[test]
fn a_refusal_comes_without_100_continue() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("0123456789").header("Expect", "100-continue");
    for refused in [
        webhook.clone().signature(None),
        webhook.clone().path("/nowhere"),
        webhook.clone().signature(Some("ts=1")),
    ] {
        let response = gateway.exchange(&refused.announcing(10));
        assert!(matches!(response.status, 401 | 404), "{response:?}");
        assert!(response.informational.is_empty(), "100 Continue was sent: {response:?}");
    }
    let response = gateway.exchange(&webhook.announcing(1 << 62));
    assert_eq!(
        (response.status, response.informational.len()),
        (413, 0),
        "{response:?}"
    );
    upstream.assert_untouched();

    let mut client = gateway.connect();
    client.send(&webhook.announcing(10));
    // The body is sent only after the 100. A gateway that forgot it would wait for the body while the test waits for
    // the 100.
    client.wait_for(b"HTTP/1.1 100 ");
    client.send(b"0123456789");
    let response = client.response();
    assert_eq!((response.status, response.informational.as_slice()), (200, &[100][..]));
    assert_eq!(upstream.only().header("Expect"), None);
}
