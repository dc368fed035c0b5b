//! The inbox with the real binary: an outage of the application loses nothing, and doubles nothing.

mod alerts;
mod backlog;
mod bounds;
mod disk;
mod drain;
mod exact_points;
mod failover;
mod faults;
mod io;
mod openapi;
mod operators;
mod order;
mod outages;
mod promises;
mod queue;
mod repeats;
mod routes;
mod signatures;
mod syncs;

use crate::support::paddle::{SECRET, now};
use crate::support::{Gateway, Setup, Upstream, Webhook, eventually};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

/// A key of the inbox.
const KEY: &str = "5f0c4f3e6a1b8d7290e4c3b2a1f0e9d8c7b6a5948372615049382716f5e4d3c2";

/// A gateway with an inbox in `directory`; `route` are further lines of its route. Retries and probes are quick.
fn setup(upstream: &str, directory: &Path, delivery: &str, route: &str) -> Setup {
    let more = format!(
        "[inbox]\nstore = \"{}\"\nkeys = [{{ env = \"INBOX_KEY\" }}]\nany_filesystem = true\nmin_free_disk = \"1MiB\"\n\
         probe = {{ backoff = \"50ms\", backoff_limit = \"200ms\" }}\n",
        directory.join("inbox.db").display()
    );
    let retry = match route.contains("retry = ") {
        true => "",
        false => "retry = { backoff = \"50ms\", backoff_limit = \"200ms\" }",
    };
    Setup::new(upstream)
        .variable("INBOX_KEY", KEY)
        .route(&format!("delivery = \"{delivery}\"\n{retry}\n{route}"))
        .more(&more)
}

/// A webhook whose delivery id is `event`. Its retries have another `age` in seconds, so another signature.
fn webhook(event: &str, age: u64) -> Webhook {
    let body = format!("{{\"event_id\":\"{event}\",\"event_type\":\"transaction.paid\"}}");
    Webhook::signed(body, SECRET, now() - age)
}

/// An address on which nothing listens, for an application that is started later.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Waits until the store is open.
fn opened(gateway: Gateway) -> Gateway {
    gateway.wait_for_metric("hookgate_inbox_up", &[], 1.0);
    gateway
}

/// Number of stored deliveries in this state.
fn count(gateway: &Gateway, state: &str) -> f64 {
    gateway.metrics().sum("hookgate_inbox_deliveries", &[("state", state)])
}

fn wait_for(gateway: &Gateway, state: &str, number: f64) {
    gateway.wait_for_metric("hookgate_inbox_deliveries", &[("state", state)], number);
}

/// Waits until no delivery is open. All states are of one scrape: a delivery goes from one to another.
fn wait_for_the_end(gateway: &Gateway) {
    let open = || {
        let metrics = gateway.metrics();
        let open = |state| metrics.sum("hookgate_inbox_deliveries", &[("state", state)]);
        ["waiting", "in_flight", "behind"].into_iter().map(open).sum::<f64>()
    };
    // A long outage leaves hundreds of thousands: the deadline is for each step.
    let mut last = open();
    while last > 0.0 {
        last = eventually("fewer open deliveries", || {
            let now = open();
            (now < last).then_some(now)
        });
    }
}

/// How often each body arrived.
fn arrivals(upstream: &Upstream) -> BTreeMap<Vec<u8>, usize> {
    let mut found = BTreeMap::new();
    for request in upstream.requests() {
        *found.entry(request.body.clone()).or_default() += 1;
    }
    found
}

/// The values of a header of each request.
fn headers(upstream: &Upstream, name: &str) -> Vec<Option<String>> {
    let requests = upstream.requests();
    let value = |request: &crate::support::upstream::Recorded| request.header(name);
    requests.iter().map(value).collect()
}

/// Waits until the upstream has seen `number` different bodies.
fn wait_for_bodies(upstream: &Upstream, number: usize) {
    eventually(&format!("{number} bodies at the upstream"), || {
        (arrivals(upstream).len() >= number).then_some(())
    });
}
