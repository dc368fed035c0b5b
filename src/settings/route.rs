//! Webhook endpoints.

use super::delivery::Delivery;
use super::operators::Capture;
use super::published_list::PublishedList;
use super::rate::Rate;
use super::secret_info::SecretInfo;
use super::serialize::{display_all, duration_text, size_text};
use super::signature::ApplicationSignature;
use super::tenants::Tenants;
use super::upstream::Upstream;
use crate::scheme::challenge::Challenge;
use crate::scheme::{DeliveryId, Expected, Verifier};
use hyper::{Method, StatusCode};
use ipnet::IpNet;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::sync::Arc;
use std::time::Duration;

/// One webhook endpoint.
#[derive(Debug)]
pub struct Route {
    /// Label in metrics and `Hookgate-Route`. Default: host and path.
    pub name: String,
    /// Host in lower case without port, `*.example.com`, or `None` for every host.
    pub host: Option<String>,
    /// Raw path: exact, or a prefix if it ends with `/*`.
    pub path: String,
    /// Accepted methods.
    pub methods: Vec<Method>,
    /// Addresses of senders (behind trusted proxies) that are accepted; empty accepts every address.
    pub allow: Vec<IpNet>,
    /// The same by lists that providers publish.
    pub allow_published: Vec<PublishedList>,
    /// Scheme and keys.
    pub verifier: Verifier,
    /// Names and sources of the secrets and public keys that `verifier` holds, in its order.
    pub secrets: Vec<SecretInfo>,
    /// Values that signed requests must carry.
    pub expect: Expected,
    /// The secret with which fetched keys are asked for.
    pub key_secret: Option<SecretInfo>,
    /// The tenants that have a secret each, where the route has a directory of them in place of `secrets`.
    pub tenants: Option<Tenants>,
    /// URL that the provider was given, for schemes that sign it.
    pub public_url: Option<String>,
    /// Name and source of the user and password of that URL.
    pub public_url_credentials: Option<SecretInfo>,
    /// Largest accepted difference between the signed time and the clock, in both directions. `None` accepts every age:
    /// the scheme has no timestamp, or the file sets `tolerance = "unlimited"`.
    pub tolerance: Option<Duration>,
    /// How long a delivered request is remembered, and the answer to a replay.
    pub replay: ReplayPolicy,
    /// Where the delivery id is, if each delivery is to be forwarded once.
    pub dedupe: Option<Dedupe>,
    /// Requests of the route, over all senders; `None` sets no limit.
    pub rate: Option<Rate>,
    /// What is done with a webhook that the application does not take at once; `None` without an inbox.
    pub delivery: Option<Delivery>,
    /// The signature that the application gets.
    pub signature: ApplicationSignature,
    /// What is captured of its requests.
    pub capture: Capture,
    /// The longest usual time between two verified requests, beyond which silence is told; `None` expects nothing.
    pub expect_every: Option<Duration>,
    /// What is done with verified and with other requests.
    pub mode: RouteMode,
    /// Largest body in bytes.
    pub body_limit: usize,
    /// Time from the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// Challenges of the provider that hookgate answers instead of the application; empty unless the route enables them.
    pub challenges: Vec<Challenge>,
    /// Name and source of the token with which the provider's challenge is checked.
    pub verify_token: Option<SecretInfo>,
    /// Status of refusals about the signature.
    pub reject_status: StatusCode,
    /// Whether the body of a refusal contains the reason.
    pub refusal_detail: bool,
    /// Where verified requests are forwarded; without servers on a route that forwards nothing. Routes with equal
    /// upstreams share one.
    pub upstream: Arc<Upstream>,
}

/// What a route does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteMode {
    /// Verified requests are forwarded, others are refused.
    Verify,
    /// Every request is forwarded, with a mark on those that failed verification.
    Report,
    /// Verified requests are answered 200 for a proxy that asks, others are refused. Nothing is forwarded.
    Authorize,
}

/// What is shown of the place of fetched keys.
struct FetchedFrom<'r> {
    hosts: Vec<&'r str>,
    secret: Option<&'r SecretInfo>,
}

impl Serialize for FetchedFrom<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("hosts", &self.hosts)?;
        if let Some(secret) = self.secret {
            table.serialize_entry("secret", secret)?;
        }
        table.end()
    }
}

/// How long a delivered request is remembered, and the answer to a replay.
#[derive(Clone, Debug)]
pub struct ReplayPolicy {
    /// How long a delivered request is remembered. `None` means until its timestamp is outside the tolerance; zero turns
    /// the guard off.
    pub window: Option<Duration>,
    /// Whether a replay is answered 200 without being forwarded; otherwise 409.
    pub acknowledge: bool,
}

/// Deduplication by delivery id: the provider signs each retry again, so retries have different replay keys.
#[derive(Clone, Debug)]
pub struct Dedupe {
    /// Where the delivery id is in a request.
    pub id: DeliveryId,
    /// Whether deliveries with the same id are different ones if another secret signed them: the id is the event's, and
    /// several senders may use this route.
    pub per_secret: bool,
    /// How long the id of a delivered request is remembered.
    pub window: Duration,
    /// Whether a duplicate is answered 200 without being forwarded; otherwise 409.
    pub acknowledge: bool,
    /// Whether a request without an id is refused; otherwise it is forwarded.
    pub reject_missing: bool,
    /// Whether the ids of webhooks that were delivered directly are stored in the inbox, so that a restart forgets none.
    pub durable: bool,
}

impl Route {
    /// Whether every request is forwarded, with a mark on those that failed verification.
    #[must_use]
    pub fn report_only(&self) -> bool {
        self.mode == RouteMode::Report
    }

    /// Names of the secrets that are still accepted although senders should no longer use them.
    pub fn retired_secrets(&self) -> impl Iterator<Item = &str> {
        let retired = self.secrets.iter().filter(|secret| secret.retired);
        retired.map(|secret| secret.name.as_str())
    }
}

impl Serialize for Route {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("name", &self.name)?;
        if let Some(host) = &self.host {
            table.serialize_entry("host", host)?;
        }
        table.serialize_entry("path", &self.path)?;
        table.serialize_entry("methods", &display_all(&self.methods))?;
        let published = self
            .allow_published
            .iter()
            .map(|published| published.list.name.to_owned());
        let allow: Vec<String> = display_all(&self.allow).into_iter().chain(published).collect();
        table.serialize_entry("allow", &allow)?;
        table.serialize_entry("provider", self.verifier.name())?;
        match &self.tenants {
            Some(tenants) => table.serialize_entry("secrets", tenants)?,
            None => table.serialize_entry("secrets", &self.secrets)?,
        }
        if !self.expect.is_empty() {
            table.serialize_entry("expect", &self.expect)?;
        }
        if let Some(source) = self.verifier.key_source() {
            let keys = FetchedFrom {
                hosts: source.hosts(),
                secret: self.key_secret.as_ref(),
            };
            table.serialize_entry("keys", &keys)?;
        }
        if let Some(url) = &self.public_url {
            table.serialize_entry("public_url", url)?;
        }
        if let Some(credentials) = &self.public_url_credentials {
            table.serialize_entry("public_url_credentials", credentials)?;
        }
        if self.verifier.has_timestamp() {
            let tolerance = self.tolerance.map_or_else(|| String::from("unlimited"), duration_text);
            table.serialize_entry("tolerance", &tolerance)?;
        }
        table.serialize_entry("replay", &self.replay)?;
        if let Some(dedupe) = &self.dedupe {
            table.serialize_entry("dedupe", dedupe)?;
        }
        match &self.delivery {
            Some(delivery) => delivery.serialize_into(&mut table)?,
            None => table.serialize_entry("delivery", "direct")?,
        }
        table.serialize_entry("signature", self.signature.label())?;
        if let ApplicationSignature::Gateway(keys) = &self.signature {
            table.serialize_entry("gateway_keys", &keys.infos)?;
        }
        table.serialize_entry("capture", &self.capture)?;
        if let Some(time) = self.expect_every {
            table.serialize_entry("expect_every", &duration_text(time))?;
        }
        table.serialize_entry("mode", &self.mode)?;
        if let Some(rate) = &self.rate {
            table.serialize_entry("rate", rate)?;
        }
        table.serialize_entry("body_limit", &size_text(self.body_limit))?;
        table.serialize_entry("body_timeout", &duration_text(self.body_timeout))?;
        table.serialize_entry("reject_status", &self.reject_status.as_u16())?;
        table.serialize_entry("refusal_detail", if self.refusal_detail { "reason" } else { "none" })?;
        let described: Vec<_> = self.challenges.iter().filter_map(Challenge::description).collect();
        match &described[..] {
            [] if self.challenges.is_empty() => {}
            [] => table.serialize_entry("challenge", &true)?,
            [one] => table.serialize_entry("challenge", one)?,
            several => table.serialize_entry("challenge", several)?,
        }
        if let Some(token) = &self.verify_token {
            table.serialize_entry("verify_token", token)?;
        }
        if self.mode != RouteMode::Authorize {
            table.serialize_entry("upstream", &*self.upstream)?;
        }
        table.end()
    }
}

impl ReplayPolicy {
    /// Whether repetitions are detected.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.window != Some(Duration::ZERO)
    }
}

impl Serialize for ReplayPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        let is_enabled = self.is_enabled();
        table.serialize_entry("enabled", &is_enabled)?;
        if is_enabled {
            if let Some(window) = self.window {
                table.serialize_entry("window", &duration_text(window))?;
            }
            let on_replay = if self.acknowledge { "acknowledge" } else { "reject" };
            table.serialize_entry("on_replay", on_replay)?;
        }
        table.end()
    }
}

impl Serialize for Dedupe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        let (location, values) = self.id.describe();
        match values.as_slice() {
            [value] => table.serialize_entry(location, value)?,
            values => table.serialize_entry(location, values)?,
        }
        table.serialize_entry("window", &duration_text(self.window))?;
        let on_duplicate = if self.acknowledge { "acknowledge" } else { "reject" };
        table.serialize_entry("on_duplicate", on_duplicate)?;
        let on_missing_id = if self.reject_missing { "reject" } else { "forward" };
        table.serialize_entry("on_missing_id", on_missing_id)?;
        if self.durable {
            table.serialize_entry("durable", &true)?;
        }
        table.end()
    }
}
