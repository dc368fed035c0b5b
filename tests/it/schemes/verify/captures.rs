//! Requests in the forms in which people have them: copied from tools, printed by languages, behind the prefixes of logs,
//! as source code. Each form is one entry of `tests/captures/captures.txt`; each is read with several providers, bodies,
//! line ends and encodings, and is genuine.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookgate::gateway::diagnosis::{self, Case, Diagnosis, Reference};
use hookgate::scheme::{NamedSecret, Verifier};
use hookgate::secret::Secret;
use serde_json::Value;
use sha2::Sha256;
use std::fmt::Write as _;

const SECRET: &str = "a-secret-of-the-captures-0123456789";
const CAPTURES: &str = include_str!("../../../captures/captures.txt");

/// A body with all signs that shells and languages treat in a special way.
const JSON: &str =
    r##"{"event_id":"evt_01","note":"it's \"5\" % $x `b` \\ é! <a> [x] {y} ^ & #","total":1.50,"s":" two  spaces "}"##;
const FORM: &str = "payload=%7B%22a%22%3A1%7D&text=a+b";

/// A provider's request.
struct Sent {
    provider: &'static str,
    name: &'static str,
    signature: String,
    body: String,
}

fn sent(provider: &'static str) -> Sent {
    let body = match provider {
        "paddle" => JSON.to_owned(),
        "shopify" => JSON.replace('é', "\\u00e9"),
        "stripe" => JSON.replace('é', ""),
        _ => FORM.to_owned(),
    };
    let mac = |payload: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(payload.as_bytes());
        mac.finalize().into_bytes()
    };
    let (name, signature) = match provider {
        "paddle" => (
            "Paddle-Signature",
            format!("ts=1700000000;h1={}", hex::encode(mac(&format!("1700000000:{body}")))),
        ),
        "stripe" => (
            "Stripe-Signature",
            format!("t=1700000000,v1={}", hex::encode(mac(&format!("1700000000.{body}")))),
        ),
        "shopify" => ("X-Shopify-Hmac-Sha256", STANDARD.encode(mac(&body))),
        _ => ("X-Hub-Signature-256", format!("sha256={}", hex::encode(mac(&body)))),
    };
    Sent {
        provider,
        name,
        signature,
        body,
    }
}

/// The text of a JSON string without its quotes.
fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

/// An argument in double quotes, as programs on Windows read it.
fn windows(text: &str) -> String {
    let (mut out, mut backslashes) = (String::new(), 0);
    for sign in text.chars() {
        match sign {
            '\\' => backslashes += 1,
            '"' => {
                out.push_str(&"\\".repeat(2 * backslashes + 1));
                out.push('"');
                backslashes = 0;
            }
            sign => {
                out.push_str(&"\\".repeat(backslashes));
                out.push(sign);
                backslashes = 0;
            }
        }
    }
    out + &"\\".repeat(2 * backslashes)
}

/// The bytes as Python prints them.
fn python_bytes(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = format!("b{quote}");
    for byte in text.bytes() {
        match byte {
            b'\\' => out.push_str("\\\\"),
            byte if char::from(byte) == quote => drop(write!(out, "\\{quote}")),
            32..=126 => out.push(char::from(byte)),
            byte => drop(write!(out, "\\x{byte:02x}")),
        }
    }
    out.push(quote);
    out
}

/// The output of `curl --trace-ascii`, or of `--trace` with `hexadecimal`.
fn trace(head: &str, body: &str, time: &str, hexadecimal: bool) -> String {
    let mut out = format!("{time}== Info: Connected\n");
    for (name, block) in [("header", head.as_bytes()), ("data", body.as_bytes())] {
        let _ = writeln!(out, "{time}=> Send {name}, {} bytes (0x{:x})", block.len(), block.len());
        let shown = |bytes: &[u8]| -> String {
            let sign = |byte: &u8| {
                if (32..127).contains(byte) {
                    char::from(*byte)
                } else {
                    '.'
                }
            };
            bytes.iter().map(sign).collect()
        };
        let mut at = 0;
        while at < block.len() {
            if hexadecimal {
                let line = &block[at..block.len().min(at + 16)];
                let pairs: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
                let _ = writeln!(out, "{at:04x}: {:47} {}", pairs.join(" "), shown(line));
                at += 16;
            } else {
                let line_end = block[at..]
                    .windows(2)
                    .position(|pair| pair == b"\r\n")
                    .map(|end| at + end);
                let end = line_end.unwrap_or(block.len()).min(at + 64);
                let _ = writeln!(out, "{at:04x}: {}", shown(&block[at..end]));
                at = if Some(end) == line_end { end + 2 } else { end };
            }
        }
    }
    let _ = write!(
        out,
        "{time}<= Recv header, 17 bytes (0x11)\n0000: HTTP/1.1 401 Unauthorized"
    );
    out
}

/// The value of a placeholder.
fn value(placeholder: &str, sent: &Sent) -> String {
    let (name, notation) = placeholder.split_once('|').unwrap_or((placeholder, ""));
    let Sent {
        name: header,
        signature,
        body,
        ..
    } = sent;
    let lower = header.to_ascii_lowercase();
    let inspector = format!(
        r#"{{"headers":{{"host":"shop.example","{lower}":"{signature}"}},"body":"{}"}}"#,
        json(body)
    );
    let head = format!(
        "POST /hook HTTP/1.1\r\nHost: shop.example\r\n{header}: {signature}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let text = match name {
        "Name" => (*header).to_owned(),
        "name" => lower,
        "CGI" => header.to_ascii_uppercase().replace('-', "_"),
        "sig" => signature.clone(),
        "body" => body.clone(),
        "wrapped" => format!(r#"{{"message":"{}"}}"#, json(&inspector)),
        "inspector" => inspector,
        "trace" => trace(&head, body, "", false),
        "trace-time" => trace(&head, body, "22:00:00.123456 ", false),
        "trace-hex" => trace(&head, body, "", true),
        "rawb64" => STANDARD.encode(format!("{head}{body}")),
        other => panic!("{other}"),
    };
    match notation {
        "" => text,
        "json" => json(&text),
        "jsonjson" => json(&json(&text)),
        "js" => text.replace('\\', "\\\\").replace('\'', "\\'"),
        "len" => text.len().to_string(),
        "sh" => text.replace('\'', "'\\''"),
        "ansi" => text.replace('\\', "\\\\").replace('\'', "\\'").replace('!', "\\u0021"),
        "cmd" => windows(&text),
        "pybytes" => python_bytes(&text),
        "hexpairs" => text
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(" "),
        "base64" => STANDARD.encode(text),
        "ps1" | "yaml" => text.replace('\'', "''"),
        "psdq" => text.replace('`', "``").replace('$', "`$").replace('"', "`\""),
        "phpdq" => text
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('$', "\\$")
            .replace("#{", "\\#{"),
        other => panic!("{other}"),
    }
}

fn rendered(entry: &str, sent: &Sent) -> String {
    let mut out = String::new();
    let mut rest = entry;
    while let Some((before, after)) = rest.split_once("{{") {
        let (placeholder, after) = after.split_once("}}").unwrap();
        // An object in an object also has two brackets.
        if placeholder.len() < 24
            && placeholder
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"|-".contains(&byte))
        {
            out.push_str(before);
            out.push_str(&value(placeholder, sent));
            rest = after;
        } else {
            out.push_str(before);
            out.push_str("{{");
            rest = &rest[before.len() + 2..];
        }
    }
    out + rest
}

fn diagnosed(provider: &'static str, bytes: &[u8], other_body: Option<&str>) -> Result<Diagnosis, String> {
    let mut capture = diagnosis::parse(bytes, None)?;
    let body = match (other_body, capture.body.take()) {
        (Some(body), _) => body.as_bytes().to_vec(),
        (None, Some(body)) => body,
        (None, None) => return Err("no body".to_owned()),
    };
    let guessed = diagnosis::guess_provider(&capture.headers, &body);
    if guessed != Some(provider) {
        return Err(format!("guessed {guessed:?}"));
    }
    let secrets = vec![NamedSecret {
        name: "key".to_owned(),
        secret: Secret::new(SECRET.into()),
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
    Ok(diagnosis::diagnose(&Case::new(capture, body, reference)))
}

fn entries() -> impl Iterator<Item = (&'static str, &'static str)> {
    CAPTURES
        .split("\n=== ")
        .skip(1)
        .map(|entry| entry.split_once('\n').unwrap())
}

/// What may be said of a request in a file that an editor ended with a line end, or whose line ends it changed.
const BY_THE_EDITOR: [&str; 2] = ["trailing_newline", "line_ends"];

#[test]
fn every_form_of_capture_is_read_and_its_provider_recognised() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, entry) in entries() {
        for provider in ["paddle", "shopify", "stripe", "github"] {
            let mut sent = self::sent(provider);
            if name.starts_with("curl trace") {
                // This output shows bytes beyond ASCII as dots.
                sent.body = sent.body.replace('é', "e");
                sent = resigned(sent);
            }
            let text = rendered(entry.trim_end_matches('\n'), &sent);
            // The output of `curl -v` has no body.
            let other_body = name.starts_with("curl verbose").then_some(sent.body.as_str());
            let crlf = text.replace("\r\n", "\n").replace('\n', "\r\n");
            let utf16 = [0xff, 0xfe]
                .into_iter()
                .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
                .collect();
            for (form, bytes, is_exact) in [
                ("as it is", text.clone().into_bytes(), true),
                ("with CRLF", crlf.into_bytes(), false),
                (
                    "with a byte order mark and a line end",
                    format!("\u{feff}{text}\n").into_bytes(),
                    false,
                ),
                ("in UTF-16", utf16, true),
            ] {
                count += 1;
                let found = diagnosed(provider, &bytes, other_body);
                let is_right = found.as_ref().is_ok_and(|diagnosis| {
                    let by_the_editor = || diagnosis.findings.iter().all(|one| BY_THE_EDITOR.contains(&one.cause));
                    diagnosis.rejection.is_none() || (!is_exact && !diagnosis.findings.is_empty() && by_the_editor())
                });
                if !is_right {
                    let found = found.map(|diagnosis| diagnosis.findings);
                    wrong.push(format!("{name}, {provider}, {form}: {found:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}: {wrong:#?}", wrong.len());
    assert!(count > 2500, "{count}");
}

/// The request with a signature of its present body.
fn resigned(sent: Sent) -> Sent {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    if sent.provider != "paddle" {
        return sent;
    }
    mac.update(format!("1700000000:{}", sent.body).as_bytes());
    Sent {
        signature: format!("ts=1700000000;h1={}", hex::encode(mac.finalize().into_bytes())),
        ..sent
    }
}

/// `--trace-ascii` shows characters beyond ASCII as dots, so the bytes are lost. The report says so, and what to use.
#[test]
fn bytes_that_the_trace_of_curl_hides_are_a_likely_cause() {
    let sent = sent("paddle");
    let found = diagnosed("paddle", rendered("{{trace}}", &sent).as_bytes(), None).unwrap();
    let [finding] = found.findings.as_slice() else {
        panic!("{:?}", found.findings)
    };
    assert!(
        finding.cause == "charset" && !finding.is_certain && finding.fix.contains("--trace FILE"),
        "{finding:?}"
    );
    assert!(!finding.description.contains("secret"), "{finding:?}");
}

/// The parser of a form that is read inside other text does not take a part of the body for the request.
#[test]
fn a_request_whose_body_contains_another_is_read_as_itself() {
    let mut sent = self::sent("paddle");
    let inner = self::sent("github");
    sent.body = format!(
        r#"{{"note":"POST /other HTTP/1.1\r\n{}: {}\r\n\r\nx"}}"#,
        inner.name, inner.signature
    );
    let sent = resigned(sent);
    for name in [
        "raw request",
        "fetch",
        "postman curl",
        "requestbin",
        "python logging of Flask",
        "syslog",
    ] {
        let (_, entry) = entries().find(|(known, _)| *known == name).unwrap();
        let found = diagnosed("paddle", rendered(entry.trim_end(), &sent).as_bytes(), None);
        assert!(
            found.as_ref().is_ok_and(|found| found.rejection.is_none()),
            "{name}: {found:?}"
        );
    }
}

#[test]
fn the_names_of_the_forms_are_unique_and_their_values_are_json() {
    let mut names: Vec<&str> = entries().map(|(name, _)| name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let inspector = value("inspector", &sent("paddle"));
    assert!(serde_json::from_str::<Value>(&inspector).is_ok());
}
