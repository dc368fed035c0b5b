//! How long the checks of one scheme with its keys may take.

use super::asymmetric::PublicKey;
use super::compiled::{CompiledScheme, PayloadPlan};
use super::keys::VerificationKey;
use super::location::{TimestampLocation, TimestampSource};
use super::template::PayloadPart;
use super::work::{COPY, FORM, HASH, JSON, Work};

/// One verification with RSA of 4096 bits, the slowest of the usual fetched keys, in nanoseconds.
const RSA_NS: u64 = 150_000;

/// The work of one scheme with its keys.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SchemeWork {
    /// While the body arrives.
    pub(super) arriving: Work,
    /// When the body is complete, without the identity.
    pub(super) complete: Work,
    /// The identity of a genuine request.
    pub(super) identity: Work,
}

impl SchemeWork {
    /// The work of a compiled scheme.
    pub(super) fn of(scheme: &CompiledScheme) -> Self {
        let reads_json_time = matches!(
            &scheme.timestamp,
            Some(TimestampSource {
                location: TimestampLocation::Json(_),
                ..
            })
        );
        let parts = match &scheme.payload {
            PayloadPlan::Streamed { .. } => {
                return Self {
                    arriving: Work::ONE_HASH.times(scheme.keys.len()),
                    complete: Work::per_byte(if reads_json_time { COPY + JSON } else { 0 }),
                    identity: Work::ONE_HASH,
                };
            }
            PayloadPlan::Buffered(parts) => parts,
            PayloadPlan::Jwt(_, covered) => {
                let hashes = covered.iter().filter(|part| **part == PayloadPart::Body);
                return Self {
                    arriving: Work::ONE_HASH.times(hashes.count()),
                    complete: Work::default().for_each_candidate(RSA_NS, 0),
                    identity: Work::default(),
                };
            }
            PayloadPlan::Message(..) => {
                let keys = scheme.keys.iter().map(|key| match &key.key {
                    VerificationKey::Message(key) => key.verification_ns(),
                    // An RSA key without an algorithm is tried with two.
                    VerificationKey::Fetched => 2 * RSA_NS,
                    VerificationKey::Mac(_)
                    | VerificationKey::Public(_)
                    | VerificationKey::Token(..)
                    | VerificationKey::Digest(..) => 0,
                });
                return Self {
                    // SHA-256 and SHA-512.
                    arriving: Work::ONE_HASH.times(2),
                    complete: Work::default().for_each_candidate(keys.sum(), 0),
                    identity: Work::default(),
                };
            }
        };
        let hashes = parts.iter().filter(|part| matches!(part, PayloadPart::BodyHash(..)));
        let texts = parts
            .iter()
            .filter(|part| matches!(part, PayloadPart::BodyText))
            .count();
        // A text has up to twice the bytes of the body, which are hashed too.
        let text = Work::per_byte(JSON).and(Work::ONE_HASH);
        let payload = Work::per_byte(COPY)
            .and(Work::ONE_HASH.times(hashes.count()))
            .and(text.times(texts));
        let keys = scheme.keys.iter().map(|key| match &key.key {
            VerificationKey::Mac(_) => Work::ONE_HASH,
            VerificationKey::Digest(..) => payload.and(Work::ONE_HASH),
            VerificationKey::Public(key) => of_public_key(key),
            VerificationKey::Token(..) | VerificationKey::Message(_) => Work::default(),
            VerificationKey::Fetched => Work::default().for_each_candidate(RSA_NS, 0),
        });
        let urls = if scheme.public_url.is_some() { 2 } else { 1 };
        let search = keys.fold(payload.and(Work::ONE_HASH), Work::and).times(urls);
        let read = COPY
            + if scheme.json.is_empty() { 0 } else { JSON }
            + if scheme.reads_form() { FORM } else { 0 }
            + if scheme.body_digest.is_some() { HASH } else { 0 };
        Self {
            arriving: Work::default(),
            complete: search.and(Work::per_byte(read)),
            identity: payload.and(Work::ONE_HASH),
        }
    }
}

/// One signature under one public key. The hash of the message that the keys share is counted by the caller.
fn of_public_key(key: &PublicKey) -> Work {
    let per_byte = if key.hashes_each_time() { HASH } else { 0 };
    Work::default().for_each_candidate(key.verification_ns(), per_byte)
}
