//! Paddle's official SDKs and a legacy Flask application as upstreams: a request that hookgate forwarded still verifies
//! there.
//!
//! SDKs: `@paddle/paddle-node-sdk` 3.10.0 and `paddle-python-sdk` 1.16.1, locked under `tests/apps`. The Python SDK
//! also signs, so that neither the signer nor the verifier shares code with hookgate.

use crate::support::apps::App;
use crate::support::http2::{self, Http2};
use crate::support::paddle::{self, SECRET};
use crate::support::{Client, Gateway, Setup, Webhook};
use serde_json::Value;
use sha2::{Digest, Sha256};

const LIMIT: usize = 1 << 20;

/// Bodies that have caused faults in other software. The flag says whether they are UTF-8.
fn bodies() -> Vec<(&'static str, Vec<u8>, bool)> {
    let escaped = br#"{"event_type":"customer.created","data":{"name":"J\u00f3sef \u0141ukasiewicz \ud83c\udf89"}}"#;
    let raw = "{\"event_type\":\"customer.created\",\"data\":{\"name\":\"Józef Łukasiewicz 🎉\"}}";
    vec![
        ("non-ASCII as \\u escapes", escaped.to_vec(), true),
        ("non-ASCII as raw UTF-8", raw.as_bytes().to_vec(), true),
        ("not UTF-8", b"{\"name\":\"\xff\xfe\xc3\x28\"}".to_vec(), false),
        ("empty", Vec::new(), true),
        ("one byte", b"0".to_vec(), true),
        ("CRLF at the end", b"{\"a\": 1}\r\n".to_vec(), true),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec(), true),
        ("exactly at the limit", b"0123456789abcdef".repeat(LIMIT / 16), true),
    ]
}

/// Sends one body in four ways; the SDK must confirm each.
fn confirm(gateway: &Gateway, sdk: &App, name: &str, body: &[u8], sign: &dyn Fn(&[u8]) -> Webhook) {
    let expect = |way: &str, status: u16, answer: &[u8]| {
        let shown = String::from_utf8_lossy(answer);
        assert_eq!(status, 200, "{name}, {way}: {shown}\n{}", sdk.logs.text());
        let report: Value = serde_json::from_slice(answer).unwrap();
        assert_eq!(report["agrees"], true, "{name}, {way}: {report}");
        assert_eq!(report["length"], body.len(), "{name}, {way}");
        assert_eq!(report["sha256"], hex::encode(Sha256::digest(body)), "{name}, {way}");
        assert_eq!(
            report["content_length"],
            body.len().to_string(),
            "{name}, {way}: one exact Content-Length"
        );
        assert_eq!(report["transfer_encoding"], Value::Null, "{name}, {way}: never chunked");
        assert_eq!(report["verified"], "paddle", "{name}, {way}");
    };
    // A signature is accepted once: each way signs again, at a second of its own.
    let response = gateway.exchange(&sign(body).bytes());
    expect("HTTP/1.1", response.status, &response.body);
    let response = gateway.exchange(&sign(body).chunked(7001));
    expect("HTTP/1.1 chunked", response.status, &response.body);
    let response = gateway.connect_tls().exchange(&sign(body).bytes());
    expect("HTTP/1.1 over TLS", response.status, &response.body);
    let webhook = sign(body);
    let answer = http2::run(async { Http2::connect(gateway).await.exchange(&webhook).await.unwrap() });
    expect("HTTP/2", answer.status, &answer.body);
}

/// A route without replay guard: the SDK gets every body in four ways within one second.
fn gateway_for(sdk: &App) -> Gateway {
    Setup::new(&sdk.url()).route("replay = { enabled = false }").start()
}

#[test]
fn the_node_sdk_verifies_forwarded_webhooks() {
    let sdk = App::node("verify.cjs", SECRET);
    let gateway = gateway_for(&sdk);
    for (name, body, utf8) in bodies() {
        // The Node SDK takes the body as a string, so bytes that are not UTF-8 cannot reach its MAC.
        if utf8 {
            confirm(&gateway, &sdk, name, &body, &|body| Webhook::new(body));
        }
    }
}

#[test]
fn the_python_sdk_verifies_forwarded_webhooks() {
    let sdk = App::python("verify", SECRET);
    let gateway = gateway_for(&sdk);
    for (name, body, _) in bodies() {
        confirm(&gateway, &sdk, name, &body, &|body| Webhook::new(body));
    }
}

/// The Python SDK signs and the Node SDK verifies; between them is only hookgate.
#[test]
fn the_node_sdk_verifies_what_the_python_sdk_signs() {
    let signer = App::python("verify", SECRET);
    let sdk = App::node("verify.cjs", SECRET);
    let gateway = gateway_for(&sdk);
    let sign = |body: &[u8]| {
        let length = body.len();
        let head = format!(
            "POST /sign?ts={} HTTP/1.1\r\nHost: signer\r\nContent-Length: {length}\r\n\r\n",
            paddle::now()
        );
        let response = Client::tcp(signer.address).exchange(&[head.as_bytes(), body].concat());
        assert_eq!(response.status, 200, "{response:?}");
        let value = String::from_utf8(response.body.clone()).unwrap();
        Webhook::new(body).signature(Some(&value))
    };
    for (name, body, utf8) in bodies() {
        if utf8 {
            confirm(&gateway, &sdk, name, &body, &sign);
        }
    }
}

/// The SDKs can refuse: with another secret than hookgate's they refuse what it forwarded, and that answer reaches the
/// sender.
#[test]
fn an_sdk_with_another_secret_refuses() {
    for sdk in [
        App::node("verify.cjs", "another secret"),
        App::python("verify", "another secret"),
    ] {
        let gateway = gateway_for(&sdk);
        let response = gateway.exchange(&Webhook::new("{}").bytes());
        let report: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(
            (response.status, &report["agrees"]),
            (422, &Value::Bool(false)),
            "{report}"
        );
    }
}

/// An unchanged legacy Flask application: form fields and raw bytes reach it, its text answer reaches the sender, and
/// an unsigned request never reaches it.
#[test]
fn a_legacy_flask_application_gets_genuine_webhooks_only() {
    let flask = App::python("legacy", SECRET);
    let fulfil = r#"
[[route]]
name = "fulfil"
path = "/fulfil"
provider = "paddle"
secrets = [{ env = "PADDLE_WEBHOOK_SECRET" }]
"#;
    let gateway = Setup::new(&flask.url())
        .more(&format!("{fulfil}\nupstream = {:?}", flask.url()))
        .start();
    let orders = || {
        let response = Client::tcp(flask.address).exchange(b"GET /orders HTTP/1.1\r\nHost: flask\r\n\r\n");
        String::from_utf8(response.body.clone()).unwrap()
    };

    let form = "alert_name=fulfilment&customer_name=J%C3%B3zef+%C5%81ukasiewicz&email=j%40example.com&p_quantity=2";
    let order = Webhook::new(form)
        .path("/fulfil")
        .header("Content-Type", "application/x-www-form-urlencoded");
    let tampered = Webhook {
        body: form.replace("p_quantity=2", "p_quantity=9").into(),
        ..order.clone()
    };
    assert_eq!(gateway.exchange(&tampered.bytes()).status, 401);
    assert_eq!(gateway.exchange(&order.clone().signature(None).bytes()).status, 401);
    assert_eq!(orders(), "0", "no unverified request reaches it");

    let response = gateway.exchange(&order.bytes());
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(
        response.body,
        "Dear Józef Łukasiewicz,\r\nyour licence is 2 x ABC-123.\r\n".as_bytes()
    );

    for (name, body, _) in bodies() {
        let response = gateway.exchange(&Webhook::new(body.clone()).chunked(4096));
        assert_eq!(response.status, 200, "{name}: {response:?}");
        assert!(response.body == body, "{name}: get_data() returned other bytes");
    }
    assert_eq!(orders(), (1 + bodies().len()).to_string());
}
