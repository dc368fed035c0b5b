//! One route as `init` and `dev` write it: what a provider needs, and the application. Pure.

use crate::scheme::challenge;
use crate::scheme::facts;
use crate::scheme::presets;

/// The scheme that is described in the file itself.
pub(super) const CUSTOM: &str = "custom";

/// Checks the name of a provider.
///
/// # Errors
/// A sentence for the user.
pub(super) fn check_provider(name: &str) -> Result<(), String> {
    if name == CUSTOM || presets::description(name).is_some() {
        return Ok(());
    }
    Err(format!(
        "there is no preset `{name}`; `hookgate providers` lists all of them, and `custom` describes any other scheme"
    ))
}

/// The line in place of a list of keys, for a provider whose keys are fetched: an example to be changed.
pub(super) fn fetched_keys_line(provider: &str) -> Option<&'static str> {
    facts::find(provider)?.example.as_deref()
}

/// The key of the route that lists the provider's keys.
pub(super) fn key_list(provider: &str) -> &'static str {
    if presets::takes_public_keys(provider) {
        "public_keys"
    } else {
        "secrets"
    }
}

/// The variable that usually has the provider's secret or public key.
pub(super) fn variable(provider: &str) -> String {
    let name = provider.to_ascii_uppercase().replace('-', "_");
    if presets::takes_public_keys(provider) {
        format!("{name}_PUBLIC_KEY")
    } else {
        format!("{name}_WEBHOOK_SECRET")
    }
}

/// The line that answers the provider's challenge, if it sends one; without a token that only the operator knows.
pub(super) fn challenge_line(provider: &str) -> Option<&'static str> {
    let preset = challenge::PRESETS.iter().find(|preset| preset.provider == provider)?;
    Some(match preset.provider {
        "meta" => {
            "# Meta checks the endpoint with a token that you choose. Remove the `#` of both lines, and set the variable.\n\
             #challenge = true\n#verify_token = { env = \"META_VERIFY_TOKEN\" }\n"
        }
        "aws-sns" => {
            "# AWS asks whether this endpoint wants a topic's messages. Remove the `#` of both lines, and write your topic.\n\
             #challenge = true\n#expect = { TopicArn = \"arn:aws:sns:REGION:ACCOUNT:TOPIC\" }\n"
        }
        _ => "# The provider checks the endpoint before it sends webhooks; hookgate answers that.\nchallenge = true\n",
    })
}

/// Where the application is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Application {
    /// Scheme, host and port, or the path of a Unix socket.
    server: String,
    /// The path at which the application receives webhooks; `None` for the path of the route.
    path: Option<String>,
}

impl Application {
    /// Reads `3000`, `localhost:3000`, `http://localhost:3000/api/webhooks` or `unix:/run/app.sock`.
    ///
    /// # Errors
    /// A sentence for the user.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let faulty = || format!("`{text}` is not the URL of an application: write it like localhost:3000");
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Self {
                    server: text.to_owned(),
                    path: None,
                })
            } else {
                Err(faulty())
            };
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let is_port = !authority.is_empty() && authority.bytes().all(|byte| byte.is_ascii_digit());
        let authority = if is_port {
            format!("127.0.0.1:{authority}")
        } else {
            authority.to_owned()
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
        if !["http", "https"].contains(&scheme) || authority.is_empty() || !authority.bytes().all(is_plain) {
            return Err(faulty());
        }
        if path.contains(['?', '#', '"', '\\', ' ']) {
            return Err(format!(
                "`{text}` has more than a path: leave out everything from `?` or `#` on"
            ));
        }
        Ok(Self {
            server: format!("{scheme}://{authority}"),
            path: Some(path).filter(|path| path.len() > 1).map(str::to_owned),
        })
    }

    /// The value of `upstream`.
    pub(super) fn upstream(&self) -> String {
        match &self.path {
            None => format!("\"{}\"", self.server),
            Some(path) => format!("{{ url = \"{}\", path = \"{path}\" }}", self.server),
        }
    }

    /// The URL for people.
    pub(super) fn url(&self) -> String {
        format!("{}{}", self.server, self.path.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn applications_are_read_as_people_write_them() {
        for (text, upstream) in [
            ("3000", "\"http://127.0.0.1:3000\""),
            (":3000", "\"http://127.0.0.1:3000\""),
            ("localhost:3000", "\"http://localhost:3000\""),
            ("http://localhost:3000/", "\"http://localhost:3000\""),
            ("https://app.internal", "\"https://app.internal\""),
            (
                "http://[::1]:3000/api/x",
                "{ url = \"http://[::1]:3000\", path = \"/api/x\" }",
            ),
            ("unix:/run/app.sock", "\"unix:/run/app.sock\""),
        ] {
            assert_eq!(Application::parse(text).unwrap().upstream(), upstream, "{text}");
        }
        for text in [
            "",
            "ftp://localhost",
            "unix:app.sock",
            "http://a b",
            "http://user@host",
            "localhost:3000/?a=b",
        ] {
            assert!(Application::parse(text).is_err(), "{text}");
        }
    }
}
