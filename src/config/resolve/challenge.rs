//! `handshake` and `verify_token` of a route: the provider's challenge and the token with which it is checked.

use super::Resolver;
use crate::config::file;
use crate::config::value::Flag;
use crate::scheme::challenge::Challenge;
use crate::settings::{SecretInfo, defaults};

impl Resolver<'_> {
    /// The provider's challenge, and the name and source of its token.
    pub(super) fn challenge(
        &mut self,
        key: &str,
        provider: Option<&str>,
        written: Option<Flag>,
        token: Option<file::SecretReference>,
    ) -> (Option<Challenge>, Option<SecretInfo>) {
        let enabled = matches!(written, Some(Flag(true)));
        let token_key = format!("{key}.verify_token");
        let Some(file::SecretReference(mut table)) = token else {
            return match provider
                .filter(|_| enabled)
                .map(|provider| Challenge::of(provider, None))
            {
                Some(Ok(challenge)) => (Some(challenge), None),
                Some(Err(fix)) => {
                    self.report.fault(
                        format!("{key}.handshake"),
                        "the provider's challenge cannot be answered",
                        fix,
                    );
                    (None, None)
                }
                None => (None, None),
            };
        };
        if !enabled {
            self.report.fault(
                &token_key,
                "the token belongs to a challenge, which this route does not answer",
                "write `handshake = true`, or remove it",
            );
        }
        let name = table
            .name
            .take()
            .unwrap_or_else(|| String::from(defaults::VERIFY_TOKEN_NAME));
        let Some((source, secret)) = self.secret(&token_key, table, true) else {
            return (None, None);
        };
        if secret.expose().trim_ascii().is_empty() {
            self.report.fault(
                &token_key,
                "the token is empty",
                "write the token that you entered in the provider's form",
            );
            return (None, None);
        }
        match provider
            .filter(|_| enabled)
            .map(|provider| Challenge::of(provider, Some(&secret)))
        {
            Some(Ok(challenge)) => {
                let key = SecretInfo {
                    name,
                    source,
                    retired: false,
                };
                (Some(challenge), Some(key))
            }
            Some(Err(fix)) => {
                self.report
                    .fault(token_key, "the provider's challenge has no token", fix);
                (None, None)
            }
            None => (None, None),
        }
    }
}
