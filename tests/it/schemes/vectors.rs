//! Paddle's published test vectors with the running binary.
//!
//! The binary reads the machine's clock, so each vector is signed again: its `ts` moves by (now − the vector's `now`),
//! and each `h1` that was the vector's own MAC becomes the MAC of the same body at the moved `ts`. A fault stays the
//! same fault, and the age that the gateway sees is the vector's. The unit tests of the library verify the bytes as
//! published.

use crate::support::paddle::{mac, now};
use crate::support::{Setup, Upstream, Webhook, eventually};
use serde_json::Value;
use std::path::Path;
use std::time::SystemTime;

/// Vectors that SCHEMES refuses and the SDK's own test accepts, by name, with the difference.
const STRICTER: [(&str, &str); 2] = [
    (
        "header integrity: 3 secrets, dummy first h1, third secret matches second h1",
        "an `h1` that is not 64 hex digits",
    ),
    ("it_verifies_a_signature", "an `h1` that is not 64 hex digits"),
];

struct Vector {
    name: String,
    secrets: Vec<String>,
    header: String,
    body: String,
    /// The clock of the SDK's test; the vector's own `ts` where that test has no tolerance.
    now: Option<u64>,
    accepts: bool,
}

fn vectors() -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/paddle-billing.json");
    let all: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let vector = |value: &Value| Vector {
        name: text(&value["name"]),
        secrets: match &value["secret"] {
            Value::Array(several) => several.iter().map(text).collect(),
            one => vec![text(one)],
        },
        header: text(&value["header"]),
        body: text(&value["body"]),
        now: value["now"].as_u64(),
        accepts: text(&value["expect"]).starts_with("accept"),
    };
    all.iter().map(vector).collect()
}

/// The header at the machine's time `at`, as the module's documentation describes.
fn moved(vector: &Vector, at: u64) -> String {
    let parts: Vec<&str> = vector.header.split(';').collect();
    let Some(ts) = parts
        .iter()
        .find_map(|part| part.strip_prefix("ts=")?.parse::<u64>().ok())
    else {
        return vector.header.clone();
    };
    let then = vector.now.unwrap_or(ts);
    let new_ts = (at + ts).saturating_sub(then).max(1).to_string();
    let part = |part: &&str| match part.split_once('=') {
        Some(("ts", _)) => format!("ts={new_ts}"),
        Some(("h1", h1)) => {
            let own = vector
                .secrets
                .iter()
                .find(|secret| mac(secret, &ts.to_string(), vector.body.as_bytes()) == h1);
            own.map_or_else(
                || (*part).to_owned(),
                |secret| format!("h1={}", mac(secret, &new_ts, vector.body.as_bytes())),
            )
        }
        _ => (*part).to_owned(),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(";")
}

fn milliseconds() -> u128 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_millis()
}

#[test]
fn every_published_vector_gets_its_verdict() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 28);
    let mut stricter = 0;
    for vector in &vectors {
        let upstream = Upstream::ok();
        let secrets: Vec<&str> = vector.secrets.iter().map(String::as_str).collect();
        let gateway = Setup::new(&upstream.url()).tolerance(None).secrets(&secrets).start();
        let excepted = STRICTER.iter().find(|(name, _)| *name == vector.name);
        stricter += usize::from(excepted.is_some());
        let expected = if vector.accepts && excepted.is_none() { 200 } else { 401 };
        // An age of exactly five seconds holds within one second of the clock only: sign at its beginning, and do not
        // count an answer that came after its end.
        let response = eventually("an exchange within one second of the clock", || {
            let begun = milliseconds();
            if begun % 1000 > 300 {
                return None;
            }
            let signature = Some(moved(vector, now())).filter(|header| !header.is_empty());
            let request = Webhook::new(vector.body.as_str()).signature(signature.as_deref());
            let response = gateway.exchange(&request.bytes());
            (milliseconds() / 1000 == begun / 1000 || response.status == expected).then_some(response)
        });
        let shown = format!("{}: {excepted:?} {response:?}", vector.name);
        assert_eq!(response.status, expected, "{shown}");
        if expected == 200 {
            assert_eq!(upstream.only().body, vector.body.as_bytes(), "{shown}");
        } else {
            assert!(
                response.reason().starts_with("signature_") || response.reason().starts_with("timestamp_"),
                "{shown}"
            );
            upstream.assert_untouched();
        }
    }
    assert_eq!(stricter, STRICTER.len(), "each named difference occurs");
}
