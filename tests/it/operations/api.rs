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
