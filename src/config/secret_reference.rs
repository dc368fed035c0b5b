//! Where a secret or public key is: `{ env = "NAME" }` or `{ file = "/path" }`.

use super::fault::LITERAL_SECRET;
use super::value::Flag;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value};
use std::fmt;

/// The source of a secret or public key. The key itself is never part of the configuration.
#[derive(Debug, Default)]
pub(super) struct SecretReference(pub(super) SecretTable);

/// A [`SecretReference`] as a table.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct SecretTable {
    pub(super) name: Option<String>,
    pub(super) env: Option<String>,
    pub(super) file: Option<String>,
    pub(super) retired: Option<Flag>,
}

impl<'de> Deserialize<'de> for SecretReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = SecretReference;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ env = \"NAME_OF_A_VARIABLE\" } or { file = \"/path\" }")
    }

    fn visit_str<E: Error>(self, _literal: &str) -> Result<SecretReference, E> {
        Err(E::custom(format_args!(
            "{LITERAL_SECRET}\nwrite {{ env = \"NAME_OF_A_VARIABLE\" }} or {{ file = \"/path\" }}"
        )))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretReference, A::Error> {
        SecretTable::deserialize(value::MapAccessDeserializer::new(map)).map(SecretReference)
    }
}
