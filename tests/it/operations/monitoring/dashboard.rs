//! The Grafana dashboard: its layout, its queries against a real Prometheus, and the picture that is drawn from them.

use crate::replay::store::replica;
use crate::support::paddle::{self, SECRET};
use crate::support::prometheus::Prometheus;
use crate::support::redis::Redis;
use crate::support::upstream::answer;
use crate::support::{Client, Gateway, Setup, Upstream, Webhook};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const NEXT: &str = "pdl_ntfset_01next00000000000000000000_abcdefghijklmnopqrstuvwxyz012345";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana")
}

fn panels() -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join("hookgate.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(
        dashboard["schemaVersion"].as_u64().unwrap() >= 38,
        "Grafana 10 and later"
    );
    dashboard["panels"].as_array().unwrap().clone()
}

/// Panels have unique ids, do not overlap, and have a description.
#[test]
fn the_panels_are_well_formed() {
    let panels = panels();
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in &panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: the id is taken");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} is too wide");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} overlaps another panel");
            }
        }
        if panel["type"] != "row" {
            assert!(
                panel["description"].as_str().is_some_and(|text| text.len() > 15),
                "{title}"
            );
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
        }
    }
    assert!(panels.len() > 20, "{}", panels.len());
}

/// J03: under mixed traffic every query of every panel returns data, with the labels that its legend names, and the
/// picture can be drawn. `PICTURE_SECONDS=240` runs for that long and writes `docs/dashboard.svg`.
#[test]
fn every_query_returns_data() {
    let seconds = std::env::var("PICTURE_SECONDS").ok().and_then(|text| text.parse().ok());
    let upstream = Upstream::new(|request, connection| {
        let number = request.body.len() as u64;
        // An application that answers most requests within milliseconds, some later, and fails now and then.
        std::thread::sleep(Duration::from_millis(
            3 + number * number % 37 + if number.is_multiple_of(19) { 120 } else { 0 },
        ));
        let status = if number.is_multiple_of(23) {
            "500 Internal Server Error"
        } else {
            "200 OK"
        };
        connection.send(&answer(status, &[], b"thanks"))
    });
    let setup = Setup::new(&upstream.url())
        .certificate("hooks.example.com", 74)
        .secret_list(r#"{ env = "PADDLE_WEBHOOK_SECRET", name = "current" }, { env = "NEXT", name = "next" }"#)
        .variable("NEXT", NEXT)
        .limits("connections = 100")
        .replay("capacity = 20000")
        .more(
            "[[route]]\nname = \"billing\"\npath = \"/nowhere\"\nprovider = \"paddle\"\ntolerance = \"60s\"\n\
             secrets = [{ env = \"PADDLE_WEBHOOK_SECRET\", name = \"current\" }]\nupstream = \"http://127.0.0.1:1\"\n",
        );
    let inbox = format!(
        "[inbox]\nstore = {:?}\nany_filesystem = true\nmin_free_disk = \"1MiB\"\n\
         [[route]]\nname = \"later\"\npath = \"/later\"\nprovider = \"paddle\"\ntolerance = \"60s\"\n\
         secrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\ndelivery = \"queue\"\nupstream = {:?}\n",
        setup.directory().join("inbox.db"),
        upstream.url()
    );
    let gateway = setup.more(&inbox).start();
    // A replica with a shared replay store.
    let redis = Redis::start();
    let shared = replica(&upstream, &redis).certificate("shop.example.com", 19).start();
    let prometheus = Prometheus::start(&[gateway.admin(), shared.admin()]);
    let begin = Instant::now();
    let deadline = begin + Duration::from_secs(90);
    let panels = panels();
    let mut missing = queries(&panels);
    assert!(missing.len() > 30, "{}", missing.len());
    let mut tick = 0;
    let whole = seconds.unwrap_or(0);
    // Half of the time, when no picture is drawn.
    let progress = || {
        if whole == 0 {
            0.5
        } else {
            begin.elapsed().as_secs_f64() / whole as f64
        }
    };
    while !missing.is_empty() || begin.elapsed() < Duration::from_secs(whole) {
        tick += 1;
        traffic(&gateway, &shared, tick, progress());
        if tick % 5 == 0 {
            missing.retain(|(_, expression, labels)| {
                let found = prometheus.query(expression);
                let has = |sample: &Value| labels.iter().all(|label| sample["metric"][label].is_string());
                let is_number = |sample: &Value| sample["value"][1] != "NaN";
                !found.iter().any(|sample| has(sample) && is_number(sample))
            });
        }
        assert!(missing.is_empty() || Instant::now() < deadline, "no data: {missing:#?}");
    }
    // The points of the picture are whole seconds: the newest data may be later than the last of them.
    let picture = loop {
        tick += 1;
        traffic(&gateway, &shared, tick, progress());
        let output = Command::new("python3")
            .arg(folder().join("render.py"))
            .args([&prometheus.url(), "--seconds", &whole.max(20).to_string()])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        let picture = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        if !picture.contains("No data") && picture.ends_with("</svg>\n") {
            break picture;
        }
        assert!(Instant::now() < deadline, "{picture}");
    };
    for panel in &panels {
        let title = panel["title"].as_str().unwrap();
        assert!(
            picture.contains(&format!("{title}</text>")),
            "{title} is not in the picture"
        );
    }
    if seconds.is_some() {
        std::fs::write(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/dashboard.svg"),
            picture,
        )
        .unwrap();
    }
}

/// Title, expression with the variables replaced, and the labels of the legend, of every query.
fn queries(panels: &[Value]) -> Vec<(String, String, Vec<String>)> {
    let mut queries = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        for target in panel["targets"].as_array().unwrap() {
            let mut expression = target["expr"].as_str().unwrap().to_owned();
            for (variable, value) in [
                ("$__rate_interval", "10s"),
                ("$job", "hookgate"),
                ("$instance", ".*"),
                ("$route", ".*"),
            ] {
                expression = expression.replace(variable, value);
            }
            assert!(!expression.contains('$'), "{expression}");
            let legend = target["legendFormat"].as_str().unwrap();
            let labels = legend
                .split("{{")
                .skip(1)
                .map(|rest| rest.split("}}").next().unwrap().trim().to_owned());
            queries.push((panel["title"].to_string(), expression, labels.collect()));
        }
    }
    queries
}

/// A fraction of a second of a shop's traffic: webhooks of several ages, two secrets in the middle of a rotation, waves
/// of forgeries, replays, copies, an application that fails; `progress` goes from 0 to 1 over a picture. One webhook
/// goes to the replica whose store is `shared`.
fn traffic(gateway: &Gateway, shared: &Gateway, tick: u64, progress: f64) {
    shared.exchange(&Webhook::new(format!("shared {tick}")).bytes());
    gateway.exchange(&Webhook::new(format!("later {tick}")).path("/later").bytes());
    let now = paddle::now();
    let wave = 2.0 + (progress * 9.0).sin() + 0.8 * (progress * 31.0).sin();
    let count = (wave * 3.0) as u64 + tick % 3;
    let attack = (0.45..0.62).contains(&progress);
    let mut client = gateway.connect_tls();
    for each in 0..count {
        let body = format!(
            "{{\"tick\":{tick},\"each\":{each},\"pad\":\"{}\"}}",
            "x".repeat((tick * 7 + each * 13) as usize % 90)
        );
        // Most are at most a second old; a drifting clock appears towards the end.
        let drift = if progress > 0.75 {
            ((progress - 0.75) * 16.0) as u64
        } else {
            0
        };
        let age = [0, 0, 0, 1, 0, 1, 2, 0][((tick + each) % 8) as usize] + drift;
        let rotated = (tick + each) % 100 < (progress * 160.0) as u64;
        let webhook = Webhook::signed(body, if rotated { NEXT } else { SECRET }, now - age);
        assert_ne!(client.exchange(&webhook.bytes()).status, 401);
        if (tick + each).is_multiple_of(11) {
            assert!(client.exchange(&webhook.bytes()).status >= 200);
        }
    }
    let bad = |webhook: Webhook| Client::tcp(gateway.plain()).exchange(&webhook.bytes());
    for each in 0..if attack { 12 } else { u64::from(tick.is_multiple_of(4)) } {
        bad(Webhook::new(format!("forged {tick} {each}")).signature(None));
    }
    if tick.is_multiple_of(if attack { 2 } else { 9 }) {
        bad(Webhook::signed(format!("{tick}"), "not the secret of anybody", now));
    }
    if tick.is_multiple_of(7) {
        bad(Webhook::signed(format!("{tick}"), SECRET, now - 400));
        bad(Webhook {
            path: "/nowhere".into(),
            ..Webhook::new(format!("{tick}"))
        });
    }
    if tick.is_multiple_of(13) {
        bad(Webhook {
            path: "/.env".into(),
            ..Webhook::new("scan")
        });
        let _ = std::net::TcpStream::connect(gateway.tls());
        Client::tcp(gateway.tls()).exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
}
