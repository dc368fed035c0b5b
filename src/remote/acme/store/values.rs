//! The values that are stored, their names, and why they cannot be used.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::remote::acme) enum StoreError {
    /// Redis is not there: it may be there again.
    Unreachable(String),
    /// What is stored, or the place, cannot be used before somebody does something.
    Unusable(String),
}

impl StoreError {
    /// One sentence.
    pub(in crate::remote::acme) fn into_text(self) -> String {
        match self {
            Self::Unreachable(text) | Self::Unusable(text) => text,
        }
    }
}

/// A certificate as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::remote::acme) struct StoredCertificate {
    /// The chain in PEM, the leaf first.
    pub(in crate::remote::acme) chain: String,
    /// The private key in PEM.
    pub(in crate::remote::acme) key: String,
    /// When it was issued, Unix seconds.
    pub(in crate::remote::acme) issued_unix: u64,
}

/// What is answered to the challenges of one certificate: the key authorization (RFC 8555, 8.1) of each token, with the
/// name that it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::remote::acme) struct Challenges(pub(in crate::remote::acme) BTreeMap<String, Answer>);

/// The answer to one challenge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::remote::acme) struct Answer {
    pub(in crate::remote::acme) name: String,
    pub(in crate::remote::acme) key_authorization: String,
}

/// The name of one value. An account has the values of its certificates.
#[derive(Clone, Debug)]
pub(super) struct Name {
    /// A hash of the server and the external account.
    pub(super) account: String,
    /// A hash of the server and the certificate's names; that of the account for a value of the account.
    pub(super) of: String,
    pub(super) kind: &'static str,
}

impl Name {
    /// The name of the file, which is the place of the content for the vault.
    pub(super) fn file(&self) -> String {
        format!("{}.{}", self.of, self.kind)
    }
}
