//! `hookgate verify` as a command: it accepts what `hookgate sign` makes, and explains mistakes on the command line.

use super::{SIGNED_AT_UNIX, raw_request, run, verify};
use crate::support::gateway::binary;
use crate::support::paddle::SECRET;
use hookgate::scheme::{Algorithm, KeyEncoding, presets};

/// `sign` makes headers for every preset that can be signed, and `verify` accepts them.
#[test]
fn verify_accepts_what_sign_makes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("body.json");
    std::fs::write(
        &file,
        format!("{{\"id\":\"1\",\"webhookTimestamp\":{SIGNED_AT_UNIX}000}}"),
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let mut signed = 0;
    for provider in presets::names() {
        let row = presets::description(provider).unwrap();
        let secret = match row.key.as_ref().and_then(|key| key.encoding) {
            Some(KeyEncoding::Hex) => "74F490DD33F7327BAECC88B2947C011F",
            _ if row.algorithm == Some(Algorithm::Basic) => "user:MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            _ => "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        };
        let mut common = vec!["--provider", provider, "--secret-env", "KEY"];
        if presets::signs_url(provider) {
            common.extend(["--public-url", "https://hooks.example.com"]);
        }
        let output = binary()
            .args(["sign", file, "--timestamp", &SIGNED_AT_UNIX.to_string()])
            .args(&common)
            .env("KEY", secret)
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let is_in_body = presets::signature_header(provider).is_none() && row.algorithm != Some(Algorithm::Basic);
        // Where the body has the value that is signed, `sign` prints the signed body.
        if is_in_body && output.status.success() {
            continue;
        }
        if presets::takes_public_keys(provider) || presets::fetches_keys(provider) || is_in_body {
            assert_eq!(output.status.code(), Some(2), "{provider}: {text}");
            let says_why = text.contains("key") || text.contains("certificate");
            assert!(says_why && !text.contains(secret), "{provider}: {text}");
            continue;
        }
        assert_eq!(output.status.code(), Some(0), "{provider}: {text}");
        let at = SIGNED_AT_UNIX.to_string();
        let result = verify(
            text.as_bytes(),
            &[&common[..], &["--body", file, "--at", &at]].concat(),
            &[("KEY", secret)],
        );
        // A token is sent as it is: this is how the scheme works.
        assert_eq!(result.code, Some(0), "{provider}: {}", result.human);
        signed += 1;
    }
    assert!(signed >= 70, "{signed}");
}

/// Mistakes on the command line: exit code 2, and a message with the correction.
#[test]
fn mistakes_on_the_command_line_exit_with_2() {
    let sent = raw_request("Paddle-Signature: ts=1;h1=00", b"{}");
    for (capture, arguments, words) in [
        (&sent[..], &["--secret-env", "NOT_THERE"][..], "NOT_THERE"),
        (
            b"Paddle-Signature: x\nContent-Length: 5\n",
            &["--secret-env", "KEY"],
            "--body",
        ),
        (b"not a captured request", &["--secret-env", "KEY"], "no known form"),
        (b"", &["--secret-env", "KEY"], "the capture is empty"),
        (&sent, &["--secret-env", "KEY", "--at", "yesterday"], "--at"),
        (
            &sent,
            &["--secret-env", "KEY", "--provider", "padle"],
            "did you mean `paddle`",
        ),
        (&sent, &["--config", "/nonexistent.toml"], "--secret-env"),
        (&sent, &["--secret-env", "KEY", "--entry", "1"], "only one request"),
    ] {
        let output = run(capture, arguments, &[("KEY", SECRET)]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}

/// The explanation of a refusal names the pages that describe its cause and its reason, and the anchors exist.
#[test]
fn the_explanation_of_a_refusal_links_to_the_documentation() {
    let result = super::verify_with_body(b"{}");
    let pages = result.report["documentation"].as_array().unwrap();
    assert_eq!(pages.len(), 2);
    for page in pages {
        let page = page.as_str().unwrap();
        assert!(result.human.contains(page), "{}", result.human);
        let (file, anchor) = page.split_once('#').unwrap();
        let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let has_anchor = text
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .any(|heading| heading.to_lowercase().replace(' ', "-") == anchor);
        assert!(has_anchor, "{page}");
    }
    let genuine = super::verify_with_body(super::BODY.as_bytes());
    assert!(
        genuine.report["documentation"].is_null() && !genuine.human.contains("docs/"),
        "{}",
        genuine.human
    );
}
