//! Lists of source addresses that providers publish: fetched from a server of the test, kept on disk, and never replaced by
//! something that cannot be right.

use crate::support::upstream::answer;
use crate::support::{AfterAnswer, Gateway, Setup, Upstream, Webhook};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Numbers the webhooks, so that none is a repetition.
static SENT: AtomicUsize = AtomicUsize::new(0);
/// An address of the list that is part of hookgate, and one of no list.
const BUNDLED: &str = "140.82.112.5";
const FOREIGN: &str = "192.0.2.1";

/// A gateway whose route allows GitHub's list and one address, behind a proxy that names the sender.
fn gateway(upstream: &Upstream, mirror: &str, directory: &Path, more: &str) -> Gateway {
    Setup::new(&upstream.url())
        .listener("trusted_proxies = [\"127.0.0.0/8\"]")
        .route("allow = [\"github\", \"203.0.113.7\"]")
        .more(&format!(
            "[keys]\ndirectory = {directory:?}\n{more}\naddresses = {{ github = \"{mirror}/meta\" }}\n"
        ))
        .start()
}

/// The status for a webhook from this address.
fn from(gateway: &Gateway, address: &str) -> u16 {
    let number = SENT.fetch_add(1, Ordering::Relaxed);
    let webhook = Webhook::new(format!("{{\"number\":{number}}}")).header("X-Forwarded-For", address);
    gateway.exchange(&webhook.bytes()).status
}

fn wait_for_fetch(gateway: &Gateway, result: &str) {
    let labels = [("list", "github"), ("result", result)];
    gateway.wait_for_metric("hookgate_address_list_fetches_total", &labels, 1.0);
}

/// A fetched list is in force beside the networks of the file, what left it stays for a while, and a restart without the
/// server uses it.
#[test]
fn a_published_list_is_fetched_and_survives_a_restart_without_its_server() {
    let (upstream, directory) = (Upstream::ok(), tempfile::tempdir().unwrap());
    let document = br#"{"hooks":["198.51.100.0/24","2606:50c0::/32"],"actions":["8.8.8.0/24"]}"#;
    let server = Upstream::answering(answer("200 OK", &[("content-type", "application/json")], document));
    let first = gateway(&upstream, &server.url(), directory.path(), "");
    wait_for_fetch(&first, "ok");
    assert!(server.only().message.raw.starts_with(b"GET /meta HTTP/1.1\r\n"));
    let statuses = |gateway: &Gateway| {
        [
            "198.51.100.9",
            "2606:50c0::7",
            "203.0.113.7",
            BUNDLED,
            "8.8.8.8",
            FOREIGN,
        ]
        .map(|address| from(gateway, address))
    };
    let expected = [200, 200, 200, 200, 403, 403];
    assert_eq!(statuses(&first), expected);
    let labels = [("list", "github")];
    assert_eq!(
        first.metrics().sum("hookgate_address_list_networks", &labels),
        7.0,
        "two, and five that left"
    );
    first.logs.wait_for("the change", |line| {
        (line.contains("the list of addresses has changed") && line.contains("\"added\":1")).then_some(())
    });
    drop(first);
    let again = gateway(&upstream, "http://127.0.0.1:1", directory.path(), "");
    wait_for_fetch(&again, "failed");
    assert_eq!(statuses(&again), expected);
}

/// Whatever the server answers, the list that is part of hookgate stays in force, and nothing else is let in.
#[test]
fn a_list_that_cannot_be_right_changes_nothing() {
    let elsewhere = Upstream::answering(answer("200 OK", &[], br#"{"hooks":["192.0.2.0/24"]}"#));
    let huge = format!(r#"{{"filler":"{}","hooks":["192.0.2.0/24"]}}"#, "x".repeat(3 << 20));
    let redirect = format!("{}/meta", elsewhere.url());
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("broken", answer("200 OK", &[], b"<html>maintenance"), "not the list"),
        ("empty", answer("200 OK", &[], br#"{"hooks":[]}"#), "empty"),
        (
            "everyone",
            answer("200 OK", &[], br#"{"hooks":["0.0.0.0/0"]}"#),
            "0.0.0.0/0",
        ),
        (
            "private",
            answer("200 OK", &[], br#"{"hooks":["192.168.0.0/24"]}"#),
            "no provider sends from",
        ),
        ("huge", answer("200 OK", &[], huge.as_bytes()), "longer than"),
        (
            "redirecting",
            answer("302 Found", &[("location", &redirect)], b""),
            "status 302",
        ),
        ("failing", answer("503 Service Unavailable", &[], b""), "status 503"),
    ];
    for (name, bytes, reason) in cases {
        refused(&Upstream::answering(bytes), name, reason);
    }
    let slow = Upstream::new(|_, connection| {
        connection.wait_for_close();
        AfterAnswer::Close
    });
    refused(&slow, "slow", "in time");
    elsewhere.assert_untouched();
}

fn refused(server: &Upstream, name: &str, reason: &str) {
    let (upstream, directory) = (Upstream::ok(), tempfile::tempdir().unwrap());
    let gateway = gateway(&upstream, &server.url(), directory.path(), "timeout = \"500ms\"");
    wait_for_fetch(&gateway, "failed");
    assert_eq!(
        [BUNDLED, FOREIGN].map(|address| from(&gateway, address)),
        [200, 403],
        "{name}"
    );
    gateway.logs.wait_for(name, |line| {
        (line.contains("could not be fetched; the one in use stays") && line.contains(reason)).then_some(())
    });
    assert!(!directory.path().join("addresses-github.json").exists());
}
