//! The API of operators on its Unix socket.

use crate::support::{Client, Gateway, Setup, Upstream, Webhook};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The path of the socket, and a gateway that serves it.
fn start(setup: Setup) -> (PathBuf, Gateway) {
    let socket = setup.directory().join("api.sock");
    let gateway = setup.more(&format!("[api]\nsocket = {socket:?}\n")).start();
    (socket, gateway)
}

fn get(socket: &Path, path: &str) -> serde_json::Value {
    let request = format!("GET {path} HTTP/1.1\r\nHost: hookgate\r\nConnection: close\r\n\r\n");
    let response = Client::unix(socket).exchange(request.as_bytes());
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn the_socket_shows_the_latest_requests_to_the_user_of_the_process() {
    let upstream = Upstream::ok();
    let (socket, gateway) = start(Setup::new(&upstream.url()));
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).status, 200);
    // It is recorded after its answer.
    gateway.wait_for_audit_lines("none", 1);
    assert_eq!(
        gateway.exchange(&Webhook::new("{}").signature(None).bytes()).status,
        401
    );
    let refused = gateway.wait_for_audit_lines("signature_missing", 1).remove(0);
    let all = get(&socket, "/api/v1/requests");
    let requests = all["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0]["request"], refused);
    let found = get(&socket, "/api/v1/requests?refused=1&route=paddle");
    assert_eq!(found["requests"].as_array().unwrap().len(), 1);
    assert_eq!(
        get(&socket, "/api/v1/requests?route=other")["requests"],
        serde_json::json!([])
    );
    let page = get(&socket, "/api/v1/requests?limit=1");
    let next = page["next"].as_u64().unwrap();
    let page = get(&socket, &format!("/api/v1/requests?limit=1&before={next}"));
    assert_eq!(page["requests"][0]["request"]["verdict"], "forwarded");
    assert!(page["next"].is_null());
    let id = refused["request_id"].as_str().unwrap();
    assert_eq!(get(&socket, &format!("/api/v1/requests/{id}"))["request"], refused);
    assert_eq!(get(&socket, "/api/v1/requests/nothing")["status"], 404);
    assert_eq!(get(&socket, "/api/v1/requests?limit=x")["status"], 400);
    let status = get(&socket, "/api/v1/status");
    assert_eq!(
        (&status["routes"][0]["name"], &status["latest_request"]),
        (&"paddle".into(), &2.into())
    );
}

/// The socket is no place for browsers, and nothing is changed by a method that should not.
#[test]
fn other_methods_and_pages_are_refused() {
    let upstream = Upstream::ok();
    let (socket, _gateway) = start(Setup::new(&upstream.url()));
    for (request, status) in [
        (
            "POST /api/v1/status HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            405,
        ),
        ("GET /api/v1/status HTTP/1.1\r\nHost: h\r\nOrigin: null\r\n\r\n", 403),
        ("GET /api/v2/status HTTP/1.1\r\nHost: h\r\n\r\n", 404),
        ("GET /api/v1/ HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    ] {
        let mut client = Client::unix(&socket);
        assert_eq!(client.exchange(request.as_bytes()).status, status, "{request}");
    }
}

/// With other formats and scopes of the log, the API shows every request.
#[test]
fn the_ring_does_not_depend_on_the_log() {
    for log in [r#"audit = "off""#, r#"audit = "refused""#, r#"format = "human""#] {
        let upstream = Upstream::ok();
        let (socket, gateway) = start(Setup::new(&upstream.url()).log(log));
        assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).status, 200);
        crate::support::eventually(log, || {
            let all = get(&socket, "/api/v1/requests");
            (all["requests"][0]["request"]["verdict"] == "forwarded").then_some(())
        });
    }
}

/// A live socket is never removed: a second process does not start.
#[test]
fn a_socket_in_use_is_not_taken() {
    let upstream = Upstream::ok();
    let (socket, gateway) = start(Setup::new(&upstream.url()));
    let second = Setup::new(&upstream.url()).more(&format!("[api]\nsocket = {socket:?}\n"));
    second.write();
    let output = Gateway::command(&second, &[], None).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("api.socket: cannot listen on"), "{text}");
    assert_eq!(get(&socket, "/api/v1/status")["process_id"], gateway.pid());
}

/// What `hookgate` prints with these arguments.
fn hookgate(arguments: &[&str]) -> (String, String) {
    let output = crate::support::gateway::binary().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// A refused request is captured, saved, and explained by `verify`; nothing of it can be used as a credential.
#[test]
fn refused_requests_are_captured_and_explained() {
    let upstream = Upstream::ok();
    let (socket, gateway) = start(Setup::new(&upstream.url()));
    let socket = socket.to_str().unwrap();
    let (printed, _) = hookgate(&["capture", "paddle", "--for", "10m", "--socket", socket]);
    assert!(printed.contains("captured for 10m"), "{printed}");
    assert_eq!(gateway.wait_for_actions("capture", 1)[0]["target"], "paddle");
    let genuine = Webhook::new(r#"{"event_type":"a"}"#)
        .header("Authorization", "Bearer canary-1")
        .header("Cookie", "canary-2")
        .header("X-Auth-Token", "canary-3");
    // The application's framework has written the body again: a space more.
    let text = String::from_utf8(genuine.bytes()).unwrap();
    let changed = text.replace(r#""event_type":"a""#, r#""event_type": "a""#);
    let length = format!("Content-Length: {}", r#"{"event_type":"a"}"#.len());
    let changed = changed.replace(
        &length,
        &format!("Content-Length: {}", r#"{"event_type":"a"}"#.len() + 1),
    );
    assert_eq!(gateway.exchange(changed.as_bytes()).status, 401);
    assert_eq!(
        gateway.exchange(&Webhook::new("{}").signature(None).bytes()).status,
        401
    );
    assert_eq!(gateway.exchange(&genuine.bytes()).status, 200);
    gateway.wait_for_audit_lines("none", 1);
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().to_str().unwrap();
    let (printed, notes) = hookgate(&["tail", "--refused", "--no-follow", "--save", saved, "--socket", socket]);
    assert_eq!(printed.lines().count(), 2, "{printed}");
    assert!(printed.contains("rejected signature_mismatch"), "{printed}");
    assert_eq!(notes.matches("saved: hookgate verify").count(), 2, "{notes}");
    let mut texts = String::new();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        texts.push_str(&std::fs::read_to_string(&path).unwrap());
        if !path.to_str().unwrap().contains("mismatch") {
            continue;
        }
        let mut verify = crate::support::gateway::binary();
        verify.env("PADDLE_WEBHOOK_SECRET", crate::support::paddle::SECRET);
        verify
            .arg("verify")
            .arg(&path)
            .arg("--config")
            .arg(gateway.setup.file());
        let output = String::from_utf8(verify.output().unwrap().stdout).unwrap();
        assert!(
            output.contains("JSON") && !output.contains("None of the usual causes"),
            "{output}"
        );
    }
    assert!(
        texts.contains("h1=") && texts.contains("[masked]") && !texts.contains("canary"),
        "{texts}"
    );
    // The signature of a genuine request would be accepted again, so it is not kept.
    let id =
        get(Path::new(socket), "/api/v1/requests?verdict=forwarded")["requests"][0]["request"]["request_id"].clone();
    let kept = get(Path::new(socket), &format!("/api/v1/captures/{}", id.as_str().unwrap())).to_string();
    assert!(
        kept.contains("event_type") && !kept.contains("h1=") && !kept.contains("canary"),
        "{kept}"
    );
    hookgate(&["capture", "paddle", "--off", "--socket", socket]);
    assert_eq!(
        gateway.exchange(&Webhook::new("[]").signature(None).bytes()).status,
        401
    );
    gateway.wait_for_audit_lines("signature_missing", 2);
    let all = get(Path::new(socket), "/api/v1/captures");
    assert_eq!(all["captures"].as_array().unwrap().len(), 3, "{all}");
}

/// A reader sees requests as they are recorded, and the lines are those of the audit log.
#[test]
fn tail_follows_and_filters() {
    let upstream = Upstream::ok();
    let (socket, gateway) = start(Setup::new(&upstream.url()));
    let mut command = crate::support::gateway::binary();
    command
        .args(["tail", "--json", "--refused", "--route", "paddle", "--socket"])
        .arg(&socket);
    let mut child = command.spawn().unwrap();
    let logs = crate::support::logs::Logs::default();
    logs.follow(child.stdout.take().unwrap());
    assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).status, 200);
    assert_eq!(
        gateway.exchange(&Webhook::new("{}").signature(None).bytes()).status,
        401
    );
    crate::support::eventually("the refused request", || {
        let lines = logs.objects();
        assert!(lines.iter().all(|line| line["verdict"] == "rejected"), "{lines:?}");
        (lines.len() == 1 && lines[0]["reason"] == "signature_missing").then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Values that the configuration names are shown, and nothing else of the body.
#[test]
fn named_values_are_shown() {
    let upstream = Upstream::ok();
    let (socket, gateway) = start(Setup::new(&upstream.url()).route(r#"capture = ["/event_type", "/absent"]"#));
    let body = r#"{"event_type":"<b>paid</b>","canary":"hidden"}"#;
    assert_eq!(gateway.exchange(&Webhook::new(body).bytes()).status, 200);
    gateway.wait_for_audit_lines("none", 1);
    let all = get(&socket, "/api/v1/captures");
    assert_eq!(
        all["captures"][0]["values"],
        serde_json::json!({ "/event_type": "\"<b>paid</b>\"" })
    );
    let id = all["captures"][0]["request_id"].as_str().unwrap();
    let kept = get(&socket, &format!("/api/v1/captures/{id}")).to_string();
    assert!(
        !kept.contains("hidden") && !all.to_string().contains("hidden"),
        "{kept}"
    );
}

/// With a scheme whose header is the secret itself, the header is masked, and `verify` claims nothing of it.
#[test]
fn a_masked_credential_is_not_judged() {
    let upstream = Upstream::ok();
    let setup = Setup::new(&upstream.url()).variable("LAB_TOKEN", "canary-token-0123456789");
    let socket = setup.directory().join("api.sock");
    let gateway = setup
        .more(&format!(
            "[api]\nsocket = {socket:?}\n[[route]]\nname = \"lab\"\npath = \"/lab\"\nprovider = \"gitlab-token\"\nsecrets = [{{ env = \"LAB_TOKEN\" }}]\ncapture = \"full\"\nupstream = {:?}\n",
            upstream.url()
        ))
        .start();
    let wrong = Webhook::new("{}")
        .path("/lab")
        .signature(None)
        .header("X-Gitlab-Token", "canary-wrong-0123456789");
    assert_eq!(gateway.exchange(&wrong.bytes()).status, 401);
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().to_str().unwrap();
    gateway.wait_for_audit_lines("signature_mismatch", 1);
    hookgate(&[
        "tail",
        "--refused",
        "--no-follow",
        "--save",
        saved,
        "--socket",
        socket.to_str().unwrap(),
    ]);
    let file = std::fs::read_dir(saved).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("[masked]") && !text.contains("canary"), "{text}");
    let mut verify = crate::support::gateway::binary();
    verify.env("LAB_TOKEN", "canary-token-0123456789").args([
        "verify",
        "--provider",
        "gitlab-token",
        "--secret-env",
        "LAB_TOKEN",
    ]);
    let output = String::from_utf8(verify.arg(&file).output().unwrap().stdout).unwrap();
    assert!(
        output.contains("was masked") && !output.contains("None of the usual causes"),
        "{output}"
    );
}

/// Without the API, the gateway itself writes what it refused: bounded in number, readable for its user only, without other
/// credentials. What was accepted is not written.
#[test]
fn refused_requests_are_written_to_a_directory() {
    let upstream = Upstream::ok();
    let setup = Setup::new(&upstream.url()).route("capture = \"full\"");
    let directory = setup.directory().join("captures/refused");
    let gateway = setup
        .more(&format!("[capture]\ndirectory = {directory:?}\ncount = 2\n"))
        .start();
    assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).status, 200);
    for body in ["[1]", "[2]", "[3]"] {
        let unsigned = Webhook::new(body).signature(None).header("Cookie", "canary");
        assert_eq!(gateway.exchange(&unsigned.bytes()).status, 401);
    }
    let files = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "har"));
        files.sort();
        files
    };
    let files = crate::support::eventually("the last request is written", || {
        let texts: Vec<String> = files().iter().flat_map(std::fs::read_to_string).collect();
        let is_last = texts.len() == 2 && texts.iter().any(|text| text.contains("[3]"));
        is_last.then(files)
    });
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains("signature_missing") && !text.contains("canary"), "{text}");
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let mut verify = crate::support::gateway::binary();
    verify.env("PADDLE_WEBHOOK_SECRET", crate::support::paddle::SECRET);
    verify
        .arg("verify")
        .arg(&files[0])
        .arg("--config")
        .arg(gateway.setup.file());
    let output = String::from_utf8(verify.output().unwrap().stdout).unwrap();
    assert!(output.contains("paddle-signature` is missing"), "{output}");
}
