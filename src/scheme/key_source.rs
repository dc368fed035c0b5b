//! Where the keys of a scheme are published: which URL has the key with a given id, and which keys its answer holds.
//!
//! Pure. A request names a key, never an address: an id that is a URL is fetched only if it has the host and the path of
//! the provider's certificates.

use super::certificate::CertificateSource;
use super::fetched::FetchedKey;
use crate::secret::Secret;
use serde_json::json;

/// The published keys of one scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// One document with all keys (RFC 7517).
    Jwks {
        /// Its URL.
        url: String,
    },
    /// A service that answers a POST with the key of one id (Plaid).
    Plaid {
        /// Its URL.
        url: String,
        /// The id of the operator's account there.
        client_id: String,
        /// The secret of that account.
        secret: Secret,
    },
    /// Certificates, each with a URL of its own.
    Certificates(CertificateSource),
}

/// A request for a document with keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    /// The URL.
    pub url: String,
    /// The JSON body of a POST; `None` for a GET. It may hold a secret.
    pub body: Option<Secret>,
}

impl KeySource {
    /// The name of the document that has the key with this id: the same for all keys of one set, else the id itself.
    #[must_use]
    pub const fn document<'i>(&self, id: &'i str) -> &'i str {
        match self {
            Self::Jwks { .. } => "",
            Self::Plaid { .. } | Self::Certificates(_) => id,
        }
    }

    /// Whether all documents are known without a request: they are fetched before one needs them.
    #[must_use]
    pub const fn is_known_before(&self) -> bool {
        matches!(self, Self::Jwks { .. })
    }

    /// How to ask for a document. `None` for a name that is none of this provider's: nothing is fetched then.
    #[must_use]
    pub fn request(&self, document: &str) -> Option<KeyRequest> {
        match self {
            Self::Jwks { url } => Some(KeyRequest {
                url: url.clone(),
                body: None,
            }),
            Self::Plaid { url, client_id, secret } => {
                let is_id = !document.is_empty()
                    && document.len() <= 128
                    && document.bytes().all(|byte| byte.is_ascii_graphic());
                let secret = std::str::from_utf8(secret.expose()).ok()?;
                let body = json!({ "client_id": client_id, "secret": secret, "key_id": document });
                is_id.then(|| KeyRequest {
                    url: url.clone(),
                    body: Some(Secret::new(body.to_string().into_bytes())),
                })
            }
            Self::Certificates(source) => source.accepts(document).then(|| KeyRequest {
                url: document.to_owned(),
                body: None,
            }),
        }
    }

    /// How to ask for the certificate that is missing at the end of a chain; `None` where none is, or where no pinned host
    /// has it.
    #[must_use]
    pub fn issuer(&self, answer: &[u8]) -> Option<KeyRequest> {
        match self {
            Self::Jwks { .. } | Self::Plaid { .. } => None,
            Self::Certificates(source) => source.issuer_url(answer).map(|url| KeyRequest { url, body: None }),
        }
    }

    /// How to call the URL of a message that asks for a confirmation. `None` unless a pinned host has it.
    #[must_use]
    pub fn confirmation(&self, url: &str) -> Option<KeyRequest> {
        match self {
            Self::Jwks { .. } | Self::Plaid { .. } => None,
            Self::Certificates(source) => source.confirms(url).then(|| KeyRequest {
                url: url.to_owned(),
                body: None,
            }),
        }
    }

    /// Where a person finds the keys.
    #[must_use]
    pub fn published_at(&self) -> String {
        match self {
            Self::Jwks { url } => url.clone(),
            Self::Plaid { url, .. } => format!("the answer of {url} about the key of the request"),
            Self::Certificates(_) => {
                "the certificate, with those up to its authority, at the URL that the request names".to_owned()
            }
        }
    }

    /// What shares one rate of fetches: the host for certificates, everything for other sources.
    #[must_use]
    pub fn rate_group<'i>(&self, document: &'i str) -> &'i str {
        match self {
            Self::Jwks { .. } | Self::Plaid { .. } => "",
            Self::Certificates(_) => super::certificate::host(document).unwrap_or_default(),
        }
    }

    /// The host that is asked, for messages and the list of addresses that must be reachable.
    #[must_use]
    pub fn hosts(&self) -> Vec<&str> {
        let of_url = |url: &'_ str| super::certificate::host(url).map(|host| host.len());
        match self {
            Self::Jwks { url } | Self::Plaid { url, .. } => {
                let start = url.find("://").map_or(0, |at| at + 3);
                let end = of_url(url).map_or(url.len(), |length| start + length);
                vec![url.get(start..end).unwrap_or(url)]
            }
            Self::Certificates(source) => source.hosts.iter().map(String::as_str).collect(),
        }
    }

    /// The keys of a document at `now_unix` (seconds).
    ///
    /// # Errors
    /// What is wrong with the document, as a phrase.
    pub fn parse(&self, document: &str, answer: &[u8], now_unix: u64) -> Result<Vec<FetchedKey>, String> {
        match self {
            Self::Jwks { .. } => match FetchedKey::of_set(answer) {
                None => Err("the answer is not a JSON Web Key Set".to_owned()),
                Some(keys) if keys.is_empty() => Err("the key set has no key that can be used".to_owned()),
                Some(keys) => Ok(keys),
            },
            Self::Plaid { .. } => plaid_key(document, answer, now_unix).map(|key| vec![key]),
            Self::Certificates(source) => source.parse(document, answer, now_unix).map(|key| vec![key]),
        }
    }
}

/// The key in Plaid's answer. A key with `expired_at` signs nothing any more.
fn plaid_key(id: &str, answer: &[u8], now_unix: u64) -> Result<FetchedKey, String> {
    let answer: serde_json::Value = serde_json::from_slice(answer).map_err(|_| "the answer is not JSON".to_owned())?;
    let key = answer.get("key").ok_or_else(|| "the answer has no key".to_owned())?;
    let expired = key.get("expired_at").and_then(serde_json::Value::as_u64);
    if expired.is_some_and(|at| at <= now_unix) {
        return Err("the key has expired".to_owned());
    }
    FetchedKey::of_jwk(key)
        .filter(|key| key.id == id)
        .ok_or_else(|| "the answer has another key than the one that was asked for".to_owned())
}
