//! The providers that hookgate knows by name.

/// All names, sorted.
const NAMES: &[&str] = &["paddle"];

/// The names of all presets, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied()
}

/// Finds a preset, or says what was probably meant.
pub(super) fn find(provider: &str) -> Result<&'static str, String> {
    names().find(|name| *name == provider).ok_or_else(|| {
        let wanted = provider.to_ascii_lowercase();
        let near = names()
            .map(|name| (strsim::jaro_winkler(&wanted, name), name))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match near {
            Some((_, name)) => format!("Unknown provider `{provider}`: did you mean `{name}`?"),
            None => {
                let all = names().collect::<Vec<_>>().join("`, `");
                format!("Unknown provider `{provider}`: write one of `{all}`.")
            }
        }
    })
}
