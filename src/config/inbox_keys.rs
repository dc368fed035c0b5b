//! The keys of the inbox: `[inbox]`, and what a route does with a webhook that the application does not take. As in
//! `file`, every field may be missing.

use super::secret_reference::SecretReference;
use super::value::{Count, DurationValue, Flag, Keyword, Keywords, OneOrMany, Size, TextOrTable};
use crate::scheme;
use serde::Deserialize;
use serde::de::{Deserializer, IntoDeserializer as _};

/// `[inbox]`. The table turns the inbox on.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Inbox {
    pub(super) store: Option<String>,
    pub(super) keys: OneOrMany<SecretReference>,
    pub(super) max_bytes: Option<Size>,
    pub(super) max_items: Option<Count>,
    pub(super) min_free_disk: Option<Size>,
    pub(super) max_log: Option<Size>,
    pub(super) keep: Option<DurationValue>,
    pub(super) dead: DeadLetters,
    pub(super) any_filesystem: Option<Flag>,
    pub(super) probe: Probe,
}

/// `dead` of `[inbox]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeadLetters {
    pub(super) keep: Option<DurationValue>,
}

/// `probe` of `[inbox]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Probe {
    pub(super) backoff: Option<DurationValue>,
    pub(super) backoff_limit: Option<DurationValue>,
}

/// `retry` of a route.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retry {
    pub(super) max_age: Option<DurationValue>,
    pub(super) backoff: Option<DurationValue>,
    pub(super) backoff_limit: Option<DurationValue>,
    pub(super) give_up_on: OneOrMany<Count>,
}

/// `order` of a route: a word, or where the key is.
#[derive(Debug)]
pub(super) enum Order {
    Word(Keyword<OrderKind>),
    Key(scheme::LocationDescription),
}

/// `order` of a route as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderKind {
    None,
    Route,
}

/// `delivery` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryKind {
    Direct,
    Failover,
    Queue,
}

/// `answer` of a route: whether the provider uses the application's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerUse {
    Used,
    Unused,
}

/// `signature` of a route: the signature that the application gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureKind {
    Original,
    Fresh,
    Gateway,
}

impl Keywords for SignatureKind {
    const KEYWORDS: &'static [(&'static str, Self)] = &[
        ("original", Self::Original),
        ("fresh", Self::Fresh),
        ("gateway", Self::Gateway),
    ];
}

impl Keywords for OrderKind {
    const KEYWORDS: &'static [(&'static str, Self)] = &[("none", Self::None), ("route", Self::Route)];
}

impl Keywords for DeliveryKind {
    const KEYWORDS: &'static [(&'static str, Self)] = &[
        ("direct", Self::Direct),
        ("failover", Self::Failover),
        ("queue", Self::Queue),
    ];
}

impl Keywords for AnswerUse {
    const KEYWORDS: &'static [(&'static str, Self)] = &[("used", Self::Used), ("unused", Self::Unused)];
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "\"none\", \"route\", { pointer = \"/data/id\" } or { header = \"X-Order\" }";
        match TextOrTable::read(deserializer, expected)? {
            TextOrTable::Text(word) => Keyword::deserialize(word.into_deserializer()).map(Self::Word),
            TextOrTable::Table(location) => Ok(Self::Key(location)),
        }
    }
}
