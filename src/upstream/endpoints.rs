//! The endpoints of an upstream, and the choice of one for a request.

use super::balance::{self, EndpointCandidate, Random, Weights};
use super::pool::Endpoint;
use super::server::Shared;
use super::tried_endpoints::TriedEndpoints;
use arc_swap::ArcSwap;
use std::cell::RefCell;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use tokio::time::Instant;

/// How often an endpoint is chosen again because another request has just taken the trial of the chosen one.
const MAX_CHOICES: usize = 4;

/// The endpoints that requests can be sent to.
pub(super) enum Endpoints {
    /// A single endpoint that never changes.
    One(Arc<Endpoint>),
    /// Several endpoints that never change, because every server is configured by address.
    Fixed(EndpointList),
    /// Endpoints that look-ups replace, because at least one server is configured by name.
    Changing(ArcSwap<EndpointList>),
}

/// Several endpoints with their weights.
pub(super) struct EndpointList {
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    weights: Weights,
}

impl EndpointList {
    pub(super) fn new(endpoints: Vec<Arc<Endpoint>>) -> Self {
        let weights = endpoints.iter().map(|endpoint| endpoint.server.settings.weight);
        Self {
            weights: Weights::new(weights),
            endpoints,
        }
    }

    fn choose(&self, shared: &Shared, tried: &TriedEndpoints, now: Instant) -> Option<(Arc<Endpoint>, bool)> {
        thread_local! {
            // The seed comes from the standard library's random hash keys.
            static RANDOM: RefCell<Random> = RefCell::new(Random(RandomState::new().hash_one(0)));
        }
        let settings = &shared.settings;
        let now_ms = shared.milliseconds_since_start(now);
        let candidate = |index: usize| match self.endpoints.get(index) {
            Some(endpoint) => EndpointCandidate {
                weight: endpoint.server.settings.weight,
                in_flight: endpoint.active(),
                is_available: endpoint.health.is_available(now_ms),
                is_tried: tried.contains(endpoint.id),
            },
            None => EndpointCandidate::NONE,
        };
        let random = || RANDOM.with_borrow_mut(Random::next);
        let trial_timeout = settings.connect_timeout.saturating_add(settings.timeout);
        let mut found = None;
        for _ in 0..MAX_CHOICES {
            let choice = balance::choose(&self.weights, candidate, settings.ejection.panic_below, random)?;
            let endpoint = self.endpoints.get(choice.index)?;
            found = Some((endpoint, choice.has_alternative));
            if !choice.is_available || endpoint.health.admit(now_ms, trial_timeout) {
                break;
            }
        }
        found.map(|(endpoint, has_alternative)| (endpoint.clone(), has_alternative))
    }
}

impl Endpoints {
    /// `may_change` if at least one server is configured by name.
    pub(super) fn new(mut endpoints: Vec<Arc<Endpoint>>, may_change: bool) -> Self {
        match endpoints.pop() {
            Some(one) if endpoints.is_empty() && !may_change => Self::One(one),
            last => {
                endpoints.extend(last);
                let list = EndpointList::new(endpoints);
                if may_change {
                    Self::Changing(ArcSwap::from_pointee(list))
                } else {
                    Self::Fixed(list)
                }
            }
        }
    }

    /// Chooses the endpoint for a request that has already `tried` others. The flag is whether yet another one is left.
    pub(super) fn choose(
        &self,
        shared: &Shared,
        tried: &TriedEndpoints,
        now: Instant,
    ) -> Option<(Arc<Endpoint>, bool)> {
        match self {
            Self::One(endpoint) => Some((endpoint.clone(), false)),
            Self::Fixed(list) => list.choose(shared, tried, now),
            Self::Changing(list) => list.load().choose(shared, tried, now),
        }
    }

    pub(super) fn for_each(&self, mut visit: impl FnMut(&Arc<Endpoint>)) {
        match self {
            Self::One(endpoint) => visit(endpoint),
            Self::Fixed(list) => list.endpoints.iter().for_each(visit),
            Self::Changing(list) => list.load().endpoints.iter().for_each(&mut visit),
        }
    }
}
