//! Orders as a sender sends them, in each convention that the examples accept, and the answer that each must get.

use super::processes::Application;
use crate::support::paddle::{now, signature};
use crate::support::{Webhook, eventually};
use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// How an order reaches an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Convention {
    /// JSON with `Paddle-Signature`.
    Billing,
    /// A form with `p_signature`.
    ClassicPost,
    /// The same fields in the query.
    ClassicGet,
    /// A form with a digest over its values and the API secret.
    Digest,
}

/// An order; its id appears in the application's log.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) id: String,
    pub(super) seats: u32,
    pub(super) convention: Convention,
}

/// The keys of a sender; a test may replace them by wrong ones.
#[derive(Clone)]
pub(super) struct SenderKeys {
    pub(super) secret: String,
    pub(super) api_secret: String,
    /// PEM file.
    pub(super) classic_key: std::path::PathBuf,
    /// Unix seconds.
    pub(super) time: u64,
}

const EVENT: &str = include_str!("../../../../deploy/examples/event.json");
const TRANSACTION: &str = "txn_01hv8wptq8987qeep44cyrewp9";
/// A buyer whose name shows whether the text was returned byte for byte.
const BUYER: &str = "J\u{f3}zef \u{141}ukasiewicz";
const FORM: &str = "application/x-www-form-urlencoded";

impl Order {
    pub(super) fn new(convention: Convention, seats: u32) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            id: format!("evt_{}x{number:06}", std::process::id()),
            seats,
            convention,
        }
    }

    /// The order signed with `pen`.
    pub(super) fn webhook(&self, application: &Application, sender_keys: &SenderKeys) -> Webhook {
        let form = |path: &str, body: String| Webhook {
            method: "POST".into(),
            path: path.into(),
            signature: None,
            headers: headers(FORM),
            body: body.into(),
        };
        match self.convention {
            Convention::Billing => self.billing(application.example.path, &sender_keys.secret, sender_keys.time),
            Convention::ClassicPost => form("/fulfil", self.classic(sender_keys)),
            Convention::ClassicGet => {
                let mut get = form(&format!("/fulfil?{}", self.classic(sender_keys)), String::new()).method("GET");
                get.headers.pop();
                get
            }
            Convention::Digest => {
                let mut fields = self.fields();
                let values: String = fields.iter().map(|(_, value)| value.as_str()).collect();
                let digest = hex::encode(Md5::digest(format!("{values}{}", sender_keys.api_secret)));
                fields.push(("msg_id", digest));
                form("/fulfil/legacy", encoded(&fields))
            }
        }
    }

    /// The order as Paddle Billing sends it to `path`, signed at `time` (Unix seconds).
    pub(super) fn billing(&self, path: &str, secret: &str, time: u64) -> Webhook {
        let body = self.event().into_bytes();
        Webhook {
            method: "POST".into(),
            path: path.into(),
            signature: Some(signature(secret, time, &body)),
            headers: headers("application/json"),
            body,
        }
    }

    /// The licence text that the sender must get, byte for byte.
    pub(super) fn answer(&self, application: &Application) -> String {
        let of = match self.convention {
            Convention::Billing => TRANSACTION,
            Convention::ClassicPost | Convention::ClassicGet | Convention::Digest => &self.id,
        };
        let secret = &application.secrets["LICENCE_SECRET"];
        let keys: String = (1..=self.seats).map(|seat| licence(secret, of, seat)).collect();
        match self.convention {
            Convention::Billing => keys,
            Convention::ClassicPost | Convention::ClassicGet | Convention::Digest => {
                format!("Dear {BUYER},\r\n\r\nyour licence:\r\n{keys}")
            }
        }
    }

    fn event(&self) -> String {
        let event = EVENT.trim_end();
        for part in ["evt_01hv8x29kz0t586xy6zn1a62{{number}}", "\"quantity\":3,", TRANSACTION] {
            assert_eq!(event.matches(part).count(), 1, "{part} in event.json");
        }
        event
            .replace("evt_01hv8x29kz0t586xy6zn1a62{{number}}", &self.id)
            .replace("\"quantity\":3,", &format!("\"quantity\":{},", self.seats))
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("p_order_id", self.id.clone()),
            ("p_quantity", self.seats.to_string()),
            ("customer_name", BUYER.into()),
            ("email", "jozef@example.com".into()),
            ("marketing_consent", String::new()),
        ]
    }

    /// The form with its `p_signature`, by openssl: the signature covers PHP's serialisation of the sorted fields.
    fn classic(&self, sender_keys: &SenderKeys) -> String {
        let mut fields = self.fields();
        fields.sort();
        let mut text = format!("a:{}:{{", fields.len());
        for (name, value) in &fields {
            text.push_str(&format!("s:{}:\"{name}\";s:{}:\"{value}\";", name.len(), value.len()));
        }
        text.push('}');
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha1", "-sign"])
            .arg(&sender_keys.classic_key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        openssl.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let signed = openssl.wait_with_output().unwrap();
        assert!(signed.status.success());
        let signature = base64::engine::general_purpose::STANDARD.encode(signed.stdout);
        fields.push(("p_signature", signature));
        encoded(&fields)
    }
}

impl SenderKeys {
    /// The keys of the genuine sender, at the current time.
    pub(super) fn genuine(application: &Application) -> Self {
        Self {
            secret: application.secrets["PADDLE_WEBHOOK_SECRET"].clone(),
            api_secret: application.secrets["PADDLE_API_SECRET"].clone(),
            classic_key: application.keys().join("classic.key"),
            time: now(),
        }
    }

    /// The keys of another sender.
    pub(super) fn stranger(application: &Application) -> Self {
        let classic_key = application.keys().join("stranger.key");
        if !classic_key.exists() {
            let made = Command::new("openssl")
                .args([
                    "genpkey",
                    "-algorithm",
                    "RSA",
                    "-pkeyopt",
                    "rsa_keygen_bits:2048",
                    "-out",
                ])
                .arg(&classic_key)
                .stderr(Stdio::null())
                .status();
            assert!(made.unwrap().success());
        }
        Self {
            secret: "pdl_ntfset_01hv8x_a-stranger's-own-secret".into(),
            api_secret: "a stranger's API secret".into(),
            classic_key,
            ..Self::genuine(application)
        }
    }
}

/// Waits until the application has logged the work for `order`; returns how often it was requested and done.
pub(super) fn worked(application: &Application, order: &Order) -> (usize, usize) {
    eventually(&format!("the work of {}", order.id), || {
        let counts = counted(application, order);
        (counts.1 > 0).then_some(counts)
    })
}

/// How often the application was asked for `order`, and how often it did the work.
pub(super) fn counted(application: &Application, order: &Order) -> (usize, usize) {
    let lines = application.output.lines();
    let count = |word: &str| {
        let text = format!("{word} {}", order.id);
        lines.iter().filter(|line| line.contains(&text)).count()
    };
    (count("received"), count("fulfilled"))
}

fn headers(kind: &str) -> Vec<(String, String)> {
    vec![
        ("Host".into(), "hooks.example.com".into()),
        ("User-Agent".into(), "Paddle".into()),
        ("Content-Type".into(), kind.into()),
    ]
}

fn licence(secret: &str, of: &str, seat: u32) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{of}/{seat}").as_bytes());
    let key = hex::encode_upper(mac.finalize().into_bytes());
    format!("{}-{}-{}-{}\r\n", &key[..5], &key[5..10], &key[10..15], &key[15..20])
}

fn encoded(fields: &[(&str, String)]) -> String {
    let escaped = |text: &str| -> String {
        let one = |byte: u8| match byte {
            b' ' => "+".to_owned(),
            byte if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(one).collect()
    };
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    pairs.join("&")
}
