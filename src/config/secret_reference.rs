//! Where a secret or public key is: `{ env = "NAME" }` or `{ file = "/path" }`.

use super::fault::LITERAL_SECRET;
use super::value::{Flag, TextOrTable};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value};
use std::fmt;
use std::marker::PhantomData;

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

/// An entry of `secrets` of a route: a [`SecretReference`], or a directory with one secret for each tenant.
#[derive(Debug, Default)]
pub(super) struct RouteSecret(pub(super) RouteSecretTable);

/// A [`RouteSecret`] as a table.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RouteSecretTable {
    pub(super) name: Option<String>,
    pub(super) env: Option<String>,
    pub(super) file: Option<String>,
    pub(super) retired: Option<Flag>,
    pub(super) directory: Option<String>,
    pub(super) by: Option<TenantBy>,
}

impl From<RouteSecret> for SecretReference {
    fn from(RouteSecret(table): RouteSecret) -> Self {
        Self(SecretTable {
            name: table.name,
            env: table.env,
            file: table.file,
            retired: table.retired,
        })
    }
}

/// `by` of `secrets`: a word, or a table with one key.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "expected \"path\", \"host\", { header = \"…\" }, { query = \"…\" } or { pointer = \"/…\" }"
)]
pub(super) enum TenantBy {
    /// `path` or `host`.
    Word(String),
    /// A place in the request.
    Place(TenantPlaceTable),
}

/// The table of [`TenantBy`].
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct TenantPlaceTable {
    pub(super) header: Option<String>,
    pub(super) query: Option<String>,
    pub(super) pointer: Option<String>,
}

impl<'de> Deserialize<'de> for SecretReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor(PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for RouteSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor(PhantomData)).map(Self)
    }
}

/// Reads the table `T` of a secret.
struct KeyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for KeyVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ env = \"NAME_OF_A_VARIABLE\" } or { file = \"/path\" }")
    }

    fn visit_str<E: Error>(self, _literal: &str) -> Result<T, E> {
        Err(E::custom(format_args!(
            "{LITERAL_SECRET}\nwrite {{ env = \"NAME_OF_A_VARIABLE\" }} or {{ file = \"/path\" }}"
        )))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(value::MapAccessDeserializer::new(map))
    }
}

/// A text that is written literally or read from a source: the value of a static header, or the user of the store.
#[derive(Debug)]
pub(super) enum TextOrSecret {
    /// The text itself.
    Literal(String),
    /// The source of the text.
    Source(SecretTable),
}

impl<'de> Deserialize<'de> for TextOrSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a string, { env = \"NAME_OF_A_VARIABLE\" } or { file = \"/path\" }";
        Ok(match TextOrTable::read(deserializer, expected)? {
            TextOrTable::Text(text) => Self::Literal(text),
            TextOrTable::Table(source) => Self::Source(source),
        })
    }
}
