//! Variations of the faults that people reported: other providers, other spellings of a secret, other ways in which an
//! application or a log writes a body. Each has its cause, and nothing else is claimed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookgate::gateway::diagnosis::{self, Case, Diagnosis, Reference};
use hookgate::http::percent;
use hookgate::scheme::{NamedSecret, Verifier};
use hookgate::secret::Secret;
use serde_json::Value;
use sha2::Sha256;

pub(super) const SECRET: &str = "pdl_ntfset_01hbpjmytsa32fhr36nqgc3kgb_WvRO0eL4Bj9r+gYYI/ZY6wZhG4EHy9=";
const BODY: &str = r#"{"event_id":"evt_01","data":{"name":"J\u00f3zef <b> & 'x'","url":"https://a.example/x?y=1","custom":{},"items":[{"total":"10.00","n":1.5}],"note":"","none":null}}"#;

/// Signs a body as a provider does.
pub(super) fn signed(provider: &str, body: &str) -> Vec<(&'static str, String)> {
    let mac = |payload: String| {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(payload.as_bytes());
        mac.finalize().into_bytes()
    };
    let of_body = || mac(body.to_owned());
    match provider {
        "paddle" => {
            let digits = hex::encode(mac(format!("1700000000:{body}")));
            vec![("Paddle-Signature", format!("ts=1700000000;h1={digits}"))]
        }
        "stripe" => {
            let digits = hex::encode(mac(format!("1700000000.{body}")));
            vec![("Stripe-Signature", format!("t=1700000000,v1={digits}"))]
        }
        "github" => vec![("X-Hub-Signature-256", format!("sha256={}", hex::encode(of_body())))],
        "shopify" => vec![("X-Shopify-Hmac-Sha256", STANDARD.encode(of_body()))],
        "line" => vec![("X-Line-Signature", STANDARD.encode(of_body()))],
        "slack" => vec![
            (
                "X-Slack-Signature",
                format!("v0={}", hex::encode(mac(format!("v0:1700000000:{body}")))),
            ),
            ("X-Slack-Request-Timestamp", "1700000000".to_owned()),
        ],
        other => panic!("{other}"),
    }
}

pub(super) fn diagnosed(provider: &str, headers: &[(&str, String)], body: &[u8], secret: &str) -> Diagnosis {
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request = [
        format!("POST /hook HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n").as_bytes(),
        body,
    ]
    .concat();
    let mut capture = diagnosis::parse(&request, None).unwrap();
    let body = capture.body.take().unwrap_or_default();
    let secrets = vec![NamedSecret {
        name: "key".to_owned(),
        secret: Secret::new(secret.into()),
    }];
    let reference = Reference {
        verifier: Verifier::new(provider, None, secrets.clone(), None).unwrap(),
        secrets,
        public_url: None,
        other_secrets: Vec::new(),
        tolerance_seconds: None,
        keys: None,
        unknown_tenant: None,
    };
    diagnosis::diagnose(&Case::new(capture, body, reference))
}

/// Asserts that the only cause is one of `causes`, and certain.
#[track_caller]
pub(super) fn has(found: &Diagnosis, causes: &[&str], what: &str) {
    let is_right = matches!(found.findings.as_slice(), [one] if one.is_certain && causes.contains(&one.cause));
    assert!(is_right, "{what}: {:?}", found.findings);
}

#[test]
fn secrets_that_were_copied_badly_are_recognised() {
    let encoded = percent::encode(SECRET);
    let spellings = [
        ("percent-encoded", encoded.clone()),
        (
            "percent-encoded in lower case",
            encoded
                .replace("%2B", "%2b")
                .replace("%2F", "%2f")
                .replace("%3D", "%3d"),
        ),
        ("percent-encoded twice", encoded.replace('%', "%25")),
        ("plus became space", SECRET.replace('+', " ")),
        ("guillemets", format!("«{SECRET}»")),
        ("low quotes", format!("„{SECRET}“")),
        ("single typographic quotes", format!("‘{SECRET}’")),
        ("backticks", format!("`{SECRET}`")),
        ("one quote", format!("\"{SECRET}")),
        ("no-break space", format!("{SECRET}\u{a0}")),
        (
            "zero-width space",
            format!("{}\u{200b}{}", &SECRET[..20], &SECRET[20..]),
        ),
        ("soft hyphen", format!("{}\u{ad}{}", &SECRET[..30], &SECRET[30..])),
        ("byte order mark", format!("\u{feff}{SECRET}")),
        ("CRLF", format!("{SECRET}\r\n")),
        ("export", format!("export SECRET={SECRET}")),
        ("label", format!("Secret key: {SECRET}")),
        ("bearer", format!("Bearer {SECRET}")),
        ("JSON object", format!(r#"{{"user":"x","secret":"{SECRET}"}}"#)),
        ("JSON string", serde_json::to_string(SECRET).unwrap()),
        ("escaped slashes", SECRET.replace('/', "\\/")),
        ("escaped quotes", format!("\\\"{SECRET}\\\"")),
        ("angle brackets", format!("<{SECRET}>")),
        ("parentheses", format!("({SECRET})")),
        ("percent of a shell", format!("{SECRET}%")),
        ("comma", format!("{SECRET},")),
        ("comment", format!("{SECRET} # production")),
        ("HTML", SECRET.replace('+', "&#43;").replace('=', "&#61;")),
        ("twice", format!("{SECRET}{SECRET}")),
        ("Base64", STANDARD.encode(SECRET)),
        ("Base64 with a newline", STANDARD.encode(format!("{SECRET}\n"))),
        ("Base64 twice", STANDARD.encode(STANDARD.encode(SECRET))),
        ("hexadecimal", hex::encode(SECRET)),
        ("padding lost", SECRET.trim_end_matches('=').to_owned()),
        ("written line end", format!("{SECRET}\\n")),
        ("two lines", format!("{}\n{}", &SECRET[..30], &SECRET[30..])),
        ("full-width sign", SECRET.replace('=', "＝")),
        ("Cyrillic letter", SECRET.replacen('a', "а", 1)),
    ];
    for provider in ["paddle", "github", "slack"] {
        let headers = signed(provider, BODY);
        for (what, secret) in &spellings {
            let found = diagnosed(provider, &headers, BODY.as_bytes(), secret);
            has(&found, &["secret_spelled"], &format!("{provider}, {what}"));
        }
    }
}

/// Credentials of providers that are no signing secrets, which `check` and `verify` name.
#[test]
fn credentials_of_other_kinds_are_named() {
    for (provider, credential) in [
        ("stripe", "rk_live_51Habcdefghijklmnopqrst"),
        ("stripe", "we_1Habcdefghijklmnopqrst"),
        ("github", "github_pat_11AAA_abcdefghijklmnop"),
        ("shopify", "shpat_abcdef0123456789abcdef0123456789"),
        ("slack", "xapp-1-A1-2-abc"),
        ("linear", "lin_api_abcdefghijklmnopqrstuvwxyz"),
        ("paddle", "ntfset_01hs0t3tw21j988db1pam5xg8m"),
        ("paystack", "pk_live_abcdef0123456789"),
        ("razorpay", "rzp_live_abcdefabcdefab"),
        ("notion", "ntn_abcdefghijklmnop"),
        ("heroku", "HRKU-01234567-0123-0123-0123-0123456789ab"),
        ("figma", "figd_abcdefghijklmnop"),
        ("buildkite", "bkua_abcdefghijklmnop"),
        ("sentry", "sntrys_abcdefghijklmnop"),
        ("typeform", "tfp_abcdefghijklmnop"),
    ] {
        let found = diagnosis::secret_remarks(provider, credential.as_bytes());
        let named = found
            .iter()
            .any(|remark| remark.starts_with("looks like") && remark.contains("the signing secret is at"));
        assert!(named, "{provider} {credential}: {found:?}");
    }
    for (provider, secret) in [
        ("paddle", SECRET),
        ("stripe", "whsec_abcdefgh"),
        ("notion", "secret_abcdefgh"),
        ("paystack", "sk_live_abcdefgh"),
    ] {
        let found = diagnosis::secret_remarks(provider, secret.as_bytes());
        assert!(found.is_empty(), "{provider}: {found:?}");
    }
}

#[test]
fn bodies_that_applications_and_logs_wrote_again_are_recognised() {
    let value: Value = serde_json::from_str(BODY).unwrap();
    let compact = value.to_string();
    let bytes = |text: &str, separator: &str| {
        text.bytes()
            .map(|byte| byte.to_string())
            .collect::<Vec<_>>()
            .join(separator)
    };
    let json = &["json_reserialised"][..];
    let text = &["string_body"][..];
    let bodies: Vec<(&str, &[&str], String)> = vec![
        ("characters kept", json, compact.clone()),
        ("two spaces", json, format!("{value:#}")),
        ("PHP", json, BODY.replace('/', "\\/").replace("{}", "[]")),
        ("nulls of Laravel", json, BODY.replace("\"\"", "null")),
        (
            ".NET",
            json,
            BODY.replace("\\u00f3", "\\u00F3")
                .replace('<', "\\u003C")
                .replace('>', "\\u003E")
                .replace('&', "\\u0026")
                .replace('\'', "\\u0027"),
        ),
        (
            "Gson",
            json,
            compact
                .replace('<', "\\u003c")
                .replace('>', "\\u003e")
                .replace('&', "\\u0026")
                .replace('\'', "\\u0027")
                .replace('=', "\\u003d"),
        ),
        (
            "parameters of Rails",
            json,
            format!(
                "{},\"controller\":\"hooks\",\"action\":\"create\"}}",
                &BODY[..BODY.len() - 1]
            ),
        ),
        ("a zero more", json, BODY.replace("1.5", "1.50")),
        (
            "printed by Python",
            json,
            compact
                .replace('"', "\u{1}")
                .replace('\'', "\\'")
                .replace('\u{1}', "'")
                .replace(":null", ": None"),
        ),
        (
            "printed by Ruby",
            json,
            compact.replace("\":", "\"=>").replace("=>null", "=>nil"),
        ),
        ("string", text, serde_json::to_string(BODY).unwrap()),
        (
            "string twice",
            text,
            serde_json::to_string(&serde_json::to_string(BODY).unwrap()).unwrap(),
        ),
        ("list of numbers", text, format!("[{}]", bytes(BODY, ", "))),
        ("numbers", text, bytes(BODY, ",")),
        (
            "typed array",
            text,
            format!(
                "{{{}}}",
                BODY.bytes()
                    .enumerate()
                    .map(|(at, byte)| format!("\"{at}\":{byte}"))
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        ),
        (
            "addslashes",
            &["escaped_body"],
            BODY.replace('\\', "\\\\").replace('"', "\\\"").replace('\'', "\\'"),
        ),
        (
            "HTML",
            &["escaped_body"],
            BODY.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;"),
        ),
        ("Base64", &["base64_body"], STANDARD.encode(BODY)),
    ];
    for provider in ["paddle", "github", "shopify", "slack", "line"] {
        let headers = signed(provider, BODY);
        for (what, causes, body) in &bodies {
            let found = diagnosed(provider, &headers, body.as_bytes(), SECRET);
            has(&found, causes, &format!("{provider}, {what}"));
        }
    }
}

/// A way to write a form's text.
type Write = fn(u8) -> String;

#[test]
fn forms_that_languages_write_again_are_recognised() {
    let fields = [
        ("token", "x"),
        ("text", "Hello Wörld! (a*b~'c')"),
        ("response_url", "https://hooks.example/c/1"),
    ];
    let write = |space: &str, kept: &str, escape: Write| {
        let encode = |text: &str| -> String {
            let sign = |byte: u8| match byte {
                b' ' => space.to_owned(),
                byte if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) => char::from(byte).to_string(),
                byte => escape(byte),
            };
            text.bytes().map(sign).collect()
        };
        let written: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        written.join("&")
    };
    let upper: Write = |byte| format!("%{byte:02X}");
    let lower: Write = |byte| format!("%{byte:02x}");
    let sent = write("+", "-._*", upper);
    let object: serde_json::Map<String, Value> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
        .collect();
    let lists: serde_json::Map<String, Value> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(vec![*value])))
        .collect();
    for (what, body) in [
        ("JavaScript", write("%20", "-_.!~*'()", upper)),
        ("Python", write("+", "-._~", upper)),
        ("PHP", write("+", "-._", upper)),
        ("RFC 3986", write("%20", "-._~", upper)),
        (".NET", write("+", "-_.!*()", lower)),
        ("JSON", Value::Object(object).to_string()),
        ("JSON with lists", Value::Object(lists).to_string()),
        ("JSON of pairs", serde_json::to_string(&fields).unwrap()),
    ] {
        let found = diagnosed("slack", &signed("slack", &sent), body.as_bytes(), SECRET);
        has(&found, &["form_rewritten"], what);
    }
}

#[test]
fn signatures_that_were_written_in_another_way_are_recognised() {
    let value = |provider: &str| signed(provider, BODY)[0].1.clone();
    let digits = |provider: &str, prefix: &str| value(provider).split_once(prefix).unwrap().1.to_owned();
    let as_base64 = |digits: String| STANDARD.encode(hex::decode(digits).unwrap());
    let header = &["header_rewritten"][..];
    let encoding = &["signature_encoding"][..];
    for (provider, causes, rewritten) in [
        ("stripe", header, value("stripe").replace(',', ";")),
        ("stripe", header, value("stripe").replace(',', "&")),
        ("paddle", header, value("paddle").replace(';', "|")),
        ("paddle", header, value("paddle").replace(';', ", ")),
        ("github", header, digits("github", "=")),
        ("shopify", header, value("shopify").trim_end_matches('=').to_owned()),
        ("shopify", header, percent::encode(value("shopify"))),
        ("shopify", header, format!("['{}']", value("shopify"))),
        (
            "shopify",
            header,
            STANDARD.encode(hex::encode(STANDARD.decode(value("shopify")).unwrap())),
        ),
        (
            "shopify",
            encoding,
            hex::encode(STANDARD.decode(value("shopify")).unwrap()),
        ),
        ("line", encoding, hex::encode(STANDARD.decode(value("line")).unwrap())),
        (
            "github",
            encoding,
            format!("sha256={}", as_base64(digits("github", "="))),
        ),
        (
            "stripe",
            encoding,
            format!("t=1700000000,v1={}", as_base64(digits("stripe", "v1="))),
        ),
    ] {
        let mut headers = signed(provider, BODY);
        headers[0].1.clone_from(&rewritten);
        let found = diagnosed(provider, &headers, BODY.as_bytes(), SECRET);
        has(&found, causes, &format!("{provider}: {rewritten}"));
    }
}
