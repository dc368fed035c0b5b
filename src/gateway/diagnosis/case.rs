//! A captured request with everything that it is verified against. The causes verify variants of it.

use crate::http::message::Headers;
use crate::outcome::Rejection;
use crate::scheme::{HeadRef, NamedSecret, SchemeDescription, UrlOfRoute, Verified, Verifier, WantedKey, presets};
use crate::secret::Secret;
use bytes::Bytes;
use hyper::{HeaderMap, Method};

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
        // A diagnosis has no key ring.
        if request.wanted_key(Some(&body))? != WantedKey::None {
            return Err(Rejection::KeyUnavailable);
        }
        request.verify(&body, 0)
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
