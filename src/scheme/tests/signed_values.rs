//! What a scheme reads must be what it signs, and a signed text must be readable in one way only.

use super::*;
use base64::Engine as _;

const KEY: &str = "a secret of 32 bytes, in this case";
const NOW: u64 = 1_700_000_000;

fn custom(description: &str, public_url: Option<&str>) -> Result<Verifier, Vec<String>> {
    let custom = toml::from_str(description).unwrap_or_else(|error| panic!("{description}: {error}"));
    Verifier::new("custom", Some(custom), keys(&[KEY]), public_url.map(str::to_owned))
}

/// The HMAC-SHA256 of a text under [`KEY`], in hex.
fn hmac(text: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, KEY.as_bytes());
    hex::encode(aws_lc_rs::hmac::sign(&key, text.as_bytes()))
}

fn headers(fields: &[(&'static str, &str)]) -> Headers {
    let named =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    fields.iter().map(named).collect()
}

/// Verifies a POST with these fields.
fn post(verifier: &Verifier, target: &str, fields: &[(&'static str, &str)], body: &str) -> Result<(), Rejection> {
    let head = HeadRef {
        method: &Method::POST,
        target,
        headers: &headers(fields),
    };
    verify(verifier, &head, body.as_bytes(), NOW, Some(300)).map(drop)
}

/// A sender could otherwise write any time, and a captured request would be fresh forever.
#[test]
fn a_time_or_an_id_that_is_not_signed_is_a_fault() {
    let signature = "signature = { header = 'X-Sig' }\n";
    for (description, hint) in [
        (
            "timestamp = { header = 'X-Ts' }\npayload = '{body}'",
            "add `{timestamp}`",
        ),
        ("timestamp = { header = 'X-Ts' }", "add `{timestamp}`"),
        (
            "timestamp = { pointer = '/time' }\npayload = '{json:/id}'",
            "add `{timestamp}`",
        ),
        (
            "timestamp = { form = 'time' }\npayload = '{form:id}'",
            "add `{timestamp}`",
        ),
        (
            "timestamp = { header = 'X-Ts' }\npayload = '{header:X-Other}.{body}'",
            "add `{timestamp}`",
        ),
        (
            "timestamp = { header = 'X-Ts' }\nalgorithm = 'token'",
            "A token signs nothing",
        ),
        ("delivery_id = { header = 'X-Id' }", "add `{id}`"),
        ("delivery_id = { header = 'X-Id' }\nalgorithm = 'token'", "add `{id}`"),
        (
            "delivery_id = { pointer = '/id' }\npayload = '{json:/other}'",
            "add `{id}`",
        ),
    ] {
        let faults = custom(&format!("{signature}{description}"), None).unwrap_err();
        assert!(faults[0].contains(hint), "{description}: {faults:?}");
    }
    let list = "signature = { header = 'X-Sig', field = 'v1' }\ntimestamp = { field = 't' }\n";
    let faults = custom(&format!("{list}payload = '{{field:u}}.{{body}}'"), None).unwrap_err();
    assert!(faults[0].contains("add `{timestamp}`"), "{faults:?}");
    let digest = "form_digest = { leave_out = ['time'] }\ntimestamp = { form = 'time' }";
    assert!(custom(digest, None).unwrap_err()[0].contains("add `{timestamp}`"));
    for description in [
        "timestamp = { header = 'X-Ts' }\npayload = '{header:X-Ts}.{body}'",
        "timestamp = { header = 'X-Ts' }\npayload = '{timestamp}.{body}'",
        "timestamp = { pointer = '/time' }",
        "timestamp = { pointer = '/time' }\npayload = '{timestamp}'",
        "timestamp = { form = 'time' }\npayload = '{php}'",
        "delivery_id = { header = 'X-Id' }\npayload = '{id}.{body}'",
        "delivery_id = { pointer = '/id' }",
    ] {
        custom(&format!("{signature}{description}"), None).unwrap_or_else(|faults| panic!("{description}: {faults:?}"));
    }
}

/// Proof of a review: an old webhook whose body contains `.<digits>.` was fresh under another id, time and body.
#[test]
fn signed_bytes_cannot_be_divided_elsewhere() {
    let secret = base64::engine::general_purpose::STANDARD.encode(KEY);
    for (preset, prefix) in [
        ("standard-webhooks", "webhook"),
        ("svix", "svix"),
        ("gitlab", "webhook"),
    ] {
        let verifier = Verifier::new(preset, None, keys(&[&secret]), None).unwrap();
        let old = NOW - 3600;
        let body = format!("{{\"note\":\"x.{NOW}.[1]\"}}");
        let mac = hex::decode(hmac(&format!("msg_1.{old}.{body}"))).unwrap();
        let signature = format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(mac));
        let names =
            ["id", "timestamp", "signature"].map(|name| HeaderName::try_from(format!("{prefix}-{name}")).unwrap());
        let post = |id: &str, time: u64, body: &str| {
            let values =
                [id.to_owned(), time.to_string(), signature.clone()].map(|text| HeaderValue::try_from(text).unwrap());
            let headers = names.iter().cloned().zip(values).collect();
            let head = HeadRef {
                method: &Method::POST,
                target: "/",
                headers: &headers,
            };
            verify(&verifier, &head, body.as_bytes(), NOW, Some(300)).map(drop)
        };
        assert_eq!(post("msg_1", old, &body), Err(Rejection::TimestampStale), "{preset}");
        let moved = format!("msg_1.{old}.{{\"note\":\"x");
        assert_eq!(
            post(&moved, NOW, "[1]\"}"),
            Err(Rejection::SignatureMalformed),
            "{preset}"
        );
    }
}

#[test]
fn values_of_a_custom_scheme_end_where_their_separator_begins() {
    let description = "signature = { header = 'X-Sig' }\ntimestamp = { header = 'X-Ts' }\npayload = '{header:X-Shop}::{timestamp}:{body}'";
    let verifier = custom(description, None).unwrap();
    let now = NOW.to_string();
    let verdict = |shop: &str, body: &str| {
        let signature = hmac(&format!("{shop}::{now}:{body}"));
        post(
            &verifier,
            "/",
            &[("x-sig", &signature), ("x-ts", &now), ("x-shop", shop)],
            body,
        )
    };
    assert_eq!(verdict("a:b", "anything at all: {}"), Ok(()));
    for shop in ["a::b", "a:", "::"] {
        assert_eq!(verdict(shop, "{}"), Err(Rejection::SignatureMalformed), "{shop}");
    }
}

/// The bytes after a JSON value that is cut off are no JSON, so the first byte of the body separates it from a URL.
#[test]
fn a_query_and_a_body_are_separated_by_the_first_byte_of_the_body() {
    let square = Verifier::new("square", None, keys(&[KEY]), Some("https://h.example/p".to_owned())).unwrap();
    let verdict = |target: &str, body: &str| {
        let mac = hex::decode(hmac(&format!("https://h.example{target}{body}"))).unwrap();
        let signature = base64::engine::general_purpose::STANDARD.encode(mac);
        post(&square, target, &[("x-square-hmacsha256-signature", &signature)], body)
    };
    assert_eq!(verdict("/p", "{\"a\":1}"), Ok(()));
    assert_eq!(verdict("/p?x=1", "{\"a\":1}"), Ok(()));
    assert_eq!(verdict("/p", "a=1&b=2"), Ok(()));
    assert_eq!(verdict("/p?x=1", "b=2"), Err(Rejection::SignatureMalformed));
    assert_eq!(verdict("/p?x=1{\"a\":", "{}"), Err(Rejection::SignatureMalformed));
}

#[test]
fn values_that_nothing_separates_are_a_fault_or_must_be_plain() {
    let signature = "signature = { header = 'X-Sig' }\n";
    for payload in [
        "{json:/a}{json:/b}",
        "{header:X-A}{header:X-B}{body}",
        "{form:a}{json:/b}",
        "{body}{header:X-A}",
    ] {
        let faults = custom(&format!("{signature}payload = '{payload}'"), None).unwrap_err();
        assert!(faults[0].contains("nothing separates"), "{payload}: {faults:?}");
    }
    let unknown = custom(
        &format!("{signature}payload = '{{json:/a}}'\nany_text = 'json:/b'"),
        None,
    )
    .unwrap_err();
    assert!(unknown[0].contains("no such placeholder"), "{unknown:?}");
    let verifier = custom(&format!("{signature}payload = '{{header:X-Id}}{{body}}'"), None).unwrap();
    let verdict = |id: &str, body: &str| {
        let signature = hmac(&format!("{id}{body}"));
        post(&verifier, "/", &[("x-sig", &signature), ("x-id", id)], body)
    };
    assert_eq!(verdict("evt_1-2", "{}"), Ok(()));
    assert_eq!(verdict("evt_1{", "}"), Err(Rejection::SignatureMalformed));
    assert_eq!(verdict("evt_1", "2{}"), Err(Rejection::SignatureMalformed));
}

/// One value may contain the separator; then all others may not, on both of its sides.
#[test]
fn the_value_of_any_text_may_contain_the_separator() {
    let description = "signature = { header = 'X-Sig' }\npayload = '{json:/a}:{json:/b}:{json:/c}'\n";
    let last = custom(description, None).unwrap();
    let middle = custom(&format!("{description}any_text = 'json:/b'"), None).unwrap();
    let verdict = |verifier: &Verifier, [a, b, c]: [&str; 3]| {
        let body = format!("{{\"a\":\"{a}\",\"b\":\"{b}\",\"c\":\"{c}\"}}");
        post(verifier, "/", &[("x-sig", &hmac(&format!("{a}:{b}:{c}")))], &body)
    };
    let malformed = Err(Rejection::SignatureMalformed);
    for (values, by_last, by_middle) in [
        (["1", "2", "3"], Ok(()), Ok(())),
        (["1:2", "3", "4"], malformed, malformed),
        (["1", "2:3", "4"], malformed, Ok(())),
        (["1", "2", "3:4"], Ok(()), malformed),
    ] {
        assert_eq!(
            (verdict(&last, values), verdict(&middle, values)),
            (by_last, by_middle),
            "{values:?}"
        );
    }
}

/// Fields that Twilio signed in the query of a GET must not be moved to its body.
#[test]
fn a_get_whose_form_is_its_query_has_no_body() {
    let twilio = Verifier::new("twilio", None, keys(&[KEY]), Some("https://h.example/p".to_owned())).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, KEY.as_bytes());
    let signature =
        base64::engine::general_purpose::STANDARD.encode(aws_lc_rs::hmac::sign(&key, b"https://h.example/p?a=1"));
    let fields = headers(&[("x-twilio-signature", &signature)]);
    for method in [Method::GET, Method::HEAD] {
        let verdict = |target, body: &[u8]| {
            let head = HeadRef {
                method: &method,
                target,
                headers: &fields,
            };
            verify(&twilio, &head, body, NOW, None).map(drop)
        };
        assert_eq!(verdict("/p?a=1", b""), Ok(()));
        assert_eq!(verdict("/p", b"?a=1"), Err(Rejection::SignatureMalformed));
        assert_eq!(verdict("/p?a", b"=1"), Err(Rejection::SignatureMalformed));
    }
}
