//! The states of one request's verification. Each state is a type, and each value exists only when the steps before it
//! have passed, so that no step can be left out or done twice.
//!
//! | state | made by | what is known |
//! | --- | --- | --- |
//! | [`Presented`] | [`Verifier::present`] | the head has a well-formed signature and, where the scheme has one there, a timestamp |
//! | [`Aged`] | [`Presented::age`] | the timestamp of the head is within the tolerance; the body is absorbed now |
//! | [`Verified`] | [`Aged::verify`] | the signature is genuine, and a timestamp inside the body is within the tolerance |

use super::buffered::BufferedCheck;
use super::compiled::PayloadPlan;
use super::fetched::FetchedKey;
use super::identity::IdentityHash;
use super::jwt::JwtCheck;
use super::message::MessageCheck;
use super::streaming::{self, StreamingCheck};
use super::tenant::ChosenTenant;
use super::time;
use super::types::{HeadRef, Verified, WantedKey};
use super::verifier::Verifier;
use crate::outcome::Rejection;
use bytes::Bytes;
use std::sync::Arc;

/// A request whose head carries a signature that is well formed; nothing of it has been checked.
#[derive(Debug)]
pub struct Presented<'v> {
    verifier: &'v Verifier,
    form: PresentedForm,
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "the large variant is the common one, and it avoids an allocation"
)]
enum PresentedForm {
    Streaming(streaming::StreamingHead),
    Buffered(Box<BufferedCheck>),
    Jwt(Box<JwtCheck>),
    Message(Box<MessageCheck>),
}

/// A request whose timestamp in the head was accepted, with the running check of its body. It owns its state, so it can
/// live across an await.
#[derive(Debug)]
pub struct Aged {
    form: AgedForm,
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "the large variant is the common one, and it avoids an allocation"
)]
enum AgedForm {
    Streaming(StreamingCheck),
    Buffered {
        check: Box<BufferedCheck>,
        /// For a timestamp inside the body, in seconds.
        tolerance: Option<u64>,
        /// How the result's identity is computed.
        identity: IdentityHash,
    },
    Jwt {
        check: Box<JwtCheck>,
        /// How the result's identity is computed.
        identity: IdentityHash,
    },
    Message {
        check: Box<MessageCheck>,
        /// How the result's identity is computed.
        identity: IdentityHash,
    },
}

impl Verifier {
    /// Reads signatures and timestamp from the head. The work is bounded, and a sender cannot make it allocate more.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`.
    pub fn present(&self, head: &HeadRef<'_>) -> Result<Presented<'_>, Rejection> {
        let form = match &self.scheme.payload {
            PayloadPlan::Streamed { before, after, hash } => PresentedForm::Streaming(streaming::StreamingHead::read(
                &self.scheme,
                head,
                (before, after, *hash),
            )?),
            PayloadPlan::Buffered(_) => PresentedForm::Buffered(Box::new(BufferedCheck::read(&self.scheme, head)?)),
            PayloadPlan::Jwt(format, _) => PresentedForm::Jwt(Box::new(JwtCheck::read(&self.scheme, format, head)?)),
            PayloadPlan::Message(format, _) => {
                PresentedForm::Message(Box::new(MessageCheck::read(&self.scheme, format, head)?))
            }
        };
        Ok(Presented { verifier: self, form })
    }
}

impl Presented<'_> {
    /// Compares the timestamp of the head with `now_unix` (seconds), both ways, and starts the check of the body: keyed
    /// states are cloned, and the part of the signed payload before the body is absorbed. `tolerance` is in seconds;
    /// `None` accepts every age. It also applies to a timestamp inside the body, which [`Aged::verify`] reads.
    ///
    /// # Errors
    /// `TimestampStale`, `TimestampFuture`.
    pub fn age(self, now_unix: u64, tolerance: Option<u64>) -> Result<Aged, Rejection> {
        self.age_as(now_unix, tolerance, None)
    }

    /// Like [`Presented::age`], with the keys of a tenant in place of those of the scheme.
    ///
    /// # Errors
    /// As [`Presented::age`].
    pub fn age_as(
        mut self,
        now_unix: u64,
        tolerance: Option<u64>,
        tenant: Option<ChosenTenant>,
    ) -> Result<Aged, Rejection> {
        let signed = match &mut self.form {
            PresentedForm::Streaming(streaming) => streaming.timestamp_unix,
            PresentedForm::Buffered(buffered) => buffered.timestamp_unix,
            PresentedForm::Jwt(token) => {
                token.age(now_unix, tolerance)?;
                None
            }
            PresentedForm::Message(message) => {
                message.age(now_unix, tolerance)?;
                None
            }
        };
        if let Some(signed) = signed {
            time::check_age(signed, now_unix, tolerance)?;
        }
        Ok(self.start(tolerance, tenant))
    }

    /// Like [`Presented::age`], for a time that does not matter.
    #[must_use]
    pub fn at_any_time(self) -> Aged {
        self.start(None, None)
    }

    fn start(self, tolerance: Option<u64>, tenant: Option<ChosenTenant>) -> Aged {
        let identity = self.verifier.identity;
        let form = match self.form {
            PresentedForm::Streaming(streaming) => {
                AgedForm::Streaming(streaming.start(&self.verifier.scheme, tolerance, identity, tenant.as_ref()))
            }
            PresentedForm::Buffered(mut check) => {
                check.tenant = tenant;
                AgedForm::Buffered {
                    check,
                    tolerance,
                    identity,
                }
            }
            PresentedForm::Jwt(mut check) => {
                check.tenant = tenant;
                AgedForm::Jwt { check, identity }
            }
            PresentedForm::Message(mut check) => {
                check.tenant = tenant;
                AgedForm::Message { check, identity }
            }
        };
        Aged { form }
    }
}

impl Aged {
    /// The next fetched key that this request needs. `body` in pieces, once it is complete.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed` where the request does not name a key; `SignatureMismatch` where it is not
    /// genuine, whatever the key is.
    pub fn wanted_key(&mut self, body: Option<&[Bytes]>) -> Result<WantedKey, Rejection> {
        match &mut self.form {
            AgedForm::Streaming(_) => Ok(WantedKey::None),
            AgedForm::Buffered { check, .. } => check.wanted_key(body),
            AgedForm::Jwt { check, .. } => Ok(check
                .wanted_key()
                .map_or(WantedKey::None, |id| WantedKey::Id(id.to_owned()))),
            AgedForm::Message { check, .. } => Ok(check
                .wanted_key()
                .map_or(WantedKey::None, |id| WantedKey::Id(id.to_owned()))),
        }
    }

    /// Gives the fetched key that [`Aged::wanted_key`] named.
    pub fn use_key(&mut self, key: Arc<FetchedKey>) {
        match &mut self.form {
            AgedForm::Streaming(_) => {}
            AgedForm::Buffered { check, .. } => check.use_key(key),
            AgedForm::Jwt { check, .. } => check.use_key(key),
            AgedForm::Message { check, .. } => check.use_key(key),
        }
    }

    /// Chooses the tenant by what the complete body says, on a route whose scheme looks at complete bodies only.
    pub fn choose(&mut self, tenant: ChosenTenant) {
        match &mut self.form {
            AgedForm::Buffered { check, .. } => check.tenant = Some(tenant),
            AgedForm::Jwt { check, .. } => check.tenant = Some(tenant),
            AgedForm::Message { check, .. } => check.tenant = Some(tenant),
            AgedForm::Streaming(_) => {}
        }
    }

    /// Absorbs the next piece of the body. To be called once for every byte, in order.
    pub fn update(&mut self, piece: &[u8]) {
        match &mut self.form {
            AgedForm::Streaming(check) => check.update(piece),
            AgedForm::Buffered { .. } => {}
            AgedForm::Jwt { check, .. } => check.update(piece),
            AgedForm::Message { check, .. } => check.update(piece),
        }
    }

    /// The number of candidate signatures that are known before the body is read; one where they are in the body.
    #[must_use]
    pub fn candidates(&self) -> usize {
        match &self.form {
            AgedForm::Streaming(check) => check.candidates(),
            AgedForm::Buffered { check, .. } => check.candidates().max(1),
            AgedForm::Jwt { .. } => 1,
            AgedForm::Message { check, .. } => check.candidates(),
        }
    }

    /// Compares every active secret with every candidate signature, in constant time. `body` is what was absorbed, in
    /// pieces, for the schemes that must look inside (form, JSON pointer).
    ///
    /// # Errors
    /// `SignatureMismatch`; `SignatureMissing`, `SignatureMalformed`, `TimestampStale` and `TimestampFuture` where the
    /// signature or the timestamp is inside the body.
    pub fn verify(self, body: &[Bytes], now_unix: u64) -> Result<Verified, Rejection> {
        match self.form {
            AgedForm::Streaming(check) => check.finish(body, now_unix),
            AgedForm::Buffered {
                check,
                tolerance,
                identity,
            } => check.finish(body, now_unix, tolerance, identity),
            AgedForm::Jwt { check, identity } => check.finish(identity),
            AgedForm::Message { check, identity } => check.finish(identity),
        }
    }
}
