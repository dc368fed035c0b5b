//! hookgate beside Envoy, which asks it whether a request is genuine.

use super::{Asks, Front, Recipe, SENDER, envoy};
use crate::support::balancer::Balancer;
use crate::support::tools::repository;
use crate::support::{Setup, Upstream, Webhook, wait::within};
use rustix::process::Signal;
use std::time::Duration;

const EXT_AUTHZ: Recipe = Recipe {
    files: &["envoy-ext-authz.yaml"],
    command: envoy,
    asks: Asks::Never,
};

/// A published vector whose signature is in a header.
struct Vector {
    id: String,
    secret: String,
    provider: String,
    fields: Vec<(String, String)>,
    body: String,
    is_valid: bool,
}

/// The published vectors of schemes that need no URL, with whether a verifier without a tolerance accepts them.
fn vectors() -> Vec<Vector> {
    let text = std::fs::read_to_string(repository("tests/vectors/providers.json")).unwrap();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let all = all["vectors"].as_array().unwrap().iter();
    let providers = [
        "paddle",
        "stripe",
        "github",
        "slack",
        "shopify",
        "standard-webhooks",
        "svix",
        "zoom",
        "typeform",
    ];
    all.filter_map(|vector| {
        let provider = vector["provider"].as_str()?;
        let expected = vector["expect"].as_str()?;
        let is_about_signature = expected == "valid" || expected.contains("signature") || expected.contains("mismatch");
        (providers.contains(&provider) && vector["method"] == "POST" && is_about_signature).then_some(())?;
        // hookgate starts with no placeholder for a secret, and public keys are in a list of their own.
        let secret = vector["secret"].as_str()?;
        (secret.len() > 8 && secret != "mysecretkey" && !secret.contains("whpk_")).then_some(())?;
        let fields = vector["headers"].as_object()?.iter();
        Some(Vector {
            id: vector["id"].as_str()?.to_owned(),
            secret: secret.to_owned(),
            provider: provider.to_owned(),
            fields: fields
                .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect::<Option<_>>()?,
            body: vector["body"].as_str()?.to_owned(),
            is_valid: expected == "valid",
        })
    })
    .collect()
}

/// The routes of the test that are not for a vector.
const ASKED: &str = "[[route]]\nname = \"ask\"\npath = \"/ask\"\nprovider = \"paddle\"\nmode = \"authorize\"\nsecrets = [{ env = \"PADDLE_WEBHOOK_SECRET\" }]\ntolerance = \"60s\"\n\n[[route]]\nname = \"token\"\npath = \"/token\"\nprovider = \"gitlab-token\"\nmode = \"authorize\"\nsecrets = [{ env = \"TOKEN\" }]\n";

fn asked(upstream: &Upstream) -> Setup {
    Setup::new(&upstream.url())
        .listener("trusted_proxies = [\"127.0.0.1\"]\nhealth = \"/healthz\"")
        .variable("TOKEN", "a-token-of-thirty-two-characters")
}

/// Envoy forwards what hookgate says is genuine, and nothing else: the published vectors, a body that Envoy would send in
/// part, an unreachable hookgate.
#[test]
fn envoy_asks_hookgate() {
    let upstream = Upstream::ok();
    let vectors = vectors();
    let mut routes = String::new();
    let mut setup = asked(&upstream);
    for (number, vector) in vectors.iter().enumerate() {
        let tolerance = match vector.provider.as_str() {
            "github" | "shopify" | "typeform" => "",
            _ => "tolerance = \"unlimited\"",
        };
        routes.push_str(&format!(
            "[[route]]\npath = \"/v/{number}\"\nprovider = \"{}\"\nmode = \"authorize\"\nsecrets = [{{ env = \"SECRET_{number}\", name = \"of-{number}\" }}]\n{tolerance}\n\n",
            vector.provider
        ));
        setup = setup.variable(&format!("SECRET_{number}"), &vector.secret);
    }
    routes.push_str(ASKED);
    let gateway = setup.more(&routes).start();
    let everything = ("- exact: paddle-signature", "- safe_regex: { regex: \".*\" }");
    let whole = [everything];
    let balancer = Balancer::new(vec![gateway.plain()]);
    let front = Front::start(&EXT_AUTHZ, &gateway.setup, balancer.address(), &upstream.url(), &whole);
    let ask = Webhook::new("asked")
        .path("/ask")
        .header("Hookgate-Verified", "forged")
        .header("Hookgate-Report", "x");
    within(Duration::from_secs(30), "Envoy", || {
        (front.send(&ask.bytes()) == Some(200)).then_some(())
    });

    // The application is told by whom it was verified, and by nobody else.
    let seen = upstream.requests().last().unwrap().message.clone();
    assert_eq!(seen.all("hookgate-verified"), ["paddle"]);
    assert_eq!(seen.all("hookgate-route"), ["ask"]);
    assert_eq!(seen.all("hookgate-key"), ["PADDLE_WEBHOOK_SECRET"]);
    assert!(seen.all("hookgate-report").is_empty());
    assert_eq!(seen.body, b"asked");
    let lines = gateway.wait_for_audit_lines("none", 1);
    assert_eq!(lines[0]["peer"], SENDER.to_string(), "{}", lines[0]);
    // No guard: the same request is authorized again. The documents say so.
    let before = upstream.requests().len();
    assert_eq!(front.send(&ask.bytes()), Some(200));
    assert_eq!(front.send(&ask.signature(None).bytes()), Some(401));
    assert_eq!(front.send(&Webhook::new("asked").path("/elsewhere").bytes()), Some(404));
    assert_eq!(upstream.requests().len(), before + 1);
    gateway.wait_for_metric(
        "hookgate_requests_total",
        &[("route", "ask"), ("verdict", "authorized")],
        2.0,
    );

    // The published vectors.
    let mut accepted = 0;
    for (number, vector) in vectors.iter().enumerate() {
        let fields: String = vector
            .fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let head = format!(
            "POST /v/{number} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {}\r\n\r\n",
            vector.body.len()
        );
        let before = upstream.requests().len();
        let status = front.send(&[head.as_bytes(), vector.body.as_bytes()].concat());
        assert_eq!(status == Some(200), vector.is_valid, "{}: {status:?}", vector.id);
        let forwarded = &upstream.requests()[before..];
        assert_eq!(forwarded.len(), usize::from(vector.is_valid), "{}", vector.id);
        assert!(
            forwarded.iter().all(|request| request.body == vector.body.as_bytes()),
            "{}",
            vector.id
        );
        accepted += usize::from(vector.is_valid);
    }
    assert!(accepted >= 8, "{accepted} of {} vectors are valid", vectors.len());

    // Envoy answers a body above its buffer itself.
    let large = Webhook::new(vec![b'x'; (1 << 20) + 1]).path("/ask");
    let before = upstream.requests().len();
    assert_eq!(front.send(&large.bytes()), Some(413));
    drop(front);

    // An Envoy that sends a part of the body: no signature covers it, and a token would.
    let partial = [
        everything,
        ("max_request_bytes: 1048576", "max_request_bytes: 64"),
        ("allow_partial_message: false", "allow_partial_message: true"),
    ];
    let front = Front::start(
        &EXT_AUTHZ,
        &gateway.setup,
        balancer.address(),
        &upstream.url(),
        &partial,
    );
    let short = Webhook::new("short").path("/ask");
    within(Duration::from_secs(30), "Envoy", || {
        (front.send(&short.bytes()) == Some(200)).then_some(())
    });
    let long = Webhook::new(vec![b'x'; 1000]).path("/ask");
    assert_eq!(front.send(&long.bytes()), Some(400));
    let token = Webhook::new(vec![b'x'; 1000])
        .path("/token")
        .signature(None)
        .header("X-Gitlab-Token", "a-token-of-thirty-two-characters");
    assert_eq!(front.send(&token.bytes()), Some(400));
    assert_eq!(upstream.requests().len(), before + 1);

    // A reload loses nothing.
    for number in 0..10 {
        if number % 4 == 0 {
            gateway.signal(Signal::HUP);
        }
        let webhook = Webhook::new(format!("{number}")).path("/ask");
        assert_eq!(front.send(&webhook.bytes()), Some(200));
    }
    let before = upstream.requests().len() - 1;

    // It fails closed.
    drop(gateway);
    let status = front.send(&Webhook::new("alone").path("/ask").bytes());
    assert!(matches!(status, Some(403 | 500..=504)), "{status:?}");
    assert_eq!(upstream.requests().len(), before + 1);

    // After a restart it asks again.
    let gateway = asked(&upstream).more(ASKED).start();
    balancer.replace(0, gateway.plain());
    within(Duration::from_secs(30), "Envoy to ask again", || {
        let status = front.send(&Webhook::new("again").path("/ask").bytes());
        (status == Some(200)).then_some(())
    });
    assert_eq!(
        front.send(&Webhook::new("forged").path("/ask").signature(None).bytes()),
        Some(401)
    );
}
