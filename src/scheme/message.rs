//! Message signatures of HTTP (RFC 9421): `Signature-Input` says what is signed, `Signature` has the signatures, and
//! `Content-Digest` (RFC 9530) binds the body.
//!
//! The sender chooses what it covers, so the route says what every signature must cover at least. The URL is compared as
//! the route states it (`public_url`), not as the request does: a message that was signed for another host is not
//! accepted here. The algorithm belongs to the key; a signature that names another one is refused.

use super::compiled::{CompiledScheme, MessageFormat};
use super::fetched::FetchedKey;
use super::header::only_within;
use super::identity::IdentityHash;
use super::keys::VerificationKey;
use super::message_parts::{
    self, CONTENT_DIGEST, Component, ContentDigest, MessageAlgorithm, Required, SIGNATURE_INPUT, Target, dictionary,
};
use super::private_key::{PrivateKey, PrivateKeyKind};
use super::tenant::ChosenTenant;
use super::time;
use super::types::{HeadRef, Verified};
use crate::outcome::Rejection;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use sfv::{InnerList, ListEntry};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use subtle::{Choice, ConditionallySelectable as _};

/// The field with the signatures.
const SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// Longest value of each of the two fields, in bytes: four signatures of RSA with 8192 bits.
const MAX_FIELD_BYTES: usize = 8 * 1024;
/// Maximum number of signatures of one request that are verified.
const MAX_SIGNATURES: usize = 4;
/// Maximum number of labels of one request, whoever made them.
const MAX_LABELS: usize = 16;
/// Maximum number of components of one signature.
const MAX_COMPONENTS: usize = 32;
/// The label of our own signatures.
const LABEL: &str = "hookgate";

/// A request whose signatures cover what they must; they are not verified yet.
#[derive(Debug)]
pub(super) struct MessageCheck {
    /// The tenant whose keys are used in place of those of the scheme.
    pub(super) tenant: Option<ChosenTenant>,
    scheme: Arc<CompiledScheme>,
    signatures: Vec<Candidate>,
    digest: ContentDigest,
    key: Option<Arc<FetchedKey>>,
}

/// One signature of a request.
#[derive(Debug)]
struct Candidate {
    /// The signed bytes (RFC 9421, 2.5).
    base: Vec<u8>,
    signature: Vec<u8>,
    algorithm: Option<MessageAlgorithm>,
    /// The id of the key; empty for a signature without one.
    key_id: String,
    /// Unix seconds.
    created: u64,
    /// Unix seconds.
    expires: Option<u64>,
    /// The hash of the time and the covered values, without their order and the name of the key: the signatures of two keys
    /// over the same message have the same.
    identity: [u8; 32],
    /// Whether the body must be empty, because nothing binds it.
    needs_empty_body: bool,
}

impl MessageCheck {
    /// Reads the signatures.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`, and `SignatureMismatch` when no signature is for this receiver.
    pub(super) fn read(
        scheme: &Arc<CompiledScheme>,
        format: &MessageFormat,
        head: &HeadRef<'_>,
    ) -> Result<Self, Rejection> {
        let inputs = dictionary(
            only_within(head.headers, &HeaderName::from_static(SIGNATURE_INPUT), MAX_FIELD_BYTES)?.as_bytes(),
        )?;
        let made = dictionary(only_within(head.headers, &SIGNATURE, MAX_FIELD_BYTES)?.as_bytes())?;
        if inputs.len() > MAX_LABELS {
            return Err(Rejection::SignatureMalformed);
        }
        let url = scheme.public_url.as_ref().ok_or(Rejection::Internal)?;
        let url = url
            .candidates(head.target)
            .into_iter()
            .next()
            .ok_or(Rejection::Internal)?;
        let url = std::str::from_utf8(url.expose()).map_err(|_| Rejection::SignatureMalformed)?;
        let target = Target::parse(url).ok_or(Rejection::SignatureMalformed)?;
        let digest = ContentDigest::read(head)?;
        let mut signatures = Vec::new();
        let mut refused = None;
        for (label, input) in &inputs {
            let (ListEntry::InnerList(input), Some(ListEntry::Item(signature))) = (input, made.get(label)) else {
                refused.get_or_insert(Rejection::SignatureMalformed);
                continue;
            };
            let signature = signature.bare_item.as_byte_sequence();
            match Candidate::read(input, signature.unwrap_or_default(), format, head, &target, &digest) {
                Ok(_) if signatures.len() == MAX_SIGNATURES => return Err(Rejection::SignatureMalformed),
                Ok(candidate) => signatures.push(candidate),
                Err(rejection) => {
                    refused.get_or_insert(rejection);
                }
            }
        }
        // Only one fetched key is asked for.
        if scheme.is_fetched() {
            signatures.truncate(1);
        }
        if signatures.is_empty() {
            return Err(refused.unwrap_or(Rejection::SignatureMissing));
        }
        Ok(Self {
            tenant: None,
            scheme: Arc::clone(scheme),
            signatures,
            digest,
            key: None,
        })
    }

    /// Compares the times of the signatures with `now_unix` (seconds), and keeps those that are accepted. `tolerance` is
    /// that of the route; `None` accepts every age.
    ///
    /// # Errors
    /// `TimestampStale`, `TimestampFuture` when none is.
    pub(super) fn age(&mut self, now_unix: u64, tolerance: Option<u64>) -> Result<(), Rejection> {
        let mut refused = None;
        self.signatures.retain(|signature| {
            let has_expired = tolerance.is_some() && signature.expires.is_some_and(|expires| expires < now_unix);
            let age = match has_expired {
                true => Err(Rejection::TimestampStale),
                false => time::check_age(signature.created, now_unix, tolerance),
            };
            age.map_err(|rejection| refused.get_or_insert(rejection)).is_ok()
        });
        match refused {
            Some(rejection) if self.signatures.is_empty() => Err(rejection),
            Some(_) | None => Ok(()),
        }
    }

    /// The id of the fetched key that made the signature; `None` where the keys are configured, and once it is given.
    pub(super) fn wanted_key(&self) -> Option<&str> {
        let needs_key = self.scheme.is_fetched() && self.key.is_none();
        let first = self.signatures.first().filter(|_| needs_key);
        first.map(|signature| signature.key_id.as_str())
    }

    /// Gives the fetched key.
    pub(super) fn use_key(&mut self, key: Arc<FetchedKey>) {
        self.key = Some(key);
    }

    /// Absorbs the next piece of the body.
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.digest.update(piece);
    }

    /// The number of signatures.
    pub(super) const fn candidates(&self) -> usize {
        self.signatures.len()
    }

    /// Verifies the signatures, and that they are about this body.
    ///
    /// # Errors
    /// `SignatureMismatch`.
    pub(super) fn finish(mut self, identity: IdentityHash) -> Result<Verified, Rejection> {
        let (is_right, is_empty) = std::mem::take(&mut self.digest).finish();
        let found = self.search();
        let Some((signature, secret)) = found.filter(|(found, _)| is_right && (is_empty || !found.needs_empty_body))
        else {
            return Err(Rejection::SignatureMismatch);
        };
        Ok(Verified {
            secret,
            timestamp: Some(signature.created),
            identity: identity.of([signature.identity.as_slice()]),
            tenant: self.tenant.as_ref().map_or([0; 32], ChosenTenant::digest),
            sealed: (),
        })
    }

    /// The first signature that a key made, and the first such key's index.
    fn search(&self) -> Option<(&Candidate, usize)> {
        self.signatures.iter().find_map(|signature| {
            let of_tenant = self.tenant.as_ref().map(|tenant| tenant.keys(&self.scheme));
            let of_scheme = self.scheme.keys.iter().filter(|_| self.tenant.is_none());
            let mut found = (Choice::from(0), 0);
            for (index, key) in (0u64..).zip(of_tenant.into_iter().flatten().chain(of_scheme)) {
                let hit = self.is_made_by(signature, &key.key);
                found.1.conditional_assign(&index, hit & !found.0);
                found.0 |= hit;
            }
            bool::from(found.0).then(|| (signature, usize::try_from(found.1).unwrap_or_default()))
        })
    }

    fn is_made_by(&self, signature: &Candidate, key: &VerificationKey) -> Choice {
        let Candidate { algorithm, base, .. } = signature;
        let is_made = match key {
            VerificationKey::Mac(mac) => {
                let mut mac = mac.clone();
                mac.update(base);
                let is_named = algorithm.is_none_or(|named| named == MessageAlgorithm::HmacSha256);
                return mac.finish().matches(&signature.signature) & Choice::from(u8::from(is_named));
            }
            VerificationKey::Message(key) => key.verifies(*algorithm, base, &signature.signature),
            VerificationKey::Fetched => {
                let key = self.key.as_ref();
                key.is_some_and(|key| key.verifies_message(*algorithm, base, &signature.signature))
            }
            VerificationKey::Public(_) | VerificationKey::Token(..) | VerificationKey::Digest(..) => false,
        };
        Choice::from(u8::from(is_made))
    }
}

impl Candidate {
    /// Reads one signature and what it covers.
    ///
    /// # Errors
    /// `SignatureMissing` for a covered header that is absent, `SignatureMalformed`, `SignatureMismatch` for one with other values than the route expects.
    fn read(
        input: &InnerList,
        signature: &[u8],
        format: &MessageFormat,
        head: &HeadRef<'_>,
        target: &Target<'_>,
        digest: &ContentDigest,
    ) -> Result<Self, Rejection> {
        let malformed = Rejection::SignatureMalformed;
        let text = |name: &str| match input.params.get(name) {
            None => Ok(None),
            Some(value) => value.as_string().map(|text| Some(text.as_str())).ok_or(malformed),
        };
        let seconds = |name: &str| match input.params.get(name) {
            None => Ok(None),
            Some(value) => {
                let value = value
                    .as_integer()
                    .and_then(|value| u64::try_from(i64::from(value)).ok());
                value.map(Some).ok_or(malformed)
            }
        };
        for (name, values) in &format.expect {
            let found = text(name)?;
            if !found.is_some_and(|found| values.iter().any(|value| value == found)) {
                return Err(Rejection::SignatureMismatch);
            }
        }
        let algorithm = match text("alg")? {
            None => None,
            Some(name) => Some(MessageAlgorithm::named(name).ok_or(malformed)?),
        };
        let (created, expires) = (seconds("created")?.ok_or(malformed)?, seconds("expires")?);
        if signature.is_empty() || input.items.len() > MAX_COMPONENTS || expires.is_some_and(|end| end < created) {
            return Err(malformed);
        }
        let covered: Option<Vec<Component>> = input.items.iter().map(Component::parse).collect();
        let covered = covered.ok_or(malformed)?;
        let mut lines = BTreeSet::new();
        let mut base = Vec::new();
        for component in &covered {
            let start = base.len();
            base.extend_from_slice(component.identifier.as_bytes());
            base.extend_from_slice(b": ");
            component.write(head, target, &mut base)?;
            // Each component is covered once (RFC 9421, 2.5).
            if !lines.insert(base.get(start..).unwrap_or_default().to_vec()) {
                return Err(malformed);
            }
            base.push(b'\n');
        }
        base.extend_from_slice(b"\"@signature-params\": ");
        base.extend_from_slice(message_parts::written(&ListEntry::InnerList(input.clone()))?.as_bytes());
        let is_bound = covered
            .iter()
            .any(|component| component.digest().is_some_and(|covered| digest.is_bound_by(covered)));
        let has_query = target.query().is_some();
        let needs_digest = format.required.contains(&Required::ContentDigest) && !is_bound;
        let mut others = format.required.iter().filter(|one| **one != Required::ContentDigest);
        if !others.all(|one| one.is_met(&covered, has_query)) || (needs_digest && may_have_body(head)) {
            return Err(malformed);
        }
        Ok(Self {
            base,
            signature: signature.to_vec(),
            algorithm,
            key_id: text("keyid")?.unwrap_or_default().to_owned(),
            created,
            expires,
            identity: identity(created, &lines),
            needs_empty_body: needs_digest,
        })
    }
}

/// The hash of a time and of lines that hold no line end.
fn identity(created: u64, lines: &BTreeSet<Vec<u8>>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(created.to_be_bytes());
    for line in lines {
        hash.update(line);
        hash.update(b"\n");
    }
    hash.finalize().into()
}

/// Whether a request with this head may have a body.
fn may_have_body(head: &HeadRef<'_>) -> bool {
    let is_bodiless = matches!(
        *head.method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE
    );
    let mut lengths = head.headers.named("content-length");
    let is_empty = lengths.next() == Some(b"0") && lengths.next().is_none();
    !is_bodiless && !is_empty
}

/// The algorithm of messages that a private key of this kind signs.
const fn name_of(kind: PrivateKeyKind) -> &'static str {
    match kind {
        PrivateKeyKind::Ed25519 => "ed25519",
        PrivateKeyKind::P256 => "ecdsa-p256-sha256",
        PrivateKeyKind::Rsa => "rsa-v1_5-sha256",
    }
}

/// The headers of a message signature with this key, or with the private key that belongs to it, for the commands that
/// sign.
pub(super) fn sign(
    scheme: &CompiledScheme,
    format: &MessageFormat,
    key: &VerificationKey,
    private: Option<&PrivateKey>,
    head: &HeadRef<'_>,
    body: &[u8],
    now_unix: u64,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let (algorithm, key_id) = match private {
        Some(private) => (name_of(private.kind()), private.id()?),
        None => ("hmac-sha256", "hookgate".to_owned()),
    };
    let url = scheme.public_url.as_ref()?.candidates(head.target).into_iter().next()?;
    let target = Target::parse(std::str::from_utf8(url.expose()).ok()?)?;
    let mut parameters = format!(";created={now_unix};alg=\"{algorithm}\"");
    // Some receivers refuse a signature without an id of the key, although RFC 9421 has it as an option.
    if !format.expect.iter().any(|(name, _)| name == "keyid") {
        parameters.push_str(&format!(";keyid=\"{key_id}\""));
    }
    for (name, values) in &format.expect {
        parameters.push_str(&format!(";{name}=\"{}\"", values.first()?));
    }
    let digest = HeaderValue::try_from(message_parts::written_digest(body)).ok()?;
    let names = ["@method", "@authority", "@path"].into_iter();
    let names = names.chain(target.query().map(|_| "@query")).chain([CONTENT_DIGEST]);
    let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    let input = format!("{LABEL}=({}){parameters}", names.join(" "));
    let name = HeaderName::from_static(CONTENT_DIGEST);
    let headers = [(name.clone(), digest.clone())].into_iter().collect();
    let head = HeadRef {
        headers: &headers,
        ..*head
    };
    let inputs = dictionary(input.as_bytes()).ok()?;
    let Some(ListEntry::InnerList(list)) = inputs.get(LABEL) else {
        return None;
    };
    let stated = ContentDigest::read(&head).ok()?;
    let candidate = Candidate::read(list, b"0", format, &head, &target, &stated).ok()?;
    let made = match (key, private) {
        (VerificationKey::Mac(mac), None) => {
            let mut mac = mac.clone();
            mac.update(&candidate.base);
            mac.finish().as_slice().to_vec()
        }
        (VerificationKey::Message(_) | VerificationKey::Fetched, Some(private)) => {
            private.sign(private.token_algorithm().1, &candidate.base)?
        }
        (
            VerificationKey::Mac(_)
            | VerificationKey::Public(_)
            | VerificationKey::Token(..)
            | VerificationKey::Digest(..)
            | VerificationKey::Message(_)
            | VerificationKey::Fetched,
            _,
        ) => return None,
    };
    let mut signature = format!("{LABEL}=:");
    base64::Engine::encode_string(&base64::engine::general_purpose::STANDARD, made, &mut signature);
    signature.push(':');
    Some(vec![
        (SIGNATURE, HeaderValue::try_from(signature).ok()?),
        (
            HeaderName::from_static(SIGNATURE_INPUT),
            HeaderValue::try_from(input).ok()?,
        ),
        (name, digest),
    ])
}
