//! Challenges of providers with the running binary: answered where the route asks for it, and never a way around
//! verification.

use crate::support::client::Response;
use crate::support::oracle::Oracle;
use crate::support::paddle::now;
use crate::support::{Gateway, Setup, Upstream};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

const KEY: &str = "a signing secret that is long enough";
const TOKEN: &str = "a token & more";

fn route(provider: &str, keys: &str, more: &str, upstream: &Upstream) -> String {
    format!(
        "[[route]]\nname = {provider:?}\npath = \"/{provider}\"\nprovider = {provider:?}\n{keys} = [{{ env = \"{provider}_key\" }}]\nupstream = {:?}\n{more}\n",
        upstream.url()
    )
}

/// All five providers with their challenges enabled, and Slack and Dropbox again without.
fn gateway(upstream: &Upstream, discord: &str) -> Gateway {
    let token = "challenge = true\nverify_token = { env = \"TOKEN\" }";
    let routes = [
        route("slack", "secrets", "challenge = true", upstream),
        route("zoom", "secrets", "challenge = true", upstream),
        route("discord", "public_keys", "challenge = true", upstream),
        route("dropbox", "secrets", "challenge = true", upstream),
        route("meta", "secrets", token, upstream),
        route("slack", "secrets", "", upstream)
            .replace("/slack", "/slack-plain")
            .replace("name = \"slack\"", "name = \"sp\""),
        route("dropbox", "secrets", "", upstream)
            .replace("/dropbox", "/dropbox-plain")
            .replace("name = \"dropbox\"", "name = \"dp\""),
    ];
    let mut setup = Setup::new(&upstream.url())
        .more(&routes.join("\n"))
        .variable("TOKEN", TOKEN);
    for provider in ["slack", "zoom", "dropbox", "meta"] {
        setup = setup.variable(&format!("{provider}_key"), KEY);
    }
    setup.variable("discord_key", discord).start()
}

fn mac(text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn send(gateway: &Gateway, method: &str, target: &str, headers: &str, body: &str) -> Response {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    gateway
        .exchange(format!("{method} {target} HTTP/1.1\r\nHost: shop.example\r\n{headers}{length}\r\n{body}").as_bytes())
}

/// A signature of the form `v0`, as Slack and Zoom use it.
fn v0(names: [&str; 2], body: &str) -> String {
    let ts = now();
    format!(
        "{}: {ts}\r\n{}: v0={}\r\n",
        names[0],
        names[1],
        mac(&format!("v0:{ts}:{body}"))
    )
}

const SLACK: [&str; 2] = ["X-Slack-Request-Timestamp", "X-Slack-Signature"];
const ZOOM: [&str; 2] = ["x-zm-request-timestamp", "x-zm-signature"];

#[track_caller]
fn answered(response: &Response, content_type: &str, body: &str) {
    assert_eq!(
        (response.status, String::from_utf8_lossy(&response.body).as_ref()),
        (200, body),
        "{response:?}"
    );
    assert!(
        response
            .message
            .header("content-type")
            .unwrap()
            .starts_with(content_type),
        "{response:?}"
    );
    assert_eq!(
        response.message.header("x-content-type-options").as_deref(),
        Some("nosniff")
    );
}

#[test]
fn each_challenge_gets_the_expected_answer() {
    let upstream = Upstream::ok();
    let pair =
        Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref()).unwrap();
    let gateway = gateway(&upstream, &hex::encode(pair.public_key().as_ref()));

    let body =
        r#"{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let asked = send(&gateway, "POST", "/slack", &v0(SLACK, body), body);
    answered(
        &asked,
        "text/plain",
        "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
    );

    // Zoom's own library computes the answer to compare with.
    let body = r#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1,"event":"endpoint.url_validation"}"#;
    let asked = send(&gateway, "POST", "/zoom", &v0(ZOOM, body), body);
    let question = json!({ "op": "challenge", "provider": "zoom", "secret": KEY, "body": body, "now": now() });
    let expected = Oracle::node(&["zoom"]).ask(&question);
    let reference: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(reference, expected);
    answered(&asked, "application/json", &reference.to_string());

    let body = r#"{"id":"1","type":1}"#;
    let ts = now();
    let signature = hex::encode(pair.sign(format!("{ts}{body}").as_bytes()));
    let headers = format!("X-Signature-Ed25519: {signature}\r\nX-Signature-Timestamp: {ts}\r\n");
    answered(
        &send(&gateway, "POST", "/discord", &headers, body),
        "application/json",
        r#"{"type":1}"#,
    );

    answered(
        &send(&gateway, "GET", "/dropbox?challenge=aB-1_x", "", ""),
        "text/plain",
        "aB-1_x",
    );
    let query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=a%20token+%26+more";
    answered(
        &send(&gateway, "GET", &format!("/meta?{query}"), "", ""),
        "text/plain",
        "1158201444",
    );
    upstream.assert_untouched();

    // A request that is not a challenge is verified and forwarded as usual.
    let body = r#"{"type":"event_callback","challenge":"x"}"#;
    assert_eq!(send(&gateway, "POST", "/slack", &v0(SLACK, body), body).status, 200);
    assert_eq!(upstream.only().body, body.as_bytes());
}

/// A challenge that is not signed, or not enabled, is refused and not forwarded; hostile challenges are not echoed.
#[test]
fn challenges_do_not_bypass_verification() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream, &"ab".repeat(32).replacen("ab", "d7", 1));
    let slack = r#"{"challenge":"abc","type":"url_verification"}"#;
    let stale = v0(SLACK, "{}");
    let cases: Vec<(&str, String, String, &str, u16)> = vec![
        ("POST", "/slack".into(), String::new(), slack, 401),
        ("POST", "/slack".into(), stale, slack, 401),
        ("POST", "/zoom".into(), v0(SLACK, slack), slack, 401),
        ("POST", "/discord".into(), String::new(), r#"{"type":1}"#, 401),
        ("GET", "/slack?challenge=abc".into(), String::new(), "", 405),
        ("GET", "/dropbox-plain?challenge=abc".into(), String::new(), "", 405),
        ("GET", "/dropbox".into(), String::new(), "", 405),
        (
            "GET",
            "/dropbox?challenge=%3Cscript%3Ealert(1)%3C/script%3E".into(),
            String::new(),
            "",
            405,
        ),
        ("GET", "/dropbox?challenge=<script>".into(), String::new(), "", 400),
        (
            "GET",
            "/dropbox?challenge=a%0d%0aSet-Cookie:x=y".into(),
            String::new(),
            "",
            405,
        ),
        ("GET", "/dropbox?challenge=a&challenge=b".into(), String::new(), "", 405),
        (
            "GET",
            format!("/dropbox?challenge={}", "a".repeat(20_000)),
            String::new(),
            "",
            405,
        ),
        ("GET", "/dropbox?challenge=abc".into(), String::new(), "a body", 405),
        ("POST", "/dropbox?challenge=abc".into(), String::new(), "", 401),
        ("PUT", "/dropbox?challenge=abc".into(), String::new(), "", 405),
        (
            "GET",
            "/meta?hub.mode=subscribe&hub.challenge=1&hub.verify_token=wrong".into(),
            String::new(),
            "",
            401,
        ),
        (
            "GET",
            "/meta?hub.mode=subscribe&hub.challenge=1&hub.verify_token=".into(),
            String::new(),
            "",
            401,
        ),
        (
            "GET",
            "/meta?hub.mode=subscribe&hub.challenge=1".into(),
            String::new(),
            "",
            405,
        ),
        (
            "GET",
            "/meta?hub.mode=subscribe&hub.challenge=%3Cb%3E&hub.verify_token=a+token+%26+more".into(),
            String::new(),
            "",
            405,
        ),
    ];
    for (method, target, headers, body, status) in cases {
        let response = send(&gateway, method, &target, &headers, body);
        let shown: String = target.chars().take(80).collect();
        // A query that HTTP does not allow may be refused before hookgate reads it.
        assert!(
            response.status == status || (status == 400 && response.status == 405),
            "{method} {shown}: {response:?}"
        );
        let printed = String::from_utf8_lossy(&response.body).into_owned();
        assert!(
            !printed.contains("script") && !printed.contains("abc") && response.message.header("set-cookie").is_none(),
            "{shown}: {printed}"
        );
    }
    upstream.assert_untouched();

    // Zoom's answer would sign a text with colons: such a challenge is treated as an ordinary event for the
    // application.
    let body = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"v0:1:{}"}}"#;
    let response = send(&gateway, "POST", "/zoom", &v0(ZOOM, body), body);
    assert!(
        !String::from_utf8_lossy(&response.body).contains("encryptedToken"),
        "{response:?}"
    );
    // Without the option a signed challenge is forwarded to the application.
    let response = send(&gateway, "POST", "/slack-plain", &v0(SLACK, slack), slack);
    assert_eq!((response.status, upstream.requests().len()), (200, 2));
}

/// One route of `custom` whose HMAC covers the body, with this challenge.
fn described(upstream: &Upstream, challenge: &str) -> Gateway {
    let route = format!(
        "[[route]]\nname = \"acme\"\npath = \"/acme\"\nprovider = \"custom\"\nsecrets = [{{ env = \"KEY\" }}]\nupstream = {:?}\nchallenge = {challenge}\n[route.custom]\nsignature = {{ header = \"X-Signature\" }}\n",
        upstream.url()
    );
    Setup::new(&upstream.url()).more(&route).variable("KEY", KEY).start()
}

/// What anyone can ask for is not accepted as a signature, whatever is asked.
#[test]
fn the_answer_to_a_challenge_is_no_signature() {
    let upstream = Upstream::ok();
    let challenge = "{ query = \"crc_token\", answer = { json = \"response_token\", hmac = \"hex\" } }";
    let gateway = described(&upstream, challenge);
    for text in ["abc", "a", "1.2", "token_-"] {
        let answer = send(&gateway, "GET", &format!("/acme?crc_token={text}"), "", "");
        answered(
            &answer,
            "application/json",
            &json!({ "response_token": mac(text) }).to_string(),
        );
        let forged = send(
            &gateway,
            "POST",
            "/acme",
            &format!("X-Signature: {}\r\n", mac(text)),
            text,
        );
        assert_eq!(forged.status, 401, "{text}: {forged:?}");
    }
    upstream.assert_untouched();
    let body = r#"{"id":1}"#;
    let genuine = send(
        &gateway,
        "POST",
        "/acme",
        &format!("X-Signature: {}\r\n", mac(body)),
        body,
    );
    assert_eq!(genuine.status, 200);
    assert_eq!(upstream.only().body, body.as_bytes());
}

/// An unsigned request that is not exactly the challenge is refused as before, and so is a long body, before it is held.
#[test]
fn a_challenge_in_the_body_lets_nothing_else_in() {
    let upstream = Upstream::ok();
    let gateway = described(
        &upstream,
        "[{ body = \"webhook_id={number}\" }, { pointer = \"/challenge\" }]",
    );
    answered_empty(&send(&gateway, "POST", "/acme", "", "webhook_id=42"));
    answered(
        &send(&gateway, "POST", "/acme", "", r#"{"challenge":"a b"}"#),
        "text/plain",
        "a b",
    );
    let long = format!("{{\"challenge\":\"a\"}}{}", " ".repeat(5000));
    for body in ["webhook_id=42&a=b", "{}", r#"{"challenge":"<b>"}"#, "", &long] {
        let refused = send(&gateway, "POST", "/acme", "", body);
        let shown: String = body.chars().take(40).collect();
        assert_eq!(refused.status, 401, "{shown}: {refused:?}");
        assert!(
            String::from_utf8_lossy(&refused.body).contains("signature_missing"),
            "{shown}"
        );
    }
    // A body without a declared length is read up to the same bound.
    let chunked = |body: &str| {
        let head = "POST /acme HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n";
        gateway.exchange(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes())
    };
    answered_empty(&chunked("webhook_id=7"));
    assert_eq!(chunked(&long).status, 401);
    // With a signature, the same body is a webhook.
    let signed = send(&gateway, "POST", "/acme", "X-Signature: 00\r\n", "webhook_id=42");
    assert_eq!(signed.status, 401);
    upstream.assert_untouched();
    let body = r#"{"challenge":"a webhook"}"#;
    let genuine = send(
        &gateway,
        "POST",
        "/acme",
        &format!("X-Signature: {}\r\n", mac(body)),
        body,
    );
    assert_eq!(genuine.status, 200);
    assert_eq!(upstream.only().body, body.as_bytes());
}

#[track_caller]
fn answered_empty(response: &Response) {
    assert_eq!((response.status, response.body.len()), (200, 0), "{response:?}");
}

/// Anyone can send unsigned challenges, so a route answers a few in each second. They are counted.
#[test]
fn unsigned_challenges_are_limited_and_counted() {
    let upstream = Upstream::ok();
    let gateway = described(&upstream, "{ method = \"HEAD\" }");
    // The limit is for each second of the clock, so the number of answers before the first refusal varies.
    let mut answered = 0.0;
    loop {
        match send(&gateway, "HEAD", "/acme", "", "").status {
            200 => answered += 1.0,
            429 => break,
            other => panic!("{other}"),
        }
        assert!(answered < 1_000.0, "no refusal");
    }
    assert!(answered >= 10.0, "{answered}");
    upstream.assert_untouched();
    let count = |verdict: &str, reason: &str, value: f64| {
        let labels = [("route", "acme"), ("verdict", verdict), ("reason", reason)];
        gateway.wait_for_metric("hookgate_requests_total", &labels, value);
    };
    count("challenge", "none", answered);
    count("rejected", "rate_limited", 1.0);
}
