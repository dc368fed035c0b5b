//! `hookgate verify` on captures of real failures: changes that real tools (Python, Node, gzip, iconv, sed, curl) made
//! to a request are recognised, and no other cause is claimed.

mod bodies;
mod captures;
mod causes;
mod command;
mod documents;
mod gateway;
mod matrix;
mod published_keys;
mod values;
mod variations;

use crate::support::gateway::binary;
use crate::support::paddle::{PATH, SECRET, now, signature};
use crate::support::{Setup, Upstream};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A body as Paddle sends it: compact, non-ASCII characters escaped, slashes not escaped.
const BODY: &str = r#"{"event_id":"evt_01","event_type":"customer.created","data":{"name":"J\u00f3sef <&> \u65e5\u672c","url":"https://a.example/b","total":1.50,"n":[1,2]}}"#;
const SIGNED_AT_UNIX: u64 = 1_671_552_777;

/// The output of a real tool for this input.
fn run_tool(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

/// The result of one call of `verify`.
struct VerifyResult {
    /// Exit code.
    code: Option<i32>,
    /// The report as JSON.
    report: Value,
    /// The report as text, with standard error.
    human: String,
}

impl VerifyResult {
    fn causes(&self) -> Vec<&str> {
        let list = self.report["causes"].as_array().unwrap();
        list.iter().map(|finding| finding["cause"].as_str().unwrap()).collect()
    }

    /// Asserts that this is the only cause, and certain; its explanation contains `words`.
    #[track_caller]
    fn has_certain_cause(&self, cause: &str, words: &str) {
        self.has_only_cause(cause, words, true);
    }

    #[track_caller]
    fn has_likely_cause(&self, cause: &str, words: &str) {
        self.has_only_cause(cause, words, false);
    }

    #[track_caller]
    fn has_only_cause(&self, cause: &str, words: &str, certain: bool) {
        assert_eq!(self.causes(), [cause], "{}", self.human);
        let finding = &self.report["causes"][0];
        assert_eq!(finding["certain"], certain, "{}", self.human);
        assert!(
            finding["what"].as_str().unwrap().contains(words),
            "{words:?}: {}",
            self.human
        );
        assert!(self.human.contains("fix: "), "{}", self.human);
        assert_eq!((self.code, &self.report["genuine"]), (Some(1), &Value::Bool(false)));
    }
}

/// Runs the command with a capture on standard input.
fn run(capture: &[u8], arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut child = binary()
        .args(["verify", "-"])
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(capture).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs the command with a capture on standard input, twice: with JSON output and with output for people.
fn verify(capture: &[u8], arguments: &[&str], environment: &[(&str, &str)]) -> VerifyResult {
    let run_with = |more: &[&str]| {
        let output = run(capture, &[arguments, more].concat(), environment);
        let text = String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap();
        for (_, secret) in environment {
            let trimmed = secret.trim_matches(['"', '\'', '\n', ' ']);
            assert!(
                trimmed.len() < 12 || !text.contains(trimmed),
                "a secret is printed: {text}"
            );
        }
        (output.status.code(), text)
    };
    let (code, json) = run_with(&["--json"]);
    let report = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let (code_of_text, human) = run_with(&[]);
    assert_eq!(code_of_text, code);
    VerifyResult { code, report, human }
}

/// A raw HTTP request with this signature header and body.
fn raw_request(header: &str, body: &[u8]) -> Vec<u8> {
    [
        format!("POST {PATH} HTTP/1.1\r\nHost: shop.example\r\n{header}\r\n\r\n").as_bytes(),
        body,
    ]
    .concat()
}

/// Verifies a request whose signature was made for [`BODY`] but whose captured body is `body`.
fn verify_with_body(body: &[u8]) -> VerifyResult {
    let header = format!(
        "Paddle-Signature: {}",
        signature(SECRET, SIGNED_AT_UNIX, BODY.as_bytes())
    );
    verify(
        &raw_request(&header, body),
        &["--secret-env", "KEY"],
        &[("KEY", SECRET)],
    )
}

#[test]
fn a_genuine_request_is_genuine_in_every_capture_format() {
    let result = verify_with_body(BODY.as_bytes());
    assert_eq!(
        (result.code, &result.report["secret"], &result.report["signed"]),
        (Some(0), &"KEY".into(), &SIGNED_AT_UNIX.into())
    );
    assert!(
        result.causes().is_empty() && result.human.contains("--at"),
        "{}",
        result.human
    );

    // curl's own output for a request that it really sent, with the body in a file.
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("body.json");
    std::fs::write(&file, BODY).unwrap();
    let header = format!(
        "Paddle-Signature: {}",
        signature(SECRET, SIGNED_AT_UNIX, BODY.as_bytes())
    );
    let curl = Command::new("curl")
        .args([
            "-sv",
            "-o",
            "/dev/null",
            "-H",
            &header,
            "--data-binary",
            &format!("@{}", file.display()),
        ])
        .arg(format!("{}{PATH}", upstream.url()))
        .output()
        .unwrap();
    let arguments = ["--secret-env", "KEY", "--body", file.to_str().unwrap()];
    let result = verify(&curl.stderr, &arguments, &[("KEY", SECRET)]);
    assert_eq!(
        (result.code, result.report["capture"].as_str()),
        (Some(0), Some("output of curl -v"))
    );
    // The same request as the upstream received it.
    let recorded = upstream.only().raw.clone();
    let result = verify(&recorded, &["--secret-env", "KEY"], &[("KEY", SECRET)]);
    assert_eq!(
        (result.code, result.report["capture"].as_str()),
        (Some(0), Some("raw HTTP request"))
    );

    let har = serde_json::json!({ "log": { "entries": [{
        "startedDateTime": "2022-12-20T16:12:59.000Z",
        "request": { "method": "POST", "url": format!("https://a.example{PATH}"),
            "headers": [{ "name": "paddle-signature", "value": signature(SECRET, SIGNED_AT_UNIX, BODY.as_bytes()) }],
            "postData": { "mimeType": "application/json", "text": BODY } },
    }] } });
    let result = verify(har.to_string().as_bytes(), &["--secret-env", "KEY"], &[("KEY", SECRET)]);
    assert_eq!(
        (result.code, &result.report["age_seconds"]),
        (Some(0), &2.into()),
        "{}",
        result.human
    );
}

#[test]
fn slightly_wrong_secrets_are_recognised() {
    let sent = raw_request(
        &format!(
            "Paddle-Signature: {}",
            signature(SECRET, SIGNED_AT_UNIX, BODY.as_bytes())
        ),
        BODY.as_bytes(),
    );
    let result = |secret: &str| verify(&sent, &["--secret-env", "KEY"], &[("KEY", secret)]);
    result(&format!("\"{SECRET}\"")).has_certain_cause("secret_spelled", "`KEY` is in quotes");
    result(&format!("{SECRET}\n")).has_certain_cause("secret_spelled", "newline");
    result(&format!("PADDLE_WEBHOOK_SECRET={SECRET}")).has_certain_cause("secret_spelled", "name of a variable");
    result(&STANDARD.encode(SECRET)).has_certain_cause("secret_spelled", "Base64");
    result("pdl_live_apikey_01hs0t3tw21j988db1pam5xg8m_abc").has_likely_cause("wrong_kind_of_secret", "an API key");
    let unknown = result("pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_of_nobody");
    assert_eq!((unknown.code, unknown.causes()), (Some(1), vec![]));
    assert!(unknown.human.contains("None of the usual causes"), "{}", unknown.human);

    let sandbox = ["--secret-env", "LIVE", "--other-secret-env", "SANDBOX"];
    let environment = [
        ("LIVE", "pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_live_one"),
        ("SANDBOX", SECRET),
    ];
    verify(&sent, &sandbox, &environment).has_certain_cause("other_secret", "`SANDBOX`");
}

/// Without secrets on the command line, those of the configuration are used, and the secrets of the other routes are
/// known.
#[test]
fn the_configuration_knows_the_secrets_of_all_routes() {
    let other = "pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_of_the_other_route";
    let setup = Setup::new("http://127.0.0.1:1").more(
        "[[route]]\nname = \"second\"\npath = \"/second\"\nprovider = \"paddle\"\nsecrets = [{ env = \"SECOND\" }]\nupstream = \"http://127.0.0.1:1\"",
    );
    setup.write();
    let file = setup.file();
    let configuration = ["--config", file.to_str().unwrap()];
    let environment = [("PADDLE_WEBHOOK_SECRET", SECRET), ("SECOND", other)];
    let at = now();
    let sent = |secret: &str| {
        raw_request(
            &format!("Paddle-Signature: {}", signature(secret, at, BODY.as_bytes())),
            BODY.as_bytes(),
        )
    };
    let result = verify(&sent(SECRET), &configuration, &environment);
    assert_eq!(
        (result.code, &result.report["secret"]),
        (Some(0), &"current".into()),
        "{}",
        result.human
    );
    verify(&sent(other), &configuration, &environment).has_certain_cause("other_secret", "route `second`");
    let result = verify(
        &sent(other),
        &[&configuration[..], &["--route", "second"]].concat(),
        &environment,
    );
    assert_eq!(result.code, Some(0), "{}", result.human);
}

#[test]
fn clock_faults_are_recognised() {
    let sent = raw_request(
        &format!(
            "Paddle-Signature: {}",
            signature(SECRET, SIGNED_AT_UNIX, BODY.as_bytes())
        ),
        BODY.as_bytes(),
    );
    let at = |at: &str| verify(&sent, &["--secret-env", "KEY", "--at", at], &[("KEY", SECRET)]);
    assert_eq!(at(&(SIGNED_AT_UNIX + 5).to_string()).code, Some(0));
    let late = at(&(SIGNED_AT_UNIX + 125).to_string());
    late.has_certain_cause("clock", "125 s before the request was received, 120 s more");
    assert_eq!(late.report["reason"], "timestamp_stale");
    let early = at("2022-12-20T16:12:40Z");
    early.has_certain_cause("clock", "behind by at least 12 s");
    assert_eq!(early.report["reason"], "timestamp_future");
    at("now").has_certain_cause("clock", "ahead");
    let wider = verify(
        &sent,
        &[
            "--secret-env",
            "KEY",
            "--at",
            &(SIGNED_AT_UNIX + 125).to_string(),
            "--tolerance",
            "5m",
        ],
        &[("KEY", SECRET)],
    );
    assert_eq!(wider.code, Some(0));
}

#[test]
fn changed_headers_are_recognised() {
    let value = signature(SECRET, SIGNED_AT_UNIX, BODY.as_bytes());
    let result = |header: &str| {
        verify(
            &raw_request(header, BODY.as_bytes()),
            &["--secret-env", "KEY"],
            &[("KEY", SECRET)],
        )
    };
    result(&format!("Paddle-Signature: \"{value}\"")).has_certain_cause("header_rewritten", "quotes");
    result(&format!(
        "Paddle-Signature: {}",
        value.to_uppercase().replace("TS=", "ts=").replace("H1=", "h1=")
    ))
    .has_certain_cause("header_rewritten", "capitals");
    result(&format!(
        "Paddle-Signature: {}",
        value.replace(';', "%3B").replace('=', "%3D")
    ))
    .has_certain_cause("header_rewritten", "percent-encoded");
    result(&format!("Paddle-Signature: Paddle-Signature: {value}"))
        .has_certain_cause("header_rewritten", "its own name");
    result(&format!("Paddle-Signature: {value}\r\nPaddle-Signature: {value}"))
        .has_certain_cause("header_rewritten", "more than once");
    // The name in a WSGI environment.
    result(&format!("HTTP_PADDLE_SIGNATURE: {value}")).has_certain_cause("header_renamed", "http_paddle_signature");
}

#[test]
fn requests_of_another_sender_are_recognised() {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(BODY.as_bytes());
    let mac = mac.finalize().into_bytes();
    let result = |header: &str| {
        verify(
            &raw_request(header, BODY.as_bytes()),
            &["--secret-env", "KEY", "--provider", "paddle"],
            &[("KEY", SECRET)],
        )
    };
    result(&format!("X-Hub-Signature-256: sha256={}", hex::encode(mac)))
        .has_certain_cause("other_provider", "its signature fits that scheme");
    result("Stripe-Signature: t=1,v1=00").has_likely_cause("other_provider", "`stripe`");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/paddle-classic.json");
    let classic: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let form = classic[0]["form_body"].as_str().unwrap();
    verify(
        &raw_request("X-A: b", form.as_bytes()),
        &["--secret-env", "KEY", "--provider", "paddle"],
        &[("KEY", SECRET)],
    )
    .has_certain_cause("classic_payload", "Paddle Classic");
}

#[test]
fn urls_signed_in_another_form_are_recognised() {
    let sign = |url: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("{url}{BODY}").as_bytes());
        format!(
            "x-square-hmacsha256-signature: {}",
            STANDARD.encode(mac.finalize().into_bytes())
        )
    };
    let arguments = [
        "--provider",
        "square",
        "--secret-env",
        "KEY",
        "--public-url",
        "https://shop.example/webhooks/paddle",
    ];
    let result = |url: &str| {
        verify(
            &raw_request(&sign(url), BODY.as_bytes()),
            &arguments,
            &[("KEY", SECRET)],
        )
    };
    assert_eq!(result("https://shop.example/webhooks/paddle").code, Some(0));
    result("http://shop.example/webhooks/paddle").has_certain_cause("public_url", "its scheme");
    result("https://shop.example/webhooks/paddle/").has_certain_cause("public_url", "the slash");
    assert_eq!(result("https://elsewhere.example/x").code, Some(1));
}

/// The causes in the table of docs/verify.md.
fn documented_causes() -> Vec<String> {
    let text = include_str!("../../../../docs/verify.md");
    let (_, table) = text.split_once("| cause | meaning |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| `"));
    rows.map(|line| line.split('`').nth(1).unwrap().to_owned()).collect()
}

/// Every cause is documented, and every documented one is shown by one of the tests in this folder.
#[test]
fn every_cause_is_documented_and_shown_by_a_captured_request() {
    let documented = documented_causes();
    assert!(documented.len() >= 25, "{documented:?}");
    let unknown = verify_with_body(b"a=b&c=d e\r\n").report["tried"].clone();
    for cause in unknown.as_array().unwrap() {
        assert!(
            documented.iter().any(|known| known == cause),
            "{cause} is not in docs/verify.md"
        );
    }
    let tests = concat!(
        include_str!("mod.rs"),
        include_str!("bodies.rs"),
        include_str!("causes.rs"),
        include_str!("gateway.rs"),
        include_str!("published_keys.rs")
    );
    // What only a configuration with tenants can show.
    let tenants = include_str!("../tenants/combined.rs");
    for cause in documented {
        let is_called = |assertion: &str| tests.contains(&format!(".{assertion}(\"{cause}\""));
        assert!(
            is_called("has_certain_cause")
                || is_called("has_likely_cause")
                || tenants.contains(&format!("contains(\"{cause}\")")),
            "no test shows {cause}"
        );
    }
}
