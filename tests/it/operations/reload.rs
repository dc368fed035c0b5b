//! SIGHUP: a valid file is applied atomically, an invalid one changes nothing and is reported.

use crate::support::certificates::Certificate;
use crate::support::paddle::{self, SECRET};
use crate::support::upstream::answer;
use crate::support::{Client, Gate, Gateway, Setup, Upstream, Webhook};
use rustix::process::Signal;

const OTHER: &str = "pdl_ntfset_01other00000000000000000000_abcdefghijklmnopqrstuvwxyz012345";

/// Sends SIGHUP and waits until that reload is counted.
fn reload(gateway: &Gateway, result: &str) {
    let before = gateway
        .metrics()
        .sum("hookgate_config_reloads_total", &[("result", result)]);
    gateway.signal(Signal::HUP);
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", result)], before + 1.0);
}

fn replace_in_file(gateway: &Gateway, from: &str, to: &str) {
    let text = std::fs::read_to_string(gateway.setup.file()).unwrap();
    assert!(text.contains(from), "{from:?} is not in the file");
    std::fs::write(gateway.setup.file(), text.replace(from, to)).unwrap();
}

#[test]
fn a_valid_file_takes_effect() {
    let (first, second) = (Upstream::ok(), Upstream::ok());
    let gateway = Setup::new(&first.url()).start();
    assert_eq!(gateway.exchange(&Webhook::new("1").bytes()).status, 200);
    replace_in_file(&gateway, &first.url(), &second.url());
    replace_in_file(
        &gateway,
        "tolerance = \"60s\"",
        "tolerance = \"60s\"\nbody_limit = \"10B\"",
    );
    reload(&gateway, "ok");
    assert_eq!(gateway.exchange(&Webhook::new("2").bytes()).status, 200);
    assert_eq!((first.requests().len(), second.only().body.clone()), (1, b"2".to_vec()));
    assert_eq!(gateway.exchange(&Webhook::new("longer than ten").bytes()).status, 413);
    let stamp = gateway
        .metrics()
        .sum("hookgate_config_last_reload_success_timestamp_seconds", &[]);
    assert!((stamp - paddle::now() as f64).abs() < 120.0, "{stamp}");
    // The replay guard is kept over a reload.
    let webhook = Webhook::new("3").bytes();
    assert_eq!(gateway.exchange(&webhook).status, 200);
    reload(&gateway, "ok");
    assert_eq!(gateway.exchange(&webhook).status, 409);
}

/// I07: the old configuration stays in force as a whole; a log line and a metric report the failure.
#[test]
fn an_invalid_file_changes_nothing_and_is_reported() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let good = std::fs::read_to_string(gateway.setup.file()).unwrap();
    for (from, to, key) in [
        ("provider = \"paddle\"", "provider = \"padle\"", "provider"),
        ("[limits]", "[limits]\nconections = 1", "conections"),
        ("PADDLE_WEBHOOK_SECRET", "NOT_THERE", "NOT_THERE"),
        ("tls.crt", "not-there.crt", "not-there.crt"),
        ("[admin]", "[admin", "admin"),
    ] {
        replace_in_file(&gateway, from, to);
        reload(&gateway, "failed");
        gateway.logs.wait_for(&format!("a line that names {key}"), |line| {
            line.contains(key).then_some(())
        });
        assert_eq!(gateway.exchange(&Webhook::new(key).bytes()).status, 200, "{key}");
        std::fs::write(gateway.setup.file(), &good).unwrap();
    }
    std::fs::remove_file(gateway.setup.file()).unwrap();
    reload(&gateway, "failed");
    assert_eq!(gateway.exchange(&Webhook::new("removed").bytes()).status, 200);
    assert_eq!(gateway.readiness(), Some(200));
    assert!(gateway.runs());
    std::fs::write(gateway.setup.file(), &good).unwrap();
    reload(&gateway, "ok");
}

/// An exchange ends under the configuration with which it began.
#[test]
fn an_exchange_in_flight_keeps_its_snapshot() {
    let gate = Gate::default();
    let held = gate.clone();
    let first = Upstream::new(move |_, connection| {
        held.pass();
        connection.send(&answer("200 OK", &[], b"the first"))
    });
    let second = Upstream::ok();
    let gateway = Setup::new(&first.url()).start();
    let mut client = gateway.connect();
    client.send(&Webhook::new("{}").bytes());
    first.wait_for(1);
    replace_in_file(&gateway, &first.url(), &second.url());
    reload(&gateway, "ok");
    gate.open();
    assert_eq!(client.response().body, b"the first");
    // The next request on the same connection uses the new configuration.
    assert_eq!(client.exchange(&Webhook::new("{ }").bytes()).body, b"thanks");
    assert_eq!(second.requests().len(), 1);
}

/// I06: a rotation without a false refusal at any step, after which the old secret is refused.
#[test]
fn secrets_rotate() {
    let upstream = Upstream::ok();
    let setup = Setup::new(&upstream.url()).variable("NEXT", OTHER);
    let gateway = setup.start();
    let sent = |secret: &str, body: &str| {
        gateway
            .exchange(&Webhook::signed(body, secret, paddle::now()).bytes())
            .status
    };
    assert_eq!((sent(SECRET, "a"), sent(OTHER, "a")), (200, 401));
    let both = "{ env = \"PADDLE_WEBHOOK_SECRET\", name = \"current\" }, { env = \"NEXT\", name = \"next\" }";
    replace_in_file(
        &gateway,
        "{ env = \"PADDLE_WEBHOOK_SECRET\", name = \"current\" }",
        both,
    );
    reload(&gateway, "ok");
    assert_eq!((sent(SECRET, "b"), sent(OTHER, "c")), (200, 200));
    gateway.wait_for_metric("hookgate_secret_matches_total", &[("secret", "next")], 1.0);
    replace_in_file(&gateway, both, "{ env = \"NEXT\", name = \"next\" }");
    reload(&gateway, "ok");
    assert_eq!((sent(SECRET, "d"), sent(OTHER, "e")), (401, 200));
    assert_eq!(
        upstream.requests().last().unwrap().header("Hookgate-Key").as_deref(),
        Some("next")
    );
}

/// A new certificate serves new handshakes; an invalid one leaves the old one in place.
#[test]
fn certificates_are_replaced() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let mut old = gateway.connect_tls();
    assert_eq!(old.exchange(&Webhook::new("1").bytes()).status, 200);
    let next = Certificate::new(&["localhost"]);
    next.write(gateway.setup.directory(), "tls");
    reload(&gateway, "ok");
    let mut new = Client::tls(gateway.tls(), "localhost", &next.der);
    assert_eq!(new.exchange(&Webhook::new("2").bytes()).status, 200);
    assert_eq!(
        old.exchange(&Webhook::new("3").bytes()).status,
        200,
        "an open connection stays usable"
    );
    // The key of another certificate.
    std::fs::write(
        gateway.setup.directory().join("tls.key"),
        Certificate::new(&["localhost"]).key_pem,
    )
    .unwrap();
    reload(&gateway, "failed");
    let mut still = Client::tls(gateway.tls(), "localhost", &next.der);
    assert_eq!(still.exchange(&Webhook::new("4").bytes()).status, 200);
}
