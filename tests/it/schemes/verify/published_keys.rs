//! `verify` for schemes whose keys are published: nothing is fetched, so that the keys are given, or the report says what it
//! cannot say.

use super::{VerifyResult, run, verify};
use crate::schemes::fetched::{Key, set};
use crate::support::{Setup, Upstream};

fn certain(result: &VerifyResult, words: &str) {
    result.has_certain_cause("published_keys", words);
}

#[test]
fn a_token_is_verified_with_the_keys_of_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (key, other, imitated) = (Key::new("key"), Key::new("other"), Key::new("key"));
    let right = file("right.jwks", &set(&[&other, &key]));
    let old = file("old.jwks", &set(&[&other]));
    let wrong = file("wrong.jwks", &set(&[&imitated]));
    let capture = key.request(1);
    let with = |keys: &str| verify(&capture, &["--provider", "fusionauth", "--keys", keys], &[]);
    let genuine = with(&right);
    assert_eq!(genuine.code, Some(0), "{}", genuine.human);
    let changed = String::from_utf8(capture.clone())
        .unwrap()
        .replace("\"id\":\"1\"", "\"id\":\"2\"");
    let result = verify(changed.as_bytes(), &["--provider", "fusionauth", "--keys", &right], &[]);
    assert_eq!(result.code, Some(1), "{}", result.human);
    assert_eq!(result.report["reason"], "signature_mismatch", "{}", result.human);
    assert_eq!(with(&wrong).report["reason"], "signature_mismatch");
    let unknown = with(&old);
    assert_eq!(unknown.code, Some(1));
    certain(&unknown, "does not have");
    let broken = with(&file("broken.jwks", "<html>"));
    certain(&broken, "does not have");
    let missing = run(&capture, &["--provider", "fusionauth", "--keys", "/no/such/file"], &[]);
    assert_eq!(missing.status.code(), Some(2));
    let text = String::from_utf8(missing.stderr).unwrap();
    assert!(text.contains("the file /no/such/file does not exist"), "{text}");
}

/// With a configuration, and without the keys: what was not verified is said, with the place of the keys.
#[test]
fn without_keys_the_report_says_what_was_not_verified() {
    let upstream = Upstream::ok();
    let key = Key::new("key");
    let setup = Setup::new(&upstream.url()).more(&format!(
        "[[route]]\nname = \"tokens\"\npath = \"/tokens\"\nprovider = \"fusionauth\"\nkeys = {{ url = \"https://keys.example.com/jwks\" }}\nupstream = {:?}\n",
        upstream.url()
    ));
    setup.write();
    let path = setup.file().display().to_string();
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.jwks");
    std::fs::write(&keys, set(&[&key])).unwrap();
    let capture = key.request(1);
    let secret = [("PADDLE_WEBHOOK_SECRET", crate::support::paddle::SECRET)];
    let without = verify(&capture, &["--config", &path], &secret);
    assert_eq!(without.code, Some(1), "{}", without.human);
    certain(&without, "neither the signature was verified");
    assert!(
        without.human.contains("https://keys.example.com/jwks"),
        "{}",
        without.human
    );
    let with = verify(
        &capture,
        &["--config", &path, "--keys", keys.to_str().unwrap()],
        &secret,
    );
    assert_eq!(with.code, Some(0), "{}", with.human);
}
