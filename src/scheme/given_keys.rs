//! The keys of a route as they were given: which list each is in, and which of the scheme's algorithms it is for.

use super::compiled::SchemeKey;
use super::description::{SchemeDescription, Texts};
use super::keys::{self, KeyRules};
use super::types::{KeyList, NamedSecret, SchemeFault};

/// The keys of a route, and which list each of them is in.
#[derive(Debug)]
pub(super) struct GivenKeys {
    /// All keys in configuration order.
    pub(super) keys: Vec<NamedSecret>,
    /// The number of those that are in `secrets`; the rest is in `public_keys`. `None` for keys that are in no list.
    pub(super) secrets: Option<usize>,
}

impl GivenKeys {
    /// The list that the key of this index is in.
    fn list(&self, index: usize) -> Option<KeyList> {
        self.secrets.map(|secrets| {
            if index < secrets {
                KeyList::Secrets
            } else {
                KeyList::PublicKeys
            }
        })
    }

    /// Parses the keys, each with the algorithm that its prefix selects. Blank keys are skipped: [`keys::faults`] reports
    /// them.
    ///
    /// # Errors
    /// One sentence for each key that is not what the algorithm needs.
    pub(super) fn expand(
        &self,
        name: &str,
        description: &SchemeDescription,
    ) -> Result<Vec<SchemeKey>, Vec<SchemeFault>> {
        let mut faults = Vec::new();
        let mut expanded = Vec::new();
        for (index, secret) in self.keys.iter().enumerate() {
            if secret.secret.expose().trim_ascii().is_empty() {
                continue;
            }
            let (family, rules) = rules(description, secret);
            let expand = match description.message {
                Some(_) => keys::expand_message,
                None => keys::expand,
            };
            match expand(name, rules, secret, self.list(index)) {
                Ok(key) => expanded.push(SchemeKey { family, key }),
                Err(text) => faults.push(SchemeFault { key: Some(index), text }),
            }
        }
        if faults.is_empty() { Ok(expanded) } else { Err(faults) }
    }
}

/// The family of a key ([`SchemeKey::family`]) and how it is written.
pub(super) fn rules<'d>(description: &'d SchemeDescription, secret: &NamedSecret) -> (usize, KeyRules<'d>) {
    let format = description.key.as_ref();
    let encoding = format.and_then(|format| format.encoding);
    let other = description.alternative.as_ref();
    let text = secret.secret.expose();
    match other.filter(|other| keys::longest_prefix(other.key_prefix.as_slice(), text).is_some()) {
        Some(other) => (
            1,
            KeyRules {
                algorithm: other.algorithm,
                prefixes: other.key_prefix.as_slice(),
                encoding,
                public_prefix: None,
            },
        ),
        None => (
            0,
            KeyRules {
                algorithm: description.algorithm(),
                prefixes: format
                    .and_then(|format| format.prefix.as_ref())
                    .map_or(&[], Texts::as_slice),
                encoding,
                public_prefix: other
                    .filter(|other| keys::list_of(other.algorithm) == KeyList::PublicKeys)
                    .and_then(|other| other.key_prefix.as_slice().first())
                    .map(String::as_str),
            },
        ),
    }
}
