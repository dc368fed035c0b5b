//! A route's challenge: the provider's, if it has one, with the token that it asks with.

use super::super::file;
use super::super::value::Flag;
use super::Resolver;
use crate::scheme::challenge::Challenge;
use crate::settings::SecretInfo;

impl Resolver<'_> {
    /// What the provider asks of an endpoint, and the place of the token that it asks with.
    pub(super) fn challenge(
        &mut self,
        key: &str,
        provider: Option<&str>,
        written: Option<Flag>,
        token: Option<file::Key>,
    ) -> (Option<Challenge>, Option<SecretInfo>) {
        let enabled = matches!(written, Some(Flag(true)));
        let token_key = format!("{key}.verify_token");
        let Some(file::Key(mut table)) = token else {
            return match provider
                .filter(|_| enabled)
                .map(|provider| Challenge::of(provider, None))
            {
                Some(Ok(challenge)) => (Some(challenge), None),
                Some(Err(fix)) => {
                    self.report.fault(format!("{key}.handshake"), "cannot be answered", fix);
                    (None, None)
                }
                None => (None, None),
            };
        };
        if !enabled {
            self.report.fault(
                &token_key,
                "there is no challenge that it belongs to",
                "write `handshake = true`, or remove it",
            );
        }
        let name = table.name.take().unwrap_or_else(|| String::from("verify_token"));
        let Some((source, secret)) = self.key(&token_key, table, true) else {
            return (None, None);
        };
        if secret.expose().trim_ascii().is_empty() {
            self.report.fault(
                &token_key,
                "the token is empty",
                "put in what you wrote into the provider's form",
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
                self.report.fault(token_key, "means nothing here", fix);
                (None, None)
            }
            None => (None, None),
        }
    }
}
