//! `[route.custom]`: a scheme described in the configuration, in the very words that the presets use.
//!
//! This is the serde mirror, nothing is judged here but names and shapes; what a description means is decided once, at
//! load, when a [`Verifier`](super::Verifier) is made of it. The grammar is explained in `docs/schemes.md`.

use serde::Deserialize;

/// A description of a scheme. Every preset is one, and so is `[route.custom]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Custom {
    /// Where the signatures stand. Required, unless `form_digest` says it.
    pub signature: Option<Signature>,
    /// `hmac-sha256` (default), `hmac-sha1`, `hmac-sha512`, `ed25519`, `ecdsa-p256`, `rsa-sha1`, `token`, or a plain
    /// digest over a payload with `{secret}` in it: `md5`, `sha1`, `sha256`.
    pub algorithm: Option<Algorithm>,
    /// How a signature is written: `hex` (default), `base64`, `base64url`.
    pub encoding: Option<Encoding>,
    /// What is signed: a template such as `{timestamp}.{body}`; `{body}` by default.
    pub payload: Option<String>,
    /// How a secret or public key is written: verbatim by default.
    pub key: Option<KeyFormat>,
    /// Where the signed time stands. A scheme without one cannot be stale.
    pub timestamp: Option<Timestamp>,
    /// Tolerance where the route names none: `"300s"`.
    pub tolerance: Option<String>,
    /// Where the id of the delivery stands, for `[route.dedupe]` and for `{id}` in the payload.
    pub delivery_id: Option<Place>,
    /// Refuse a request when any of its signatures is not well-formed, instead of passing over that one.
    pub strict: bool,
    /// Characters whose `%` escapes are decoded in `{url}` before it is signed.
    pub url_unescape: Option<String>,
    /// Try the URL with and without the scheme's default port.
    pub url_ports: bool,
    /// Query parameter that holds the hex SHA-256 of a body that `{form}` does not cover.
    pub body_digest: Option<String>,
    /// JSON pointer of an array that must have exactly one element, because only the first is signed.
    pub single: Option<String>,
    /// A second algorithm for keys with a prefix of its own (Standard Webhooks: `whpk_` keys are Ed25519).
    pub alternative: Option<Alternative>,
    /// The whole scheme is a digest over form values and the secret.
    pub form_digest: Option<FormDigest>,
}

/// Where signatures stand. Exactly one of `header`, `pointer` and `form`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Signature {
    /// A header.
    pub header: Option<String>,
    /// A JSON pointer into the body.
    pub pointer: Option<String>,
    /// A form field (in the body, or the query of a GET).
    pub form: Option<String>,
    /// The header is a list of `key=value`, and this key holds a signature.
    pub field: Option<String>,
    /// What separates the list's parts, or several signatures.
    pub separator: Option<char>,
    /// What stands before every signature.
    pub prefix: Option<String>,
}

/// Where the signed time stands. Exactly one of `header`, `field`, `pointer` and `form`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timestamp {
    /// A header.
    pub header: Option<String>,
    /// A key of the signature header's list.
    pub field: Option<String>,
    /// A JSON pointer into the body.
    pub pointer: Option<String>,
    /// A form field.
    pub form: Option<String>,
    /// How it is written: `s` (default), `ms`, `rfc3339`, `datetime` (`2020-04-21 00:00:00`, UTC).
    pub unit: Option<Unit>,
}

/// Where a text stands. Exactly one of the three.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Place {
    /// A header.
    pub header: Option<String>,
    /// A JSON pointer into the body.
    pub pointer: Option<String>,
    /// A form field.
    pub form: Option<String>,
}

/// How a key is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyFormat {
    /// `verbatim` (default), `base64`, `hex`, or `pem`. Public keys are SPKI in PEM or base64, or the raw bytes.
    pub encoding: Option<KeyEncoding>,
    /// Taken off before decoding where it stands.
    pub prefix: Option<String>,
}

/// A second algorithm for some of the keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    /// Keys that begin with this use this algorithm; it is taken off before decoding.
    pub key_prefix: String,
    /// As in [`Custom`].
    pub algorithm: Algorithm,
    /// What stands before a signature made with such a key.
    pub prefix: String,
}

/// Digest over form values and the secret.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FormDigest {
    /// Field with the digest; `msg_id` by default.
    pub hash_field: Option<String>,
    /// `md5` (default), `sha1`, `sha256`.
    pub algorithm: Option<Algorithm>,
    /// `"posted"` order (default), `"sorted"` by key, or a list of field names.
    pub fields: Option<Fields>,
    /// Between values, and between values and secret; nothing by default.
    pub separator: Option<String>,
    /// `last` (default) or `first`.
    pub secret_position: Option<SecretPosition>,
    /// Fields that are not covered, the hash field aside.
    pub leave_out: Vec<String>,
}

/// Which form values a digest covers, in which order.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Fields {
    /// All, ordered.
    Order(FieldOrder),
    /// These.
    Named(Vec<String>),
}

/// Order of form values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldOrder {
    /// As they stand in the body.
    Posted,
    /// By key, bytes ascending.
    Sorted,
}

/// Where the secret stands among the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretPosition {
    /// Before the first value.
    First,
    /// After the last value.
    Last,
}

/// How a signature comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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
    /// The secret itself, compared.
    #[serde(rename = "token")]
    Token,
    /// MD5 over a payload that holds the secret.
    #[serde(rename = "md5")]
    Md5,
    /// SHA-1 over a payload that holds the secret.
    #[serde(rename = "sha1")]
    Sha1,
    /// SHA-256 over a payload that holds the secret.
    #[serde(rename = "sha256")]
    Sha256,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Lower-case hex.
    Hex,
    /// Base64 with padding (RFC 4648 §4).
    Base64,
    /// Base64 with the URL alphabet, padding optional (RFC 4648 §5).
    Base64url,
}

/// How a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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
pub enum Unit {
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
}
