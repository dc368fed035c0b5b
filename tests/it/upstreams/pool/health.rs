//! Active health checks, and readiness that depends on them.

use super::{of, send};
use crate::support::upstream::{Recorded, answer};
use crate::support::{Gateway, Setup, Upstream, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

const CHECK: &str = r#"health_check = { path = "/healthz?deep", interval = "100ms", timeout = "5s", unhealthy_after = 2, healthy_after = 2 }"#;

/// Answers health checks with a status that the test sets, and webhooks with its name.
struct CheckedUpstream {
    upstream: Upstream,
    status: Arc<AtomicU16>,
}

impl CheckedUpstream {
    fn new(name: &'static str) -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let current = status.clone();
        let upstream = Upstream::new(move |request, connection| {
            if is_check(request) {
                let status = current.load(Ordering::SeqCst);
                connection.send(&answer(&format!("{status} As Told"), &[], b""))
            } else {
                connection.send(&answer("200 OK", &[], name.as_bytes()))
            }
        });
        Self { upstream, status }
    }

    fn set_status(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn webhooks(&self) -> usize {
        self.upstream
            .requests()
            .iter()
            .filter(|request| !is_check(request))
            .count()
    }
}

fn is_check(request: &Recorded) -> bool {
    request.start.starts_with("GET ")
}

fn unhealthy(gateway: &Gateway, checked: &CheckedUpstream, count: f64) {
    let url = checked.upstream.url();
    gateway.wait_for_metric(
        "hookgate_upstream_endpoints",
        &[("upstream", &url), ("state", "unhealthy")],
        count,
    );
}

#[test]
fn an_unhealthy_endpoint_gets_no_webhook_until_its_checks_pass_again() {
    let (one, other) = (CheckedUpstream::new("one"), CheckedUpstream::new("other"));
    one.set_status(503);
    let list = format!("[{:?}, {:?}]", one.upstream.url(), other.upstream.url());
    let gateway = Setup::new("")
        .upstream_text(&format!(
            "{{ url = {list}, {CHECK}, headers = {{ X-Gateway-Token = \"let me in\" }} }}"
        ))
        .start();
    unhealthy(&gateway, &one, 1.0);
    assert_eq!(of(&gateway, "hookgate_upstream_up", &one.upstream.url()), 0.0);
    let before = one.webhooks();
    assert_eq!(send(&gateway, "ill", 20), vec![(200, "other".to_owned()); 20]);
    assert_eq!(one.webhooks(), before);
    one.set_status(204);
    unhealthy(&gateway, &one, 0.0);
    let answers = send(&gateway, "well", 40);
    assert!(answers.contains(&(200, "one".into())), "{answers:?}");
    let url = one.upstream.url();
    let checks = |result: &str| {
        gateway.metrics().sum(
            "hookgate_upstream_health_checks_total",
            &[("upstream", &url), ("result", result)],
        )
    };
    assert!(checks("ok") >= 2.0 && checks("failed") >= 2.0);
    let check = one.upstream.requests().into_iter().find(is_check).unwrap();
    assert_eq!(check.start, "GET /healthz?deep HTTP/1.1");
    assert_eq!(check.header("Host"), Some(url.replace("http://", "")));
    assert_eq!(check.header("X-Gateway-Token").as_deref(), Some("let me in"));
    assert_eq!(check.header("Hookgate-Verified"), None, "a check is not a webhook");
}

/// When no endpoint is healthy, all are used, because refusing would not help the sender. Readiness reports it only
/// where the configuration asks for it.
#[test]
fn readiness_follows_health_where_configured() {
    let (one, other) = (CheckedUpstream::new("one"), CheckedUpstream::new("other"));
    let list = format!("[{:?}, {:?}]", one.upstream.url(), other.upstream.url());
    let start = |admin: &str| {
        let setup = Setup::new("").upstream_text(&format!("{{ url = {list}, {CHECK} }}"));
        setup.admin(admin).start()
    };
    let (asked, not_asked) = (start("readiness = \"upstream\""), start(""));
    one.set_status(500);
    for gateway in [&asked, &not_asked] {
        unhealthy(gateway, &one, 1.0);
        assert_eq!(gateway.readiness(), Some(200), "one healthy endpoint of two is enough");
    }
    other.set_status(404);
    eventually("unreadiness", || (asked.readiness() == Some(503)).then_some(()));
    assert_eq!(asked.ask("/readyz").body, b"upstream down\n");
    unhealthy(&not_asked, &other, 1.0);
    assert_eq!(not_asked.readiness(), Some(200));
    for gateway in [&asked, &not_asked] {
        assert!(
            send(gateway, "nevertheless", 5)
                .iter()
                .all(|(status, _)| *status == 200)
        );
    }
    one.set_status(302);
    eventually("readiness", || (asked.readiness() == Some(200)).then_some(()));
}

/// A passed check ends the ejection of an endpoint that could not be reached.
#[test]
fn a_passed_check_ends_an_ejection() {
    let other = CheckedUpstream::new("other");
    let place = Upstream::ok();
    let url = place.url();
    let address = url.strip_prefix("http://").unwrap().to_owned();
    drop(place);
    eventually("the port to be free again", || {
        std::net::TcpStream::connect(&address).is_err().then_some(())
    });
    let list = format!("[{url:?}, {:?}]", other.upstream.url());
    let ejection = "ejection = { failures = 1, backoff = \"1h\", backoff_limit = \"1h\" }";
    let check = CHECK.replace("unhealthy_after = 2", "unhealthy_after = 1000");
    let gateway = Setup::new("")
        .upstream_text(&format!("{{ url = {list}, {check}, {ejection} }}"))
        .start();
    let mut round = 0;
    eventually("the ejection of the endpoint", || {
        round += 1;
        let _ = send(&gateway, &format!("out {round}"), 4);
        (of(&gateway, "hookgate_upstream_ejections_total", &url) == 1.0).then_some(())
    });
    let _back = Upstream::at(&address, |_, connection| {
        connection.send(&answer("200 OK", &[], b"back"))
    });
    eventually("requests at the recovered endpoint", || {
        round += 1;
        send(&gateway, &format!("in {round}"), 4)
            .contains(&(200, "back".into()))
            .then_some(())
    });
}

/// A check of an endpoint that does not answer times out, and checks end when a reload removes the upstream.
#[test]
fn a_check_without_an_answer_fails_and_a_reload_ends_checks() {
    let silent = Upstream::new(|request, connection| {
        if is_check(request) {
            connection.wait_for_close();
            return crate::support::AfterAnswer::Close;
        }
        connection.send(&answer("200 OK", &[], b"silent"))
    });
    let well = CheckedUpstream::new("well");
    let check = CHECK.replace("timeout = \"5s\"", "timeout = \"200ms\"");
    let list = format!("[{:?}, {:?}]", silent.url(), well.upstream.url());
    let gateway = Setup::new("")
        .upstream_text(&format!("{{ url = {list}, {check} }}"))
        .start();
    gateway.wait_for_metric(
        "hookgate_upstream_endpoints",
        &[("upstream", &silent.url()), ("state", "unhealthy")],
        1.0,
    );
    super::changing::reload(&gateway, &list, &format!("[{:?}]", well.upstream.url()));
    assert_eq!(of(&gateway, "hookgate_upstream_endpoints", &silent.url()), 0.0);
    // A running check ends when its connection closes; after that no other may come.
    eventually("the end of the last check", || (silent.open() == 0).then_some(()));
    let (then, of_the_other) = (silent.connections(), well.upstream.connections());
    eventually("more checks of the other endpoint", || {
        (well.upstream.connections() > of_the_other + 5).then_some(())
    });
    assert_eq!(silent.connections(), then);
}
