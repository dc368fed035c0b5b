//! What is answered to the challenge HTTP-01 (RFC 8555, 8.3), by token, for all certificates of the process.

use crate::remote::acme::store::Challenges;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The beginning of the path of a challenge.
const PREFIX: &str = "/.well-known/acme-challenge/";

/// The answers of all certificates.
#[derive(Default)]
pub struct HttpAnswers {
    /// Whether there is any, so that a request costs one load while there is none.
    has_any: AtomicBool,
    /// The key authorization of each token.
    by_token: ArcSwap<HashMap<String, String>>,
    /// The answers of each certificate, by its label.
    by_certificate: Mutex<HashMap<String, Challenges>>,
}

impl HttpAnswers {
    /// The answer to a request for this path; `None` for a path that is no pending challenge.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<String> {
        if !self.has_any.load(Ordering::Relaxed) {
            return None;
        }
        self.by_token.load().get(path.strip_prefix(PREFIX)?).cloned()
    }

    /// Replaces the answers of one certificate.
    pub(super) fn replace(&self, certificate: &str, answers: &Challenges) {
        let mut all = self.by_certificate.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.0.is_empty() {
            all.remove(certificate);
        } else {
            all.insert(certificate.to_owned(), answers.clone());
        }
        let tokens = all.values().flat_map(|answers| &answers.0);
        let by_token: HashMap<_, _> = tokens
            .map(|(token, answer)| (token.clone(), answer.key_authorization.clone()))
            .collect();
        self.has_any.store(!by_token.is_empty(), Ordering::Relaxed);
        self.by_token.store(by_token.into());
    }
}

impl fmt::Debug for HttpAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAnswers").finish_non_exhaustive()
    }
}
