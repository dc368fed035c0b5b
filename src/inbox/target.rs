//! What the inbox knows of one route: where its deliveries go, and by which rules.

use super::health::UpstreamHealth;
use super::known::Id;
use super::store::changes::RouteTally;
use super::store::types::OrderKey;
use crate::scheme::{HeadRef, Verifier};
use crate::settings::{self, ApplicationSignature, Order, Retry, Tenants};
use crate::telemetry::metrics::InboxRouteMetrics;
use crate::upstream::Upstream;
use bytes::Bytes;
use hyper::header::HeaderValue;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// How the attempts of a route are signed.
#[derive(Clone, Debug)]
pub struct Signing {
    /// The scheme of the route with its keys.
    pub verifier: Verifier,
    /// The signature that the application gets.
    pub signature: ApplicationSignature,
    /// The tenants who have the keys, on a route with one secret for each.
    pub tenants: Option<Tenants>,
}

/// A route with an inbox.
#[derive(Debug)]
pub struct Target {
    /// Name of the route.
    pub name: Arc<str>,
    /// What is done with its webhooks.
    pub settings: settings::Delivery,
    /// The retry policy, shared with the writer.
    pub retry: Arc<Retry>,
    /// How its attempts are signed.
    pub signing: Signing,
    /// Where its deliveries go.
    pub upstream: Arc<Upstream>,
    /// The state of the upstream.
    pub health: Arc<UpstreamHealth>,
    /// Names under which its deliveries are stored, the present one first, with their counts.
    pub sources: Vec<(Arc<str>, Arc<RouteTally>)>,
    /// Value of `Hookgate-Route`.
    pub route: HeaderValue,
    /// Its metrics.
    pub metrics: InboxRouteMetrics,
}

/// What identifies a webhook.
#[derive(Clone, Copy, Debug)]
pub enum Identity {
    /// A hash of the provider's id of the delivery, or of what was signed.
    Known([u8; 32]),
    /// Nothing: two different webhooks may be equal.
    Random([u8; 16]),
}

impl Target {
    /// The counts of the route under its present name.
    #[must_use]
    pub fn tally(&self) -> Option<&Arc<RouteTally>> {
        self.sources.first().map(|(_, tally)| tally)
    }

    /// Logs the beginning or the end of an outage.
    pub fn note_change(&self, has_changed: bool) {
        if !has_changed {
            return;
        }
        let route = &*self.name;
        if self.health.is_paused() {
            tracing::warn!(%route, "the application does not take webhooks: they are stored, and it is asked again at intervals");
        } else {
            tracing::info!(%route, "the application takes webhooks again");
        }
    }

    /// The value that orders a webhook. `Err` when the route orders by a key that this webhook does not have.
    ///
    /// # Errors
    /// When it has no key; it is then delivered without an order.
    pub fn order_key(&self, head: &HeadRef<'_>, body: &[Bytes]) -> Result<Option<OrderKey>, KeyMissing> {
        let hash = |value: &[u8]| Sha256::digest(value).first_chunk().copied();
        match &self.settings.order {
            Order::None => Ok(None),
            Order::Route => Ok(Some([0; 16])),
            Order::Key(location) => {
                let value = location.find(head, body).ok_or(KeyMissing)?;
                Ok(hash(&value))
            }
        }
    }
}

/// A webhook has no value at the place that orders the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyMissing;

/// The id of a delivery: the same for every repetition by the sender, on every replica.
#[must_use]
pub fn delivery_id(route: &str, identity: Identity) -> Id {
    let bytes = match identity {
        Identity::Known(bytes) => bytes,
        Identity::Random(id) => return id,
    };
    let hash = Sha256::new()
        .chain_update(route.as_bytes())
        .chain_update([0])
        .chain_update(bytes)
        .finalize();
    hash.first_chunk().copied().unwrap_or_default()
}

/// An id as the application gets it: 32 hex digits.
#[derive(Clone, Copy, Debug)]
pub struct IdText([u8; 32]);

impl IdText {
    /// The text of an id.
    #[must_use]
    pub fn of(id: &Id) -> Self {
        let mut digits = [b'0'; 32];
        // Sixteen bytes always give 32 digits.
        let _ = hex::encode_to_slice(id, &mut digits);
        Self(digits)
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}
