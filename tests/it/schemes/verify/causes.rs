//! Causes besides the body, and what frameworks do to forms, recognised by `hookgate verify`.

use super::{BODY, SIGNED_AT_UNIX, VerifyResult, raw_request, run_tool, verify, verify_with_body};
use crate::support::paddle::{SECRET, signature};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

fn sha256(secret: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(payload);
    mac.finalize().into_bytes().to_vec()
}

fn verify_as(provider: &str, header: &str, body: &[u8], secret: &str) -> VerifyResult {
    let arguments = ["--provider", provider, "--secret-env", "KEY"];
    verify(&raw_request(header, body), &arguments, &[("KEY", secret)])
}

/// A Slack request: the raw body is signed, and slash commands are forms.
fn slack(signed: &[u8], saved: &[u8]) -> VerifyResult {
    let secret = "8f742231b10e8888abcd99yyyzzz85a6";
    let mac = sha256(secret.as_bytes(), &[b"v0:1700000000:", signed].concat());
    let header = format!(
        "X-Slack-Signature: v0={}\r\nX-Slack-Request-Timestamp: 1700000000",
        hex::encode(mac)
    );
    verify_as("slack", &header, saved, secret)
}

/// A Twilio request: the decoded fields of the form are signed.
fn twilio(signed: &[(&str, &str)], saved: &[u8]) -> VerifyResult {
    let mut fields = signed.to_vec();
    fields.sort_unstable();
    let text: String = fields.iter().flat_map(|(name, value)| [*name, *value]).collect();
    let mut mac = Hmac::<Sha1>::new_from_slice(b"twilio-auth-token-0123456789abcd").unwrap();
    mac.update(format!("https://shop.example/webhooks/paddle{text}").as_bytes());
    let header = format!("X-Twilio-Signature: {}", STANDARD.encode(mac.finalize().into_bytes()));
    let url = "https://shop.example/webhooks/paddle";
    let arguments = ["--provider", "twilio", "--secret-env", "KEY", "--public-url", url];
    verify(
        &raw_request(&header, saved),
        &arguments,
        &[("KEY", "twilio-auth-token-0123456789abcd")],
    )
}

#[test]
fn forms_that_were_written_again_are_recognised() {
    let sent = b"token=x&command=%2Fweather&text=*bold*+it%27s%20fine&a=~";
    assert_eq!(slack(sent, sent).code, Some(0));
    let sent = b"command=%2Fweather&text=bold+text";
    slack(sent, b"command=%2Fweather&text=bold%20text").has_certain_cause("form_rewritten", "form");
    slack(sent, br#"{"command":"/weather","text":"bold text"}"#).has_certain_cause("form_rewritten", "saved as JSON");
    slack(b"a=1&b=2&c=3", b"c=3&b=2&a=1").has_certain_cause("form_rewritten", "another order");

    let fields = [
        ("Body", "hello "),
        ("From", "+4915735981234"),
        ("FromCity", ""),
        ("To", "+4915735987654"),
    ];
    twilio(&fields, b"Body=hello+&From=%2B4915735981234&To=%2B4915735987654")
        .has_certain_cause("empty_fields_lost", "FromCity");
    twilio(
        &fields,
        b"Body=hello&From=%2B4915735981234&FromCity=&To=%2B4915735987654",
    )
    .has_certain_cause("values_trimmed", "`Body`");
    twilio(&fields, b"Body=hello+&From=+4915735981234&FromCity=&To=+4915735987654")
        .has_certain_cause("plus_lost", "Plus signs");
    let json = br#"{"Body":"hello ","From":"+4915735981234","FromCity":null,"To":"+4915735987654"}"#;
    twilio(&fields, json).has_certain_cause("form_rewritten", "saved as JSON");
    let parts: String = fields
        .iter()
        .map(|(name, value)| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"))
        .collect();
    twilio(&fields, format!("{parts}--x--\r\n").as_bytes()).has_certain_cause("form_rewritten", "multipart");
}

#[test]
fn strings_of_languages_are_recognised() {
    let json = serde_json::to_string(BODY).unwrap();
    verify_with_body(json.as_bytes()).has_certain_cause("string_body", "JSON string");
    let twice = serde_json::to_string(&json).unwrap();
    verify_with_body(twice.as_bytes()).has_certain_cause("string_body", "twice");
    let buffer = serde_json::json!({ "type": "Buffer", "data": BODY.as_bytes() }).to_string();
    verify_with_body(buffer.as_bytes()).has_certain_cause("string_body", "Node buffer");
    let print = "import sys;print(sys.stdin.buffer.read(),end='')";
    verify_with_body(&run_tool("python3", &["-c", print], BODY.as_bytes())).has_certain_cause("string_body", "Python");
    let ruby = BODY.replace('\\', "\\\\").replace('"', "\\\"");
    verify_with_body(ruby.as_bytes()).has_certain_cause("string_body", "without its quotes");
    let html = BODY.replace('&', "&amp;").replace('"', "&quot;");
    let html = html.replace('<', "&lt;").replace('>', "&gt;");
    verify_with_body(html.as_bytes()).has_certain_cause("escaped_body", "HTML");
}

#[test]
fn what_php_and_rails_do_to_json_is_recognised() {
    let verify_saved = |signed: &str, saved: &str| {
        let header = format!(
            "Paddle-Signature: {}",
            signature(SECRET, SIGNED_AT_UNIX, signed.as_bytes())
        );
        verify(
            &raw_request(&header, saved.as_bytes()),
            &["--secret-env", "KEY"],
            &[("KEY", SECRET)],
        )
    };
    let signed = r#"{"event_id":"e","data":{"custom_data":{},"items":[],"note":"","total":10.00,"tax":1.50}}"#;
    for (from, to) in [("{}", "[]"), ("\"\"", "null"), ("10.00", "10"), ("1.50", "1.5")] {
        verify_saved(signed, &signed.replace(from, to)).has_certain_cause("json_reserialised", "had");
    }
    let laravel = signed.replace("{}", "[]").replace("\"\"", "null");
    verify_saved(
        &signed.replace("[]", "[1]"),
        &laravel.replace("\"items\":[]", "\"items\":[1]"),
    )
    .has_certain_cause("json_reserialised", "`{}` had become `[]`; `\"\"` had become null");
    let inner = signed.strip_suffix('}').unwrap();
    let rails = format!("{inner},\"controller\":\"hooks\",\"action\":\"create\"}}");
    verify_saved(signed, &rails).has_certain_cause("json_reserialised", "added keys");
    verify_saved(signed, &format!("{{\"webhook\":{signed}}}")).has_certain_cause("json_reserialised", "below the key");
    verify_saved(r#"{"name":" Jo "}"#, r#"{"name":"Jo "}"#)
        .has_certain_cause("json_reserialised", "space at its beginning");
    verify_saved(signed, &signed[..40]).has_likely_cause("body_cut", "cut off");
    let longer = format!(
        "Content-Length: 99\r\nPaddle-Signature: {}",
        signature(SECRET, SIGNED_AT_UNIX, b"a text that was replaced")
    );
    verify_as("paddle", &longer, b"another text", SECRET).has_likely_cause("length", "Content-Length is 99");
    let named = |name: &str| signed.replace("\"note\":\"\"", &format!("\"note\":\"{name}\""));
    verify_saved(&named("M\u{fc}ller"), &named("M?ller")).has_likely_cause("charset", "question marks");
}

#[test]
fn the_signature_itself_is_explained() {
    let value = signature(SECRET, SIGNED_AT_UNIX, BODY.as_bytes());
    let result = |header: &str| verify_as("paddle", header, BODY.as_bytes(), SECRET);
    result("X-A: b").has_certain_cause("header_missing", "`paddle-signature` is missing");
    let cut = format!("Paddle-Signature: {}", &value[..value.len() - 9]);
    result(&cut).has_certain_cause("signature_form", "55 characters, but 64");
    result("Paddle-Signature: ts=1").has_certain_cause("signature_form", "no part `h1=…`");
    let commas = format!("Paddle-Signature: {}", value.replace(';', ","));
    result(&commas).has_certain_cause("header_rewritten", "separator");
    let altered = |(at, c)| match (at, c) {
        (40, 'a') => 'b',
        (40, _) => 'a',
        (_, c) => c,
    };
    let wrong: String = value.char_indices().map(altered).collect();
    result(&format!("Paddle-Signature: {wrong}")).has_certain_cause("header_rewritten", "one wrong character");
    for text in [result("X-A: b").human, result("Paddle-Signature: ts=1").human] {
        assert!(
            !text.contains("None of the usual causes") && !text.contains("secret is"),
            "{text}"
        );
    }
}

#[test]
fn other_encodings_keys_and_headers_are_recognised() {
    let shopify = |signature: &str| {
        let header = format!("X-Shopify-Hmac-Sha256: {signature}");
        verify_as("shopify", &header, BODY.as_bytes(), SECRET)
    };
    shopify(&hex::encode(sha256(SECRET.as_bytes(), BODY.as_bytes())))
        .has_certain_cause("signature_encoding", "hexadecimal");
    let mut sha512 = Hmac::<Sha512>::new_from_slice(SECRET.as_bytes()).unwrap();
    sha512.update(BODY.as_bytes());
    shopify(&STANDARD.encode(sha512.finalize().into_bytes())).has_certain_cause("other_algorithm", "SHA-512");
    let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx";
    let mac = sha256(text.as_bytes(), format!("msg_1.1700000000.{BODY}").as_bytes());
    let header = format!(
        "webhook-id: msg_1\r\nwebhook-timestamp: 1700000000\r\nwebhook-signature: v1,{}",
        STANDARD.encode(mac)
    );
    verify_as("standard-webhooks", &header, BODY.as_bytes(), text).has_certain_cause("key_encoding", "used as text");
    let mut sha1 = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
    sha1.update(BODY.as_bytes());
    let older = hex::encode(sha1.finalize().into_bytes());
    let header = format!("X-Hub-Signature: sha1={older}\r\nX-GitHub-Event: push");
    verify_as("github", &header, BODY.as_bytes(), SECRET)
        .has_certain_cause("older_header", "older signature of GitHub");
    let published = b"dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==";
    let mac = sha256(published, format!("2026-11-28T17:00:00Z{BODY}").as_bytes());
    let header = format!(
        "X-Zendesk-Webhook-Signature: {}\r\nX-Zendesk-Webhook-Signature-Timestamp: 2026-11-28T17:00:00Z",
        STANDARD.encode(mac)
    );
    verify_as("zendesk", &header, BODY.as_bytes(), SECRET).has_certain_cause("published_secret", "test");
}

#[test]
fn corrupted_secrets_are_recognised() {
    let secret = "pdl_ntfset_01hbpjmytsa32fhr36nqgc3kgb_WvRO0eL4Bj9r+gYYI/ZY6wZhG4EHy9=";
    let header = format!(
        "Paddle-Signature: {}",
        signature(secret, SIGNED_AT_UNIX, BODY.as_bytes())
    );
    let encoded = secret.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    for (corrupted, words) in [
        (encoded, "percent-encoded"),
        (secret.replace('+', " "), "spaces instead of plus signs"),
        (format!("\u{201c}{secret}\u{201d}"), "typographic quotes"),
        (format!("{secret}\u{200b}"), "invisible"),
        (secret.replace('_', "_\u{ad}"), "invisible"),
        (format!("Secret key: {secret}"), "label"),
        (format!("export PADDLE_SECRET=\"{secret}\""), "name of a variable"),
        (format!("{secret}{secret}"), "twice"),
        (format!("{secret},"), "sign that is not a part"),
    ] {
        let result = verify_as("paddle", &header, BODY.as_bytes(), &corrupted);
        result.has_certain_cause("secret_spelled", words);
    }
    for (provider, wrong, words) in [
        ("stripe", "pk_live_51Habcdefghijklmnopqrst", "publishable"),
        ("stripe", "rk_live_51Habcdefghijklmnopqrst", "restricted"),
        ("github", "github_pat_11AAAAAAA0aaaaaaaaaa", "personal access token"),
        ("slack", "xoxb-0123456789-abcdefghijkl", "bot token"),
    ] {
        let zeros = "0".repeat(64);
        let header = match provider {
            "stripe" => format!("Stripe-Signature: t=1,v1={zeros}"),
            "github" => format!("X-Hub-Signature-256: sha256={zeros}"),
            _ => format!("X-Slack-Signature: v0={zeros}\r\nX-Slack-Request-Timestamp: 1"),
        };
        verify_as(provider, &header, b"{\"id\":1}", wrong).has_likely_cause("wrong_kind_of_secret", words);
    }
}

/// A wrong secret is not explained by anything, and the report claims nothing.
#[test]
fn nothing_is_claimed_about_a_wrong_secret() {
    let header = format!(
        "Paddle-Signature: {}",
        signature(SECRET, SIGNED_AT_UNIX, BODY.as_bytes())
    );
    let other = "pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_of_nobody";
    let result = verify_as("paddle", &header, BODY.as_bytes(), other);
    assert_eq!((result.code, result.causes()), (Some(1), vec![]), "{}", result.human);
    assert!(result.human.contains("None of the usual causes"), "{}", result.human);
    assert!(result.human.contains("Secret key"), "{}", result.human);
}

#[test]
fn the_provider_is_recognised_and_fixes_speak_of_the_framework() {
    let header = format!(
        "Paddle-Signature: {}",
        signature(SECRET, SIGNED_AT_UNIX, BODY.as_bytes())
    );
    let spaced = BODY.replace(",\"", ", \"");
    let arguments = ["--secret-env", "KEY", "--framework", "laravel"];
    let result = verify(&raw_request(&header, spaced.as_bytes()), &arguments, &[("KEY", SECRET)]);
    result.has_certain_cause("json_reserialised", "compact");
    assert!(result.human.contains("$request->getContent()"), "{}", result.human);
    assert!(!result.human.contains("Flask"), "{}", result.human);
    assert_eq!(result.report["provider_guessed"], true);
    assert!(result.human.contains("recognised by the headers"), "{}", result.human);
    let mac = hex::encode(sha256(SECRET.as_bytes(), format!("1.{BODY}").as_bytes()));
    let stripe = raw_request(&format!("Stripe-Signature: t=1,v1={mac}"), BODY.as_bytes());
    let result = verify(&stripe, &["--secret-env", "KEY"], &[("KEY", SECRET)]);
    assert_eq!(
        (result.code, &result.report["provider"]),
        (Some(0), &"stripe".into()),
        "{}",
        result.human
    );
}
