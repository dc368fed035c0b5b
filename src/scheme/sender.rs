//! A sender: a scheme with what the provider has to sign, so that `send` and `sign` can play the provider.
//!
//! A scheme with shared secrets signs with those. A scheme with public or fetched keys signs with a private key that the
//! user has or that is made for the test; the route then gets the public key that belongs to it.

use super::description::{SchemeDescription, Texts};
use super::key_source::KeySource;
use super::keys;
use super::presets;
use super::private_key::{PrivateKey, PrivateKeyKind};
use super::route_context::RouteContext;
use super::types::{Expected, KeySettings, ListedKeys, NamedSecret, SignRequest, SignedRequest};
use super::url::UrlOfRoute;
use super::verifier::Verifier;
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// A scheme with the keys that sign.
#[derive(Debug)]
pub struct Sender {
    verifier: Verifier,
    /// Indices of the keys that sign.
    keys: Vec<usize>,
    private: Option<PrivateKey>,
}

/// What a route needs to verify what a private key signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishedKey {
    /// A text for `public_keys`.
    PublicKey(String),
    /// A JSON Web Key Set, for the URL in `keys`.
    KeySet(String),
    /// The answer of Plaid's service to the request for a key, for the URL in `keys`.
    PlaidAnswer(String),
}

impl PublishedKey {
    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::PublicKey(text) | Self::KeySet(text) | Self::PlaidAnswer(text) => text,
        }
    }
}

/// The kind of private key with which a provider signs; `None` for shared secrets, and for certificates, which nobody else
/// can have.
#[must_use]
pub fn private_key_kind(description: &SchemeDescription) -> Option<PrivateKeyKind> {
    if description.message.is_some() {
        return Some(PrivateKeyKind::Ed25519);
    }
    if let Some(keys) = &description.keys {
        return match (&keys.certificate, &keys.plaid) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(PrivateKeyKind::P256),
            (None, None) => Some(PrivateKeyKind::Rsa),
        };
    }
    let other = description.alternative.as_ref().map(|other| other.algorithm);
    let algorithm = keys::public_key_algorithm(description.algorithm());
    PrivateKeyKind::of(algorithm.or_else(|| keys::public_key_algorithm(other?))?)
}

impl Sender {
    /// A sender with shared secrets. `expect` has the values that its tokens carry.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn with_secrets(
        provider: &str,
        secrets: Vec<NamedSecret>,
        expect: &Expected,
        public_url: Option<&str>,
    ) -> Result<Self, Vec<String>> {
        let keys = (0..secrets.len()).collect();
        let lists = ListedKeys {
            secrets,
            public_keys: Vec::new(),
        };
        Ok(Self {
            verifier: verifier(provider, lists, expect, public_url, &KeySettings::default())?,
            keys,
            private: None,
        })
    }

    /// A sender with a private key.
    ///
    /// # Errors
    /// As [`Verifier::new`], and when the provider signs with another kind of key.
    pub fn with_private_key(
        provider: &str,
        private: PrivateKey,
        expect: &Expected,
        public_url: Option<&str>,
    ) -> Result<Self, Vec<String>> {
        let description = presets::find(provider).map_err(|fault| vec![fault])?;
        let is_fetched = description.keys.is_some() && description.message.is_none();
        let mut lists = ListedKeys::default();
        let mut settings = KeySettings::default();
        if is_fetched {
            // Nothing is fetched: a sender has the key.
            settings.url = Some("http://127.0.0.1:1/".to_owned());
            if description.keys.as_ref().is_some_and(|keys| keys.plaid.is_some()) {
                settings.client_id = Some("sender".to_owned());
                settings.secret = Some(Secret::new(b"sender".to_vec()));
            }
        } else {
            let text = public_text(&description, &private).ok_or_else(|| vec![NO_PUBLIC_KEY.to_owned()])?;
            lists.public_keys.push(NamedSecret {
                name: "private key".to_owned(),
                secret: Secret::new(text.into_bytes()),
            });
        }
        Ok(Self {
            verifier: verifier(provider, lists, expect, public_url, &settings)?,
            keys: vec![0],
            private: Some(private),
        })
    }

    /// A sender with a key of a route, by its index, or with the private key that belongs to it.
    #[must_use]
    pub fn of_route(verifier: Verifier, key: usize, private: Option<PrivateKey>) -> Self {
        Self {
            verifier,
            keys: vec![key],
            private,
        }
    }

    /// The scheme's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.verifier.name()
    }

    /// The request that the provider sends at `now_unix` (seconds). `None` when the scheme cannot sign with these keys, or
    /// not this body.
    #[must_use]
    pub fn sign(&self, request: &SignRequest<'_>, now_unix: u64) -> Option<SignedRequest> {
        self.verifier
            .sign_as_provider(&self.keys, self.private.as_ref(), request, now_unix)
    }

    /// What a route needs to verify what this sender's private key signs; `None` without one.
    #[must_use]
    pub fn published_key(&self) -> Option<PublishedKey> {
        let private = self.private.as_ref()?;
        match self.verifier.key_source() {
            Some(KeySource::Jwks { .. }) => {
                let set = json!({ "keys": [private.public_jwk()?] });
                Some(PublishedKey::KeySet(format!("{set:#}\n")))
            }
            Some(KeySource::Plaid { .. }) => {
                let answer = json!({ "key": private.public_jwk()? });
                Some(PublishedKey::PlaidAnswer(format!("{answer:#}\n")))
            }
            Some(KeySource::Certificates(_)) => None,
            None => public_text(self.verifier.description(), private).map(PublishedKey::PublicKey),
        }
    }
}

/// The public key as the scheme's `public_keys` take it: with the prefix of the alternative algorithm where the scheme has
/// one, else in PEM. `None` for a kind of key that has no such notation.
fn public_text(description: &SchemeDescription, private: &PrivateKey) -> Option<String> {
    let other = description.alternative.as_ref();
    match other.filter(|other| keys::public_key_algorithm(other.algorithm).is_some()) {
        Some(other) => {
            let prefix = Texts::as_slice(&other.key_prefix).first()?;
            Some(format!("{prefix}{}\n", STANDARD.encode(private.raw_public()?)))
        }
        None => private.public_pem(),
    }
}

const NO_PUBLIC_KEY: &str = "The provider signs with another kind of key.";

fn verifier(
    provider: &str,
    lists: ListedKeys,
    expect: &Expected,
    public_url: Option<&str>,
    keys: &KeySettings,
) -> Result<Verifier, Vec<String>> {
    let route = RouteContext {
        url: UrlOfRoute {
            public: public_url,
            credentials: None,
            is_path_fixed: true,
        },
        expect,
        keys,
    };
    let made = Verifier::for_route(provider, None, lists, &route);
    made.map_err(|faults| faults.into_iter().map(|fault| fault.text).collect())
}
