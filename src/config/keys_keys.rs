//! The keys of `[keys]`, and of `keys` of a route: where keys are fetched, and how.

use super::secret_reference::SecretReference;
use super::value::{DurationValue, OneOrMany};
use serde::Deserialize;
use std::collections::BTreeMap;

/// `[keys]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    pub(super) directory: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) proxy: Option<String>,
    pub(super) timeout: Option<DurationValue>,
    pub(super) refresh: Option<DurationValue>,
    pub(super) max_age: Option<DurationValue>,
    pub(super) addresses: BTreeMap<String, String>,
}

/// `keys` of a route.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RouteKeys {
    pub(super) url: Option<String>,
    pub(super) hosts: OneOrMany<String>,
    pub(super) ca: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) secret: Option<SecretReference>,
}
