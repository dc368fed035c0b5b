//! `[route.custom]`: the description of a scheme in the configuration. The presets use the same keys.
//!
//! These types only deserialize: serde checks names and types. The meaning of a description is checked when a
//! [`Verifier`](super::Verifier) is made of it. The grammar is explained in `docs/schemes.md`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A description of a scheme. Every preset is one, and so is `[route.custom]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SchemeDescription {
    /// The location of the signatures. Required, unless there is `form_digest`.
    pub signature: Option<SignatureDescription>,
    /// The algorithm of the signatures: `hmac-sha256` (default), `hmac-sha1`, `hmac-sha512`, `ed25519`, `ecdsa-p256`,
    /// `rsa-sha1`, `rsa-sha256`, `rsa-pss-sha256`, `token`, `basic`, or a plain digest over a payload with `{secret}` in it:
    /// `md5`, `sha1`, `sha256`, `sha512`.
    pub algorithm: Option<Algorithm>,
    /// How a signature is written: `hex` (default), `hex-upper`, `base64`, `base64url`.
    pub encoding: Option<SignatureEncoding>,
    /// The signed text: a template such as `{timestamp}.{body}`; `{body}` by default.
    pub payload: Option<String>,
    /// The one placeholder of `payload`, without braces, whose value may contain the text that separates it from its
    /// neighbours: `body`, or else the last one by default.
    pub any_text: Option<String>,
    /// How a secret or public key is written: verbatim by default.
    pub key: Option<KeyFormat>,
    /// The location of the signed time. Without one, a request cannot be stale.
    pub timestamp: Option<TimestampDescription>,
    /// The tolerance of routes that configure none, such as `"300s"`.
    pub tolerance: Option<String>,
    /// The location of the delivery's id, for `[route.dedupe]` and for `{id}` in the payload.
    pub delivery_id: Option<LocationDescription>,
    /// Whether the provider signs values with nothing between them, so that a sender could move the end of one into another.
    pub undivided: bool,
    /// Whether a request is refused when one of its signatures is not well formed. Otherwise that signature is skipped.
    pub strict: bool,
    /// Characters whose `%` escapes are decoded in `{url}` before it is signed.
    pub url_unescape: Option<String>,
    /// Whether the URL is tried with and without its port (for a URL without one: the default port).
    pub url_ports: bool,
    /// Query parameter with the hex SHA-256 of a body that `{form}` does not cover.
    pub body_digest: Option<String>,
    /// JSON pointer of an array that must have exactly one element, because only the first is signed.
    pub single: Option<String>,
    /// Whether the provider also sends forms, in which each value that a JSON pointer names is the field with the name of
    /// the pointer's last part: `/signature/token` is the field `token`.
    pub forms: bool,
    /// A second algorithm for keys with a prefix of their own (Standard Webhooks: `whpk_` keys are Ed25519).
    pub alternative: Option<AlternativeKeys>,
    /// A scheme that is a plain digest over form values and the secret.
    pub form_digest: Option<FormDigestDescription>,
    /// A scheme whose signature is a token (RFC 7519).
    pub jwt: Option<JwtDescription>,
    /// A scheme with message signatures (RFC 9421).
    pub message: Option<MessageDescription>,
    /// Where the keys are published, for a scheme whose keys are fetched.
    pub keys: Option<KeysDescription>,
}

/// One text, or a list of texts.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub enum Texts {
    /// One text.
    One(String),
    /// Several texts.
    Many(Vec<String>),
}

impl Texts {
    /// The texts, in the order of the configuration.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

impl SchemeDescription {
    /// The configured algorithm, or the default.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or(Algorithm::HmacSha256)
    }
}

/// The location of signatures. Exactly one of `header`, `query`, `pointer` and `form`; `each` besides `pointer`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SignatureDescription {
    /// A header name, or a list of names of which one at least is there.
    pub header: Option<Texts>,
    /// A parameter of the query.
    pub query: Option<String>,
    /// A JSON pointer into the body.
    pub pointer: Option<String>,
    /// The JSON pointer of an array of which every element has a token; `pointer` is then within an element.
    pub each: Option<String>,
    /// A form field (in the body, or the query of a GET).
    pub form: Option<String>,
    /// The key of a signature, for a header that is a list of `key=value`.
    pub field: Option<String>,
    /// The number, from 1, of the first part with a signature, for a header that is a list of values without names.
    pub position: Option<usize>,
    /// The character between the list's parts, or between several signatures.
    pub separator: Option<char>,
    /// The text before every signature.
    pub prefix: Option<String>,
}

/// The location of the signed time. Exactly one of `header`, `field`, `position`, `query`, `pointer`, `form` and `claim`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TimestampDescription {
    /// A header.
    pub header: Option<String>,
    /// A key of the signature header's list.
    pub field: Option<String>,
    /// The number, from 1, of a part of the signature header's list.
    pub position: Option<usize>,
    /// A parameter of the query.
    pub query: Option<String>,
    /// A JSON pointer into the body.
    pub pointer: Option<String>,
    /// A form field.
    pub form: Option<String>,
    /// A claim of the token, or the parameter `created` of a message signature, in Unix seconds.
    pub claim: Option<String>,
    /// The format of the time: `s` (default), `ms`, `rfc3339`, `datetime` (`2020-04-21 00:00:00`, UTC), `http-date`.
    pub unit: Option<TimeUnit>,
}

/// The location of a text value. Exactly one of the four.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LocationDescription {
    /// A header.
    pub header: Option<String>,
    /// A JSON pointer into the body.
    pub pointer: Option<String>,
    /// Several JSON pointers, whose values together are the id. It has no meaning for `{id}` in a payload.
    pub pointers: Vec<String>,
    /// A form field.
    pub form: Option<String>,
}

/// How a key is written, and its prefix.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct KeyFormat {
    /// `verbatim` (default), `base64`, `hex`, or `pem`. Public keys are SPKI in PEM or base64, or the raw bytes.
    pub encoding: Option<KeyEncoding>,
    /// One of these is removed before decoding, if the key begins with it: the longest that fits.
    pub prefix: Option<Texts>,
}

/// A second algorithm for some of the keys.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AlternativeKeys {
    /// The prefixes of the keys that use this algorithm. They are removed before decoding.
    pub key_prefix: Texts,
    /// The algorithm of these keys; the values are those of [`SchemeDescription::algorithm`].
    pub algorithm: Algorithm,
    /// The text before a signature made with such a key.
    pub prefix: String,
}

/// A plain digest over form values and the secret.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct FormDigestDescription {
    /// The form field with the digest; `msg_id` by default.
    pub hash_field: Option<String>,
    /// The hash: `md5` (default), `sha1`, `sha256`, `sha512`.
    pub algorithm: Option<Algorithm>,
    /// The covered fields: all in `"posted"` order (default), `"sorted"` by key, or a list of field names.
    pub fields: Option<DigestFields>,
    /// The text between values, and between values and secret; empty by default.
    pub separator: Option<String>,
    /// Whether the secret is the `last` (default) or `first` value.
    pub secret_position: Option<SecretPosition>,
    /// Fields that are not covered, besides the hash field.
    pub leave_out: Vec<String>,
}

/// A signature that is a token. Its header, its claims and its signature are one text.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct JwtDescription {
    /// Values that claims must have, by the claim's name: one text, or several of which one is enough.
    pub claims: BTreeMap<String, Texts>,
    /// Claims of which a token must have one at least, each with the value here, where it has the claim.
    pub any_claim: BTreeMap<String, Texts>,
    /// Claims whose value every route must state in `expect`.
    pub required: Vec<String>,
    /// The JSON pointer of an array of tokens in the body, which are verified besides the signature, on routes with `expect`.
    /// All of them must be genuine.
    pub pointer: Option<String>,
    /// The claim with a SHA-256 of the body. Without it the token says nothing of the body.
    pub body_claim: Option<String>,
    /// How that hash is written: `hex` (default) or `base64`.
    pub body_encoding: Option<SignatureEncoding>,
    /// The claim with a SHA-256 of method, path and query, as Atlassian computes it (`qsh`).
    pub request_claim: Option<String>,
}

/// Message signatures of HTTP (RFC 9421).
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct MessageDescription {
    /// The components that every signature must cover: `@method`, `@authority`, `@path`, `@query` (of a request that has
    /// one) and `content-digest` (of a request that has a body) by default. A component that contains another one stands for
    /// it: `@target-uri` for `@path`.
    pub required: Option<Vec<String>>,
}

/// Where keys are published. Exactly one of the three.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct KeysDescription {
    /// The URL of a JSON Web Key Set (RFC 7517). Empty: every route states its own.
    pub jwks: Option<String>,
    /// The URL that answers a POST with the key of one id, as Plaid's does.
    pub plaid: Option<String>,
    /// Certificates, each at a URL that the request names.
    pub certificate: Option<CertificateDescription>,
}

/// Certificates of signers. A request names the URL of its certificate; only URLs of this form are fetched.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CertificateDescription {
    /// Where the request has the URL.
    pub url: LocationDescription,
    /// The hosts that may be asked. `*` stands for one or more letters, digits and hyphens.
    pub hosts: Vec<String>,
    /// The path, with `*` as in `hosts`.
    pub path: String,
    /// The names of which the certificate must have one; `{host}` is the host of the URL.
    pub names: Vec<String>,
    /// The hosts that have the certificates between it and its authority, with `*` as in `hosts`.
    pub issuers: Vec<String>,
    /// The common names of the authorities that may have issued it.
    pub roots: Vec<String>,
}

/// Which form values a digest covers, in which order.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum DigestFields {
    /// All fields, in this order.
    Order(FieldOrder),
    /// These fields, in this order.
    Named(Vec<String>),
}

/// Order of form values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum FieldOrder {
    /// As in the body.
    Posted,
    /// By key, bytes ascending.
    Sorted,
}

/// The position of the secret among the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SecretPosition {
    /// Before the first value.
    First,
    /// After the last value.
    Last,
}

/// How a signature is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
pub enum Algorithm {
    /// HMAC with SHA-1.
    #[serde(rename = "hmac-sha1")]
    HmacSha1,
    /// HMAC with SHA-256.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// HMAC with SHA-512.
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
    /// Ed25519 (RFC 8032).
    #[serde(rename = "ed25519")]
    Ed25519,
    /// ECDSA on P-256 with SHA-256, ASN.1 DER signatures.
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// RSASSA-PKCS1-v1_5 with SHA-1.
    #[serde(rename = "rsa-sha1")]
    RsaSha1,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "rsa-sha256")]
    RsaSha256,
    /// RSASSA-PSS with SHA-256 and a salt of 32 bytes.
    #[serde(rename = "rsa-pss-sha256")]
    RsaPssSha256,
    /// The sender sends the secret itself, which is compared.
    #[serde(rename = "token")]
    Token,
    /// The sender sends the secret, which is `user:password`, as HTTP Basic authentication (RFC 7617).
    #[serde(rename = "basic")]
    Basic,
    /// MD5 over a payload that holds the secret.
    #[serde(rename = "md5")]
    Md5,
    /// SHA-1 over a payload that holds the secret.
    #[serde(rename = "sha1")]
    Sha1,
    /// SHA-256 over a payload that holds the secret.
    #[serde(rename = "sha256")]
    Sha256,
    /// SHA-512 over a payload that holds the secret.
    #[serde(rename = "sha512")]
    Sha512,
}

impl SchemeDescription {
    /// The description of the token that is the signature; `None` for schemes with another signature.
    #[must_use]
    pub fn signature_token(&self) -> Option<&JwtDescription> {
        self.jwt.as_ref().filter(|jwt| !jwt.is_in_body())
    }
}

impl JwtDescription {
    /// Whether the tokens are in the body, besides the signature.
    #[must_use]
    pub const fn is_in_body(&self) -> bool {
        self.pointer.is_some()
    }
}

impl Algorithm {
    /// Whether the sender sends the secret itself.
    pub(super) const fn is_token(self) -> bool {
        matches!(self, Self::Token | Self::Basic)
    }

    /// Whether it is a hash without a key.
    pub(super) const fn is_plain_digest(self) -> bool {
        matches!(self, Self::Md5 | Self::Sha1 | Self::Sha256 | Self::Sha512)
    }
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SignatureEncoding {
    /// Lower-case hex.
    Hex,
    /// Upper-case hex.
    #[serde(rename = "hex-upper")]
    HexUpper,
    /// Base64 with padding (RFC 4648 §4).
    Base64,
    /// Base64 with the URL alphabet, padding optional (RFC 4648 §5).
    Base64url,
}

/// How a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    /// The bytes of the text.
    Verbatim,
    /// Base64.
    Base64,
    /// Hex, either case.
    Hex,
    /// PEM.
    Pem,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
pub enum TimeUnit {
    /// Unix seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Unix milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// RFC 3339.
    #[serde(rename = "rfc3339")]
    Rfc3339,
    /// `2020-04-21 00:00:00`, UTC.
    #[serde(rename = "datetime")]
    DateTime,
    /// The date of HTTP (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
    #[serde(rename = "http-date")]
    HttpDate,
}
