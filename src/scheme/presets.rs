//! The providers that hookgate knows by name: rows of `presets.toml`, with the keys of `[route.custom]`.
//!
//! The rows are data, so that a new provider needs only a row, its test vectors and a line of documentation, and so
//! that an operator can configure everything that a preset can. They are parsed when a route is compiled, never during
//! a request.

use super::description::SchemeDescription;
use std::sync::LazyLock;

/// The value of `provider` that selects `[route.custom]`.
pub(super) const CUSTOM: &str = "custom";

/// All presets by name.
static ROWS: LazyLock<toml::Table> = LazyLock::new(|| include_str!("presets.toml").parse().unwrap_or_default());

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
            .clone()
            .try_into()
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
pub fn description(provider: &str) -> Option<SchemeDescription> {
    ROWS.get(provider)?.clone().try_into().ok()
}

/// The name of a preset's signature header, as the provider writes it; `None` for signatures in the body.
#[must_use]
pub fn signature_header(provider: &str) -> Option<String> {
    let header = find(provider).ok()?.signature?.header?;
    header.as_slice().first().cloned()
}

/// The prefix of a preset's signatures, such as `sha256=`.
#[must_use]
pub fn signature_prefix(provider: &str) -> Option<String> {
    find(provider).ok()?.signature?.prefix
}
