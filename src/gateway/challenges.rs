//! The challenges of a route: which requests may be one, and their answers.
//!
//! A challenge in the head is answered after the step admit. One in the body is known only when its body was read, which
//! happens to unsigned requests of such a route only, up to a few KiB. A signed challenge is answered after the step
//! verify.

use crate::gateway::snapshot::CompiledRoute;
use crate::http::body::{BodyLimits, ReceivedBody};
use crate::outcome::Rejection;
use crate::scheme::challenge::{self, Challenge, ChallengeReply};
use crate::scheme::{Aged, HeadRef, Verified};
use bytes::Bytes;

impl CompiledRoute {
    /// The answer to an unsigned challenge at `now_unix` (seconds); `None` for any other request. `body` in pieces, empty
    /// where the request has none.
    pub(super) fn unsigned_reply(
        &self,
        head: &HeadRef<'_>,
        body: &[Bytes],
        now_unix: u64,
    ) -> Option<Result<ChallengeReply, Rejection>> {
        let mut challenges = self.settings.challenges.iter();
        let reply = challenges.find_map(|one| one.answer_unsigned(head, body, &self.settings.verifier))?;
        Some(self.challenge_rate.take(now_unix).and(reply))
    }

    /// Whether a request must be read to know whether it is an unsigned challenge: it has no signature, and its body is
    /// short, or its length (`body_bytes`) is not known yet.
    pub(super) fn may_be_challenge(
        &self,
        head: &HeadRef<'_>,
        aged: &Result<Aged, Rejection>,
        body_bytes: Option<u64>,
    ) -> bool {
        let is_asked = |one: &Challenge| one.method_with_body() == Some(head.method);
        matches!(aged, Err(Rejection::SignatureMissing))
            && self.settings.challenges.iter().any(is_asked)
            && body_bytes.is_none_or(|bytes| bytes <= challenge::max_body_bytes() as u64)
    }

    /// The limits of a request's body. With `may_ask` the request has no signature and is read only because it may be a
    /// challenge.
    pub(super) fn limits_of(&self, may_ask: bool, limits: BodyLimits) -> BodyLimits {
        if may_ask && !self.settings.report_only() {
            BodyLimits {
                max_bytes: limits.max_bytes.min(challenge::max_body_bytes()),
                ..limits
            }
        } else {
            limits
        }
    }

    /// The reason for refusing a request whose body could not be read: a long body is no challenge, and its signature is
    /// missing.
    pub(super) fn instead_of_challenge(&self, may_ask: bool, rejection: Rejection) -> Rejection {
        if may_ask && !self.settings.report_only() && rejection == Rejection::BodyTooLarge {
            Rejection::SignatureMissing
        } else {
            rejection
        }
    }

    /// The answer to an unsigned challenge in a body; `None` for any other request.
    ///
    /// # Errors
    /// `SignatureMismatch` for a challenge with another token, `RateLimited`.
    pub(super) fn answer_unsigned(
        &self,
        verified: &Result<Verified, Rejection>,
        head: &HeadRef<'_>,
        body: &ReceivedBody,
        now_unix: u64,
    ) -> Result<Option<ChallengeReply>, Rejection> {
        if self.settings.challenges.is_empty() || *verified != Err(Rejection::SignatureMissing) {
            return Ok(None);
        }
        self.unsigned_reply(head, body.pieces(), now_unix).transpose()
    }

    /// Calls the URL of a signed challenge that is answered there, within the rate of challenges.
    ///
    /// # Errors
    /// `RateLimited`, `SignatureMalformed` for a URL that is not the provider's, `KeyUnavailable` when it cannot be called.
    pub(super) async fn confirm(&self, reply: &ChallengeReply, now_unix: u64) -> Result<(), Rejection> {
        if let (Some(url), Some(keys)) = (&reply.confirm, &self.fetched_keys) {
            self.challenge_rate.take(now_unix)?;
            Box::pin(keys.confirm(url)).await?;
        }
        Ok(())
    }

    /// The answer to a verified request that is a signed challenge of the provider; `None` for a webhook.
    pub(super) fn answer_challenge(
        &self,
        verified: &Result<Verified, Rejection>,
        body: &ReceivedBody,
    ) -> Option<ChallengeReply> {
        let secret = verified.as_ref().ok()?.secret;
        let mut challenges = self.settings.challenges.iter();
        challenges.find_map(|one| one.answer_verified(body.pieces(), &self.settings.verifier, secret))
    }
}
