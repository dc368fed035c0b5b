//! `secrets = { directory = …, by = … }`: one secret for each tenant behind one route.

mod combined;
mod hostile;
mod load;

use crate::support::wait::eventually;
use crate::support::{Gateway, Setup, Upstream, Webhook, paddle};
use std::path::{Path, PathBuf};

const ACME: &str = "pdl_ntfset_acme_5zX0qDk1Lr7mHcVb93TnYw";
const INITECH: &str = "pdl_ntfset_initech_Qm4sR8tUvW2yZ6aBcDeFgH";

/// A gateway with one route for each place that can name a tenant, and the directory of the tenants.
fn start(upstream: &Upstream, more: &str) -> (Gateway, PathBuf) {
    let setup = Setup::new(&upstream.url());
    let directory = setup.directory().join("tenants");
    std::fs::create_dir(&directory).unwrap();
    put(&directory, "acme", ACME);
    put(&directory, "initech", &format!("{INITECH}\n"));
    let route = |name: &str, matching: &str, by: &str| {
        format!(
            "[[route]]\nname = {name:?}\n{matching}\nprovider = \"paddle\"\ntolerance = \"60s\"\nupstream = {:?}\n\
             secrets = {{ directory = {:?}, by = {by} }}\n{more}\n",
            upstream.url(),
            directory.display().to_string(),
        )
    };
    let routes = [
        route("path", "path = \"/tenants/*\"", "\"path\""),
        route("host", "host = \"*.hooks.example\"\npath = \"/by-host\"", "\"host\""),
        route("header", "path = \"/by-header\"", "{ header = \"X-Tenant\" }"),
        route("query", "path = \"/by-query\"", "{ query = \"tenant\" }"),
        route("pointer", "path = \"/by-pointer\"", "{ pointer = \"/account/id\" }"),
    ];
    (setup.more(&routes.join("\n")).start(), directory)
}

/// Writes the file of a tenant as a whole.
fn put(directory: &Path, name: &str, secrets: &str) {
    let temporary = directory.join(format!(".{name}"));
    std::fs::write(&temporary, secrets).unwrap();
    std::fs::rename(temporary, directory.join(name)).unwrap();
}

/// A webhook that names a tenant in one place.
fn webhook(place: &str, tenant: &str, secret: &str, text: &str) -> Webhook {
    let body = format!("{{\"account\":{{\"id\":{tenant:?}}},\"text\":{text:?}}}");
    let mut webhook = Webhook::signed(body, secret, paddle::now());
    webhook.path = match place {
        "path" => format!("/tenants/{tenant}"),
        "query" => format!("/by-query?a=1&tenant={tenant}"),
        _ => format!("/by-{place}"),
    };
    match place {
        "host" => webhook.headers[0].1 = format!("{tenant}.hooks.example"),
        "header" => webhook.headers.push(("X-Tenant".into(), tenant.into())),
        _ => {}
    }
    webhook
}

const PLACES: [&str; 5] = ["path", "host", "header", "query", "pointer"];

#[test]
fn each_place_chooses_the_secret_of_its_tenant() {
    let upstream = Upstream::ok();
    let (gateway, _directory) = start(&upstream, "");
    for place in PLACES {
        for (tenant, secret, other) in [("acme", ACME, INITECH), ("initech", INITECH, ACME)] {
            let shown = format!("{place} {tenant}");
            let sent = webhook(place, tenant, secret, "genuine").header("Hookgate-Tenant", "forged");
            assert_eq!(gateway.exchange(&sent.bytes()).status, 200, "{shown}");
            let seen = upstream.requests().pop().unwrap();
            assert_eq!(seen.all("Hookgate-Tenant"), [tenant], "{shown}");
            assert_eq!(seen.header("Hookgate-Key").as_deref(), Some("current"), "{shown}");
            let refused = gateway.exchange(&webhook(place, tenant, other, "of the other").bytes());
            assert_eq!(refused.reason(), "signature_mismatch", "{shown}");
            assert!(!String::from_utf8_lossy(&refused.body).contains(tenant));
        }
    }
    let lines = gateway.wait_for_audit_lines("none", 10);
    assert!(
        lines
            .iter()
            .all(|line| line["tenant"] == "acme" || line["tenant"] == "initech"),
        "{lines:?}"
    );
    let refused = gateway.wait_for_audit_lines("signature_mismatch", 10);
    assert!(refused.iter().all(|line| line.get("tenant").is_none()), "{refused:?}");
    let metrics = &gateway.ask("/metrics").body;
    assert!(!metrics.windows(7).any(|window| window == b"initech"));
}

/// The answer does not tell which tenants exist, whatever a request calls itself.
#[test]
fn an_unknown_tenant_gets_the_answer_of_a_forged_request() {
    let upstream = Upstream::ok();
    let (gateway, _directory) = start(&upstream, "");
    let answer = |webhook: &Webhook| {
        let response = gateway.exchange(&webhook.bytes());
        let headers: Vec<_> = response
            .headers
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("x-request-id"))
            .cloned()
            .collect();
        (response.status, headers.len(), response.body.len(), response.reason())
    };
    for place in PLACES {
        let forged = answer(&webhook(place, "acme", "pdl_ntfset_forged_0123456789abcdef", "x"));
        let names = match place {
            "path" => vec!["unknown", ".acme", "acme.", "ACME"],
            "query" => vec!["unknown", "", "../acme", "..%2Facme", "acme%00", "acme&tenant=initech"],
            "host" => vec!["unknown", "a.b"],
            _ => vec!["unknown", "../tenants/acme", "acme/../acme", ".acme", " "],
        };
        let long = "a".repeat(300);
        for name in names
            .into_iter()
            .chain([long.as_str()].into_iter().filter(|_| place != "host"))
        {
            let sent = webhook(place, name, ACME, "x");
            if place == "header" && name.trim().is_empty() {
                continue;
            }
            let unknown = answer(&sent);
            assert_eq!(unknown, forged, "{place} {name:?}");
        }
    }
    upstream.assert_untouched();
}

/// Files are noticed while the process runs: a new tenant, another secret, both secrets of a rotation, and a tenant that is
/// gone.
#[test]
fn tenants_come_change_and_go_without_a_reload() {
    let upstream = Upstream::ok();
    let (gateway, directory) = start(&upstream, "");
    let mut number = 0;
    let mut accepts = |tenant: &str, secret: &str| {
        number += 1;
        gateway
            .exchange(&webhook("path", tenant, secret, &format!("{number}")).bytes())
            .status
            == 200
    };
    assert!(!accepts("new", ACME));
    put(&directory, "new", ACME);
    eventually("a new tenant is known", || accepts("new", ACME).then_some(()));
    put(&directory, "new", &format!("{INITECH}\n{ACME}\n"));
    eventually("the next secret is known", || accepts("new", INITECH).then_some(()));
    assert!(accepts("new", ACME), "the previous secret is still accepted");
    put(&directory, "new", INITECH);
    eventually("the previous secret is gone", || (!accepts("new", ACME)).then_some(()));
    assert!(accepts("new", INITECH));
    put(&directory, "new", "changeme");
    eventually("a placeholder is no secret", || {
        (!accepts("new", INITECH)).then_some(())
    });
    put(&directory, "new", INITECH);
    eventually("the tenant is known again", || accepts("new", INITECH).then_some(()));
    std::fs::remove_file(directory.join("new")).unwrap();
    eventually("the tenant is gone", || (!accepts("new", INITECH)).then_some(()));
    assert!(accepts("acme", ACME), "the others stay");
    assert_eq!(gateway.metrics().sum("hookgate_config_reloads_total", &[]), 0.0);
}

/// Two tenants may have the same secret and get the same bytes: these are two webhooks.
#[test]
fn the_identity_of_a_webhook_includes_its_tenant() {
    let upstream = Upstream::ok();
    let (gateway, directory) = start(&upstream, "dedupe = { pointer = \"/text\" }");
    put(&directory, "twin", ACME);
    let body = br#"{"text":"the same id"}"#;
    let at = paddle::now();
    let send = |tenant: &str, at: u64| {
        let mut webhook = Webhook::signed(body.to_vec(), ACME, at);
        webhook.path = format!("/tenants/{tenant}");
        gateway.exchange(&webhook.bytes()).status
    };
    eventually("the twin is known", || (send("twin", at) == 200).then_some(()));
    assert_eq!(send("acme", at), 200);
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(send("acme", at), 409, "a replay");
    assert_eq!(send("acme", at + 1), 200, "a duplicate of the delivery is acknowledged");
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn faults_of_a_directory_say_what_to_write() {
    let upstream = Upstream::ok();
    for (route, secrets, expected) in [
        (
            "path = \"/a\"",
            "{ directory = \"tenants\", by = \"path\" }",
            "end `path` of the route with `/*`",
        ),
        (
            "path = \"/a\"",
            "{ directory = \"tenants\", by = \"host\" }",
            "begin `host` of the route with `*.`",
        ),
        (
            "path = \"/a/*\"",
            "{ directory = \"tenants\" }",
            "write `by = \"path\"`",
        ),
        (
            "path = \"/a/*\"",
            "{ directory = \"tenants\", by = \"cookie\" }",
            "write `by = \"path\"`",
        ),
        (
            "path = \"/a/*\"",
            "{ directory = \"missing\", by = \"path\" }",
            "does not exist",
        ),
        (
            "path = \"/a/*\"",
            "{ directory = \"tenants\", by = \"path\", env = \"X\" }",
            "nothing else in it",
        ),
        (
            "path = \"/a/*\"",
            "[{ directory = \"tenants\", by = \"path\" }, { env = \"PADDLE_WEBHOOK_SECRET\" }]",
            "alone",
        ),
        (
            "path = \"/a\"",
            "{ directory = \"tenants\", by = { pointer = \"a\" } }",
            "pointer",
        ),
        (
            "path = \"/a/*\"\nchallenge = { method = \"HEAD\" }",
            "{ directory = \"tenants\", by = \"path\" }",
            "the application answers the challenges",
        ),
    ] {
        let setup = Setup::new(&upstream.url());
        std::fs::create_dir(setup.directory().join("tenants")).unwrap();
        let setup = setup.more(&format!(
            "[[route]]\nname = \"t\"\n{route}\nprovider = \"paddle\"\nupstream = \"http://127.0.0.1:9\"\nsecrets = {secrets}\n"
        ));
        setup.write();
        let output = crate::support::gateway::binary()
            .args(["check", "--config"])
            .arg(setup.file())
            .env("PADDLE_WEBHOOK_SECRET", paddle::SECRET)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success(), "{secrets}: {text}");
        assert!(text.contains(expected), "{secrets}: {text}");
    }
}
