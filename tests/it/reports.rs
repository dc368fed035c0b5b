//! Situations that people reported in public, rebuilt with inputs of our own. Each is a folder of `tests/reports` with a
//! `case.json` (kind `serve`, `verify` or `check`, and what is expected) and the files that it names.

use crate::support::gateway::binary;
use crate::support::logs::Logs;
use crate::support::tools::repository;
use crate::support::upstream::{AfterAnswer, Connection, Upstream, answer};
use crate::support::wait::eventually;
use regex::bytes::RegexBuilder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    kind: Kind,
    /// Arguments of the command; `@name` is a file of the case's folder.
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    exit: Option<i32>,
    /// Regular expressions that the output (`serve`: the log) must match.
    #[serde(default)]
    wanted: Vec<String>,
    #[serde(default)]
    unwanted: Vec<String>,
    #[serde(default)]
    steps: Vec<Step>,
    /// Seconds that the application takes for an answer.
    #[serde(default)]
    upstream_delay: f64,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Serve,
    Verify,
    Check,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// A file with the bytes to send.
    send: Option<String>,
    /// Or a command line; `{PORT}` is the listener's port.
    shell: Option<String>,
    /// Statuses, one of which is wanted.
    #[serde(default)]
    status: Vec<u16>,
    /// Requests that reach the application because of this step.
    forwarded: Option<usize>,
    /// Seconds that the sender waits for an answer.
    #[serde(default = "eight")]
    wait: f64,
    /// Seconds until everything that was forwarded so far has its outcome. The test polls for those outcomes instead.
    #[serde(default)]
    pause: f64,
    #[serde(default)]
    answer: Vec<String>,
    #[serde(default)]
    upstream_sees: Vec<String>,
}

fn eight() -> f64 {
    8.0
}

fn folder(name: &str) -> PathBuf {
    repository("tests/reports").join(name)
}

fn matches(pattern: &str, text: &[u8]) -> bool {
    let pattern = RegexBuilder::new(pattern)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .build();
    pattern.unwrap().is_match(text)
}

fn judge(case: &Case, text: &str) {
    for pattern in &case.wanted {
        assert!(
            matches(pattern, text.as_bytes()),
            "nothing like /{pattern}/ in:\n{text}"
        );
    }
    for pattern in &case.unwanted {
        assert!(!matches(pattern, text.as_bytes()), "/{pattern}/ is in:\n{text}");
    }
}

fn hold(name: &str) {
    let folder = folder(name);
    let case: Case = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
    match case.kind {
        Kind::Serve => serve(&case, &folder),
        Kind::Verify | Kind::Check => command(&case, &folder),
    }
}

fn command(case: &Case, folder: &Path) {
    let argument = |argument: &String| match argument.strip_prefix('@') {
        Some(file) => folder.join(file).into_os_string(),
        None => argument.into(),
    };
    let output = binary()
        .args(case.args.iter().map(argument))
        .envs(&case.env)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    judge(case, &text);
    if let Some(exit) = case.exit {
        assert_eq!(output.status.code(), Some(exit), "exit status; output:\n{text}");
    }
}

fn serve(case: &Case, folder: &Path) {
    let delay = Duration::from_secs_f64(case.upstream_delay);
    let upstream = Upstream::new(move |_, connection: &mut Connection| -> AfterAnswer {
        std::thread::sleep(delay); // The application's own time to think, which the case is about.
        connection.send(&answer("200 OK", &[], b"ok"))
    });
    let (port, admin) = (free_port(), free_port());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    let upstream_port = upstream.url().rsplit(':').next().unwrap().to_owned();
    let text = std::fs::read_to_string(folder.join("gateway.toml")).unwrap();
    let text = text
        .replace("{PORT}", &port.to_string())
        .replace("{ADMIN}", &admin.to_string())
        .replace("{UP}", &upstream_port)
        .replace("{DIR}", folder.to_str().unwrap());
    std::fs::write(&file, text).unwrap();
    let mut command = binary();
    command.args(["serve", "--config"]).arg(&file).envs(&case.env);
    let mut child = Running(command.spawn().unwrap());
    let logs = Logs::default();
    logs.follow(child.0.stdout.take().unwrap());
    logs.follow(child.0.stderr.take().unwrap());
    eventually("readiness", || {
        if let Some(status) = child.0.try_wait().unwrap() {
            panic!("hookgate ended with {status}:\n{}", logs.text());
        }
        let (status, _) = exchange(
            admin,
            b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            2.0,
        )?;
        (status == Some(200)).then_some(())
    });
    for step in &case.steps {
        let before = upstream.requests().len();
        let what = step.send.as_ref().or(step.shell.as_ref()).unwrap();
        let (status, answer) = match (&step.send, &step.shell) {
            (Some(send), _) => exchange(port, &std::fs::read(folder.join(send)).unwrap(), step.wait).unwrap(),
            (None, Some(shell)) => {
                let line = shell.replace("{PORT}", &port.to_string());
                let output = Command::new("sh")
                    .args(["-c", &line])
                    .current_dir(folder)
                    .output()
                    .unwrap();
                let status = output.status.code().and_then(|code| u16::try_from(code).ok());
                (status, [output.stdout, output.stderr].concat())
            }
            (None, None) => unreachable!(),
        };
        let told = String::from_utf8_lossy(&answer);
        if !step.status.is_empty() {
            assert!(
                status.is_some_and(|status| step.status.contains(&status)),
                "{what}: {status:?}\n{told}\n{}",
                logs.text()
            );
        }
        if let Some(forwarded) = step.forwarded {
            eventually("the requests that the application gets", || {
                (upstream.requests().len() >= before + forwarded).then_some(())
            });
            assert_eq!(
                upstream.requests().len() - before,
                forwarded,
                "{what}: forwarded\n{}",
                logs.text()
            );
        }
        if step.pause > 0.0 {
            eventually("an audit line of each forwarded request", || {
                let lines = logs.objects();
                let settled = lines.iter().filter(|line| line["verdict"].is_string()).count();
                (settled >= upstream.requests().len()).then_some(())
            });
        }
        for pattern in &step.answer {
            assert!(
                matches(pattern, &answer),
                "{what}: the answer has nothing like /{pattern}/:\n{told}"
            );
        }
        for pattern in &step.upstream_sees {
            let seen = upstream.requests();
            let head = format!("{:?}", seen.last().expect("a forwarded request").message);
            assert!(
                matches(pattern, head.as_bytes()),
                "{what}: the application sees nothing like /{pattern}/:\n{head}"
            );
        }
    }
    for pattern in &case.wanted {
        eventually(&format!("/{pattern}/ in the log"), || {
            matches(pattern, logs.text().as_bytes()).then_some(())
        });
    }
    judge(case, &logs.text());
}

struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends `request` and reads one answer for `seconds` at most: its status, if there was one, and its bytes. `None` when
/// nobody listens.
fn exchange(port: u16, request: &[u8], seconds: f64) -> Option<(Option<u16>, Vec<u8>)> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    let mut answer = Vec::new();
    if socket.write_all(request).is_ok() {
        let mut piece = [0; 65536];
        while !is_whole(&answer, request.starts_with(b"HEAD")) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left)).unwrap();
            match socket.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(length) => answer.extend_from_slice(&piece[..length]),
            }
        }
    }
    let status = answer
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok());
    Some((status, answer))
}

fn is_whole(answer: &[u8], to_head: bool) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
    to_head || length.is_some_and(|length| body.len() >= length.trim().parse::<usize>().unwrap())
}

/// A test for each case, and a test that no folder is without one.
macro_rules! cases {
    ($($name:ident = $folder:literal,)*) => {
        $(#[test]
        fn $name() {
            hold($folder);
        })*

        #[test]
        fn every_case_has_a_test() {
            let mut tested: Vec<&str> = vec![$($folder),*];
            tested.sort_unstable();
            let mut folders: Vec<String> = std::fs::read_dir(repository("tests/reports"))
                .unwrap()
                .map(|entry| entry.unwrap())
                .filter(|entry| entry.path().is_dir())
                .map(|entry| entry.file_name().into_string().unwrap())
                .collect();
            folders.sort_unstable();
            assert_eq!(folders, tested);
        }
    };
}

cases! {
    a_genuine_webhook_is_forwarded_and_a_forged_one_is_not = "genuine-and-forged",
    one_reference_of_several_events_is_several_deliveries = "a1-dedupe-one-reference-several-events",
    one_event_id_under_two_secrets_is_two_deliveries = "a2-dedupe-one-event-id-two-apps",
    a_retried_batch_is_recognised = "a4-dedupe-batches",
    identical_notifications_are_each_forwarded = "a5-identical-genuine-notifications",
    a_retry_after_a_lost_answer_is_acknowledged = "a7-retry-after-a-lost-answer",
    the_largest_body_of_the_provider_is_accepted = "f5-largest-body-of-a-preset",
    the_application_gets_its_own_host = "f1-host-of-the-upstream",
    the_application_gets_its_own_path = "f2-other-path-at-the-application",
    a_preset_answers_the_head_that_its_provider_sends = "b1-head-before-saving-preset",
    a_custom_route_answers_a_head = "b2-head-before-saving-custom",
    an_unsigned_ping_is_answered = "b3-unsigned-ping",
    a_parameter_is_echoed = "b5-handshake-validation-token",
    a_challenge_may_follow_parameters_of_the_url = "b6-handshake-behind-a-query-of-ones-own",
    custom_verifies_rsa_with_sha256 = "c1-rsa-sha256",
    custom_signs_a_parameter_of_the_query = "c2-query-parameter-in-the-payload",
    custom_reads_several_signature_headers = "c4-one-signature-header-per-key",
    custom_reads_hex_in_capitals = "c5-hex-in-capitals",
    a_time_may_have_an_offset_without_a_colon = "c9-offset-without-colon",
    one_slip_is_one_fault = "f10-one-slip-two-faults",
    a_custom_time_without_a_tolerance_is_named = "f9-time-without-tolerance",
    a_secret_may_have_its_version_before_it = "c11-secret-shown-with-version",
    the_signed_url_has_a_user_and_a_password = "c10-user-and-password-in-the-url",
    mailgun_forms_of_both_kinds_are_verified = "c8-multipart-and-urlencoded-forms",
    an_address_in_brackets_is_the_senders = "f3-bracketed-address",
    the_certificate_has_a_kind_of_key_that_the_sender_accepts = "e2-two-kinds-of-key-for-one-name",
    a_failed_handshake_is_logged_with_the_peer = "e3-failed-handshakes-are-not-told",
    a_refusal_without_a_route_says_what_was_asked = "f6-no-route-does-not-say-what",
    a_missing_signature_header_is_named = "d1-no-signature-header",
    json_escapes_of_a_sender_are_undone = "d11-json-escapes-of-a-sender-1",
    an_empty_object_that_became_a_list_is_undone = "d14-empty-object-became-list",
    line_ends_between_events_are_undone = "d16-line-ends-between-events",
    a_body_saved_as_a_json_string_is_recognised = "d17-json-string-of-the-body",
    hex_in_place_of_base64_is_recognised = "d19-hex-in-place-of-base64",
    commas_in_place_of_semicolons_are_recognised = "d2-header-with-commas",
    a_percent_encoded_secret_is_recognised = "d21-secret-percent-encoded",
    a_plus_that_became_a_space_in_a_secret_is_recognised = "d22-secret-plus-became-space",
    typographic_quotes_around_a_secret_are_recognised = "d24-secret-smart-quotes",
    a_publishable_key_is_no_signing_secret = "d25-publishable-key-as-secret",
    check_warns_about_an_api_key = "d26-check-is-silent-on-an-api-key",
    a_secret_of_a_custom_route_in_quotes_is_recognised = "d27-custom-route-secret-in-quotes",
    genuine_without_a_route_is_refused = "d28-genuine-but-no-route",
    genuine_but_too_large_is_refused = "d29-genuine-but-too-large",
    the_test_secret_of_a_provider_is_recognised = "d33-the-providers-test-secret",
    the_older_header_of_a_provider_is_its_own = "d34-older-header-of-the-same-provider",
    a_curl_command_is_a_capture = "d37-capture-curl-command",
    an_event_of_a_function_is_a_capture = "d39-capture-function-event",
    a_form_that_javascript_wrote_again_is_recognised = "d4-form-written-again-js",
    a_byte_order_mark_before_a_capture_is_skipped = "d41-capture-with-byte-order-mark",
    a_request_line_without_a_version_is_read = "d42-capture-without-version",
    trimmed_values_of_a_classic_form_are_recognised = "d6-classic-values-trimmed",
    lost_empty_fields_of_a_classic_form_are_recognised = "d7-classic-empty-values-lost",
    a_classic_form_saved_as_json_is_recognised = "d9-classic-as-json",
    check_warns_of_a_chain_without_its_intermediate = "e1-leaf-only",
    sign_knows_a_custom_route = "f11-signing-for-custom",
}
