//! Tenants together with everything else: HTTP/2, a rotation, the inbox, a reload, `verify`.

use super::{ACME, INITECH, PLACES, put, start, webhook};
use crate::inbox::free_address;
use crate::support::gateway::binary;
use crate::support::http2::{self, Http2};
use crate::support::upstream::answer;
use crate::support::wait::eventually;
use crate::support::{Gateway, Setup, Upstream, Webhook, paddle};
use std::path::Path;

const KEY: &str = "5f0c4f3e6a1b8d7290e4c3b2a1f0e9d8c7b6a5948372615049382716f5e4d3c2";

/// Over HTTP/2 every place chooses as over HTTP/1.1, and no sender says which tenant it is.
#[test]
fn each_place_chooses_over_http2() {
    let upstream = Upstream::ok();
    let (gateway, _directory) = start(&upstream, "");
    http2::run(async {
        let mut client = Http2::connect(&gateway).await;
        for place in PLACES {
            for (tenant, secret, other) in [("acme", ACME, INITECH), ("initech", INITECH, ACME)] {
                for (secret, expected) in [(secret, 200), (other, 401)] {
                    let sent = webhook(place, tenant, secret, "over HTTP/2").header("Hookgate-Tenant", "forged");
                    let mut request = http2::request(&sent);
                    if place == "host" {
                        *request.uri_mut() = format!("https://{}{}", sent.headers[0].1, sent.path).parse().unwrap();
                    }
                    client.sender.ready().await.unwrap();
                    let response = client.sender.send_request(request).await.unwrap();
                    assert_eq!(
                        http2::read(response).await.unwrap().status,
                        expected,
                        "{place} {tenant}"
                    );
                }
                let seen = upstream.requests().pop().unwrap();
                assert_eq!(seen.all("Hookgate-Tenant"), [tenant], "{place}");
            }
        }
    });
    assert_eq!(upstream.requests().len(), 2 * PLACES.len());
}

/// During a rotation both secrets of a tenant are accepted in every place, and the application, the audit line and the metrics
/// say which of the two it was.
#[test]
fn a_rotating_tenant_has_two_secrets_in_every_place() {
    let upstream = Upstream::ok();
    let (gateway, directory) = start(&upstream, "");
    put(
        &directory,
        "acme",
        &format!("pdl_ntfset_next_7Gd3kPq9ZsXv2MnB\r\n{ACME}\r\n"),
    );
    eventually("the next secret is known", || {
        let sent = webhook("path", "acme", "pdl_ntfset_next_7Gd3kPq9ZsXv2MnB", "first");
        (gateway.exchange(&sent.bytes()).status != 401).then_some(())
    });
    for place in PLACES {
        for (secret, name) in [("pdl_ntfset_next_7Gd3kPq9ZsXv2MnB", "current"), (ACME, "previous")] {
            let sent = webhook(place, "acme", secret, &format!("rotation {name}"));
            assert_eq!(gateway.exchange(&sent.bytes()).status, 200, "{place} {name}");
            assert_eq!(
                upstream.requests().pop().unwrap().header("Hookgate-Key").as_deref(),
                Some(name)
            );
        }
        let foreign = webhook(place, "acme", INITECH, "rotation");
        assert_eq!(
            gateway.exchange(&foreign.bytes()).reason(),
            "signature_mismatch",
            "{place}"
        );
    }
    let lines = gateway.wait_for_audit_lines("none", 2 * PLACES.len() + 1);
    assert_eq!(
        lines.iter().filter(|line| line["secret"] == "previous").count(),
        PLACES.len()
    );
    assert!(lines.iter().all(|line| line["tenant"] == "acme"));
}

/// A gateway whose route `path` has an inbox; `more` are lines of the route.
fn with_inbox(upstream: &str, directory: &Path, more: &str) -> Gateway {
    let text = format!(
        "[inbox]\nstore = \"{0}/inbox.db\"\nkeys = [{{ env = \"INBOX_KEY\" }}]\nany_filesystem = true\n\
         min_free_disk = \"1MiB\"\nprobe = {{ backoff = \"50ms\", backoff_limit = \"200ms\" }}\n\
         [[route]]\nname = \"tenants\"\npath = \"/tenants/*\"\nprovider = \"paddle\"\ntolerance = \"3d\"\nupstream = {upstream:?}\n\
         secrets = {{ directory = \"{0}/tenants\", by = \"path\" }}\ndelivery = \"failover\"\n\
         retry = {{ backoff = \"50ms\", backoff_limit = \"200ms\" }}\n{more}\n",
        directory.display()
    );
    let gateway = Setup::new(upstream).variable("INBOX_KEY", KEY).more(&text).start();
    gateway.wait_for_metric("hookgate_inbox_up", &[], 1.0);
    gateway
}

/// Whether the application, which knows the secret of the tenant, accepts what it got at this time.
fn is_fresh(received: &crate::support::upstream::Recorded, secret: &str) -> bool {
    let header = received.header("paddle-signature").unwrap();
    let ts: u64 = header
        .strip_prefix("ts=")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    paddle::now().abs_diff(ts) < 60 && header == paddle::signature(secret, ts, &received.body)
}

/// A stored webhook keeps its tenant, and is signed again with the secret of that tenant: the one that verified it, or the
/// present one if the tenant has no other any more.
#[test]
fn a_stored_webhook_is_signed_again_with_the_secret_of_its_tenant() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let tenants = directory.path().join("tenants");
    std::fs::create_dir(&tenants).unwrap();
    put(&tenants, "acme", ACME);
    put(&tenants, "initech", &format!("{ACME}x\n{INITECH}\n"));
    let gateway = with_inbox(&format!("http://{address}"), directory.path(), "signature = \"fresh\"");
    let at = paddle::now() - 2 * 86_400;
    let send = |tenant: &str, secret: &str| {
        let sent = Webhook::signed(format!("{{\"of\":{tenant:?}}}"), secret, at).path(&format!("/tenants/{tenant}"));
        assert_eq!(gateway.exchange(&sent.bytes()).status, 200, "{tenant}");
    };
    send("acme", ACME);
    send("initech", INITECH);
    gateway.wait_for_metric("hookgate_inbox_deliveries", &[("state", "waiting")], 2.0);
    let upstream = Upstream::at(&address.to_string(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    });
    gateway.wait_for_metric("hookgate_inbox_deliveries", &[("state", "delivered")], 2.0);
    let requests = upstream.requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        let (tenant, secret, name) = match request.body.windows(4).any(|bytes| bytes == b"acme") {
            true => ("acme", ACME, "current"),
            false => ("initech", INITECH, "previous"),
        };
        assert_eq!(request.all("Hookgate-Tenant"), [tenant]);
        assert_eq!(request.header("Hookgate-Key").as_deref(), Some(name));
        assert!(is_fresh(request, secret), "{tenant}: {request:?}");
    }
}

/// A stored webhook of a tenant that is gone waits, and goes out when the tenant is back, with its new secret.
#[test]
fn a_stored_webhook_waits_for_its_tenant() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let tenants = directory.path().join("tenants");
    std::fs::create_dir(&tenants).unwrap();
    put(&tenants, "acme", ACME);
    let gateway = with_inbox(&format!("http://{address}"), directory.path(), "signature = \"fresh\"");
    let sent = Webhook::signed("{}", ACME, paddle::now()).path("/tenants/acme");
    assert_eq!(gateway.exchange(&sent.bytes()).status, 200);
    std::fs::remove_file(tenants.join("acme")).unwrap();
    eventually("the tenant is gone", || {
        let sent = Webhook::signed("{\"n\":2}", ACME, paddle::now()).path("/tenants/acme");
        (gateway.exchange(&sent.bytes()).status == 401).then_some(())
    });
    let upstream = Upstream::at(&address.to_string(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    });
    gateway.logs.wait_for("the missing secret", |line| {
        line.contains("is not among the secrets").then_some(())
    });
    assert!(upstream.requests().is_empty());
    put(&tenants, "acme", INITECH);
    eventually("the delivery", || (!upstream.requests().is_empty()).then_some(()));
    assert!(upstream.requests().iter().all(|request| is_fresh(request, INITECH)));
}

/// A reload reads the directory as it is then, and a route that is changed keeps its tenants.
#[test]
fn a_reload_keeps_and_reads_the_tenants() {
    let upstream = Upstream::ok();
    let (gateway, directory) = start(&upstream, "");
    put(&directory, "third", "pdl_ntfset_third_8Hk2Lm5PqRs9TuVw");
    gateway.signal(rustix::process::Signal::HUP);
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", "ok")], 1.0);
    for (tenant, secret) in [
        ("acme", ACME),
        ("initech", INITECH),
        ("third", "pdl_ntfset_third_8Hk2Lm5PqRs9TuVw"),
    ] {
        let sent = webhook("path", tenant, secret, "after a reload");
        assert_eq!(gateway.exchange(&sent.bytes()).status, 200, "{tenant}");
    }
    // Files are noticed after a reload as before.
    std::fs::remove_file(directory.join("third")).unwrap();
    let mut number = 0;
    eventually("the tenant is gone", || {
        number += 1;
        let sent = webhook(
            "path",
            "third",
            "pdl_ntfset_third_8Hk2Lm5PqRs9TuVw",
            &number.to_string(),
        );
        (gateway.exchange(&sent.bytes()).status == 401).then_some(())
    });
}

/// `verify` reads the secret of the tenant that the capture names, in every place, and says when there is none.
#[test]
fn verify_uses_the_secret_of_the_tenant() {
    let upstream = Upstream::ok();
    let (gateway, directory) = start(&upstream, "");
    put(&directory, "acme", &format!("{INITECH}x\n{ACME}"));
    let verify = |sent: &Webhook| {
        let capture = directory.join("..").join("capture.http");
        std::fs::write(&capture, sent.bytes()).unwrap();
        let mut command = binary();
        command
            .args(["verify", "--json", "--config"])
            .arg(gateway.setup.file())
            .arg(&capture);
        let output = command.env("PADDLE_WEBHOOK_SECRET", paddle::SECRET).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        let shown = format!("{text}{errors}");
        assert!(
            [ACME, INITECH, paddle::SECRET]
                .iter()
                .all(|secret| !shown.contains(secret))
        );
        let report: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{shown}"));
        (output.status.success(), report)
    };
    for place in PLACES {
        let (is_accepted, report) = verify(&webhook(place, "acme", ACME, "x"));
        assert!(is_accepted, "{place}: {report}");
        assert_eq!(report["secret"], "previous", "{place}: {report}");
        let (is_accepted, report) = verify(&webhook(place, "initech", ACME, "x"));
        assert!(!is_accepted, "{place}: {report}");
        let (is_accepted, report) = verify(&webhook(place, "nobody", ACME, "x"));
        assert!(
            !is_accepted && report.to_string().contains("unknown_tenant"),
            "{place}: {report}"
        );
        assert!(report.to_string().contains("nobody"), "{place}: {report}");
    }
    // The search for causes uses the secrets of the tenant too: the body was changed by a parser.
    let mut changed = webhook("path", "acme", ACME, "x");
    changed.body =
        serde_json::to_vec_pretty(&serde_json::from_slice::<serde_json::Value>(&changed.body).unwrap()).unwrap();
    let (_, report) = verify(&changed);
    assert_eq!(report["causes"][0]["certain"], true, "{report}");
    // Another route of the same configuration is not disturbed by its neighbours.
    let (is_accepted, report) = verify(&Webhook::signed("{}", paddle::SECRET, paddle::now()));
    assert!(is_accepted, "{report}");
}
