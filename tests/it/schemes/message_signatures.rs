//! Message signatures (RFC 9421) over a real socket: made by a library of others, with keys of a server of the test's own.

use super::fetched::Published;
use crate::support::oracle::{Oracle, Random};
use crate::support::paddle::now;
use crate::support::{Gateway, Setup, Upstream};
use serde_json::{Value, json};

const URL: &str = "https://hooks.example.com";

/// A signed message, and the set in which its key is published.
fn sign(oracle: &mut Oracle, random: &mut Random, target: &str) -> (Value, String, String) {
    let body = json!({ "id": random.next().to_string() }).to_string();
    let answer = oracle.ask(&json!({
        "op": "sign", "provider": "http-signatures+public", "secret": "", "url": format!("{URL}{target}"), "headers": {},
        "body": body, "now": now(), "algorithm": "ed25519", "parameters": ["created", "keyid"],
        "fields": ["@method", "@authority", "@path", "@query", "content-digest"],
    }));
    let keys = answer["keys"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (answer["headers"].clone(), body, keys)
}

fn request(target: &str, headers: &Value, body: &str) -> Vec<u8> {
    let fields = headers.as_object().unwrap().iter();
    let fields: String = fields
        .map(|(name, value)| format!("{name}: {}\r\n", value.as_str().unwrap()))
        .collect();
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: another.example\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The status, and the reason of a refusal.
fn send(gateway: &Gateway, target: &str, headers: &Value, body: &str) -> (u16, String) {
    let response = gateway.exchange(&request(target, headers, body));
    let reason = if response.status == 200 {
        String::new()
    } else {
        response.reason()
    };
    (response.status, reason)
}

#[test]
fn messages_are_verified_with_published_keys_and_forwarded_as_signed() {
    let (mut oracle, mut random) = (Oracle::tokens(), Random(now()));
    let upstream = Upstream::ok();
    let target = "/in?b=2&a=%20x";
    let (headers, body, keys) = sign(&mut oracle, &mut random, target);
    let published = Published::new(&keys);
    let server = published.serve("127.0.0.1:0");
    let route = format!(
        "[[route]]\nname = \"messages\"\npath = \"/in\"\nprovider = \"http-signatures\"\npublic_url = {URL:?}\nkeys = {{ url = \"{}/jwks\" }}\nupstream = {:?}\n",
        server.url(),
        upstream.url()
    );
    let gateway = Setup::new(&upstream.url()).more(&route).start();
    let refused = |status, reason: &str| (status, reason.to_owned());
    assert_eq!(send(&gateway, target, &headers, &body), (200, String::new()));
    let forwarded = upstream.only();
    assert_eq!(forwarded.body, body.as_bytes());
    assert_eq!(forwarded.start, format!("POST {target} HTTP/1.1"));
    for (name, value) in headers.as_object().unwrap() {
        assert_eq!(forwarded.header(name).as_deref(), value.as_str(), "{name}");
    }
    assert_eq!(
        forwarded.header("Hookgate-Verified").as_deref(),
        Some("http-signatures")
    );
    assert_eq!(send(&gateway, target, &headers, &body), refused(409, "replayed"));
    // What the signature covers cannot be changed; the host that the request claims is not what counts.
    let changed = body.replace("id", "iD");
    assert_eq!(
        send(&gateway, target, &headers, &changed),
        refused(401, "signature_mismatch")
    );
    assert_eq!(
        send(&gateway, "/in?b=2&a=%20y", &headers, &body),
        refused(401, "signature_mismatch")
    );
    assert_eq!(
        send(&gateway, "/in", &headers, &body),
        refused(401, "signature_mismatch")
    );
    let mut without = headers.clone();
    let input = headers
        .as_object()
        .unwrap()
        .keys()
        .find(|name| name.eq_ignore_ascii_case("signature-input"));
    without.as_object_mut().unwrap().remove(&input.unwrap().clone());
    assert_eq!(send(&gateway, target, &without, &body).0, 401);
    // Another key with the id of the known one: nothing is fetched for it.
    let (headers, body, _) = sign(&mut oracle, &mut random, target);
    assert_eq!(
        send(&gateway, target, &headers, &body),
        refused(401, "signature_mismatch")
    );
    assert_eq!(server.requests().len(), 1);
    assert_eq!(upstream.requests().len(), 1);
}
