//! Several endpoints for one route: which one gets a request, which one is ejected, how DNS finds them, and that no
//! webhook is lost or sent twice.

mod changing;
mod failing;
mod health;
mod names;
mod queue;

use crate::support::upstream::answer;
use crate::support::{Gateway, Setup, Upstream, Webhook};

/// An upstream that answers with its own name.
fn named(name: &'static str) -> Upstream {
    Upstream::answering(answer("200 OK", &[], name.as_bytes()))
}

/// A gateway in front of all of them; `settings` are lines of the upstream's table.
fn gateway(upstreams: &[&Upstream], settings: &str) -> Gateway {
    setup(&urls(upstreams), settings).start()
}

fn setup(urls: &[String], settings: &str) -> Setup {
    Setup::new("").upstreams(urls).upstream(settings)
}

fn urls(upstreams: &[&Upstream]) -> Vec<String> {
    upstreams.iter().map(|upstream| upstream.url()).collect()
}

/// Sends `count` webhooks one after the other; returns status and body of each answer.
fn send(gateway: &Gateway, prefix: &str, count: usize) -> Vec<(u16, String)> {
    let mut client = gateway.connect();
    (0..count)
        .map(|number| {
            let response = client.exchange(&Webhook::new(format!("{prefix} {number}")).bytes());
            (response.status, String::from_utf8_lossy(&response.body).into_owned())
        })
        .collect()
}

/// The value of a metric of one upstream.
fn of(gateway: &Gateway, metric: &str, url: &str) -> f64 {
    gateway.metrics().sum(metric, &[("upstream", url)])
}
