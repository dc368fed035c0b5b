//! Secrets: read byte for byte, checked, and never shown.

use super::{Fixture, SECRET};
use crate::scheme::SignRequest;
use crate::settings::Config;
use hmac::{Hmac, KeyInit, Mac};
use hyper::Method;
use sha2::Sha256;
use std::os::unix::fs::PermissionsExt;

const NOW: u64 = 1_671_552_777;

/// Asserts that the first key of the first route is `key`: its signature equals an HMAC that the test computes.
#[track_caller]
fn assert_key_is(config: &Config, key: &[u8]) {
    let request = SignRequest {
        method: &Method::POST,
        target: "/",
        delivery_id: None,
        body: b"{}",
    };
    let headers = config.routes[0].verifier.sign(0, &request, NOW).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{NOW}:{{}}").as_bytes());
    let expected = format!("ts={NOW};h1={}", hex::encode(mac.finalize().into_bytes()));
    assert_eq!(
        headers[0].1.to_str().unwrap(),
        expected,
        "{}",
        String::from_utf8_lossy(key)
    );
}

/// CASES I01, I02: the value of a variable is not parsed.
#[test]
fn a_secret_is_the_exact_value_of_its_variable() {
    for secret in [
        "123456",
        "0123",
        "+5",
        "true",
        "[abc]",
        "{a=b}",
        "\"quoted\"",
        "'q'",
        "  lead",
        "trail  ",
        "trail\n",
        "a,b",
        "1e9",
        "\u{fc}ber",
        "{ env = \"HOME\" }",
    ] {
        let fixture = Fixture::minimal("", "").variable("OTHER_SECRET", secret);
        let fixture = fixture.option("route.0.secrets.0.env", "OTHER_SECRET");
        assert_key_is(&fixture.config(), secret.as_bytes());
    }
}

/// A variable that a secret refers to is not a key, even if its name has the prefix of keys.
#[test]
fn a_secret_may_be_in_a_variable_with_our_prefix() {
    let fixture = Fixture::minimal("", "").variable("HOOKGATE_SECRET", "[abc]");
    assert_key_is(
        &fixture.option("route.0.secrets.0.env", "HOOKGATE_SECRET").config(),
        b"[abc]",
    );
}

#[test]
fn a_secret_may_be_binary() {
    use std::os::unix::ffi::OsStringExt as _;
    let mut fixture = Fixture::minimal("", "").option("route.0.secrets.0.env", "BINARY");
    fixture.environment.push((
        "BINARY".into(),
        std::ffi::OsString::from_vec(b"\xff\xfe\x80 binary".to_vec()),
    ));
    assert_key_is(&fixture.config(), b"\xff\xfe\x80 binary");
}

/// CASES I05: exactly one newline at the end is removed. Spaces, quotes and other likely mistakes get a warning.
#[test]
fn only_one_newline_at_the_end_of_a_secret_file_is_removed() {
    for (content, key, warning) in [
        (&b"0123456789abcdef01234567"[..], &b"0123456789abcdef01234567"[..], None),
        (b"0123456789abcdef01234567\n", b"0123456789abcdef01234567", None),
        (
            b"0123456789abcdef01234567\n\n",
            b"0123456789abcdef01234567\n",
            Some("line end"),
        ),
        (
            b"0123456789abcdef01234567\r\n",
            b"0123456789abcdef01234567\r",
            Some("line end"),
        ),
        (
            b" 0123456789abcdef01234567\n",
            b" 0123456789abcdef01234567",
            Some("space"),
        ),
        (
            b"\xef\xbb\xbf0123456789abcdef01234567",
            b"\xef\xbb\xbf0123456789abcdef01234567",
            Some("byte order mark"),
        ),
        (
            b"\"0123456789abcdef01234567\"",
            b"\"0123456789abcdef01234567\"",
            Some("quotes"),
        ),
        (
            b"0123456789abcdef0123456",
            b"0123456789abcdef0123456",
            Some("shorter than 24 bytes"),
        ),
    ] {
        let fixture = Fixture::minimal("", "").option("route.0.secrets", "{ file = \"secret\" }");
        fixture.write_private("secret", content);
        let config = fixture.config();
        assert_key_is(&config, key);
        match warning {
            None => assert!(config.warnings.is_empty(), "{:?}", config.warnings),
            Some(words) => assert!(
                config.warnings.len() == 1 && config.warnings[0].contains(words),
                "{:?}",
                config.warnings
            ),
        }
    }
}

#[test]
fn a_secret_file_that_everyone_can_read_gets_a_warning() {
    let fixture = Fixture::minimal("", "").option("route.0.secrets", "[{ file = \"secret\" }]");
    fixture.write_private("secret", SECRET.as_bytes());
    assert_eq!(fixture.config().warnings, Vec::<String>::new());
    std::fs::set_permissions(fixture.path("secret"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = fixture.config().warnings;
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("route[0].secrets[0].file: "),
        "{warnings:?}"
    );
}

/// CASES D09.
#[test]
fn empty_placeholder_and_duplicate_secrets_are_refused() {
    for (secret, words) in [
        ("", "empty"),
        (" \n", "empty"),
        ("changeme", "placeholder"),
        ("CHANGEME\n", "placeholder"),
        ("your-secret-here", "placeholder"),
        ("<paste the secret here>", "placeholder"),
        ("pdl_ntfset_...", "placeholder"),
        ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "placeholder"),
    ] {
        let fixture = Fixture::minimal("", "")
            .variable("BAD", secret)
            .option("route.0.secrets.0.env", "BAD");
        let faults = fixture.faults();
        assert!(
            faults.faults.len() == 1 && faults.to_string().contains(words),
            "{secret:?}: {faults}"
        );
        assert_eq!(faults.faults[0].key, "route[0].secrets[0]");
    }
    let twice = r#"[{ env = "PADDLE_WEBHOOK_SECRET" }, { env = "COPY" }]"#;
    let faults = Fixture::minimal("", "")
        .variable("COPY", SECRET)
        .option("route.0.secrets", twice)
        .faults();
    assert!(
        faults.faults.len() == 1 && faults.to_string().contains("the same secret as"),
        "{faults}"
    );
    let named = r#"[{ env = "PADDLE_WEBHOOK_SECRET", name = "a" }, { env = "OTHER", name = "a" }]"#;
    let faults = Fixture::minimal("", "")
        .variable("OTHER", "another secret that is long enough")
        .option("route.0.secrets", named)
        .faults();
    assert!(
        faults.faults.len() == 1 && faults.to_string().contains("named `a`"),
        "{faults}"
    );
}

#[test]
fn a_secret_has_exactly_one_readable_source() {
    for (secrets, key, words) in [
        (r#"[{ env = "PADDLE_WEBHOOK_SECRET", file = "a" }]"#, "[0]", "both"),
        (r#"[{ name = "a" }]"#, "[0]", "neither"),
        (r#"[{ env = "" }]"#, "[0].env", "name of a variable"),
        (r#"[{ env = "pdl_ntfset_canary+/=" }]"#, "[0].env", "name of a variable"),
        (
            r#"[{ env = "PADDLE_WEBHOOK_SECRET", name = "a b" }]"#,
            "[0].name",
            "letters",
        ),
        (r#"[{ value = "canary" }]"#, "[0].value", "must not be part"),
        (r#"["canary"]"#, "[0]", "must not be part"),
        (r#""canary""#, "", "must not be part"),
        (r#"[{ file = "missing" }]"#, "[0].file", "does not exist"),
        (r#"[{ file = "." }]"#, "[0].file", "not a regular file"),
        (r#"[{ file = "large" }]"#, "[0].file", "larger than 64 KiB"),
        (r#"[{ file = "empty" }]"#, "[0]", "empty"),
        ("[]", "", "neither `secrets` nor `public_keys`"),
        ("[5]", "[0]", "this is an integer"),
    ] {
        let fixture = Fixture::minimal("", "").option("route.0.secrets", secrets);
        fixture.write_private("large", &[b'a'; (64 << 10) + 1]);
        fixture.write_private("empty", b"\n");
        let faults = fixture.faults();
        let found = faults.faults.iter().find(|fault| fault.to_string().contains(words));
        assert!(
            found.is_some_and(|fault| fault.key == format!("route[0].secrets{key}")),
            "{secrets}: {faults}"
        );
        assert!(
            faults.faults.len() == 1 && !faults.to_string().contains("canary"),
            "{secrets}: {faults}"
        );
    }
}

/// Proof of a review: with a public key as the secret of a MAC, everyone who knows that key could sign.
#[test]
fn a_key_of_the_wrong_kind_is_a_fault_at_its_place() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----";
    let bare = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    for (provider, list, key, expected) in [
        (
            "paddle",
            "public_keys",
            pem,
            "put the provider's signing secret into `secrets`",
        ),
        ("paddle", "secrets", pem, "is a public key"),
        ("standard-webhooks", "public_keys", bare, "does not begin with `whpk_`"),
        ("discord", "secrets", bare, "move it to `public_keys`"),
        (
            "svix",
            "secrets",
            "whsec_AAAAAAAAAAAAAAAAAAA=",
            "the decoded secret is a placeholder",
        ),
    ] {
        let fixture = Fixture::new(&format!(
            "[listen]\naddress = \"0.0.0.0:8443\"\ntls = {{ certificate = \"DIR/tls.crt\", key = \"DIR/tls.key\" }}\n\n[[route]]\npath = \"/\"\nprovider = \"{provider}\"\n{list} = [{{ env = \"K\" }}]\nupstream = \"http://127.0.0.1:8000\"\n"
        ));
        let faults = fixture.variable("K", key).faults();
        let [fault] = &faults.faults[..] else {
            panic!("{faults}");
        };
        assert!(fault.key.starts_with(&format!("route[0].{list}[0]")), "{fault}");
        assert_eq!(fault.line, Some(8), "{fault}");
        assert!(fault.problem.contains(expected), "{fault}");
        assert!(!faults.to_string().contains(bare) || key == pem, "{faults}");
    }
}
