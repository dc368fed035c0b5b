//! Upstreams by name: a name server of the test in a network namespace, whose answers change as those of a Kubernetes
//! headless service do.

use super::of;
use crate::support::certificates::Certificate;
use crate::support::dns::{Dns, Reply};
use crate::support::namespace::inside;
use crate::support::upstream::answer;
use crate::support::{Gate, Gateway, Setup, Upstream, Webhook, eventually};
use std::sync::atomic::{AtomicUsize, Ordering};

const PORT: u16 = 8000;

/// A pod: an upstream that answers with its own address.
fn pod(address: &'static str) -> Upstream {
    let at = if address.contains(':') {
        format!("[{address}]:{PORT}")
    } else {
        format!("{address}:{PORT}")
    };
    Upstream::at(&at, move |_, connection| {
        connection.send(&answer("200 OK", &[], address.as_bytes()))
    })
}

fn start(settings: &str) -> Gateway {
    Setup::new(&format!("http://app.test:{PORT}"))
        .upstream(&format!("resolve_interval = \"100ms\", {settings}"))
        .start()
}

/// Sends one webhook; returns the status and the address that answered.
fn ask(gateway: &Gateway) -> (u16, String) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let webhook = Webhook::new(format!("{}", COUNT.fetch_add(1, Ordering::SeqCst)));
    let response = gateway.exchange(&webhook.bytes());
    (response.status, String::from_utf8_lossy(&response.body).into_owned())
}

/// Sends webhooks until each of these pods has answered several times and no other has.
fn answer_all(gateway: &Gateway, pods: &[&str]) {
    let all: Vec<_> = (0..40).map(|_| ask(gateway)).collect();
    for (status, who) in &all {
        assert!(*status == 200 && pods.contains(&who.as_str()), "{all:?}");
    }
    for pod in pods {
        assert!(
            all.iter().any(|(_, who)| who == pod),
            "{pod} has answered none of {all:?}"
        );
    }
}

fn addresses(gateway: &Gateway, count: f64) {
    gateway.wait_for_metric("hookgate_upstream_endpoints", &[("state", "up")], count);
}

/// Waits until the name server has received `more` further queries.
fn asked_more(dns: &Dns, more: usize) {
    let before = dns.asked("app.test");
    eventually("more DNS queries", || {
        (dns.asked("app.test") >= before + more).then_some(())
    });
}

/// G09: all addresses of the name are endpoints; addresses are added and removed, and a removed one finishes its
/// requests.
#[test]
fn endpoints_follow_the_addresses_of_a_name() {
    inside(
        "upstreams::pool::names::endpoints_follow_the_addresses_of_a_name",
        || {
            let dns = Dns::new("127.0.0.1:53");
            dns.addresses("app.test", &["127.0.0.2", "127.0.0.3"]);
            let gate = Gate::default();
            let held = gate.clone();
            let leaving = Upstream::at("127.0.0.2:8000", move |request, connection| {
                if request.body.starts_with(b"hold") {
                    held.pass();
                }
                connection.send(&answer("200 OK", &[], b"127.0.0.2"))
            });
            let (_three, _four) = (pod("127.0.0.3"), pod("127.0.0.4"));
            let gateway = start("idle_timeout = \"1h\"");
            // The addresses are resolved before the first request.
            answer_all(&gateway, &["127.0.0.2", "127.0.0.3"]);

            // Keep one request at the endpoint that will be removed: webhooks are sent until one arrives there.
            let is_held = || {
                leaving
                    .requests()
                    .iter()
                    .any(|request| request.body.starts_with(b"hold"))
            };
            let mut count = 0;
            let mut waiting = eventually("a request at the endpoint that will be removed", || {
                count += 1;
                let mut client = gateway.connect();
                client.send(&Webhook::new(format!("hold {count}")).bytes());
                eventually("the arrival of the request", || {
                    (is_held() || client.receives_anything()).then_some(())
                });
                is_held().then_some(client)
            });
            dns.addresses("app.test", &["127.0.0.3", "127.0.0.4"]);
            eventually("the draining endpoint", || {
                let metrics = gateway.metrics();
                let state = |state: &str| metrics.sum("hookgate_upstream_endpoints", &[("state", state)]);
                ((state("up"), state("draining")) == (2.0, 1.0)).then_some(())
            });
            answer_all(&gateway, &["127.0.0.3", "127.0.0.4"]);
            eventually("the end of the idle connections", || {
                (leaving.open() == 1).then_some(())
            });
            gate.open();
            assert_eq!(waiting.response().body, b"127.0.0.2");
            eventually("the end of the last connection", || (leaving.open() == 0).then_some(()));
            gateway.wait_for_metric("hookgate_upstream_endpoints", &[("state", "draining")], 0.0);
            // No address becomes a label.
            let series = gateway.metrics().series().join("\n");
            assert!(
                !series.contains("127.0.0.3:8000") && series.contains("http://app.test:8000"),
                "{series}"
            );
            let line = gateway.wait_for_audit_lines("none", 1).remove(0);
            assert_eq!(line["upstream"], "http://app.test:8000");
        },
    );
}

/// G09: a name server that fails, answers that the name does not exist, or does not answer: the last known addresses
/// stay in use, and no request waits.
#[test]
fn a_failing_name_server_changes_nothing() {
    inside("upstreams::pool::names::a_failing_name_server_changes_nothing", || {
        let dns = Dns::new("127.0.0.1:53");
        dns.addresses("app.test", &["127.0.0.2", "127.0.0.3"]);
        let (_two, _three) = (pod("127.0.0.2"), pod("127.0.0.3"));
        let gateway = start("");
        answer_all(&gateway, &["127.0.0.2", "127.0.0.3"]);
        let failed = || {
            gateway
                .metrics()
                .sum("hookgate_upstream_lookups_total", &[("result", "failed")])
        };
        for reply in [
            Reply::Failure,
            Reply::NoSuchName,
            Reply::Addresses(Vec::new()),
            Reply::Silence,
        ] {
            let before = failed();
            dns.set_reply("app.test", reply.clone());
            eventually("failed queries", || (failed() > before + 1.0).then_some(()));
            answer_all(&gateway, &["127.0.0.2", "127.0.0.3"]);
            addresses(&gateway, 2.0);
        }
        dns.addresses("app.test", &["127.0.0.3"]);
        addresses(&gateway, 1.0);
        answer_all(&gateway, &["127.0.0.3"]);
    });
}

/// G01: a name that does not exist at the start: the gateway starts, answers immediately, and uses the name once it
/// exists.
#[test]
fn a_name_is_used_once_it_exists() {
    inside("upstreams::pool::names::a_name_is_used_once_it_exists", || {
        let dns = Dns::new("127.0.0.1:53");
        let _two = pod("127.0.0.2");
        let gateway = start("");
        assert_eq!(ask(&gateway).0, 502);
        assert_eq!(of(&gateway, "hookgate_upstream_up", "http://app.test:8000"), 0.0);
        asked_more(&dns, 4);
        dns.addresses("app.test", &["127.0.0.2"]);
        addresses(&gateway, 1.0);
        answer_all(&gateway, &["127.0.0.2"]);
        // A name server that does not answer must not delay the start or the end of the process.
        dns.set_reply("app.test", Reply::Silence);
        let mut silent = start("");
        assert_eq!(ask(&silent).0, 502);
        silent.signal(rustix::process::Signal::TERM);
        assert_eq!(silent.wait_for_exit().code(), Some(0));
    });
}

/// G09: addresses of both families, one of which is unreachable: no webhook is lost, and the dead address is ejected.
#[test]
fn a_dead_address_costs_no_webhook() {
    inside("upstreams::pool::names::a_dead_address_costs_no_webhook", || {
        let dns = Dns::new("127.0.0.1:53");
        let (_four, _six) = (pod("127.0.0.2"), pod("::1"));
        // Nothing listens at 127.0.0.9; the network has no route to 2001:db8::1, which therefore is no endpoint.
        dns.addresses("app.test", &["127.0.0.2", "::1", "127.0.0.9", "2001:db8::1"]);
        let gateway = start("ejection = { failures = 2 }");
        answer_all(&gateway, &["127.0.0.2", "::1"]);
        gateway.wait_for_metric("hookgate_upstream_ejections_total", &[], 1.0);
        addresses(&gateway, 2.0);
        gateway.wait_for_metric("hookgate_upstream_endpoints", &[("state", "ejected")], 1.0);
        // A new order of the list does not affect an endpoint that stays: its health and its connections are kept.
        dns.addresses("app.test", &["127.0.0.9", "127.0.0.2"]);
        addresses(&gateway, 1.0);
        answer_all(&gateway, &["127.0.0.2"]);
        gateway.wait_for_metric("hookgate_upstream_ejections_total", &[], 1.0);
    });
}

/// The certificate of each address must be valid for the name, not for the address.
#[test]
fn certificates_are_checked_against_the_name() {
    inside(
        "upstreams::pool::names::certificates_are_checked_against_the_name",
        || {
            let dns = Dns::new("127.0.0.1:53");
            let (right, wrong) = (Certificate::new(&["app.test"]), Certificate::new(&["other.test"]));
            dns.addresses("app.test", &["127.0.0.1"]);
            let upstream = Upstream::tls(right.server(), |_, connection| {
                connection.send(&answer("200 OK", &[], b"as named"))
            });
            let port = upstream.url().rsplit(':').next().unwrap().to_owned();
            let setup = Setup::new(&format!("https://app.test:{port}"));
            right.write(setup.directory(), "right");
            wrong.write(setup.directory(), "wrong");
            let gateway = setup.upstream("ca = \"right.crt\"").start();
            assert_eq!(ask(&gateway), (200, "as named".into()));
            super::changing::reload(&gateway, "right.crt", "wrong.crt");
            assert_eq!(ask(&gateway).0, 502);
        },
    );
}

/// A reload to another name waits for its addresses before it takes effect: every request has an endpoint.
#[test]
fn a_reload_to_a_name_loses_nothing() {
    inside("upstreams::pool::names::a_reload_to_a_name_loses_nothing", || {
        let dns = Dns::new("127.0.0.1:53");
        dns.addresses("app.test", &["127.0.0.2"]);
        dns.set_reply("next.test", Reply::Slowly(vec!["127.0.0.3".parse().unwrap()]));
        let (_two, _three) = (pod("127.0.0.2"), pod("127.0.0.3"));
        let gateway = start("");
        assert_eq!(ask(&gateway), (200, "127.0.0.2".into()));
        super::changing::reload(&gateway, "app.test", "next.test");
        assert_eq!(ask(&gateway), (200, "127.0.0.3".into()));
        // The old name is not queried any more.
        let before = dns.asked("app.test");
        let next = dns.asked("next.test");
        eventually("more DNS queries for the new name", || {
            (dns.asked("next.test") > next + 4).then_some(())
        });
        assert!(dns.asked("app.test") <= before + 2);
    });
}
