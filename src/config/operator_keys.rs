//! The keys of what operators see and do: `[api]`, `[capture]` and `[console]`.

use super::value::{Count, DurationValue, Flag, Keyword, Keywords, OneOrMany, Size};
use crate::settings::ConsoleRole;
use serde::Deserialize;

/// `[api]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Api {
    pub(super) socket: Option<String>,
}

/// `[capture]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Capture {
    pub(super) count: Option<Count>,
    pub(super) bytes: Option<Size>,
    pub(super) keep: Option<DurationValue>,
    pub(super) full_for: Option<DurationValue>,
    pub(super) directory: Option<String>,
}

/// `[console]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Console {
    pub(super) address: Option<String>,
    pub(super) tls: OneOrMany<Certificate>,
    pub(super) client_ca: Option<String>,
    pub(super) hosts: OneOrMany<String>,
    pub(super) tokens: OneOrMany<ConsoleToken>,
    pub(super) trusted_proxies: OneOrMany<String>,
    pub(super) user_header: Option<String>,
    pub(super) operators: OneOrMany<String>,
    pub(super) behind_tls: Option<Flag>,
}

/// One of the console's tokens.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConsoleToken {
    pub(super) name: Option<String>,
    pub(super) role: Option<Keyword<ConsoleRole>>,
    pub(super) env: Option<String>,
    pub(super) file: Option<String>,
}

impl Keywords for ConsoleRole {
    const KEYWORDS: &'static [(&'static str, Self)] = &[("view", Self::View), ("operate", Self::Operate)];
}

/// A certificate chain and its key.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Certificate {
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
}
