//! What is known about each provider besides its signature: rows of `facts.toml`, one for each preset. A row with
//! `same_as` has the keys of another row, and those of its own in place of them.
//!
//! A signature says that a request is genuine; these facts say what a second one means, how large one may be, and what the
//! sender does with the answer. They are defaults of a route; `docs/schemes.md` shows them with their sources.

use super::presets;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The facts of one provider. What is not documented is `None`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderFacts {
    /// Where the provider shows the signing secret or the public key, as a path through its pages.
    pub secret: String,
    /// The line of the route in place of `secrets`, where keys are fetched: an example.
    pub example: Option<String>,
    /// How to have the provider send a test, as a sentence without a full stop; for a scheme in which nobody else can sign.
    pub own_test: Option<String>,
    /// What the preset was proven against: `published vectors`, a library such as `npm stripe` or `PyPI slack-sdk`, another
    /// implementation such as `PHP 8.2`, or `node:crypto` where there was nothing but the provider's documents.
    pub judges: Vec<String>,
    /// Whether the provider names no tolerance, so that the one of the preset is ours.
    #[serde(default)]
    pub own_tolerance: bool,
    /// What an operator must know besides these facts, as sentences.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What the preset's delivery id identifies; `None` where no value is unique for each delivery.
    pub id: Option<IdScope>,
    /// Whether two different notifications can be the same bytes.
    pub equal_bytes: EqualBytes,
    /// What a retry by the sender looks like.
    pub retry: Option<Retry>,
    /// How long the sender waits for an answer, such as `10s`.
    pub deadline: Option<String>,
    /// When and how often the sender tries again, as a phrase.
    pub retries: Option<String>,
    /// The largest body that the provider sends, in bytes.
    pub largest_body: Option<usize>,
    /// The status of the answer with which the sender is content: `2xx` or `200`.
    pub acknowledgement: String,
    /// The body of that answer; empty where the sender ignores it.
    #[serde(default)]
    pub acknowledgement_body: String,
    /// Whether the provider uses the application's answer, so that nobody else can give it.
    #[serde(default)]
    pub answer_used: bool,
    /// Addresses of the documents, or a place in the provider's source code, that state these facts.
    pub sources: Vec<String>,
}

/// What a delivery id identifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdScope {
    /// One delivery to one receiver, over all retries.
    Delivery,
    /// An event: several receivers at one URL, each with a secret of its own, get it under the same id.
    Event,
}

/// Whether two different notifications can be the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EqualBytes {
    /// Each has a time or an id of its own in what is signed.
    No,
    /// Yes; only the delivery id, in a header that is not signed, tells them apart.
    UnlessId,
    /// Yes, and nothing tells them apart.
    Yes,
}

/// What a retry looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// The same signed bytes.
    SameBytes,
    /// The same body, signed again with a new time.
    SignedAgain,
    /// The sender does not retry by itself.
    None,
}

/// The rows by name of the preset. A test compares the names with those of the presets.
static ROWS: LazyLock<BTreeMap<String, ProviderFacts>> = LazyLock::new(|| {
    presets::read_rows(include_str!("facts.toml"))
        .try_into()
        .unwrap_or_default()
});

/// The facts of a preset; `None` for `custom`.
#[must_use]
pub fn find(preset: &str) -> Option<&'static ProviderFacts> {
    ROWS.get(preset)
}
