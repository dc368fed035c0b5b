//! The keys of `tls` of a listener: a certificate from files, or one that is ordered from an ACME server.

use super::secret_reference::SecretReference;
use super::value::{Keyword, Keywords, OneOrMany};
use crate::settings::AcmeChallenge;
use serde::Deserialize;

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
    pub(super) storage: Option<String>,
    pub(super) keys: OneOrMany<SecretReference>,
    pub(super) challenge: Option<Keyword<AcmeChallenge>>,
    pub(super) http: Option<String>,
    pub(super) external_account: Option<ExternalAccount>,
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
