//! `provider` of a route: the names that exist, and what is said about those that do not.

use super::Resolver;
use crate::config::fault::{alternatives, closest};
use crate::scheme::presets;

impl Resolver<'_> {
    /// Whether the provider is known; records a fault if not.
    pub(super) fn check_provider(&mut self, key: &str, provider: &str) -> bool {
        let known = || presets::names().chain(["custom"]);
        if known().any(|name| name == provider) {
            return true;
        }
        let lower = provider.to_ascii_lowercase();
        let (problem, fix) = if let Some(reason) = unsupported(&lower) {
            (
                format!("there is no preset `{provider}`: {reason}"),
                String::from("see docs/schemes.md for what can be verified"),
            )
        } else if let Some(meant) = closest(provider, known()) {
            (
                format!("unknown provider `{provider}`, did you mean `{meant}`?"),
                String::new(),
            )
        } else {
            let mut fix = String::from("`hookgate providers` lists the names; `custom` describes any other scheme");
            let similar: Vec<&str> = known().filter(|name| is_part(&lower, name)).collect();
            if !similar.is_empty() {
                fix = format!("write {}; {fix}", alternatives(similar, "or"));
            }
            (format!("unknown provider `{provider}`"), fix)
        };
        self.report.fault(format!("{key}.provider"), problem, fix);
        false
    }
}

/// Whether a name has a word of the text: `google` or `google-cloud` for `google-pubsub`.
fn is_part(text: &str, name: &str) -> bool {
    let words = || {
        text.split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| word.len() > 2)
    };
    name.split('-').any(|part| words().any(|word| word == part))
}

/// Why the webhooks of a well-known provider cannot be verified, in lower case.
fn unsupported(provider: &str) -> Option<&'static str> {
    match provider {
        "fal" => Some("it signs with keys that must be fetched in a way that hookgate does not know"),
        "auth0" | "okta" => {
            Some("it sends a fixed header and no signature; `custom` with `algorithm = \"token\"` compares it")
        }
        _ => None,
    }
}
