//! `hookgate verify` on captures of real failures: changes that real tools (Python, Node, gzip, iconv, sed, curl) made
//! to a request are recognised, and no other cause is claimed.

mod bodies;

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

/// As Paddle sends it: compact, non-ASCII escaped, slashes plain.
const BODY: &str = r#"{"event_id":"evt_01","event_type":"customer.created","data":{"name":"J\u00f3sef <&> \u65e5\u672c","url":"https://a.example/b","total":1.50,"n":[1,2]}}"#;
const AT: u64 = 1_671_552_777;

/// The output of a real tool for this input.
fn through(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
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

struct Told {
    code: Option<i32>,
    report: Value,
    human: String,
}

impl Told {
    fn causes(&self) -> Vec<&str> {
        let list = self.report["causes"].as_array().unwrap();
        list.iter().map(|finding| finding["cause"].as_str().unwrap()).collect()
    }

    /// Asserts that this is the only cause, and certain; its explanation contains `words`.
    #[track_caller]
    fn is(&self, cause: &str, words: &str) {
        self.has(cause, words, true);
    }

    #[track_caller]
    fn is_likely(&self, cause: &str, words: &str) {
        self.has(cause, words, false);
    }

    #[track_caller]
    fn has(&self, cause: &str, words: &str, certain: bool) {
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
fn verify(capture: &[u8], arguments: &[&str], environment: &[(&str, &str)]) -> Told {
    let tell = |more: &[&str]| {
        let output = run(capture, &[arguments, more].concat(), environment);
        let said = String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap();
        for (_, secret) in environment {
            let bare = secret.trim_matches(['"', '\'', '\n', ' ']);
            assert!(bare.len() < 12 || !said.contains(bare), "a secret is printed: {said}");
        }
        (output.status.code(), said)
    };
    let (code, json) = tell(&["--json"]);
    let report = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let (again, human) = tell(&[]);
    assert_eq!(again, code);
    Told { code, report, human }
}

/// A raw request with this signature header and body.
fn raw(header: &str, body: &[u8]) -> Vec<u8> {
    [
        format!("POST {PATH} HTTP/1.1\r\nHost: shop.example\r\n{header}\r\n\r\n").as_bytes(),
        body,
    ]
    .concat()
}

/// [`BODY`] as signed, saved with `body` in its place.
fn changed(body: &[u8]) -> Told {
    let header = format!("Paddle-Signature: {}", signature(SECRET, AT, BODY.as_bytes()));
    verify(&raw(&header, body), &["--secret-env", "KEY"], &[("KEY", SECRET)])
}

#[test]
fn a_genuine_request_is_genuine_in_every_form() {
    let told = changed(BODY.as_bytes());
    assert_eq!(
        (told.code, &told.report["secret"], &told.report["signed"]),
        (Some(0), &"KEY".into(), &AT.into())
    );
    assert!(
        told.causes().is_empty() && told.human.contains("--at"),
        "{}",
        told.human
    );

    // curl's own output for a request that it really sent, with the body in a file.
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("body.json");
    std::fs::write(&file, BODY).unwrap();
    let header = format!("Paddle-Signature: {}", signature(SECRET, AT, BODY.as_bytes()));
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
    let told = verify(&curl.stderr, &arguments, &[("KEY", SECRET)]);
    assert_eq!(
        (told.code, told.report["capture"].as_str()),
        (Some(0), Some("output of curl -v"))
    );
    // The same request as the upstream recorded it.
    let recorded = upstream.only().raw.clone();
    let told = verify(&recorded, &["--secret-env", "KEY"], &[("KEY", SECRET)]);
    assert_eq!(
        (told.code, told.report["capture"].as_str()),
        (Some(0), Some("raw HTTP request"))
    );

    let har = serde_json::json!({ "log": { "entries": [{
        "startedDateTime": "2022-12-20T16:12:59.000Z",
        "request": { "method": "POST", "url": format!("https://a.example{PATH}"),
            "headers": [{ "name": "paddle-signature", "value": signature(SECRET, AT, BODY.as_bytes()) }],
            "postData": { "mimeType": "application/json", "text": BODY } },
    }] } });
    let told = verify(har.to_string().as_bytes(), &["--secret-env", "KEY"], &[("KEY", SECRET)]);
    assert_eq!(
        (told.code, &told.report["age_seconds"]),
        (Some(0), &2.into()),
        "{}",
        told.human
    );
}

#[test]
fn slightly_wrong_secrets_are_recognised() {
    let sent = raw(
        &format!("Paddle-Signature: {}", signature(SECRET, AT, BODY.as_bytes())),
        BODY.as_bytes(),
    );
    let told = |secret: &str| verify(&sent, &["--secret-env", "KEY"], &[("KEY", secret)]);
    told(&format!("\"{SECRET}\"")).is("secret_spelled", "`KEY` stands in quotes");
    told(&format!("{SECRET}\n")).is("secret_spelled", "newline");
    told(&format!("PADDLE_WEBHOOK_SECRET={SECRET}")).is("secret_spelled", "name of a variable");
    told(&STANDARD.encode(SECRET)).is("secret_spelled", "Base64");
    told("pdl_live_apikey_01hs0t3tw21j988db1pam5xg8m_abc").is_likely("wrong_kind_of_secret", "an API key");
    let stranger = told("pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_a_stranger");
    assert_eq!((stranger.code, stranger.causes()), (Some(1), vec![]));
    assert!(
        stranger.human.contains("None of the usual causes"),
        "{}",
        stranger.human
    );

    let sandbox = ["--secret-env", "LIVE", "--other-secret-env", "SANDBOX"];
    let environment = [
        ("LIVE", "pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_live_one"),
        ("SANDBOX", SECRET),
    ];
    verify(&sent, &sandbox, &environment).is("other_secret", "`SANDBOX`");
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
        raw(
            &format!("Paddle-Signature: {}", signature(secret, at, BODY.as_bytes())),
            BODY.as_bytes(),
        )
    };
    let told = verify(&sent(SECRET), &configuration, &environment);
    assert_eq!(
        (told.code, &told.report["secret"]),
        (Some(0), &"current".into()),
        "{}",
        told.human
    );
    verify(&sent(other), &configuration, &environment).is("other_secret", "route `second`");
    let told = verify(
        &sent(other),
        &[&configuration[..], &["--route", "second"]].concat(),
        &environment,
    );
    assert_eq!(told.code, Some(0), "{}", told.human);
}

#[test]
fn clock_faults_are_recognised() {
    let sent = raw(
        &format!("Paddle-Signature: {}", signature(SECRET, AT, BODY.as_bytes())),
        BODY.as_bytes(),
    );
    let at = |at: &str| verify(&sent, &["--secret-env", "KEY", "--at", at], &[("KEY", SECRET)]);
    assert_eq!(at(&(AT + 5).to_string()).code, Some(0));
    let late = at(&(AT + 125).to_string());
    late.is("clock", "125 s before the request was received, 120 s more");
    assert_eq!(late.report["reason"], "timestamp_stale");
    let early = at("2022-12-20T16:12:40Z");
    early.is("clock", "behind by at least 12 s");
    assert_eq!(early.report["reason"], "timestamp_future");
    at("now").is("clock", "ahead");
    let wider = verify(
        &sent,
        &[
            "--secret-env",
            "KEY",
            "--at",
            &(AT + 125).to_string(),
            "--tolerance",
            "5m",
        ],
        &[("KEY", SECRET)],
    );
    assert_eq!(wider.code, Some(0));
}

#[test]
fn changed_headers_are_recognised() {
    let value = signature(SECRET, AT, BODY.as_bytes());
    let told = |header: &str| {
        verify(
            &raw(header, BODY.as_bytes()),
            &["--secret-env", "KEY"],
            &[("KEY", SECRET)],
        )
    };
    told(&format!("Paddle-Signature: \"{value}\"")).is("header_rewritten", "quotes");
    told(&format!(
        "Paddle-Signature: {}",
        value.to_uppercase().replace("TS=", "ts=").replace("H1=", "h1=")
    ))
    .is("header_rewritten", "capitals");
    told(&format!(
        "Paddle-Signature: {}",
        value.replace(';', "%3B").replace('=', "%3D")
    ))
    .is("header_rewritten", "percent-encoded");
    told(&format!("Paddle-Signature: Paddle-Signature: {value}")).is("header_rewritten", "its own name");
    told(&format!("Paddle-Signature: {value}\r\nPaddle-Signature: {value}")).is("header_rewritten", "more than once");
    // As a WSGI environment holds it.
    told(&format!("HTTP_PADDLE_SIGNATURE: {value}")).is("header_renamed", "http_paddle_signature");
}

#[test]
fn requests_of_another_sender_are_recognised() {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(BODY.as_bytes());
    let mac = mac.finalize().into_bytes();
    let told = |header: &str| {
        verify(
            &raw(header, BODY.as_bytes()),
            &["--secret-env", "KEY"],
            &[("KEY", SECRET)],
        )
    };
    told(&format!("X-Hub-Signature-256: sha256={}", hex::encode(mac))).is("other_provider", "as such it is genuine");
    told("Stripe-Signature: t=1,v1=00").is_likely("other_provider", "`stripe`");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/paddle-classic.json");
    let classic: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let form = classic[0]["form_body"].as_str().unwrap();
    verify(
        &raw("X-A: b", form.as_bytes()),
        &["--secret-env", "KEY"],
        &[("KEY", SECRET)],
    )
    .is("classic_payload", "Paddle Classic");
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
    let told = |url: &str| verify(&raw(&sign(url), BODY.as_bytes()), &arguments, &[("KEY", SECRET)]);
    assert_eq!(told("https://shop.example/webhooks/paddle").code, Some(0));
    told("http://shop.example/webhooks/paddle").is("public_url", "its scheme");
    told("https://shop.example/webhooks/paddle/").is("public_url", "the slash");
    assert_eq!(told("https://elsewhere.example/x").code, Some(1));
}

/// A cause without a capture above would be a guess.
#[test]
fn every_cause_has_a_capture() {
    let known = changed(BODY.as_bytes()).report["tried"].as_array().unwrap().clone();
    assert!(known.len() >= 14);
    for cause in known.iter().map(|cause| cause.as_str().unwrap()) {
        let shown = |how: &str| {
            concat!(include_str!("mod.rs"), include_str!("bodies.rs")).contains(&format!(".{how}(\"{cause}\""))
        };
        assert!(shown("is") || shown("is_likely"), "{cause} is not shown");
    }
}

/// `sign` makes headers for every preset that can be signed, and `verify` accepts them.
#[test]
fn verify_accepts_what_sign_makes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("body.json");
    std::fs::write(&file, format!("{{\"id\":\"1\",\"webhookTimestamp\":{AT}000}}")).unwrap();
    let file = file.to_str().unwrap();
    let mut signed = 0;
    for provider in hookgate::scheme::presets::names() {
        let secret = match provider {
            "adyen" | "adyen-platform" => "74F490DD33F7327BAECC88B2947C011F",
            _ => "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        };
        let mut common = vec!["--provider", provider, "--secret-env", "KEY"];
        if ["twilio", "square", "hubspot-v3"].contains(&provider) {
            common.extend(["--public-url", "https://hooks.example.com"]);
        }
        let output = binary()
            .args(["sign", file, "--timestamp", &AT.to_string()])
            .args(&common)
            .env("KEY", secret)
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        if ["sendgrid", "discord", "paddle-classic", "mailgun", "adyen"].contains(&provider) {
            assert_eq!(output.status.code(), Some(2), "{provider}: {said}");
            assert!(said.contains("key") && !said.contains(secret), "{provider}: {said}");
            continue;
        }
        assert_eq!(output.status.code(), Some(0), "{provider}: {said}");
        let at = AT.to_string();
        let told = verify(
            said.as_bytes(),
            &[&common[..], &["--body", file, "--at", &at]].concat(),
            &[("KEY", secret)],
        );
        // A token is sent as it is: this is how the scheme works.
        assert_eq!(told.code, Some(0), "{provider}: {}", told.human);
        signed += 1;
    }
    assert_eq!(signed, 25);
}

/// Mistakes on the command line: exit code 2, and a message with the correction.
#[test]
fn mistakes_on_the_command_line_exit_with_2() {
    let sent = raw("Paddle-Signature: ts=1;h1=00", b"{}");
    for (capture, arguments, words) in [
        (&sent[..], &["--secret-env", "NOT_THERE"][..], "NOT_THERE"),
        (
            b"Paddle-Signature: x\nContent-Length: 5\n",
            &["--secret-env", "KEY"],
            "--body",
        ),
        (b"nothing of the kind", &["--secret-env", "KEY"], "header line"),
        (&sent, &["--secret-env", "KEY", "--at", "yesterday"], "--at"),
        (
            &sent,
            &["--secret-env", "KEY", "--provider", "padle"],
            "did you mean `paddle`",
        ),
        (&sent, &["--config", "/nonexistent.toml"], "--secret-env"),
        (&sent, &["--secret-env", "KEY", "--entry", "1"], "HAR"),
    ] {
        let output = run(capture, arguments, &[("KEY", SECRET)]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}
