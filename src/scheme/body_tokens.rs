//! Tokens in the body, which are verified besides the signature: each with the fetched key that it names.

use super::compiled::{BodyTokens, CompiledScheme};
use super::fetched::FetchedKey;
use super::json::JsonValues;
use super::jwt::JwtCheck;
use crate::outcome::Rejection;
use std::sync::Arc;

/// The tokens of one body. Their claims are accepted; their signatures are not verified yet.
#[derive(Debug)]
pub(super) struct BodyTokenCheck {
    tokens: Vec<JwtCheck>,
}

impl BodyTokenCheck {
    /// Reads the tokens of a body.
    ///
    /// # Errors
    /// `SignatureMissing` without any, and as [`JwtCheck::parse`] for each.
    pub(super) fn read(
        scheme: &Arc<CompiledScheme>,
        wanted: &BodyTokens,
        values: &JsonValues<'_>,
    ) -> Result<Self, Rejection> {
        let texts = values.list(&wanted.list);
        if texts.is_empty() {
            return Err(Rejection::SignatureMissing);
        }
        let tokens = texts
            .iter()
            .map(|text| JwtCheck::parse(scheme, &wanted.format, text, None));
        Ok(Self {
            tokens: tokens.collect::<Result<_, _>>()?,
        })
    }

    /// The id of the next fetched key; `None` once all are given.
    pub(super) fn wanted_key(&self) -> Option<&str> {
        self.tokens.iter().find_map(JwtCheck::wanted_key)
    }

    /// Gives the key that [`wanted_key`](Self::wanted_key) named, to every token that names it.
    pub(super) fn use_key(&mut self, key: &Arc<FetchedKey>) {
        let Some(id) = self.wanted_key().map(str::to_owned) else {
            return;
        };
        let naming = |token: &&mut JwtCheck| token.wanted_key() == Some(&id);
        for token in self.tokens.iter_mut().filter(naming) {
            token.use_key(key.clone());
        }
    }

    /// Verifies every token, and compares its times with `now_unix` (seconds).
    ///
    /// # Errors
    /// `SignatureMismatch`, `TimestampStale`, `TimestampFuture`.
    pub(super) fn verify(&self, now_unix: u64) -> Result<(), Rejection> {
        if !self.tokens.iter().all(JwtCheck::is_genuine) {
            return Err(Rejection::SignatureMismatch);
        }
        self.tokens.iter().try_for_each(|token| token.age(now_unix, None))
    }
}
