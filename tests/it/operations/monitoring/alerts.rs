//! The alert rules: their unit tests, their runbook, and whether they fire on the fault that they are for.

use crate::support::certificates::{Authority, expire_in};
use crate::support::paddle::{self, SECRET};
use crate::support::prometheus::{Prometheus, promtool};
use crate::support::upstream::answer;
use crate::support::wait::{SetOnDrop, within};
use crate::support::{Client, Setup, Upstream, Webhook};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const OLD: &str = "pdl_ntfset_01old000000000000000000000_abcdefghijklmnopqrstuvwxyz012345";
/// Time for an alert to pass through scrape, rule and state on a machine that is busy with other work.
const DEADLINE: Duration = Duration::from_secs(90);

/// J03: the verdict of `promtool` on the rules, their unit tests, and a scrape.
#[test]
fn promtool_accepts_rules_and_metrics() {
    let (content, printed) = promtool(
        &[
            "check",
            "rules",
            "--lint-fatal",
            "deploy/prometheus/alerts.yml",
            "deploy/prometheus/recording.yml",
        ],
        b"",
    );
    assert!(content && printed.contains("28 rules found"), "{printed}");
    let (content, printed) = promtool(
        &[
            "test",
            "rules",
            "tests/prometheus/rules_test.yml",
            "tests/prometheus/spike_test.yml",
        ],
        b"",
    );
    assert!(content, "{printed}");
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    assert_eq!(gateway.connect_tls().exchange(&Webhook::new("{}").bytes()).status, 200);
    assert_eq!(
        gateway.exchange(&Webhook::new("{}").signature(None).bytes()).status,
        401
    );
    let (content, printed) = promtool(&["check", "metrics"], &gateway.ask("/metrics").body);
    assert!(content && printed.is_empty(), "{printed}");
}

/// Every alert has a section of its own where its annotation points, and a unit test in which it fires.
#[test]
fn every_alert_is_explained_and_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let tests = read("tests/prometheus/rules_test.yml") + &read("tests/prometheus/spike_test.yml");
    let alerts = read("deploy/prometheus/alerts.yml");
    let after = |line: &str, key: &str| line.trim().strip_prefix(key).map(|rest| rest.trim().to_owned());
    let names: Vec<String> = alerts.lines().filter_map(|line| after(line, "- alert:")).collect();
    let links: Vec<String> = alerts.lines().filter_map(|line| after(line, "runbook_url:")).collect();
    assert!(names.len() >= 15 && names.len() == links.len(), "{names:?} {links:?}");
    for (name, link) in names.iter().zip(&links) {
        let (page, anchor) = link.split_once('#').unwrap();
        let page = read(page);
        let section = page.split("\n#").find(|section| {
            let heading = section.lines().next().unwrap_or_default();
            heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-") == anchor
        });
        let section = section.unwrap_or_else(|| panic!("{link} leads to no section"));
        assert!(
            section.len() > 150 && name.to_lowercase() == anchor,
            "{name}: {section}"
        );
        let seen = tests
            .split("\n      - ")
            .any(|test| test.contains(&format!("alertname: {name}\n")) && test.contains("exp_labels"));
        assert!(seen, "{name} fires in no unit test");
    }
}

/// J06: good traffic fires no alert except the one about the certificate, which is true; then every fault occurs for
/// real.
#[test]
fn alerts_fire_on_real_faults() {
    let upstream = Upstream::new(|request, connection| match request.body.first() {
        Some(b'5') => connection.send(&answer("500 Internal Server Error", &[], b"")),
        Some(b's') => {
            // A slow application.
            std::thread::sleep(Duration::from_millis(3500));
            connection.send(&answer("200 OK", &[], b""))
        }
        Some(_) | None => connection.send(&answer("200 OK", &[], b"")),
    });
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = closed.local_addr().unwrap();
    drop(closed);
    let route = |name: &str, upstream: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\npath = \"/{name}\"\nprovider = \"paddle\"\ntolerance = \"60s\"\n\
             secrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\nupstream = \"{upstream}\"\nbody_limit = \"64KiB\"\n"
        )
    };
    let setup = Setup::new(&upstream.url())
        .secret_list(
            r#"{ env = "PADDLE_WEBHOOK_SECRET", name = "new" }, { env = "OLD", name = "old", retired = true }"#,
        )
        .variable("OLD", OLD)
        .limits("connections = 60\nin_flight_bytes = \"300KiB\"")
        .route("body_limit = \"64KiB\"\nbody_timeout = \"5m\"")
        .replay("capacity = 1000");
    let expiring = Authority::new().issue_with(&["localhost"], |params| expire_in(params, 2));
    expiring.write(setup.directory(), "soon");
    let listener = "[[listen]]\nname = \"soon\"\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"soon.crt\", key = \"soon.key\" }\n";
    let more = [
        listener.to_owned(),
        route("nowhere", &format!("http://{nowhere}")),
        route("wrong", &upstream.url()),
        route("slow", &upstream.url()),
    ];
    let mut gateway = setup.more(&more.join("\n")).start();
    let prometheus = Prometheus::start(&[gateway.admin()]);
    let plain = gateway.plain();
    let always = ["HookgateCertificateExpires", "HookgateCertificateExpiresSoon"];

    // Good traffic, until the rules have been evaluated over it.
    let deliver = |webhook: &Webhook| Client::tcp(plain).exchange(&webhook.bytes()).status;
    let mut number = 0;
    within(DEADLINE, "the first evaluations of good traffic", || {
        number += 1;
        assert_eq!(deliver(&Webhook::new(format!("good {number}"))), 200);
        std::thread::sleep(Duration::from_millis(100));
        let evaluated = !prometheus
            .query("instance_route:hookgate_signature_age_seconds:median_rate15m > -1")
            .is_empty();
        (evaluated && prometheus.firing() == always).then_some(())
    });
    assert!(
        prometheus.rules().iter().all(|rule| rule["health"] == "ok"),
        "{:?}",
        prometheus.rules()
    );

    // Faults of every kind at the same time, until each alert has fired.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = SetOnDrop(&stop);
        scope.spawn(|| send_bad_traffic(plain, &stop));
        scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                // Delayed on the way to the application; a retry by its sender would delay it further.
                let webhook = with_path("/slow", Webhook::new(format!("slow {number}")));
                let _ = Client::tcp(plain).try_exchange(&webhook.bytes());
            }
        });
        let idle: Vec<Client> = (0..50).map(|_| Client::tcp(plain)).collect();
        let large: Vec<Client> = (0..4)
            .map(|number| {
                let mut client = Client::tcp(plain);
                let request = Webhook::new(vec![b'w' + number; 64 << 10]).bytes();
                client.send(&request[..request.len() - 1000]);
                client
            })
            .collect();
        std::fs::write(
            gateway.setup.directory().join("gateway.toml"),
            "an unusable certificate",
        )
        .unwrap();
        gateway.signal(Signal::HUP);
        wait_for_alerts(
            &prometheus,
            &[
                "HookgateClockSkew",
                "HookgateConnectionsNearLimit",
                "HookgateIntakeNearLimit",
                "HookgateNothingVerified",
                "HookgateRefusalsSpike",
                "HookgateReloadFailed",
                "HookgateRetiredSecretInUse",
                "HookgateUpstreamDown",
                "HookgateUpstreamErrors",
                "HookgateUpstreamFailing",
                "HookgateUpstreamSlow",
            ],
        );
        drop((idle, large));
        // Different webhooks until the replay guard is full.
        let mut client = Client::tcp(plain);
        let mut filled = 0;
        while filled < 1100 {
            filled += 1;
            if client.exchange(&Webhook::new(format!("fill {filled}")).bytes()).status == 503 {
                break;
            }
        }
        wait_for_alerts(
            &prometheus,
            &["HookgateReplayStoreFailing", "HookgateReplayStoreNearlyFull"],
        );
    });
    gateway.signal(Signal::KILL);
    gateway.wait_for_exit();
    wait_for_alerts(&prometheus, &["HookgateDown"]);
}

fn with_path(path: &str, webhook: Webhook) -> Webhook {
    Webhook {
        path: path.into(),
        ..webhook
    }
}

fn wait_for_alerts(prometheus: &Prometheus, alerts: &[&str]) {
    let mut missing: BTreeSet<&str> = alerts.iter().copied().collect();
    let deadline = std::time::Instant::now() + DEADLINE;
    while !missing.is_empty() {
        let firing = prometheus.firing();
        missing.retain(|alert| !firing.iter().any(|name| name == alert));
        assert!(
            std::time::Instant::now() < deadline,
            "{missing:?} did not fire; {firing:?} do"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Every kind of bad traffic, a dozen requests per second, until `over` is set.
fn send_bad_traffic(plain: SocketAddr, stop: &AtomicBool) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        // The sender's clock is far ahead of ours, but within the tolerance.
        let ahead = paddle::now() + 20;
        for webhook in [
            Webhook::signed(format!("5 {number}"), SECRET, ahead),
            Webhook::signed(format!("a {number}"), OLD, ahead),
            Webhook::new(format!("b {number}")).signature(None),
            with_path("/nowhere", Webhook::new(format!("c {number}"))),
            with_path("/wrong", Webhook::signed(format!("d {number}"), OLD, paddle::now())),
        ] {
            let _ = Client::tcp(plain).try_exchange(&webhook.bytes());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}
