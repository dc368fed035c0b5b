//! Signatures under certificates: AWS SNS and PayPal.

use super::{CERTIFICATE_URL, event, headers, verifier, verify};
use crate::support::oracle::{Oracle, Random};
use crate::support::paddle::now;
use bytes::Bytes;
use hookgate::http::message::Headers;
use hookgate::outcome::Rejection;
use hookgate::scheme::{CertificateSource, HeadRef, KeySettings};
use hyper::Method;
use serde_json::json;
use std::sync::Arc;

/// An authority, and a signer's RSA certificate with this name.
fn certificate(name: &str) -> (String, String, String) {
    let key = rsa_key();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let pair = rcgen::KeyPair::from_pem(&key).unwrap();
    let leaf = rcgen::CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&pair, &issuer)
        .unwrap();
    (root.pem(), leaf.pem(), key)
}

fn rsa_key() -> String {
    let output = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .stderr(std::process::Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn sns_messages_agree_with_the_validator() {
    let mut oracle = Oracle::tokens();
    let mut random = Random(now());
    let (root, leaf, key) = certificate("sns.eu-west-1.amazonaws.com");
    let settings = KeySettings {
        roots: CertificateSource::anchors(root.as_bytes()),
        ..KeySettings::default()
    };
    let ours = verifier("aws-sns", None, &settings);
    let at = now();
    let source = ours.key_source().unwrap();
    let fetched = Arc::new(source.parse(CERTIFICATE_URL, leaf.as_bytes(), at).unwrap().remove(0));
    for round in 0..8 {
        let kind = ["Notification", "SubscriptionConfirmation"][round % 2];
        let mut message = json!({
            "Type": kind, "MessageId": random.next().to_string(), "TopicArn": "arn:aws:sns:eu-west-1:1:t",
            "Message": random.text(30) + "\nMessageId\n1", "SigningCertURL": CERTIFICATE_URL,
            "Timestamp": humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + std::time::Duration::from_secs(at)).to_string(),
        });
        match kind {
            "Notification" if round % 4 == 0 => message["Subject"] = "hello".into(),
            "Notification" => {}
            _ => {
                message["Token"] = "t".into();
                message["SubscribeURL"] = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription".into();
            }
        }
        let version = ["1", "2"][round / 2 % 2];
        let signed = oracle.ask(&json!({
            "op": "sign", "provider": "aws-sns", "message": message, "key": key, "certificate": leaf, "version": version,
        }));
        let body = signed["body"].as_str().unwrap_or_else(|| panic!("{signed}"));
        let none = Headers::default();
        let got = verify(&ours, "/in", &none, body, Some(&fetched), at);
        assert!(got.is_ok(), "{kind} {version}: {got:?}");
        assert_eq!(
            verify(&ours, "/in", &none, body, Some(&fetched), at + 8_000),
            Err(Rejection::TimestampStale)
        );
        for (from, to) in [
            ("arn:aws:sns:eu-west-1:1:t", "arn:aws:sns:eu-west-1:2:t"),
            ("\"MessageId\":\"", "\"MessageId\":\"1"),
        ] {
            let changed = body.replacen(from, to, 1);
            assert_ne!(changed, body);
            let got = verify(&ours, "/in", &none, &changed, Some(&fetched), at);
            assert_eq!(got, Err(Rejection::SignatureMismatch), "{changed}");
        }
        // The end of one value moved into the next: the same signed text, if a line end were allowed there.
        let moved = body.replacen("\\nMessageId\\n1\"", "\"", 1);
        let moved = moved.replacen("\"MessageId\":\"", "\"MessageId\":\"1\\nMessageId\\n", 1);
        let got = verify(&ours, "/in", &none, &moved, Some(&fetched), at);
        assert_eq!(got, Err(Rejection::SignatureMalformed), "{moved}");
    }
}

#[test]
fn certificates_of_others_are_refused() {
    let (root, leaf, _) = certificate("sns.eu-west-1.amazonaws.com");
    let (_, stranger, _) = certificate("sns.eu-west-1.amazonaws.com");
    let (other_root, other_name, _) = certificate("api.evil.example");
    let at = now();
    let parse = |root: &str, leaf: &str, at: u64| {
        let settings = KeySettings {
            roots: CertificateSource::anchors(root.as_bytes()),
            ..KeySettings::default()
        };
        let ours = verifier("aws-sns", None, &settings);
        let parsed = ours.key_source().unwrap().parse(CERTIFICATE_URL, leaf.as_bytes(), at);
        parsed.map(|keys| keys.len())
    };
    assert_eq!(parse(&root, &leaf, at), Ok(1));
    assert!(parse(&root, &stranger, at).is_err());
    assert!(
        parse(&other_root, &other_name, at)
            .unwrap_err()
            .contains("another name")
    );
    assert!(parse(&root, &leaf, 100).unwrap_err().contains("not valid yet"));
    assert!(parse(&root, "<html>", at).unwrap_err().contains("no certificate"));
    assert!(parse(&root, "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----", at).is_err());
}

/// PayPal has no library that verifies without asking PayPal. Python's cryptography signs and judges what the documentation
/// says, and openssl makes the keys.
#[test]
fn paypal_requests_agree() {
    let mut oracle = Oracle::python_tokens();
    let mut random = Random(now());
    let (root, leaf, key) = certificate("messageverificationcerts.paypal.com");
    let settings = KeySettings {
        roots: CertificateSource::anchors(root.as_bytes()),
        ..KeySettings::default()
    };
    let ours = verifier("paypal", None, &settings);
    let at = now();
    let url = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-90621ecd";
    let source = ours.key_source().unwrap();
    let fetched = source.parse(url, leaf.as_bytes(), at).unwrap().remove(0);
    let fetched = Arc::new(fetched);
    for _ in 0..12 {
        let body = event(&mut random);
        let question = json!({
            "op": "sign", "provider": "paypal", "secret": "", "url": "", "headers": {}, "body": body, "now": at,
            "webhook": "WH-1", "certificate_url": url, "key": key,
        });
        let answer = oracle.ask(&question);
        let signed = headers(&answer);
        let got = verify(&ours, "/in", &signed, &body, Some(&fetched), at);
        assert!(got.is_ok(), "{answer}: {got:?}");
        assert_eq!(
            verify(&ours, "/in", &signed, &body, Some(&fetched), at + 4 * 86_400),
            Err(Rejection::TimestampStale)
        );
        // The same requests, changed, for both.
        let others: [(&str, &str, &str); 4] = [
            ("", "", &body),
            ("", "", &body.replace("\"x\"", "\"y\"")),
            ("paypal-transmission-id", "another", &body),
            ("paypal-transmission-time", "2026-01-01T00:00:00Z", &body),
        ];
        for (name, value, body) in others {
            let mut fields = answer["headers"].clone();
            if !name.is_empty() {
                fields[name] = value.into();
            }
            let theirs = oracle.ask(&json!({
                "op": "verify", "provider": "paypal", "secret": "", "url": "", "headers": fields, "body": body, "now": at,
                "webhook": "WH-1", "certificate": leaf,
            }));
            let head = HeadRef {
                method: &Method::POST,
                target: "/in",
                headers: &headers(&json!({ "headers": fields })),
            };
            let mut aged = ours.present(&head).unwrap().at_any_time();
            aged.use_key(fetched.clone());
            let got = aged.verify(&[Bytes::copy_from_slice(body.as_bytes())], at);
            assert_eq!(theirs["genuine"], got.is_ok(), "{name} {body}: {theirs}, {got:?}");
        }
    }
}
