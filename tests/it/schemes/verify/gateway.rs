//! With a configuration, `hookgate verify` judges what the gateway judges, and `sign` knows its routes.

use super::{BODY, VerifyResult, raw_request, verify};
use crate::support::gateway::binary;
use crate::support::paddle::{SECRET, now, signature};
use std::path::PathBuf;
use tempfile::TempDir;

const CONFIGURATION: &str = r#"
[listen]
address = "127.0.0.1:0"
plaintext = true
[[route]]
name = "shop"
host = "shop.example"
path = "/webhooks/paddle"
provider = "paddle"
secrets = [{ env = "PADDLE" }]
body_limit = "1KiB"
upstream = "http://127.0.0.1:9"
[[route]]
name = "own"
path = "/own"
provider = "custom"
secrets = [{ env = "OWN" }]
methods = ["PUT"]
allow = ["192.0.2.0/24"]
upstream = "http://127.0.0.1:9"
[route.custom]
signature = { header = "X-Acme" }
[[route]]
name = "zoom"
path = "/zoom"
provider = "zoom"
secrets = [{ env = "ZOOM" }]
handshake = true
upstream = "http://127.0.0.1:9"
"#;

const ENVIRONMENT: [(&str, &str); 3] = [
    ("PADDLE", SECRET),
    ("OWN", "f00dfeed0123456789abcdef01234567"),
    ("ZOOM", "zoom-secret-0123456789abcdef"),
];

fn configuration() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    std::fs::write(&file, CONFIGURATION).unwrap();
    (directory, file)
}

fn judged(capture: &[u8], more: &[&str]) -> VerifyResult {
    let (_directory, file) = configuration();
    let arguments = [&["--config", file.to_str().unwrap()], more].concat();
    verify(capture, &arguments, &ENVIRONMENT)
}

/// Exit code and output of `sign` for a route of the configuration.
fn sign(route: &str, body: &str) -> (Option<i32>, String) {
    let (_directory, file) = configuration();
    let body_file = file.with_file_name("body");
    std::fs::write(&body_file, body).unwrap();
    let output = binary()
        .arg("sign")
        .args(["--config", file.to_str().unwrap(), "--route", route])
        .arg(&body_file)
        .envs(ENVIRONMENT)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn paddle(request_line: &str, host: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let value = signature(SECRET, now(), body);
    [
        format!("{request_line}\r\nHost: {host}\r\nPaddle-Signature: {value}\r\n{more}\r\n").as_bytes(),
        body,
    ]
    .concat()
}

#[test]
fn what_the_gateway_refuses_before_the_signature_is_not_genuine() {
    let line = "POST /webhooks/paddle HTTP/1.1";
    let sent = |line: &str, host: &str, more: &str| judged(&paddle(line, host, more, BODY.as_bytes()), &[]);
    let accepted = sent(line, "shop.example", "");
    assert_eq!(
        (accepted.code, &accepted.report["gateway"]["route"]),
        (Some(0), &"shop".into()),
        "{}",
        accepted.human
    );
    assert!(accepted.human.contains("would be forwarded"), "{}", accepted.human);

    let slash = sent("POST /webhooks/paddle/ HTTP/1.1", "shop.example", "");
    slash.has_certain_cause("no_route", "a slash at the end");
    assert_eq!(slash.report["reason"], "no_route");
    sent(line, "other.example", "").has_certain_cause("no_route", "the route has the host `shop.example`");
    sent("PUT /webhooks/paddle HTTP/1.1", "shop.example", "").has_certain_cause("method_not_allowed", "PUT");
    sent(line, "shop.example", "Connection: Paddle-Signature\r\n").has_certain_cause("header_rules", "header_conflict");
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(2000));
    judged(&paddle(line, "shop.example", "", large.as_bytes()), &[]).has_certain_cause("body_too_large", "1024");
}

#[test]
fn the_senders_address_is_judged_only_if_it_is_given() {
    let (code, signed) = sign("own", BODY);
    assert_eq!((code, signed.starts_with("X-Acme: ")), (Some(0), true), "{signed}");
    let request = format!(
        "PUT /own HTTP/1.1\r\nHost: a.example\r\n{}\r\n\r\n{BODY}",
        signed.trim_end()
    );
    let unknown = judged(request.as_bytes(), &[]);
    assert_eq!(unknown.code, Some(0), "{}", unknown.human);
    assert!(
        unknown.human.contains("not judged: the address of the sender"),
        "{}",
        unknown.human
    );
    assert_eq!(judged(request.as_bytes(), &["--peer", "192.0.2.9"]).code, Some(0));
    judged(request.as_bytes(), &["--peer", "198.51.100.1"]).has_certain_cause("peer_not_allowed", "allow");
}

/// By the route's name or its path, and without any option that repeats what the configuration says.
#[test]
fn sign_finds_a_route_by_name_or_path() {
    let (code, by_name) = sign("own", BODY);
    assert_eq!((code, by_name.starts_with("X-Acme: ")), (Some(0), true), "{by_name}");
    assert_eq!(sign("/own", BODY), (Some(0), by_name));
    assert!(sign("/webhooks/paddle", BODY).1.starts_with("Paddle-Signature: ts="));
    let (code, text) = sign("nowhere", BODY);
    assert_eq!(
        (code, text.contains("choose one of: shop, own, zoom")),
        (Some(2), true),
        "{text}"
    );
}

/// A challenge is neither genuine nor refused.
#[test]
fn a_challenge_is_answered_and_not_forwarded() {
    let challenge =
        r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1}"#;
    let (_, headers) = sign("zoom", challenge);
    let headers = headers.trim_end().replace('\n', "\r\n");
    let request = format!("POST /zoom HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n\r\n{challenge}");
    let result = judged(request.as_bytes(), &[]);
    assert_eq!(
        (result.code, &result.report["genuine"]),
        (Some(0), &false.into()),
        "{}",
        result.human
    );
    assert_eq!(result.report["gateway"]["challenge"], true);
    assert!(result.human.contains("forwards nothing"), "{}", result.human);
}

#[test]
fn without_a_configuration_only_the_signature_is_judged() {
    let header = format!("Paddle-Signature: {}", signature(SECRET, now(), BODY.as_bytes()));
    let result = verify(
        &raw_request(&header, BODY.as_bytes()),
        &["--secret-env", "KEY"],
        &[("KEY", SECRET)],
    );
    assert_eq!(
        (result.code, result.report["gateway"].is_null()),
        (Some(0), true),
        "{}",
        result.human
    );
}
