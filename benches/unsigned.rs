//! Prints the CPU time that an unsigned request of 1 MiB costs before it is refused, for every preset.
//!
//!     cargo bench --bench unsigned
//!
//! Each preset gets several bodies that are slow to read (escaped keys, arrays of numbers, many form fields) and the most
//! signatures that it accepts. The table has the slowest of them: the median of 25 turns, on one thread, with one key.
//! docs/security.md has the table of a release build.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use bytes::Bytes;
use hookgate::http::message::Headers;
use hookgate::scheme::{HeadRef, NamedSecret, SignRequest, Verifier, presets};
use hookgate::secret::Secret;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use std::hint::black_box;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const NOW: u64 = 1_700_000_000;
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HEX_SECRET: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const ED25519: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
const ED25519_BASE64: &str = "whpk_PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
const DER_SIGNATURE: &str =
    "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";

fn main() {
    println!("| preset | slowest body | ms for 1 MiB |\n| --- | --- | --- |");
    let mut worst = Duration::ZERO;
    for provider in presets::names() {
        let (slowest, time) = measure(provider, provider, key(provider));
        worst = worst.max(time);
        println!("| `{provider}` | {slowest} | {:.1} |", time.as_secs_f64() * 1000.0);
    }
    for provider in ["standard-webhooks", "svix"] {
        let name = format!("{provider}, `whpk_`");
        let (slowest, time) = measure(provider, &name, ED25519_BASE64.to_owned());
        worst = worst.max(time);
        println!(
            "| `{provider}` with `whpk_` | {slowest} | {:.1} |",
            time.as_secs_f64() * 1000.0
        );
    }
    println!("\nthe slowest: {:.1} ms", worst.as_secs_f64() * 1000.0);
}

/// A usable key of the kind that the preset takes.
fn key(provider: &str) -> String {
    match provider {
        "paddle-classic" => {
            let vectors: serde_json::Value =
                serde_json::from_str(include_str!("../tests/vectors/paddle-classic.json")).unwrap();
            let first = vectors.as_array().and_then(|all| all.first()).unwrap_or(&vectors);
            first.get("public_key_pem").unwrap().as_str().unwrap().to_owned()
        }
        "discord" => ED25519.to_owned(),
        "sendgrid" => P256.to_owned(),
        name if name.starts_with("adyen") => HEX_SECRET.to_owned(),
        _ => SECRET.to_owned(),
    }
}

/// The name of the slowest body and its median time.
fn measure(provider: &str, name: &str, key: String) -> (&'static str, Duration) {
    let url = ["twilio", "square", "hubspot-v3"].contains(&provider);
    let named = NamedSecret {
        name: "k".to_owned(),
        secret: Secret::new(key.into_bytes()),
    };
    let url = url.then(|| "https://h.example/p".to_owned());
    let verifier =
        Verifier::new(provider, None, vec![named], url).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
    let headers = headers(provider, name, &verifier);
    let head = HeadRef {
        method: &Method::POST,
        target: "/p",
        headers: &headers,
    };
    let time = |body: &Bytes| {
        let start = Instant::now();
        let presented = verifier
            .present(&head)
            .unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        let mut aged = presented.age(NOW, Some(300)).unwrap();
        aged.update(body);
        assert!(black_box(aged.verify(std::slice::from_ref(body), NOW)).is_err() || provider == "gitlab-token");
        start.elapsed()
    };
    let median = |body: &Bytes| {
        let mut times: Vec<Duration> = (0..25).map(|_| time(body)).collect();
        times.sort_unstable();
        times.into_iter().nth(12).unwrap_or_default()
    };
    let bodies = bodies(provider);
    let times = bodies.iter().map(|(kind, body)| (*kind, median(body)));
    times.max_by_key(|(_, time)| *time).unwrap_or_default()
}

/// Well-formed headers with signatures that are wrong.
fn headers(provider: &str, name: &str, verifier: &Verifier) -> Headers {
    let list = |fields: &[(&'static str, String)]| {
        let named = |(name, value): &(&'static str, String)| {
            (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap())
        };
        fields.iter().map(named).collect()
    };
    let now = NOW.to_string();
    match provider {
        "discord" => list(&[("x-signature-ed25519", "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00".to_owned()), ("x-signature-timestamp", now)]),
        "sendgrid" => list(&[
            ("x-twilio-email-event-webhook-signature", DER_SIGNATURE.to_owned()),
            ("x-twilio-email-event-webhook-timestamp", now),
        ]),
        "paddle-classic" | "adyen" | "mailgun" => Headers::default(),
        _ if name.contains("whpk_") => {
            let prefix = if provider == "svix" { "svix" } else { "webhook" };
            let signature = "v1a,kqAJqfDUyrhyDoILX2QlQKKye1QWUD+Ps3YiI+vbadoIWsHkPhWZbkWPNhPQ8R2MOHsurrQwKu6wDSkWErsMAA==";
            let fields = [("id", "msg_1".to_owned()), ("timestamp", now), ("signature", format!("{signature} {signature}"))];
            let named = fields.map(|(field, value)| {
                let name = HeaderName::try_from(format!("{prefix}-{field}")).unwrap();
                (name, HeaderValue::try_from(value).unwrap())
            });
            named.into_iter().collect()
        }
        _ => {
            let request = SignRequest {
                method: &Method::POST,
                target: "/p",
                delivery_id: Some("id-1"),
                body: b"another body",
            };
            let signed = verifier.sign(0, &request, NOW);
            signed.unwrap_or_else(|| panic!("{provider} cannot be signed")).into_iter().collect()
        }
    }
}

/// Bodies of 1 MiB that are slow to read.
fn bodies(provider: &str) -> Vec<(&'static str, Bytes)> {
    let signature = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    let (begin, end) = match provider {
        "adyen" => (
            format!(
                r#"{{"notificationItems":[{{"NotificationRequestItem":{{"amount":{{"value":1,"currency":"EUR"}},"success":"true","additionalData":{{"hmacSignature":"{signature}"}}"#
            ),
            "}}]}",
        ),
        "mailgun" => (
            format!(
                r#"{{"signature":{{"timestamp":"{NOW}","token":"t","signature":"{}"}}"#,
                "0".repeat(64)
            ),
            "}",
        ),
        _ => (r#"{"a":1"#.to_owned(), "}"),
    };
    let fill = |begin: &str, unit: &str, end: &str| {
        let times = MIB.saturating_sub(begin.len() + end.len()) / unit.len();
        Bytes::from([begin, &unit.repeat(times), end].concat())
    };
    let form = |first: &str| {
        let fields = (0..998).map(|field| format!("&{}{field:03}=1", "%41".repeat(340)));
        Bytes::from(format!("{first}{}", fields.collect::<String>()))
    };
    let p_signature = format!("p_signature={}", "QUJD".repeat(171).get(..684).unwrap_or_default());
    vec![
        (
            "one text",
            fill(&begin, ",\"long key\":\"and a value of ordinary length\"", end),
        ),
        ("escaped keys", fill(&begin, ",\"\\u0061\":0", end)),
        ("short keys", fill(&begin, ",\"a\":0", end)),
        ("numbers", fill(&format!("{begin},\"z\":[0"), ",0", &format!("]{end}"))),
        ("floats", fill(&format!("{begin},\"z\":[0"), ",1e1", &format!("]{end}"))),
        ("form of escapes", form(&p_signature)),
        (
            "form of plain text",
            Bytes::from(format!("{p_signature}&a={}", "x".repeat(MIB - 1000))),
        ),
    ]
}
