//! A route's handshake: the provider's, if it has one, with the token that it asks with.

use super::super::describe::Key;
use super::super::file;
use super::super::value::Flag;
use super::Resolver;
use crate::scheme::challenge::Handshake;

impl Resolver<'_> {
    /// What the provider asks of an endpoint, and the place of the token that it asks with.
    pub(super) fn handshake(
        &mut self,
        key: &str,
        provider: Option<&str>,
        written: Option<Flag>,
        token: Option<file::Key>,
    ) -> (Option<Handshake>, Option<Key>) {
        let enabled = matches!(written, Some(Flag(true)));
        let token_key = format!("{key}.verify_token");
        let Some(file::Key(mut table)) = token else {
            return match provider
                .filter(|_| enabled)
                .map(|provider| Handshake::of(provider, None))
            {
                Some(Ok(handshake)) => (Some(handshake), None),
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
                "there is no handshake that it belongs to",
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
            .map(|provider| Handshake::of(provider, Some(&secret)))
        {
            Some(Ok(handshake)) => {
                let key = Key {
                    name,
                    source,
                    retired: false,
                };
                (Some(handshake), Some(key))
            }
            Some(Err(fix)) => {
                self.report.fault(token_key, "means nothing here", fix);
                (None, None)
            }
            None => (None, None),
        }
    }
}
