//! Real servers as a reference: the same hostile bytes go through hookgate to a recording upstream and to applications
//! under seven servers. What each server parsed must equal what the recording upstream received, request by request.

use crate::support::apps::{App, SERVERS};
use crate::support::upstream::Recorded;
use crate::support::{Client, Gateway, Setup, Upstream, Webhook};
use serde_json::Value;
use std::collections::BTreeMap;

const HIDDEN: &str = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";

/// Bytes to send on one connection. Built again for each server: a signature is accepted once per gateway, and ages.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let webhook = |body: &str| Webhook::new(body);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let wire = format!("3\r\nabc\r\n0\r\n\r\n{HIDDEN}");
    let framed = |body: &str, framing: &str, wire: &[u8]| webhook(body).framed(framing, wire);
    vec![
        (
            "plain",
            webhook("{\"a\": 1}").header("Content-Type", "application/json").bytes(),
        ),
        ("empty", webhook("").bytes()),
        ("not UTF-8", Webhook::new(b"\xff\0\xfe".to_vec()).bytes()),
        (
            "TE, CL",
            framed("abc", &format!("{chunked}Content-Length: 3\r\n"), wire.as_bytes()),
        ),
        (
            "CL, TE",
            framed("abc", &format!("Content-Length: 13\r\n{chunked}"), wire.as_bytes()),
        ),
        (
            "two lengths",
            framed("abc", "Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd"),
        ),
        ("leading zeros", framed("ab3", "Content-Length: 003\r\n", b"ab3")),
        (
            "chunk extensions",
            framed("ab4", chunked, b"3;a=\"b\"\r\nab4\r\n0\r\n\r\n"),
        ),
        (
            "trailers",
            framed(
                "ab5",
                chunked,
                b"3\r\nab5\r\n0\r\nPaddle-Signature: x\r\nHookgate-Verified: x\r\n\r\n",
            ),
        ),
        ("a bare LF in a chunk", framed("ab6", chunked, b"3\nab6\r\n0\r\n\r\n")),
        (
            "a coding with a control character",
            framed(
                "ab7",
                "Transfer-Encoding: \x0bchunked\r\nContent-Length: 3\r\n",
                wire.as_bytes(),
            ),
        ),
        (
            "Transfer_Encoding with an underscore",
            framed("ab8", "Transfer_Encoding: chunked\r\nContent-Length: 3\r\n", b"ab8"),
        ),
        (
            "Content_Length with an underscore",
            framed("ab9", "Content_Length: 9\r\nContent-Length: 3\r\n", b"ab9"),
        ),
        (
            "Paddle_Signature with an underscore",
            webhook("a10").header("Paddle_Signature", "ts=1;h1=00").bytes(),
        ),
        (
            "Hookgate_Verified with an underscore",
            webhook("a11").header("Hookgate_Verified", "forged").bytes(),
        ),
        (
            "Hookgate-Verified from the sender",
            webhook("a12").header("hookgate-verified", "forged").bytes(),
        ),
        (
            "an unknown name with an underscore",
            webhook("a13").header("Remote_User", "admin").bytes(),
        ),
        (
            "a name with a dot",
            webhook("a14").header("Hookgate.Verified", "forged").bytes(),
        ),
        (
            "two signatures",
            webhook("a15").header("paddle-signature", "ts=1;h1=00").bytes(),
        ),
        (
            "overrides",
            webhook("a16")
                .header("X-HTTP-Method-Override", "DELETE")
                .header("X-Original-URL", "/admin")
                .bytes(),
        ),
        (
            "Connection that names the signature",
            webhook("a17")
                .header("Connection", "Paddle-Signature, Content-Length")
                .bytes(),
        ),
        (
            "Connection that names other headers",
            webhook("a18").header("Connection", "X-A").header("X-A", "1").bytes(),
        ),
        (
            "forwarded",
            webhook("a19")
                .header("X-Forwarded-For", "10.0.0.1")
                .header("X-Real-IP", "10.0.0.1")
                .bytes(),
        ),
        (
            "repeated",
            webhook("a20").header("X-Twice", "1").header("X-Twice", "2").bytes(),
        ),
        (
            "bare LF",
            framed("a21", "X-A: 1\nX-B: 2\nContent-Length: 3\r\n", b"a21"),
        ),
        ("above ASCII", webhook("a22").header("X-Name", "Zo\u{eb}").bytes()),
        (
            "absolute form",
            webhook("a23").path("http://shop.example/webhooks/paddle").bytes(),
        ),
        ("dots", webhook("a24").path("/a/../webhooks/paddle").bytes()),
        (
            "encoded dots",
            webhook("a25").path("/in/%2e%2e/webhooks/paddle").bytes(),
        ),
        ("two slashes", webhook("a26").path("//webhooks/paddle").bytes()),
        ("an encoded slash", webhook("a27").path("/in/x%2fy").bytes()),
        ("a parameter", webhook("a28").path("/webhooks/paddle;x=/../y").bytes()),
        ("a plain path below", webhook("a29").path("/in/a.b/%41~c").bytes()),
        (
            "a query",
            webhook("a30").path("/webhooks/paddle?a=/../b;c%2f&d=%00").bytes(),
        ),
        (
            "an upgrade",
            webhook("a31")
                .header("Connection", "upgrade")
                .header("Upgrade", "h2c")
                .bytes(),
        ),
        (
            "pipelined",
            [webhook("a32").bytes(), HIDDEN.into(), webhook("a33").bytes()].concat(),
        ),
        ("a request in a body", webhook(&format!("0\r\n\r\n{HIDDEN}")).bytes()),
        (
            "a request in a forged body",
            Webhook::new(webhook("a34").bytes()).signature(None).bytes(),
        ),
        ("expecting", webhook("a35").header("Expect", "100-continue").bytes()),
        ("lower-case method", webhook("a36").method("post").bytes()),
        ("HEAD", webhook("a37").method("HEAD").bytes()),
    ]
}

fn gateway(url: &str) -> Gateway {
    let below = format!(
        "[[route]]\nname = \"below\"\npath = \"/in/*\"\nprovider = \"paddle\"\nsecrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\nupstream = {url:?}\ntolerance = \"60s\"\nreplay = {{ enabled = false }}"
    );
    // The same bytes are sent again for each server.
    Setup::new(url)
        .route("replay = { enabled = false }")
        .more(&below)
        .start()
}

/// Sends the bytes and returns the statuses of the answers.
fn statuses(gateway: &Gateway, bytes: &[u8]) -> Vec<u16> {
    let mut client = gateway.connect();
    let _ = client.try_send(bytes);
    client.finish_sending();
    std::iter::from_fn(|| client.try_response(false).ok().map(|response| response.status)).collect()
}

/// What an application sees of a request by the rules of CGI (RFC 3875, 4.1), computed from the bytes on the wire.
fn expected(request: &Recorded) -> (String, String, String, String, BTreeMap<String, String>) {
    let mut parts = request.start.split(' ');
    let (method, target) = (parts.next().unwrap(), parts.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = BTreeMap::new();
    for (name, value) in &request.headers {
        let name = name.to_uppercase().replace('-', "_");
        // Bytes above ASCII are shown as Latin-1 (PEP 3333).
        let value: String = value.iter().map(|&byte| char::from(byte)).collect();
        headers
            .entry(name)
            .and_modify(|held: &mut String| *held = format!("{held},{value}"))
            .or_insert(value);
    }
    (
        method.into(),
        unescape(path),
        query.into(),
        hex::encode(&request.body),
        plain(headers),
    )
}

/// Removes the headers that differ between runs: the framing headers and the request id.
fn plain(mut headers: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for own in [
        "X_REQUEST_ID",
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "PADDLE_SIGNATURE",
        "HOOKGATE_DELIVERY",
    ] {
        headers.remove(own);
    }
    headers
        .into_iter()
        .map(|(name, value)| (name, value.replace(", ", ",")))
        .collect()
}

fn unescape(path: &str) -> String {
    path.replace("%41", "A")
}

/// A24, B01, C01: seven servers behind hookgate parse the same requests as hookgate.
#[test]
fn seven_servers_parse_the_same_requests() {
    let recorder = Upstream::ok();
    let recording = gateway(&recorder.url());
    let mut differ = Vec::new();
    for server in SERVERS {
        let app = App::parsing(server);
        let serving = gateway(&app.url());
        let mut passed = 0;
        for (name, bytes) in hostile() {
            let before = recorder.requests().len();
            let (ours, theirs) = (statuses(&recording, &bytes), statuses(&serving, &bytes));
            assert_eq!(ours, theirs, "{server}, {name}");
            let requests = recorder.requests().split_off(before);
            let seen = Client::tcp(app.address).exchange(b"GET /seen HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let seen: Vec<Value> = serde_json::from_slice(&seen.body).unwrap();
            assert_eq!(seen.len(), requests.len(), "{server}, {name}: {seen:?}");
            passed += seen.len();
            for (request, seen) in requests.iter().zip(&seen) {
                let text = |key: &str| seen[key].as_str().unwrap().to_owned();
                let headers: BTreeMap<String, String> = serde_json::from_value(seen["headers"].clone()).unwrap();
                assert_eq!(
                    headers.get("PADDLE_SIGNATURE"),
                    request.header("Paddle-Signature").as_ref(),
                    "{server}, {name}"
                );
                assert_eq!(text("length"), request.body.len().to_string(), "{server}, {name}");
                // Python's wsgiref reports a body without a type as "text/plain".
                if let Some(kind) = request.header("Content-Type") {
                    assert_eq!(text("type"), kind, "{server}, {name}");
                }
                let theirs = (
                    text("method"),
                    unescape(&text("path")),
                    text("query"),
                    text("body"),
                    plain(headers),
                );
                if expected(request) != theirs {
                    differ.push(format!(
                        "{server}, {name}:\n  ours   {:?}\n  theirs {theirs:?}",
                        expected(request)
                    ));
                }
            }
        }
        assert!(passed > 15, "{server}: only {passed} passed");
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
