//! The keys of `tls` of a listener: a certificate from files, or one that is ordered from an ACME server.

use super::secret_reference::{SecretReference, TextOrSecret};
use super::value::{Flag, Keyword, Keywords, OneOrMany, TextOrTable};
use crate::settings::AcmeChallenge;
use serde::Deserialize;
use serde::de::Deserializer;

/// An entry of `tls` of a listener.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListenerCertificate {
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) acme: Option<Acme>,
}

/// `acme` of an entry of `tls`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Acme {
    pub(super) domains: OneOrMany<String>,
    pub(super) contact: OneOrMany<String>,
    pub(super) directory: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) storage: Option<AcmeStorage>,
    pub(super) keys: OneOrMany<SecretReference>,
    pub(super) challenge: Option<Keyword<AcmeChallenge>>,
    pub(super) http: Option<String>,
    pub(super) external_account: Option<ExternalAccount>,
}

/// `storage` of `acme`: a directory, the URL of a Redis, or a table with one.
#[derive(Debug)]
pub(super) enum AcmeStorage {
    /// A path, or a URL.
    Text(String),
    /// A Redis with the keys of its connection.
    Table(Box<AcmeStorageTable>),
}

/// An [`AcmeStorage`] as a table.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct AcmeStorageTable {
    pub(super) redis: OneOrMany<String>,
    pub(super) sentinel: Option<String>,
    pub(super) cluster: Option<Flag>,
    pub(super) user: Option<TextOrSecret>,
    pub(super) password: Option<SecretReference>,
    pub(super) ca: Option<String>,
    pub(super) prefix: Option<String>,
}

/// `external_account` of `acme`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExternalAccount {
    pub(super) id: Option<String>,
    pub(super) key: Option<SecretReference>,
}

impl Keywords for AcmeChallenge {
    const KEYWORDS: &'static [(&'static str, Self)] = &[("tls-alpn-01", Self::TlsAlpn01), ("http-01", Self::Http01)];
}

impl<'de> Deserialize<'de> for AcmeStorage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a directory, the URL of a Redis such as \"rediss://redis:6379\", or a table with `redis`";
        Ok(match TextOrTable::read(deserializer, expected)? {
            TextOrTable::Text(text) => Self::Text(text),
            TextOrTable::Table(table) => Self::Table(Box::new(table)),
        })
    }
}
