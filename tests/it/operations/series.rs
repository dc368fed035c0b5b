//! J01, J02: the label sets are closed: no value of a sender becomes a series, and the public listener serves no admin
//! path.

use crate::support::{Client, Setup, Upstream, Webhook};
use std::collections::BTreeSet;

/// J02: no value that a sender chooses becomes a series.
#[test]
fn hostile_requests_make_no_series() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let provoke = |number: usize| {
        let webhook = Webhook::new(format!("{number}"));
        let requests = [
            webhook.clone(),
            webhook.clone().path(&format!("/x/{number}")),
            webhook
                .clone()
                .path(&format!("/webhooks/paddle?{number}"))
                .signature(None),
            webhook.clone().method(&format!("METHOD{number}")),
            webhook
                .clone()
                .header("User-Agent-X", &format!("agent {number}"))
                .signature(Some("nonsense")),
            webhook.path(&format!("/%0d%0ahookgate_x{{a=\"{number}\"}}")),
        ];
        let mut client = gateway.connect();
        for request in requests {
            // A refusal may close the connection; it is enough that the request got a verdict.
            if client
                .try_send(&request.bytes())
                .and_then(|()| client.try_response(false))
                .is_err()
            {
                client = gateway.connect();
            }
        }
        let _ = std::net::TcpStream::connect(gateway.plain());
    };
    provoke(0);
    let named = |series: Vec<String>| -> BTreeSet<String> { series.into_iter().collect() };
    let first = named(gateway.metrics().series());
    assert!(first.len() > 20, "{first:?}");
    for number in 1..200 {
        provoke(number);
    }
    let grown: Vec<_> = named(gateway.metrics().series()).difference(&first).cloned().collect();
    assert!(grown.is_empty(), "new series: {grown:?}");
}

/// J01: the admin paths are served by the admin listener only.
#[test]
fn the_public_listeners_have_no_admin_paths() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    for path in ["/metrics", "/livez", "/readyz", "/debug", "/"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(gateway.exchange(request.as_bytes()).status, 404, "{path}");
    }
    let webhook = Webhook::new("{}").bytes();
    let status = Client::tcp(gateway.admin()).exchange(&webhook).status;
    assert!([404, 405].contains(&status), "{status}");
    assert_eq!(gateway.ask("/livez").status, 200);
    upstream.assert_untouched();
}

/// I15, I5: no secret, signature or body appears in logs or metrics, at any level.
#[test]
fn logs_and_metrics_contain_no_secret() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .variable("RUST_LOG", "trace")
        .variable("HOOKGATE_LOG__FILTER", "trace")
        .start();
    let genuine = Webhook::new("canary-body-7c21");
    let wrong = Webhook::signed(
        "canary-body-7c21 ",
        "another secret that is long enough",
        crate::support::paddle::now(),
    );
    assert_eq!(gateway.exchange(&genuine.bytes()).status, 200);
    assert_eq!(gateway.exchange(&wrong.bytes()).status, 401);
    gateway.wait_for_audit_lines("signature_mismatch", 1);
    let metrics = String::from_utf8(gateway.ask("/metrics").body.clone()).unwrap();
    let written = format!("{}\n{metrics}", gateway.logs.text());
    let (_, mac) = genuine.signature.as_deref().unwrap().split_once("h1=").unwrap();
    let (_, wrong_mac) = wrong.signature.as_deref().unwrap().split_once("h1=").unwrap();
    for secret in [
        crate::support::paddle::SECRET,
        "hKkRiCGyyRhbFwIUuqiTBgI7gnWoV0Gr",
        "GrOWLNef",
        "canary-body",
        mac,
        wrong_mac,
    ] {
        assert!(!written.contains(secret), "{secret} was written");
    }
}
