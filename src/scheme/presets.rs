//! The providers that hookgate knows by name: rows of `presets.toml`, with the keys of `[route.custom]`.
//!
//! A row with `same_as` has the keys of another row, and those of its own in place of them.
//!
//! The rows are data, so that a new provider needs only a row, its test vectors and a line of documentation, and so
//! that an operator can configure everything that a preset can. They are parsed when a route is compiled, never during
//! a request.

use super::description::{Algorithm, SchemeDescription};
use super::keys;
use super::types::KeyList;
use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

/// The value of `provider` that selects `[route.custom]`.
pub(super) const CUSTOM: &str = "custom";

/// All presets by name.
static ROWS: LazyLock<BTreeMap<String, Row>> = LazyLock::new(|| {
    let rows = read_rows(include_str!("presets.toml")).into_iter();
    rows.map(|(name, written)| {
        let description = OnceLock::new();
        (name, Row { written, description })
    })
    .collect()
});

/// One preset.
struct Row {
    written: toml::Value,
    /// What `written` says, read when it is first needed.
    description: OnceLock<Result<SchemeDescription, toml::de::Error>>,
}

impl Row {
    fn description(&self) -> Result<&SchemeDescription, &toml::de::Error> {
        self.description
            .get_or_init(|| self.written.clone().try_into())
            .as_ref()
    }
}

/// Reads a table of rows, and completes each row that has `same_as` with the keys of the row that it names.
pub(super) fn read_rows(text: &str) -> toml::Table {
    let mut rows: toml::Table = text.parse().unwrap_or_default();
    let written = rows.clone();
    for row in rows.iter_mut().filter_map(|(_, row)| row.as_table_mut()) {
        let same_as = row.remove("same_as");
        let other = same_as
            .as_ref()
            .and_then(|name| written.get(name.as_str()?)?.as_table());
        for (key, value) in other.into_iter().flatten() {
            row.entry(key).or_insert_with(|| value.clone());
        }
    }
    rows
}

/// The names of all presets, sorted. `custom` is not among them.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.keys().map(String::as_str)
}

/// Finds a preset's description.
///
/// # Errors
/// A sentence with the most similar name, or with all names.
pub(super) fn find(provider: &str) -> Result<SchemeDescription, String> {
    if let Some(row) = ROWS.get(provider) {
        return row
            .description()
            .cloned()
            .map_err(|error| format!("The preset `{provider}` is broken: {error}."));
    }
    let wanted = provider.to_ascii_lowercase().replace('_', "-");
    let near = names()
        .chain([CUSTOM])
        .map(|name| (strsim::jaro_winkler(&wanted, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    Err(match near {
        Some((_, name)) => format!("Unknown provider `{provider}`: did you mean `{name}`?"),
        None => {
            let all = names().chain([CUSTOM]).collect::<Vec<_>>().join("`, `");
            format!("Unknown provider `{provider}`: write one of `{all}`.")
        }
    })
}

/// The description of a preset; `None` for a name that is not one.
#[must_use]
pub fn description(provider: &str) -> Option<&'static SchemeDescription> {
    ROWS.get(provider)?.description().ok()
}

/// The name of a preset's signature header, as the provider writes it; `None` for signatures in the body.
#[must_use]
pub fn signature_header(provider: &str) -> Option<String> {
    let header = description(provider)?.signature.as_ref()?.header.as_ref()?;
    header.as_slice().first().cloned()
}

/// The prefix of a preset's signatures, such as `sha256=`.
#[must_use]
pub fn signature_prefix(provider: &str) -> Option<String> {
    description(provider)?.signature.as_ref()?.prefix.clone()
}

/// Whether a preset signs the URL, so that a route needs `public_url`.
#[must_use]
pub fn signs_url(provider: &str) -> bool {
    description(provider).is_some_and(|row| {
        let payload = row.payload.as_ref();
        row.message.is_some() || payload.is_some_and(|payload| payload.contains("{url}"))
    })
}

/// Whether a preset verifies with keys that are fetched, so that a route needs none.
#[must_use]
pub fn fetches_keys(provider: &str) -> bool {
    // Tokens in a body are verified besides a signature that has keys of its own.
    let row = description(provider).filter(|row| row.jwt.as_ref().is_none_or(|jwt| !jwt.is_in_body()));
    let keys = row.and_then(|row| row.keys.as_ref());
    keys.is_some_and(|keys| keys.jwks.as_deref() != Some(""))
}

/// Whether a preset's secret is a user and a password, which the sender sends with each request.
#[must_use]
pub fn is_basic(provider: &str) -> bool {
    description(provider).is_some_and(|row| row.algorithm() == Algorithm::Basic)
}

/// Whether a preset verifies with public keys of the configuration.
#[must_use]
pub fn takes_public_keys(provider: &str) -> bool {
    !fetches_keys(provider)
        && description(provider).is_some_and(|row| keys::list_of(row.algorithm()) == KeyList::PublicKeys)
}
