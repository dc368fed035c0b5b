//! What a complete request says: whether it is genuine, and what a genuine one claims. Pure.
//!
//! [`Gateway::examine`] does this on the worker, or on a thread of its own when it may take long.

use crate::gateway::Gateway;
use crate::gateway::long_work::LONGEST_ON_WORKER;
use crate::gateway::snapshot::CompiledRoute;
use crate::http::body::ReceivedBody;
use crate::http::message::Headers;
use crate::inbox::known::Id;
use crate::inbox::store::types::OrderKey;
use crate::inbox::target::KeyMissing;
use crate::outcome::Rejection;
use crate::replay::ClaimRequest;
use crate::scheme::{Aged, ChosenTenant, HeadRef, Verified};
use crate::time::stopwatch::Stopwatch;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a complete request says.
pub(super) struct Examined {
    /// Whether its signature is genuine.
    pub(super) verified: Result<Verified, Rejection>,
    /// The CPU time of the verification.
    pub(super) worked: Duration,
    /// When the verification ended.
    pub(super) ended: Instant,
    /// What it must claim. The reason of `verified` if that is an error.
    pub(super) claim: Result<ClaimRequest, Rejection>,
    /// What identifies and orders it; `None` unless it is genuine and has what it must claim.
    pub(super) keys: Option<DeliveryKeys>,
    /// The tenant that the body names, on a route where it does.
    pub(super) tenant: Option<ChosenTenant>,
}

/// What identifies and orders a genuine webhook.
pub(super) struct DeliveryKeys {
    /// Its id.
    pub(super) id: Id,
    /// The value that orders it in the inbox.
    pub(super) order_key: Result<Option<OrderKey>, KeyMissing>,
    /// The headers of hookgate's own signature for a direct attempt, where the application gets one.
    pub(super) signature: Option<Vec<(HeaderName, HeaderValue)>>,
}

/// The values of a [`HeadRef`], for another thread.
struct OwnedHead {
    method: Method,
    target: String,
    headers: Headers,
}

impl OwnedHead {
    fn of(head: &HeadRef<'_>) -> Self {
        Self {
            method: head.method.clone(),
            target: head.target.to_owned(),
            headers: head.headers.clone(),
        }
    }

    fn borrowed(&self) -> HeadRef<'_> {
        HeadRef {
            method: &self.method,
            target: &self.target,
            headers: &self.headers,
        }
    }
}

impl Gateway {
    /// Verifies a complete request, and reads from it what it must claim. Work that may take longer than
    /// [`LONGEST_ON_WORKER`] is done on another thread.
    ///
    /// # Errors
    /// `Draining` when the process ends meanwhile.
    pub(super) async fn examine(
        &self,
        route: &Arc<CompiledRoute>,
        aged: Result<Aged, Rejection>,
        head: &HeadRef<'_>,
        body: &ReceivedBody,
        now_unix: u64,
        mut stopwatch: Stopwatch,
    ) -> Result<Examined, Rejection> {
        let estimate = |aged: &Aged| route.work_when_complete.time(body.len(), aged.candidates());
        let signing = route.signing_time(body.len());
        if aged.as_ref().map_or(Duration::ZERO, estimate) + signing <= LONGEST_ON_WORKER {
            return Ok(route.examine(aged, head, body.pieces(), now_unix, stopwatch));
        }
        stopwatch.pause();
        let (route, head, pieces) = (route.clone(), OwnedHead::of(head), body.pieces().to_vec());
        let work = move || route.examine(aged, &head.borrowed(), &pieces, now_unix, stopwatch);
        // Boxed, so that other requests do not need the space for it.
        Box::pin(self.long_work.run(work)).await
    }
}

impl CompiledRoute {
    fn examine(
        &self,
        aged: Result<Aged, Rejection>,
        head: &HeadRef<'_>,
        body: &[Bytes],
        now_unix: u64,
        mut stopwatch: Stopwatch,
    ) -> Examined {
        stopwatch.resume();
        let tenant = self.tenant_in_body(head, body);
        let verified = aged.and_then(|mut aged| {
            if let Some(tenant) = tenant.clone() {
                aged.choose(tenant);
            }
            aged.verify(body, now_unix)
        });
        let (worked, ended) = stopwatch.stop();
        let claim = match &verified {
            Ok(verified) => self.claim_request(verified, head, body, now_unix),
            Err(rejection) => Err(*rejection),
        };
        let keys = match (&verified, &claim) {
            (Ok(verified), Ok(claim)) => {
                let id = self.delivery_id(verified, head, body, claim);
                let target = self.durable.as_ref().map(|(_, target)| target);
                Some(DeliveryKeys {
                    id,
                    order_key: target.map_or(Ok(None), |target| target.order_key(head, body)),
                    signature: self.gateway_signature(&id, body, now_unix),
                })
            }
            (Ok(_) | Err(_), Ok(_) | Err(_)) => None,
        };
        Examined {
            verified,
            worked,
            ended,
            claim,
            keys,
            tenant,
        }
    }
}
