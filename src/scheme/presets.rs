//! The providers that hookgate knows by name: rows of `presets.toml`, in the words of `[route.custom]`.
//!
//! The rows are data so that a new provider is a row, its vectors and a line of documentation, and so that whatever a
//! preset can say, an operator can say too. They are parsed when a route is compiled, never on a request's way.

use super::custom::Custom;
use std::sync::LazyLock;

/// The provider that stands for `[route.custom]`.
pub(super) const CUSTOM: &str = "custom";

static ROWS: LazyLock<toml::Table> = LazyLock::new(|| include_str!("presets.toml").parse().unwrap_or_default());

/// The names of all presets, sorted; `custom` is not one.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.keys().map(String::as_str)
}

/// A preset's description, or what was probably meant.
pub(super) fn find(provider: &str) -> Result<Custom, String> {
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

/// The header that a preset's signature stands in, as the provider writes it; `None` for signatures in the body.
#[must_use]
pub fn signature_header(provider: &str) -> Option<String> {
    find(provider).ok()?.signature?.header
}

/// What a preset's signatures begin with, such as `sha256=`.
#[must_use]
pub fn signature_prefix(provider: &str) -> Option<String> {
    find(provider).ok()?.signature?.prefix
}
