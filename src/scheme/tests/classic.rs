//! Paddle Classic: the published test vectors, and forms that must be refused.

use super::*;
use serde_json::Value;

const VECTORS: &str = include_str!("../../../tests/vectors/paddle-classic.json");

fn vectors() -> Vec<Value> {
    serde_json::from_str(VECTORS).unwrap()
}

fn classic(vector: &Value) -> Verifier {
    Verifier::new(
        "paddle-classic",
        None,
        keys(&[vector["public_key_pem"].as_str().unwrap()]),
        None,
    )
    .unwrap()
}

fn post(vector: &Value, body: &[u8]) -> Result<Verified, Rejection> {
    let headers = Headers::default();
    verify(
        &classic(vector),
        &HeadRef {
            method: &Method::POST,
            target: "/",
            headers: &headers,
        },
        body,
        0,
        None,
    )
}

fn get(vector: &Value, query: &str, body: &[u8]) -> Result<Verified, Rejection> {
    let headers = Headers::default();
    let target = format!("/fulfil?{query}");
    verify(
        &classic(vector),
        &HeadRef {
            method: &Method::GET,
            target: &target,
            headers: &headers,
        },
        body,
        0,
        None,
    )
}

#[test]
fn published_vectors_have_their_expected_result_as_post_and_as_get() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 10);
    for vector in &vectors {
        let form = vector["form_body"].as_str().unwrap();
        let expected = match vector["expect"].as_str().unwrap().split([' ', ':']).next().unwrap() {
            "accept" => Ok(()),
            "reject" => Err(Rejection::SignatureMismatch),
            other => panic!("unknown class {other}"),
        };
        assert_eq!(
            post(vector, form.as_bytes()).map(drop),
            expected,
            "{}",
            vector["source"]
        );
        assert_eq!(get(vector, form, b"").map(drop), expected, "{}", vector["source"]);
        let pairs = form::decode(form.as_bytes()).unwrap();
        let serialized = form::php_serialized(&pairs, "p_signature").unwrap();
        assert_eq!(
            String::from_utf8(serialized).unwrap(),
            vector["serialized"].as_str().unwrap()
        );
    }
}

#[test]
fn forms_that_differ_from_the_signed_fields_are_refused() {
    let vectors = vectors();
    let vector = &vectors[0];
    let form = vector["form_body"].as_str().unwrap();
    let genuine = post(vector, form.as_bytes()).unwrap();
    assert_eq!(genuine.timestamp, None);

    // The order of the fields and their escapes are not signed. The identity does not change with them.
    let mut fields: Vec<&str> = form.split('&').collect();
    fields.reverse();
    let reordered = fields.join("&").replace("alert_id", "%61lert_id");
    assert_eq!(post(vector, reordered.as_bytes()), Ok(genuine));

    for (change, refusal) in [
        (
            form.replace("status=deleted", "status=active"),
            Rejection::SignatureMismatch,
        ),
        (form.replace("&quantity=49", ""), Rejection::SignatureMismatch),
        (format!("{form}&extra=1"), Rejection::SignatureMismatch),
        (
            form.replace("p_signature=", "p_signature=A"),
            Rejection::SignatureMalformed,
        ),
        (form.replace("p_signature=", "p_signatur="), Rejection::SignatureMissing),
        (String::new(), Rejection::SignatureMissing),
        // Of two values, PHP takes the last, Flask and Go the first.
        (format!("status=active&{form}"), Rejection::SignatureMalformed),
        (format!("{form}&status=active"), Rejection::SignatureMalformed),
        (format!("{form}&p_signature=AAAA"), Rejection::SignatureMalformed),
        (format!("{form}&p.signature=AAAA"), Rejection::SignatureMalformed),
        (format!("alert%20id=1&{form}"), Rejection::SignatureMalformed),
        (format!("a[b]=1&{form}"), Rejection::SignatureMalformed),
        (format!("=1&{form}"), Rejection::SignatureMalformed),
        (format!("alert_id%00=1&{form}"), Rejection::SignatureMalformed),
        ("a=1&".repeat(1001) + form, Rejection::SignatureMalformed),
    ] {
        assert_eq!(post(vector, change.as_bytes()), Err(refusal), "{change:.60}");
    }
    // All readers understand a repeated pair equally.
    assert_eq!(post(vector, format!("status=deleted&{form}").as_bytes()), Ok(genuine));
    // The signature of a GET covers its query, so a body would be unsigned.
    assert_eq!(get(vector, form, b"x=1"), Err(Rejection::SignatureMalformed));
    assert_eq!(get(vector, "", form.as_bytes()), Err(Rejection::SignatureMalformed));
}

/// PHP itself parsed, sorted, serialized and signed these forms (`tests/php/classic.php`).
#[test]
fn forms_signed_by_php_are_accepted() {
    use base64::Engine as _;
    let document: Value = serde_json::from_str(include_str!("../../../tests/vectors/php-classic.json")).unwrap();
    let verifier = Verifier::new(
        "paddle-classic",
        None,
        keys(&[document["public_key"].as_str().unwrap()]),
        None,
    )
    .unwrap();
    let headers = Headers::default();
    let head = HeadRef {
        method: &Method::POST,
        target: "/",
        headers: &headers,
    };
    let cases = document["cases"].as_array().unwrap();
    let (mut plain, mut odd_accepted, mut odd_refused) = (0, 0, 0);
    for case in cases {
        let form = case["form"].as_str().unwrap();
        let expected = base64::engine::general_purpose::STANDARD
            .decode(case["serialized"].as_str().unwrap())
            .unwrap();
        let serialized = form::php_serialized(&form::decode(form.as_bytes()).unwrap(), "p_signature");
        let verdict = verify(&verifier, &head, form.as_bytes(), 0, None);
        match (case["kind"].as_str().unwrap(), serialized) {
            ("plain", Ok(serialized)) => {
                assert_eq!(
                    String::from_utf8_lossy(&serialized),
                    String::from_utf8_lossy(&expected),
                    "{form}"
                );
                assert!(verdict.is_ok(), "{form}: {verdict:?}");
                plain += 1;
            }
            ("odd", Ok(serialized)) => {
                assert_eq!(
                    String::from_utf8_lossy(&serialized),
                    String::from_utf8_lossy(&expected),
                    "{form}"
                );
                assert!(verdict.is_ok(), "{form}: {verdict:?}");
                odd_accepted += 1;
            }
            ("odd", Err(refusal)) => {
                assert_eq!(
                    (refusal, verdict),
                    (Rejection::SignatureMalformed, Err(refusal)),
                    "{form}"
                );
                odd_refused += 1;
            }
            (kind, result) => panic!("{kind} {form}: {result:?}"),
        }
    }
    assert!(
        plain >= 30 && odd_accepted >= 3 && odd_refused >= 3,
        "{plain} {odd_accepted} {odd_refused}"
    );
}

#[test]
fn a_malformed_key_is_refused_at_start() {
    let bad = [
        "pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_GrOWLNef+vmtjJYq4mSnHNzvc8uWoJ1I",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n",
    ];
    let faults = Verifier::new("paddle-classic", None, keys(&bad), None).unwrap_err();
    assert_eq!(faults.len(), 2);
    assert!(
        faults
            .iter()
            .all(|fault| fault.contains("RSA public key") && !fault.contains("GrOW")),
        "{faults:?}"
    );
}

#[test]
fn the_delivery_id_is_the_alert_id() {
    let vectors = vectors();
    let form = vectors[0]["form_body"].as_str().unwrap();
    let verifier = classic(&vectors[0]);
    let headers = Headers::default();
    let body = [Bytes::copy_from_slice(form.as_bytes())];
    let head = HeadRef {
        method: &Method::POST,
        target: "/",
        headers: &headers,
    };
    assert_eq!(verifier.delivery_id(&head, &body).as_deref(), Some(&b"1440248908"[..]));
    let target = format!("/?{form}");
    let head = HeadRef {
        method: &Method::GET,
        target: &target,
        headers: &headers,
    };
    assert_eq!(verifier.delivery_id(&head, &[]).as_deref(), Some(&b"1440248908"[..]));
}
