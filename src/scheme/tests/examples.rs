//! The examples of `docs/schemes.md`: each description is accepted, and verifies the request beside it, which another
//! implementation signed.

use super::*;

const DOCUMENT: &str = include_str!("../../../docs/schemes.md");
const NOW: u64 = 1_700_000_000;
const KEY: &str = "a signing secret that is long enough";

/// The examples: description, and request where there is one.
fn examples() -> Vec<(&'static str, Option<&'static str>)> {
    let (_, rest) = DOCUMENT.split_once("<!-- examples of custom -->").unwrap();
    let (section, _) = rest.split_once("<!-- end of examples -->").unwrap();
    let block = |text: &'static str| text.split_once("\n```").unwrap();
    let example = |text: &'static str| {
        let (description, rest) = block(text);
        let request = rest.split_once("```http\n").map(|(_, request)| block(request).0);
        (description, request)
    };
    section.split("```toml\n").skip(1).map(example).collect()
}

#[test]
fn the_examples_of_custom_verify_the_requests_beside_them() {
    let examples = examples();
    assert!(examples.len() > 12);
    for (description, request) in examples {
        let custom: SchemeDescription = toml::from_str(description).unwrap();
        let Some(request) = request else {
            // Verified with keys that are made for the test in `words`.
            let faults = Verifier::new("custom", Some(custom), keys(&["x"]), None).unwrap_err();
            assert!(faults[0].contains("public key"), "{faults:?}");
            continue;
        };
        let secret = if description.contains("basic") {
            format!("user:{KEY}")
        } else {
            KEY.to_owned()
        };
        let verifier = Verifier::new("custom", Some(custom), keys(&[&secret]), None)
            .unwrap_or_else(|faults| panic!("{description}: {faults:?}"));
        let (head, body) = request.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let target = lines.next().unwrap().split(' ').nth(1).unwrap();
        let fields = lines.map(|line| line.split_once(": ").unwrap());
        let headers: Headers = fields
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        let verdict = |target: &str, headers: &Headers, body: &str| {
            let head = HeadRef {
                method: &Method::POST,
                target,
                headers,
            };
            verify(&verifier, &head, body.as_bytes(), NOW, Some(300)).map(drop)
        };
        assert_eq!(verdict(target, &headers, body), Ok(()), "{description}\n{request}");
        let other = Verifier::new(
            "custom",
            toml::from_str(description).ok(),
            keys(&["user:another secret that is long"]),
            None,
        );
        let head = HeadRef {
            method: &Method::POST,
            target,
            headers: &headers,
        };
        let refused = verify(&other.unwrap(), &head, body.as_bytes(), NOW, Some(300));
        assert_eq!(refused.map(drop), Err(Rejection::SignatureMismatch), "{description}");
    }
}

/// Every word of the tables is in an example, or in a preset, which is verified by the provider's own library.
#[test]
fn every_word_of_custom_is_shown() {
    let presets = include_str!("../presets.toml");
    let shown: String = examples().into_iter().map(|(description, _)| description).collect();
    let elsewhere = DOCUMENT.split("## Form digest").nth(1).unwrap();
    let words = DOCUMENT.split_once("| key | meaning |").unwrap().1;
    let words = words.split_once("### Signing").unwrap().0;
    for row in words.lines().filter_map(|line| line.strip_prefix("| `")) {
        let name = row.split('`').next().unwrap();
        if name == "{{" || (name == "form_digest" && elsewhere.contains("[route.custom.form_digest]")) {
            continue;
        }
        // Of `{query:NAME}` the part before the name.
        let stem = name.split([':', '}']).next().unwrap().trim_end_matches('?');
        let is_known = [presets, &shown, elsewhere].iter().any(|text| {
            text.lines().any(|line| {
                !line.starts_with('|')
                    && (line.contains(&format!("{name} = ")) || (stem.starts_with('{') && line.contains(stem)))
            })
        });
        assert!(is_known, "`{name}` is in no example");
    }
    for word in [
        "position =",
        "query =",
        "hex-upper",
        "base64url",
        "http-date",
        "rfc3339",
        "basic",
        "token",
        "rsa-sha256",
        "rsa-pss-sha256",
        "hmac-sha512",
        "forms = true",
        "undivided = true",
    ] {
        assert!(shown.contains(word), "{word}");
    }
}
