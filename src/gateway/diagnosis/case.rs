//! A captured request with everything that it is verified against. The causes verify variants of it.

use crate::http::message::Headers;
use crate::outcome::Rejection;
use crate::scheme::{
    FetchedKey, HeadRef, NamedSecret, SchemeDescription, UrlOfRoute, Verified, Verifier, WantedKey, presets,
};
use crate::secret::Secret;
use bytes::Bytes;
use hyper::{HeaderMap, Method};
use std::sync::Arc;

/// A captured request, and the scheme, secrets and time to verify it with.
#[derive(Debug)]
pub struct Case {
    /// Name of the scheme.
    pub provider: String,
    /// The scheme with its secrets.
    pub verifier: Verifier,
    /// The secrets that `verifier` was made of.
    pub secrets: Vec<NamedSecret>,
    /// URL that the provider was given, for schemes that sign it.
    pub public_url: Option<String>,
    /// Secrets that the request should not be signed with.
    pub other_secrets: Vec<OtherSecret>,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the capture contains the body only as a parsed value.
    pub body_was_parsed: bool,
    /// Whether the tool that saved the capture shows characters beyond ASCII as dots.
    pub hides_bytes: bool,
    /// Content-Length of the captured request, in bytes.
    pub declared_length: Option<usize>,
    /// When the request was received, in Unix seconds; `None` if neither the capture nor the arguments contain it.
    pub received_at_unix: Option<u64>,
    /// Largest accepted difference between the signed time and the time of receipt, in seconds; `None` if it is not
    /// limited.
    pub tolerance_seconds: Option<u64>,
    /// The framework in whose words fixes are given.
    pub framework: Option<String>,
    /// The keys that the provider publishes, for a scheme whose keys are fetched; `None` if they were not given.
    pub keys: Option<PublishedKeys>,
    /// The name of the tenant, if the request names one that is not known, on a route with tenants.
    pub(super) unknown_tenant: Option<String>,
    /// Whether the scheme signs the decoded fields of a form.
    pub(super) signs_fields: bool,
}

/// A secret of another route or environment.
#[derive(Debug)]
pub struct OtherSecret {
    /// How the report names it: "a secret of the route `Y`".
    pub description: String,
    /// The scheme with this secret.
    pub verifier: Verifier,
}

/// What a provider publishes: a key set, or the certificate of a signer. A diagnosis fetches nothing.
#[derive(Clone, Debug)]
pub struct PublishedKeys {
    /// The document.
    pub document: Vec<u8>,
    /// When its keys must be valid, in Unix seconds.
    pub at_unix: u64,
}

/// What is compared with the captured request: a scheme with its secrets, and when the request was received.
#[derive(Debug)]
pub struct Reference {
    /// The scheme with its secrets.
    pub verifier: Verifier,
    /// The secrets of `verifier`.
    pub secrets: Vec<NamedSecret>,
    /// URL that the provider was given, for schemes that sign it.
    pub public_url: Option<String>,
    /// Secrets that the request should not be signed with.
    pub other_secrets: Vec<OtherSecret>,
    /// Tolerance of the route or the provider, in seconds; `None` if the age is not limited.
    pub tolerance_seconds: Option<u64>,
    /// The keys that the provider publishes, for a scheme whose keys are fetched.
    pub keys: Option<PublishedKeys>,
    /// The name of the tenant, if the request names one that is not known, on a route with tenants.
    pub unknown_tenant: Option<String>,
}

impl Reference {
    /// On a route with tenants: with the secrets of the tenant whom the request names. `secrets` gives those of a name, if
    /// it is known; of an unknown tenant the request is compared with the keys of the route, which nobody knows.
    #[must_use]
    pub fn of_tenant(mut self, name: String, secrets: impl FnOnce(&str) -> Option<Vec<NamedSecret>>) -> Self {
        let own = secrets(&name).and_then(|secrets| {
            let verifier = with_secrets(&self.verifier, secrets.clone(), self.public_url.as_deref()).ok()?;
            Some((verifier, secrets))
        });
        match own {
            Some((verifier, secrets)) => (self.verifier, self.secrets) = (verifier, secrets),
            None => (self.secrets, self.unknown_tenant) = (Vec::new(), Some(name)),
        }
        self
    }
}

/// The same scheme with other secrets.
///
/// # Errors
/// Sentences about secrets that the scheme does not accept.
pub fn with_secrets(
    verifier: &Verifier,
    secrets: Vec<NamedSecret>,
    public_url: Option<&str>,
) -> Result<Verifier, Vec<String>> {
    let url = UrlOfRoute {
        public: public_url,
        credentials: verifier.url_credentials(),
        is_path_fixed: true,
    };
    if presets::names().any(|name| name == verifier.name()) {
        Verifier::with_url(verifier.name(), None, secrets, url)
    } else {
        Verifier::with_url("custom", Some(verifier.description().clone()), secrets, url)
    }
}

impl Case {
    /// The captured request with what it is compared with. `body` is the body, which may come from another file.
    #[must_use]
    pub fn new(capture: super::Capture, body: Vec<u8>, reference: Reference) -> Self {
        let declared_length = capture.declared_length();
        let payload = reference.verifier.description().payload.as_deref().unwrap_or_default();
        let signs_fields = ["{form}", "{php}"].iter().any(|part| payload.contains(part));
        Self {
            provider: reference.verifier.name().to_owned(),
            signs_fields,
            verifier: reference.verifier,
            secrets: reference.secrets,
            keys: reference.keys,
            unknown_tenant: reference.unknown_tenant,
            public_url: reference.public_url,
            other_secrets: reference.other_secrets,
            method: capture.method.unwrap_or(Method::POST),
            target: capture.target.unwrap_or_else(|| "/".to_owned()),
            headers: capture.headers,
            body,
            body_was_parsed: capture.body_was_parsed,
            hides_bytes: capture.hides_bytes,
            declared_length,
            received_at_unix: capture.received_at_unix,
            tolerance_seconds: reference.tolerance_seconds,
            framework: capture.printed_by.map(str::to_owned),
        }
    }

    /// Verifies the signature of the request, but not its age.
    ///
    /// # Errors
    /// The gateway's reason to refuse it.
    pub(super) fn verify(&self) -> Result<Verified, Rejection> {
        self.verify_with(&self.verifier, &self.fields(), &self.body)
    }

    /// The header fields in the form in which schemes read them.
    pub(super) fn fields(&self) -> Headers {
        self.headers.iter().collect()
    }

    /// Verifies the signature of a variant of the request, but not its age.
    ///
    /// # Errors
    /// The gateway's reason to refuse it.
    pub(super) fn verify_with(
        &self,
        verifier: &Verifier,
        headers: &Headers,
        body: &[u8],
    ) -> Result<Verified, Rejection> {
        let head = HeadRef {
            method: &self.method,
            target: &self.target,
            headers,
        };
        let mut request = verifier.present(&head)?.at_any_time();
        request.update(body);
        let body = [Bytes::copy_from_slice(body)];
        while let WantedKey::Id(id) = request.wanted_key(Some(&body))? {
            request.use_key(self.published_key(verifier, &id)?);
        }
        // Only tokens in the body are judged by it.
        let at_unix = self.received_at_unix.or(self.keys.as_ref().map(|keys| keys.at_unix));
        request.verify(&body, at_unix.unwrap_or_default())
    }

    /// The published key with this id.
    ///
    /// # Errors
    /// `KeyUnavailable` without the document, `KeyUnknown` where it does not have the key.
    fn published_key(&self, verifier: &Verifier, id: &str) -> Result<Arc<FetchedKey>, Rejection> {
        let given = self.keys.as_ref().ok_or(Rejection::KeyUnavailable)?;
        let source = verifier.key_source().ok_or(Rejection::KeyUnavailable)?;
        let document = source.document(id);
        source.request(document).ok_or(Rejection::KeyUnknown)?;
        let keys = source.parse(document, &given.document, given.at_unix);
        let keys = keys.map_err(|_| Rejection::KeyUnknown)?;
        let is_only = keys.len() == 1 && id.is_empty();
        let named = |key: &FetchedKey| is_only || key.id == id || (!id.is_empty() && key.thumbprint == id);
        keys.into_iter().find(named).map(Arc::new).ok_or(Rejection::KeyUnknown)
    }

    /// Why the gateway would refuse the genuine token of this request for its times, if the time of receipt is known.
    pub(super) fn refused_for_its_times(&self) -> Option<Rejection> {
        self.verifier.description().signature_token()?;
        let headers = self.fields();
        let head = HeadRef {
            method: &self.method,
            target: &self.target,
            headers: &headers,
        };
        let presented = self.verifier.present(&head).ok()?;
        presented.age(self.received_at_unix?, self.tolerance_seconds).err()
    }

    /// The scheme with other secrets. `None` if it does not accept them.
    pub(super) fn with_secrets(&self, secrets: &[Vec<u8>]) -> Option<Verifier> {
        self.rebuilt(secrets, self.public_url.as_deref())
    }

    /// The scheme with another URL.
    pub(super) fn with_url(&self, public_url: &str) -> Option<Verifier> {
        self.rebuilt(&self.secret_bytes(), Some(public_url))
    }

    /// Another scheme with the same secrets. `None` if it does not accept them.
    pub(super) fn with_description(&self, description: SchemeDescription) -> Option<Verifier> {
        self.described(description, &self.secret_bytes())
    }

    /// The scheme of another provider with the same secrets. `None` if it does not accept them.
    pub(super) fn verifier_of(&self, provider: &str) -> Option<Verifier> {
        let url = self.url(self.public_url.as_deref());
        Verifier::with_url(provider, None, numbered(&self.secret_bytes()), url).ok()
    }

    /// The bytes of all secrets.
    pub(super) fn secret_bytes(&self) -> Vec<Vec<u8>> {
        let bytes = self.secrets.iter().map(|named| named.secret.expose().to_vec());
        bytes.collect()
    }

    /// The same scheme with other secrets, named by their numbers.
    fn rebuilt(&self, secrets: &[Vec<u8>], public_url: Option<&str>) -> Option<Verifier> {
        if secrets.is_empty() {
            return None;
        }
        with_secrets(&self.verifier, numbered(secrets), public_url).ok()
    }

    /// This URL with the credentials of the route.
    fn url<'u>(&'u self, public_url: Option<&'u str>) -> UrlOfRoute<'u> {
        UrlOfRoute {
            public: public_url,
            credentials: self.verifier.url_credentials(),
            is_path_fixed: true,
        }
    }

    /// Another scheme with secrets, named by their numbers.
    fn described(&self, mut description: SchemeDescription, secrets: &[Vec<u8>]) -> Option<Verifier> {
        // The id of a delivery has no part in verification, and a scheme of one's own may name only a signed one.
        if !description.payload.as_deref().unwrap_or_default().contains("{id}") {
            description.delivery_id = None;
        }
        let url = self.url(self.public_url.as_deref());
        Verifier::with_url("custom", Some(description), numbered(secrets), url).ok()
    }
}

/// Secrets, named by their numbers.
fn numbered(secrets: &[Vec<u8>]) -> Vec<NamedSecret> {
    let named = secrets.iter().enumerate().map(|(number, bytes)| NamedSecret {
        name: number.to_string(),
        secret: Secret::new(bytes.clone()),
    });
    named.collect()
}
