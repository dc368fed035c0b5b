//! A scheme with its keys, compiled once for a route.

use super::compile;
use super::compiled::{CompiledScheme, Coverage, PayloadPlan, SchemeKey};
use super::delivery::DeliveryId;
use super::description::{SchemeDescription, SignatureEncoding};
use super::facts::ProviderFacts;
use super::given_keys::GivenKeys;
use super::identity::IdentityHash;
use super::key_source::KeySource;
use super::keys::{self, VerificationKey};
use super::location::SignatureLocation;
use super::private_key::PrivateKey;
use super::route_context::RouteContext;
use super::scheme_work::SchemeWork;
use super::sign::SigningKeys;
use super::streaming::StreamingHead;
use super::strength::Weakness;
use super::template::PayloadPart;
use super::tenant::SigningKey;
use super::types::{
    Expected, HeadRef, KeySettings, ListedKeys, NamedSecret, ReadPlaces, SchemeFault, SignRequest, SignedRequest,
};
use super::url::UrlOfRoute;
use super::work::Work;
use super::{facts, header, presets, sign, sign_again, sign_body};
use crate::secret::Secret;
use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A scheme with its keys: everything that is the same for all requests of a route.
#[derive(Clone, Debug)]
pub struct Verifier {
    pub(super) scheme: Arc<CompiledScheme>,
    /// How the identity of a verified request is computed.
    pub(super) identity: IdentityHash,
    facts: Option<&'static ProviderFacts>,
    /// What `scheme` was compiled from, for tools that try other keys or a variant of it.
    description: Arc<SchemeDescription>,
    /// How long its checks may take.
    work: SchemeWork,
}

impl Verifier {
    /// Compiles a scheme: a preset by name, or `custom` with its description. `public_url` is the URL that the provider
    /// calls, for schemes that sign the URL: an origin, or an origin with a path that replaces the request's path. The
    /// query is always the request's own.
    ///
    /// # Errors
    /// Every fault at once. Each is a sentence that says what to write instead and shows no secret.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "the commands hand over what they have read"
    )]
    pub fn new(
        provider: &str,
        custom: Option<SchemeDescription>,
        keys: Vec<NamedSecret>,
        public_url: Option<String>,
    ) -> Result<Self, Vec<String>> {
        let url = UrlOfRoute {
            public: public_url.as_deref(),
            credentials: None,
            is_path_fixed: true,
        };
        Self::with_url(provider, custom, keys, url)
    }

    /// Like [`Verifier::new`], with everything that a route says about its URL.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn with_url(
        provider: &str,
        custom: Option<SchemeDescription>,
        keys: Vec<NamedSecret>,
        url: UrlOfRoute<'_>,
    ) -> Result<Self, Vec<String>> {
        let given = GivenKeys { keys, secrets: None };
        let route = RouteContext {
            url,
            expect: &Expected::new(),
            keys: &KeySettings::default(),
        };
        Self::compile(provider, custom, &given, &route)
            .map_err(|faults| faults.into_iter().map(|fault| fault.text).collect())
    }

    /// Like [`Verifier::new`], for a route of a configuration. A key in the list of the other kind is a fault.
    ///
    /// # Errors
    /// Every fault at once, with the index of the key that it concerns.
    pub fn for_route(
        provider: &str,
        custom: Option<SchemeDescription>,
        lists: ListedKeys,
        route: &RouteContext<'_>,
    ) -> Result<Self, Vec<SchemeFault>> {
        let secrets = Some(lists.secrets.len());
        let mut keys = lists.secrets;
        keys.extend(lists.public_keys);
        Self::compile(provider, custom, &GivenKeys { keys, secrets }, route)
    }

    fn compile(
        provider: &str,
        custom: Option<SchemeDescription>,
        given: &GivenKeys,
        route: &RouteContext<'_>,
    ) -> Result<Self, Vec<SchemeFault>> {
        let description = match (provider, custom) {
            (presets::CUSTOM, Some(custom)) => Ok(custom),
            (presets::CUSTOM, None) => {
                Err("`provider = \"custom\"` needs a description: write a table `[route.custom]`, see docs/schemes.md.".to_owned())
            }
            (preset, None) => presets::find(preset),
            (preset, Some(_)) => presets::find(preset).and_then(|_| {
                Err(format!("`custom` describes a scheme of your own: write `provider = \"custom\"` in place of `{preset}`, or remove it."))
            }),
        };
        let description = match description {
            Ok(description) => description,
            Err(fault) => return Err([vec![fault.into()], keys::faults(&given.keys)].concat()),
        };
        let scheme = compile::compile(provider, description.clone(), given, route)?;
        Ok(Self {
            work: SchemeWork::of(&scheme),
            scheme: Arc::new(scheme),
            identity: IdentityHash::default(),
            facts: facts::find(provider),
            description: Arc::new(description),
        })
    }

    /// The description that the scheme was compiled from: that of the preset, or that of `[route.custom]`.
    #[must_use]
    pub fn description(&self) -> &SchemeDescription {
        &self.description
    }

    /// User and password of the signed URL.
    #[must_use]
    pub fn url_credentials(&self) -> Option<&Secret> {
        self.scheme.public_url.as_ref()?.credentials()
    }

    /// How the [`identity`](super::Verified::identity) of a verified request is computed, which costs one more hash of its
    /// signed bytes. The default is SHA-256.
    #[must_use]
    pub const fn identified_by(mut self, hash: IdentityHash) -> Self {
        self.identity = hash;
        self
    }

    /// How the identity of a verified request is computed.
    #[must_use]
    pub const fn identity_hash(&self) -> IdentityHash {
        self.identity
    }

    /// The identity of a request by SHA-256, without its signature: for the few requests that need it where
    /// [`Verifier::identified_by`] chose a hash of this process. `None` for a scheme that signs more than can be hashed as
    /// it arrives, or not all of the body.
    #[must_use]
    pub fn stable_identity(&self, head: &HeadRef<'_>, body: &[Bytes]) -> Option<[u8; 32]> {
        let PayloadPlan::Streamed { before, after, hash } = &self.scheme.payload else {
            return None;
        };
        let head = StreamingHead::read(&self.scheme, head, (before, after, *hash)).ok()?;
        Some(head.identity(IdentityHash::Sha256, body))
    }

    /// Whether [`Verifier::stable_identity`] finds the identity of a verified request.
    #[must_use]
    pub fn has_stable_identity(&self) -> bool {
        let is_streamed = matches!(self.scheme.payload, PayloadPlan::Streamed { .. });
        is_streamed && matches!(self.scheme.coverage, Coverage::Whole | Coverage::BodyOnly)
    }

    /// The verifier of a route whose tenants have the real keys: `header` names the tenant, or the body does, so that the
    /// signature is looked at when the body is complete.
    #[must_use]
    pub fn for_tenants(mut self, header: Option<&HeaderName>, is_in_body: bool) -> Self {
        // Nobody else has the scheme yet.
        if let Some(scheme) = Arc::get_mut(&mut self.scheme) {
            scheme.headers.extend(header.cloned());
            if is_in_body && matches!(scheme.payload, PayloadPlan::Streamed { .. }) {
                scheme.payload = PayloadPlan::Buffered(scheme.payload.parts().cloned().collect());
            }
        }
        self.work = SchemeWork::of(&self.scheme);
        self
    }

    /// The work on a body while it arrives.
    #[must_use]
    pub const fn work_while_arriving(&self) -> Work {
        self.work.arriving
    }

    /// The work on a complete body, to verify a genuine request. A forged one costs less.
    #[must_use]
    pub const fn work_when_complete(&self) -> Work {
        match self.identity {
            IdentityHash::None => self.work.complete,
            // A processor without instructions for GMAC takes as long for it as for SHA-256.
            IdentityHash::Sha256 | IdentityHash::ThisProcess => self.work.complete.and(self.work.identity),
        }
    }

    /// What the signature covers of a request.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.scheme.coverage
    }

    /// The scheme's name, for `Hookgate-Verified`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.scheme.name
    }

    /// Names of the keys, in configuration order. [`Verified::secret`](super::Verified::secret) is an index into them.
    #[must_use]
    pub fn key_names(&self) -> &[String] {
        &self.scheme.key_names
    }

    /// The headers that the result depends on, the signature header first. The gateway refuses a request in which one
    /// of them is repeated or has an alias. Empty for schemes whose signature is in the body.
    #[must_use]
    pub fn signature_headers(&self) -> &[HeaderName] {
        &self.scheme.headers
    }

    /// Sentences for the operator about weaknesses of this scheme, such as a body that is not signed or a weak
    /// algorithm. A missing signed time is reported by [`Verifier::has_timestamp`]; weak secrets are reported by the
    /// configuration.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.scheme.warnings
    }

    /// The secrets that may be guessed once they are decoded, by index. A secret whose text is weak is not among them:
    /// the configuration judges the text before it makes a verifier.
    #[must_use]
    pub fn weak_keys(&self) -> &[(usize, Weakness)] {
        &self.scheme.weak_keys
    }

    /// Where the keys are published; `None` for a scheme whose keys are configured.
    #[must_use]
    pub fn key_source(&self) -> Option<&KeySource> {
        self.scheme.fetched.as_ref().map(|fetched| &fetched.source)
    }

    /// Whether senders send the secret itself, which is compared.
    #[must_use]
    pub fn compares_token(&self) -> bool {
        let is_token = |key: &SchemeKey| matches!(key.key, VerificationKey::Token(..));
        self.scheme.keys.iter().any(is_token)
    }

    /// Whether the scheme signs a time, so that a request can be stale and a tolerance has an effect.
    #[must_use]
    pub fn has_timestamp(&self) -> bool {
        self.scheme.timestamp.is_some()
    }

    /// The tolerance of a route that configures none; `None` where the scheme has no time.
    #[must_use]
    pub fn default_tolerance(&self) -> Option<Duration> {
        self.scheme.tolerance
    }

    /// What is known about the provider's deliveries; `None` for `custom`.
    #[must_use]
    pub fn facts(&self) -> Option<&'static ProviderFacts> {
        self.facts
    }

    /// The provider's id of this delivery, where the scheme has one and the request carries it. `body` in pieces.
    #[must_use]
    pub fn delivery_id<'a>(&self, head: &HeadRef<'a>, body: &[Bytes]) -> Option<Cow<'a, [u8]>> {
        self.scheme.delivery_id.as_ref()?.find(head, body)
    }

    /// The location of the provider's delivery id, for the schemes that have one.
    #[must_use]
    pub fn delivery_id_location(&self) -> Option<&DeliveryId> {
        self.scheme.delivery_id.as_ref()
    }

    /// Whether the scheme accepts the messages of every topic of AWS SNS.
    #[must_use]
    pub fn accepts_any_topic(&self) -> bool {
        let is_of_any = |part: &PayloadPart| matches!(part, PayloadPart::Sns(topics) if topics.is_empty());
        self.scheme.payload.parts().any(is_of_any)
    }

    /// Whether the sender may send a form in place of a JSON body.
    #[must_use]
    pub fn reads_forms(&self) -> bool {
        self.scheme.forms
    }

    /// The headers that a sender with the key of this index would set at `now_unix` (seconds). `None` when there is no
    /// such key, or when this scheme cannot be signed with what is configured (a public key, a signature in the body).
    #[must_use]
    pub fn sign(&self, key: usize, request: &SignRequest<'_>, now_unix: u64) -> Option<Vec<(HeaderName, HeaderValue)>> {
        self.sign_with(&[key], request, now_unix)
    }

    /// Like [`Verifier::sign`], with several keys at once, as a sender does during a rotation. `None` also where the
    /// scheme has room for one signature only.
    #[must_use]
    pub fn sign_with(
        &self,
        keys: &[usize],
        request: &SignRequest<'_>,
        now_unix: u64,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let keys = self.scheme.keys_at(keys)?;
        let keys = SigningKeys {
            listed: &keys,
            private: None,
        };
        sign::sign(&self.scheme, keys, request, now_unix)
    }

    /// Like [`Verifier::sign_with`], also where the signature is in the body, and with the private key that belongs to a
    /// public or a fetched key.
    pub(super) fn sign_as_provider(
        &self,
        keys: &[usize],
        private: Option<&PrivateKey>,
        request: &SignRequest<'_>,
        now_unix: u64,
    ) -> Option<SignedRequest> {
        let listed = self.scheme.keys_at(keys)?;
        let keys = SigningKeys {
            listed: &listed,
            private,
        };
        if let Some(headers) = sign::sign(&self.scheme, keys, request, now_unix) {
            return Some(SignedRequest { headers, body: None });
        }
        let body = sign_body::sign(&self.scheme, keys, request, now_unix)?;
        Some(SignedRequest {
            headers: Vec::new(),
            body: Some(body),
        })
    }

    /// Why a request of this scheme cannot be signed again later; `None` when it can.
    #[must_use]
    pub fn signing_obstacle(&self) -> Option<&'static str> {
        sign_again::obstacle(&self.scheme)
    }

    /// The headers that replace those of a request that was received before, signed with a key at `now_unix` (seconds).
    /// `None` when there is no such key, or when [`Verifier::signing_obstacle`] has a reason.
    #[must_use]
    pub fn sign_again(
        &self,
        key: SigningKey<'_>,
        head: &HeadRef<'_>,
        body: &[u8],
        now_unix: u64,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let key = match key {
            SigningKey::OfRoute(name) => {
                let index = self.key_names().iter().position(|own| own == name)?;
                self.scheme.keys.get(index)?
            }
            SigningKey::OfTenant(tenant, name) => tenant.key(name)?,
        };
        sign_again::sign_again(&self.scheme, key, head, body, now_unix)
    }

    /// The headers that hold the secret itself: those of a scheme that compares a token. Empty for all others.
    #[must_use]
    pub fn token_headers(&self) -> &[HeaderName] {
        match &self.scheme.signature {
            SignatureLocation::Header(names, _) if self.compares_token() => names,
            SignatureLocation::Header(..)
            | SignatureLocation::Query(_)
            | SignatureLocation::Json(_)
            | SignatureLocation::EachJson(_)
            | SignatureLocation::Form(_) => &[],
        }
    }

    /// The HMAC of a text under the key of this index, for a challenge that asks the receiver to prove that it has the
    /// key. The caller must ensure that the text cannot be a signed payload. `None` for schemes without a MAC.
    #[must_use]
    pub fn hmac(&self, key: usize, text: &[u8], encoding: SignatureEncoding) -> Option<String> {
        match &self.scheme.keys.get(key)?.key {
            VerificationKey::Mac(mac) => {
                let mut mac = mac.clone();
                mac.update(text);
                Some(header::encode(mac.finish().as_slice(), encoding))
            }
            VerificationKey::Public(_)
            | VerificationKey::Token(..)
            | VerificationKey::Digest(..)
            | VerificationKey::Message(_)
            | VerificationKey::Fetched => None,
        }
    }

    /// From now on, refuses a webhook whose whole signed payload is a text of which an unsigned challenge may ask the
    /// HMAC ([`super::plain`]), so that the answer is no signature.
    pub fn refuse_plain_payloads(&self) {
        self.scheme.refuses_plain_payloads.store(true, Ordering::Relaxed);
    }

    /// Where the scheme reads what it needs.
    #[must_use]
    pub fn read_places(&self) -> ReadPlaces {
        self.scheme.read_places()
    }

    /// Whether a request without a body carries a signature, genuine or not.
    #[must_use]
    pub fn carries_signature(&self, head: &HeadRef<'_>) -> bool {
        self.scheme.carries_signature(head)
    }
}
