//! A certificate that is issued while the process runs: handshakes use the one that is there when they begin, and answer
//! the challenge TLS-ALPN-01 (RFC 8737) with certificates of their own.

use super::LoadedCertificate;
use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The protocol (ALPN) of a handshake that only checks a challenge.
pub const CHALLENGE_PROTOCOL: &[u8] = b"acme-tls/1";

/// A certificate that is replaced while connections are served.
pub struct IssuedCertificate {
    /// The names that it is for, in lower case.
    names: Vec<String>,
    /// `None` until the first one is issued.
    current: ArcSwapOption<LoadedCertificate>,
    /// Answers to challenges, by name in lower case.
    challenges: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
}

impl IssuedCertificate {
    /// A certificate for these names (in lower case) that is not issued yet.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        Self {
            names,
            current: ArcSwapOption::empty(),
            challenges: ArcSwap::default(),
        }
    }

    /// The names that it is for, in lower case.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The certificate, once there is one.
    #[must_use]
    pub fn current(&self) -> Option<Arc<LoadedCertificate>> {
        self.current.load_full()
    }

    /// Uses this certificate from the next handshake on.
    pub fn replace(&self, new: Arc<LoadedCertificate>) {
        self.current.store(Some(new));
    }

    /// Answers these challenges, and no others.
    pub fn answer_challenges(&self, answers: HashMap<String, Arc<CertifiedKey>>) {
        self.challenges.store(Arc::new(answers));
    }

    /// The answer to the challenge of a name in lower case.
    pub(super) fn challenge(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.challenges.load().get(name).cloned()
    }
}

impl fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedCertificate")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
