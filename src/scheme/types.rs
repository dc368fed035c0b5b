//! The values that callers exchange with a scheme: what it reads of a request, what it returns, what it signs.

use crate::http::message::Headers;
use crate::secret::Secret;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use rustls_pki_types::TrustAnchor;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The part of a request that a verifier reads before the body. All of it is borrowed from the request.
#[derive(Clone, Copy, Debug)]
pub struct HeadRef<'a> {
    /// The method as received.
    pub method: &'a Method,
    /// Raw path and query as received (`/hook?a=%20b`).
    pub target: &'a str,
    /// All header fields as received.
    pub headers: &'a Headers,
}

/// The kind of place where a scheme reads a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValuePlace {
    /// The header with the signature.
    SignatureHeader,
    /// A header of its own.
    OtherHeader,
    /// The query.
    Query,
    /// The JSON body.
    Json,
    /// A form field.
    Form,
    /// In the JSON body, or in a form field where the sender sends forms too.
    JsonOrForm,
}

/// Where a scheme reads what it needs, for the words of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPlaces {
    /// Where the signatures are.
    pub signature: ValuePlace,
    /// Whether these are not signatures: the sender sends the secret itself.
    pub is_secret: bool,
    /// Where the signed time is; `None` without one.
    pub time: Option<ValuePlace>,
    /// Whether other values of the request, beside the body, must be there too.
    pub has_more: bool,
    /// Whether the signature covers the body.
    pub covers_body: bool,
}

/// One secret (or public key) as configured.
#[derive(Clone, Debug)]
pub struct NamedSecret {
    /// Label for metrics, the audit line and `Hookgate-Key`. It never contains the secret.
    pub name: String,
    /// The bytes as they are in the environment variable or file.
    pub secret: Secret,
}

/// The list of the configuration that a key is in, which is also its kind. Every algorithm takes one kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyList {
    /// `secrets`: known to the provider and to us only, for HMAC, tokens and plain digests.
    Secrets,
    /// `public_keys`: known to everybody, for Ed25519, ECDSA and RSA.
    PublicKeys,
}

/// The keys of one route by their lists. Together they are counted in this order: secrets, then public keys.
#[derive(Clone, Debug, Default)]
pub struct ListedKeys {
    /// The keys of `secrets`.
    pub secrets: Vec<NamedSecret>,
    /// The keys of `public_keys`.
    pub public_keys: Vec<NamedSecret>,
}

/// Values that signed requests must carry, by name: claims of a token, or values of the provider's account. Of several
/// values one is enough.
pub type Expected = BTreeMap<String, Vec<String>>;

/// What a route says about fetched keys; everything has a default in the preset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySettings {
    /// The URL of the keys.
    pub url: Option<String>,
    /// The hosts that may be asked for certificates.
    pub hosts: Vec<String>,
    /// The authorities of certificates.
    pub roots: Option<Vec<TrustAnchor<'static>>>,
    /// The id of the operator's account at the provider.
    pub client_id: Option<String>,
    /// The secret of that account.
    pub secret: Option<Secret>,
}

/// The key that a request needs besides those of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedKey {
    /// None: the keys are configured, or it has been given.
    None,
    /// The body names it.
    InBody,
    /// The fetched key with this id.
    Id(String),
}

/// Why a scheme cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeFault {
    /// Index of the key that the fault concerns; `None` for a fault of the description.
    pub key: Option<usize>,
    /// A sentence that says what to write instead. It shows no secret.
    pub text: String,
}

impl From<String> for SchemeFault {
    fn from(text: String) -> Self {
        Self { key: None, text }
    }
}

/// A request whose signature is genuine. Only [`Aged::verify`](super::Aged::verify) makes one.
#[expect(
    clippy::manual_non_exhaustive,
    reason = "the attribute would not stop other modules of this crate"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Index of the active secret that matched, in configuration order.
    pub secret: usize,
    /// The signed timestamp, Unix seconds, where the scheme has one.
    pub timestamp: Option<u64>,
    /// A hash of the signed payload. It is equal for two requests exactly when their signed bytes are equal: it depends
    /// neither on the text of the header nor on any key of the route. Which hash, and zero for none: see
    /// [`Verifier::identified_by`](super::Verifier::identified_by).
    pub identity: [u8; 32],
    /// SHA-256 of the name of the tenant whose secret matched; zero on a route without tenants.
    pub tenant: [u8; 32],
    /// Private to schemes, so that no other code can make this value.
    pub(super) sealed: (),
}

/// The request that a sender signs: the input of [`Verifier::sign`](super::Verifier::sign).
#[derive(Clone, Copy, Debug)]
pub struct SignRequest<'a> {
    /// The method that the request will have.
    pub method: &'a Method,
    /// Raw path and query that the request will have.
    pub target: &'a str,
    /// Id of the delivery, for schemes that send one in a header. With `None`, an id is made from the time.
    pub delivery_id: Option<&'a str>,
    /// The exact body.
    pub body: &'a [u8],
}

/// A request as its sender signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    /// The headers of the signature.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body with the signature in it; `None` for a scheme that leaves the body as it is.
    pub body: Option<Vec<u8>>,
}

/// Joins the pieces of a body. Copies only when there are several.
pub(super) fn contiguous(body: &[Bytes]) -> Cow<'_, [u8]> {
    match body {
        [one] => Cow::Borrowed(one),
        pieces => Cow::Owned(pieces.concat()),
    }
}
