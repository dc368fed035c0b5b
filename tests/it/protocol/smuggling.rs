//! Group A: bytes that two servers could split into requests in different ways. Whatever hookgate answers, the upstream
//! receives each genuine request once, with new framing, and nothing that was hidden in it or after it.

use crate::support::{Client, Setup, Upstream, Webhook, assert_forwards, assert_invariants, assert_nothing_forwarded};

/// Sends `bytes` on a new connection; returns the statuses of all answers and whether the gateway closed the
/// connection.
fn send_on_new_connection(mut client: Client, bytes: &[u8]) -> (Vec<u16>, bool) {
    // A gateway that refuses early closes while the client still sends.
    let _ = client.try_send(bytes);
    client.finish_sending();
    let mut statuses = Vec::new();
    loop {
        match client.try_response(false) {
            Ok(response) => statuses.push(response.status),
            Err(_) => return (statuses, client.closed_within(crate::support::WAIT_TIMEOUT)),
        }
    }
}

/// A hidden second request: unsigned, and for a path without a route.
const HIDDEN: &str = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";

/// A01: both framing headers, in both orders, with each length that an attacker could choose: nothing is forwarded, and
/// the connection is closed, so that the bytes after it are not read as a request.
#[test]
fn chunked_with_a_length_is_refused() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let wire = format!("3\r\nabc\r\n0\r\n\r\n{HIDDEN}");
    for length in [0, 3, 13, wire.len()] {
        for framing in [
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        ] {
            // Signed over what either reading would take as the body.
            for signed in ["abc", "3\r\nabc\r\n0\r\n\r\n", &wire[..length.min(wire.len())]] {
                let request = Webhook::new(signed).framed(&framing, wire.as_bytes());
                let (statuses, closed) = send_on_new_connection(gateway.connect(), &request);
                assert_eq!((&statuses[..], closed), (&[400][..], true), "{framing}");
            }
        }
    }
    assert_nothing_forwarded(&mut gateway, &upstream);
}

/// A02, A03, A04: lengths that contradict each other or are not numbers. What is forwarded carries one exact length.
#[test]
fn malformed_lengths_are_refused() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    for lengths in [
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 3\r\n",
        "Content-Length: 3, 4\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: -0\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 3_0\r\n",
        "Content-Length: 3 0\r\n",
        "Content-Length: 3.0\r\n",
        "Content-Length: 3;\r\n",
        "Content-Length: \r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 99999999999999999999999999999999\r\n",
    ] {
        let request = Webhook::new("abc").framed(lengths, b"abc");
        let (statuses, closed) = send_on_new_connection(gateway.connect(), &request);
        assert_eq!((&statuses[..], closed), (&[400][..], true), "{lengths:?}");
    }
    assert_nothing_forwarded(&mut gateway, &upstream);
}

/// A05: a length with leading zeros, and one with spaces around it, is forwarded as the plain number.
#[test]
fn the_forwarded_length_is_normalised() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    for (body, length) in [("abc", "003"), ("def", "  3 "), ("ghi", "\t3\t")] {
        let (statuses, _) = send_on_new_connection(
            gateway.connect(),
            &Webhook::new(body).framed(&format!("Content-Length:{length}\r\n"), body.as_bytes()),
        );
        assert_eq!(statuses, [200], "{length:?}");
    }
    for request in upstream.wait_for(3) {
        assert_eq!(request.header("Content-Length").as_deref(), Some("3"));
    }
    assert_invariants(&mut gateway, &upstream);
}

/// A06, A07: transfer codings other than `chunked` alone, and any transfer coding in HTTP/1.0.
#[test]
fn other_transfer_codings_are_refused() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let wire = format!("3\r\nabc\r\n0\r\n\r\n{HIDDEN}");
    for coding in [
        "xchunked",
        "chunked, identity",
        "identity, chunked",
        "gzip, chunked",
        "chunked, chunked",
        "chunked;x",
        "\u{b}chunked",
        "chunked\u{b}",
        "\"chunked\"",
        "identity",
        "gzip",
        "",
    ] {
        for length in ["", "Content-Length: 3\r\n"] {
            let framing = format!("{length}Transfer-Encoding: {coding}\r\n");
            let (statuses, closed) = send_on_new_connection(
                gateway.connect(),
                &Webhook::new("abc").framed(&framing, wire.as_bytes()),
            );
            assert!(
                matches!(statuses[..], [400 | 501]) && closed,
                "{framing:?}: {statuses:?}"
            );
        }
    }
    for framing in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
    ] {
        let (statuses, closed) =
            send_on_new_connection(gateway.connect(), &Webhook::new("abc").framed(framing, wire.as_bytes()));
        assert!(
            matches!(statuses[..], [400 | 501]) && closed,
            "{framing:?}: {statuses:?}"
        );
    }
    let old = Webhook::new("abc").framed("Transfer-Encoding: chunked\r\n", wire.as_bytes());
    let old = String::from_utf8(old).unwrap().replacen("HTTP/1.1", "HTTP/1.0", 1);
    let (statuses, closed) = send_on_new_connection(gateway.connect(), old.as_bytes());
    assert!(matches!(statuses[..], [400 | 501]) && closed, "HTTP/1.0: {statuses:?}");
    assert_nothing_forwarded(&mut gateway, &upstream);
}

/// A09: chunks that violate RFC 9112, 7.1.
#[test]
fn malformed_chunks_are_refused() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    for wire in [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3;ext\nabc\r\n0\r\n\r\n",
        "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    ] {
        let wire = format!("{wire}{HIDDEN}");
        let request = Webhook::new("abc").framed("Transfer-Encoding: chunked\r\n", wire.as_bytes());
        let (statuses, closed) = send_on_new_connection(gateway.connect(), &request);
        assert!(
            matches!(statuses[..], [] | [400 | 413]) && closed,
            "{wire:?}: {statuses:?}"
        );
    }
    assert_nothing_forwarded(&mut gateway, &upstream);
}

/// A09: after a malformed chunk or trailer the connection ends, whatever was refused before it: nothing that follows is
/// read as a request, although a server that accepts the malformed line holds it for a part of the body.
#[test]
fn nothing_after_a_malformed_chunk_is_a_request() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let hidden = Webhook::new("hidden").bytes();
    let data = [b"0\r\n\r\n", &hidden[..]].concat();
    let size = data.len();
    let chunk = |line: String| [line.as_bytes(), &data, b"\r\n0\r\n\r\n"].concat();
    let malformed = [
        chunk(format!("{size:x}\n")),
        chunk(format!("0x{size:x}\r\n")),
        chunk(format!("+{size:x}\r\n")),
        chunk(format!(" {size:x}\r\n")),
        chunk(format!("{size:x};\r\n")),
        chunk(format!("{size:x};a;\r\n")),
        chunk(format!("{size:x};a\nb\r\n")),
        chunk(format!("{size:x};a\rb\r\n")),
        chunk(format!("{size:x};\0\r\n")),
        chunk(format!("{size:x}\u{c}\r\n")),
        chunk(format!("{}\r\n", "f".repeat(20))),
        chunk(format!("{size:x};{}\r\n", "x".repeat(5000))),
        chunk("\r\n".into()),
        [b"1\r\nxJUNK\r\n", &data[..]].concat(),
        [b"1\r\nx\n", &data[..]].concat(),
        [b"1\r\nx\r\n0\r\nA: b\n\r\n", &hidden[..]].concat(),
        [b"1\r\nx\r\n0\r\nno colon\r\n\r\n", &hidden[..]].concat(),
        [b"1\r\nx\r\n0\r\nA: \0\r\n\r\n", &hidden[..]].concat(),
        [b"1\r\nx\r\n0\r\nA: b\r\n folded\r\n\r\n", &hidden[..]].concat(),
    ];
    for body in &malformed {
        for webhook in [
            Webhook::new("x"),
            Webhook::new("x").signature(None),
            Webhook::new("x").path("/nowhere"),
            Webhook::new("x").method("PUT"),
        ] {
            let request = webhook.framed("Transfer-Encoding: chunked\r\n", body);
            // At once, and with the hidden request after the refusal.
            let start = &request[..request.len() - hidden.len()];
            for pieces in [&[&request[..]][..], &[start, &hidden[..]][..]] {
                let mut client = gateway.connect();
                let _ = client.try_send(pieces[0]);
                let first = client.try_response(false).map(|response| response.status);
                for piece in &pieces[1..] {
                    let _ = client.try_send(piece);
                }
                let second = client.try_response(false).map(|response| response.status);
                let case = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
                assert!(matches!(first, Ok(400 | 401 | 404 | 405)), "{case:?}: {first:?}");
                assert!(second.is_err(), "{case:?}: {first:?}, then {second:?}");
            }
        }
    }
    assert_nothing_forwarded(&mut gateway, &upstream);
}

/// A10: chunk extensions are ignored, and a flood of them closes the connection.
#[test]
fn chunk_extensions_are_ignored_up_to_a_bound() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let chunked = "Transfer-Encoding: chunked\r\n";
    let (statuses, _) = send_on_new_connection(
        gateway.connect(),
        &Webhook::new("abc").framed(chunked, b"3;name=\"value; x\";y\r\nabc\r\n0;last\r\n\r\n"),
    );
    assert_eq!(statuses, [200]);
    assert_eq!(upstream.only().body, b"abc");
    let before = gateway.peak_resident();
    let one = format!("3;{}\r\nabd\r\n0\r\n\r\n", "x".repeat(1 << 20));
    let each = format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(8000) + "0\r\n\r\n";
    for (wire, body) in [(one, "abd".to_owned()), (each, "a".repeat(8000))] {
        let (statuses, closed) =
            send_on_new_connection(gateway.connect(), &Webhook::new(body).framed(chunked, wire.as_bytes()));
        assert!(matches!(statuses[..], [] | [400]) && closed, "{statuses:?}");
    }
    assert!(gateway.peak_resident() - before < 8 << 20);
    assert_eq!(upstream.requests().len(), 1);
    assert_invariants(&mut gateway, &upstream);
}

/// A12, A13: lines that some servers parse differently: their ends, their beginnings, their form.
#[test]
fn malformed_header_lines_are_refused() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    for lines in [
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        "X : a\r\n",
        "X\t: a\r\n",
        ": a\r\n",
        "X\r\n",
        "X: a\0b\r\n",
        "X\0Y: a\r\n",
        "X: a\rY: b\r\n",
        "X: a\r\r\n",
        "X-A: 1\nX-B: 2\r\n",
        "X: a\n",
        "X: a\n\r\n",
        "\n",
        "X(): a\r\n",
        "Content-Length : 4\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\u{b}: chunked\r\n",
    ] {
        let framing = format!("{lines}Content-Length: 3\r\n");
        let (statuses, closed) =
            send_on_new_connection(gateway.connect(), &Webhook::new("abc").framed(&framing, b"abc"));
        assert_eq!((&statuses[..], closed), (&[400][..], true), "{lines:?}");
    }
    let bare = String::from_utf8(Webhook::new("abc").bytes())
        .unwrap()
        .replace("\r\n", "\n");
    let (statuses, closed) = send_on_new_connection(gateway.connect(), bare.as_bytes());
    assert_eq!(
        (&statuses[..], closed),
        (&[400][..], true),
        "bare line feeds throughout"
    );
    let leading = Webhook::new("abc").bytes();
    let leading = String::from_utf8(leading)
        .unwrap()
        .replacen("\r\n", "\r\n X: first\r\n", 1);
    let (statuses, _) = send_on_new_connection(gateway.connect(), leading.as_bytes());
    assert_eq!(statuses, [400], "a first header that begins with a space");
    upstream.assert_untouched();
    assert_forwards(&gateway, "still serving");
    assert_invariants(&mut gateway, &upstream);
}

/// A14: bytes that are not ASCII: refused in the signature header, forwarded unchanged elsewhere.
#[test]
fn bytes_above_ascii_are_refused_in_the_signature_only() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("abc");
    let value = webhook.signature.clone().unwrap();
    for spoiled in [
        [value.as_bytes(), b"\xff"].concat(),
        [b"\xff;", value.as_bytes()].concat(),
        value.replace(';', ";\u{e9};").into_bytes(),
        value.replace("h1", "h\u{ff11}").into_bytes(),
    ] {
        let line = [
            b"Paddle-Signature: ".as_slice(),
            &spoiled,
            b"\r\nContent-Length: 3\r\n\r\nabc",
        ]
        .concat();
        let head = webhook.clone().signature(None).head("");
        let request = [&head[..head.len() - 2], &line].concat();
        let (statuses, _) = send_on_new_connection(gateway.connect(), &request);
        assert_eq!(statuses, [401], "{}", String::from_utf8_lossy(&request));
    }
    upstream.assert_untouched();
    let head = webhook.head("");
    let line = b"X-Name: Zo\xc3\xab\t\xff!\r\nContent-Length: 3\r\n\r\nabc";
    let (statuses, _) = send_on_new_connection(gateway.connect(), &[&head[..head.len() - 2], line].concat());
    if statuses == [200] {
        let seen = upstream.only();
        let name = seen
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("x-name"));
        assert_eq!(name.unwrap().1, b"Zo\xc3\xab\t\xff!");
    } else {
        assert_eq!(statuses, [400]);
    }
    assert_invariants(&mut gateway, &upstream);
}

/// A18: a signed request does not vouch for the bytes after it, and the bytes after a refusal are not read as a
/// request.
#[test]
fn each_pipelined_request_is_verified() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let unsigned = Webhook::new("unsigned").signature(None).bytes();
    let signed = Webhook::new("signed").bytes();
    let (statuses, _) =
        send_on_new_connection(gateway.connect(), &[&signed[..], &unsigned, HIDDEN.as_bytes()].concat());
    assert_eq!(statuses[0], 200, "{statuses:?}");
    assert!(
        statuses[1..].iter().all(|status| [401, 404].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(upstream.requests().len(), 1);

    // A genuine request as the body of a forged one, with sizes below and above what is drained.
    for padding in [0, 100, 100_000, 2_000_000] {
        let inner = Webhook::new(format!("inner {padding}")).bytes();
        let outer = Webhook::new([vec![b' '; padding], inner.clone()].concat()).signature(None);
        let (statuses, _) = send_on_new_connection(gateway.connect(), &[outer.bytes(), HIDDEN.into()].concat());
        assert!(
            statuses.iter().all(|status| [401, 413, 404].contains(status)),
            "{padding}: {statuses:?}"
        );
        assert_eq!(upstream.requests().len(), 1, "the body of a refused request was served");
    }
    assert_invariants(&mut gateway, &upstream);
}

/// A20: bytes after the announced length are another request and verified as one.
#[test]
fn bytes_after_the_announced_length_are_another_request() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let request = Webhook::new("abc").framed("Content-Length: 3\r\n", b"abcdef\r\n\r\n");
    let (statuses, closed) = send_on_new_connection(gateway.connect(), &request);
    assert_eq!((&statuses[..], closed), (&[200, 400][..], true));
    assert_eq!(upstream.only().body, b"abc");
    let longer = Webhook::new("abcdef").framed("Content-Length: 3\r\n", b"abcdef");
    let (statuses, _) = send_on_new_connection(gateway.connect(), &longer);
    assert_eq!(statuses[0], 401, "{statuses:?}");
    assert_eq!(upstream.requests().len(), 1);
    assert_invariants(&mut gateway, &upstream);
}
