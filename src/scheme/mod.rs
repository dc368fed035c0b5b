//! Signature schemes: what a provider signs, where its signatures are, and whether one request is genuine.
//!
//! Pure and synchronous: no I/O, no clock, no metrics. A request passes through four steps, in this order:
//! [`Verifier::present`] reads signatures and timestamp from the head, [`Presented::age`] checks the timestamp,
//! [`Aged::update`] absorbs the body as it arrives, [`Aged::verify`] returns the result. The first two need no byte of
//! the body. The providers are data in `presets.toml`; facts and sources are in `docs/schemes.md`.
//!
//! Read `types` and `states` first, then `verifier`, `compile`, `head` and `streaming`. Each module imports only from
//! modules below it:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`challenge`] | the challenges that some providers send before webhooks, and their answers |
//! | [`sender`] | a scheme with what the provider has to sign |
//! | [`states`] | presented, aged, verified: the states of one request |
//! | [`tenant_keys`] | the keys of a tenant, made from its secrets |
//! | [`tenant_place`] | where a request names its tenant |
//! | [`verifier`] | a compiled scheme as its callers use it |
//! | [`scheme_work`] | how long the checks of a scheme may take |
//! | [`sign_again`] | a new signature for a request that was received before |
//! | [`sign_body`] | the body that a sender sends, with the signature in it |
//! | [`sign`] | the headers that a sender sets |
//! | [`streaming`] | verification while the body arrives |
//! | [`buffered`] | verification when the body is complete |
//! | [`candidates`] | the signatures of a request, decoded |
//! | [`body_tokens`] | tokens in the body, besides the signature |
//! | [`jwt`] | verification of a token |
//! | [`message`] | verification of message signatures |
//! | [`jwt_request`] | the hash of a request that some tokens have |
//! | [`head`] | signatures and timestamp of a request's head |
//! | [`compile`] | from a description and keys to a scheme that can run |
//! | [`compile_fetched`] | what a token must say, and where fetched keys are published |
//! | [`derived`] | what follows from a parsed description |
//! | [`form_digest`] | the text of a plain digest over form values |
//! | [`weaknesses`] | sentences about weaknesses of a scheme |
//! | [`signed_parts`] | whether a scheme signs what it reads |
//! | [`given_keys`] | the keys of a route: which list each is in, and which algorithm it is for |
//! | [`tenant`] | the keys of one tenant, in place of those of the route |
//! | [`compiled`] | a scheme with its keys, ready to verify requests |
//! | [`facts`] | what is known about each provider besides its signature |
//! | [`sns`] | the signed text of AWS SNS messages |
//! | [`route_context`] | what a route says about its scheme besides the keys |
//! | [`key_source`] | where the keys of a scheme are published |
//! | [`certificate`] | certificates of signers, and which of them are fetched |
//! | [`fetched`] | a key that is fetched |
//! | [`presets`] | the providers that hookgate knows by name |
//! | [`delivery`] | the provider's id of a delivery |
//! | [`boundary`] | where one value of a payload ends and the next begins |
//! | [`location`] | where signature, time and id are in a request |
//! | [`template`] | the signed payload as a template |
//! | [`keys`] | secrets and public keys, parsed |
//! | [`strength`] | whether a secret can be guessed |
//! | [`query`] | the query of a request, as signatures cover it |
//! | [`header`] | the syntax of signature headers, and the encodings of signatures |
//! | [`time`] | the formats of signed times |
//! | [`description`] | a scheme as the configuration and the presets describe it |
//! | [`message_parts`] | what message signatures cover, and their keys |
//! | [`private_key`] | a private key, to play the provider of a scheme with public keys |
//! | [`asymmetric`] | public-key signatures |
//! | [`material`] | what a key's text is: a public key, a private key, a certificate |
//! | [`mac`] | HMAC |
//! | [`json`] | values of a JSON body |
//! | [`letter_case`] | names that are equal for a reader that ignores case |
//! | [`multipart`] | the fields of multipart forms |
//! | [`form`] | form fields, and what providers sign of them |
//! | [`url`] | the URL that the provider signed |
//! | [`plain`] | the texts under which a secret may make a code for a challenge |
//! | [`address_list`] | the lists of source addresses that providers publish |
//! | [`identity`] | the identity of a verified request |
//! | [`work`] | how long some work on a body may take |
//! | [`types`] | the values that callers exchange with this folder |
//!
//! # Examples
//! Verify a Paddle webhook. The time is an argument (Unix seconds), so a test needs no clock:
//! ```
//! use bytes::Bytes;
//! use hookgate::outcome::Rejection;
//! use hookgate::scheme::{HeadRef, NamedSecret, Verified, Verifier};
//! use hookgate::secret::Secret;
//! use hyper::Method;
//! use hyper::header::{HeaderName, HeaderValue};
//!
//! fn verify(verifier: &Verifier, head: &HeadRef<'_>, body: &Bytes, now_unix: u64) -> Result<Verified, Rejection> {
//!     let tolerance = verifier.default_tolerance().map(|tolerance| tolerance.as_secs());
//!     let mut request = verifier.present(head)?.age(now_unix, tolerance)?;
//!     request.update(body);
//!     request.verify(&[body.clone()], now_unix)
//! }
//!
//! let key = NamedSecret { name: "primary".to_owned(), secret: Secret::new(b"VALID_SECRET".to_vec()) };
//! let verifier = Verifier::new("paddle", None, vec![key], None).expect("a known provider and a usable key");
//! let signature = "ts=1698796800;h1=a300428748dce5c70e4da19bffd60769591ea969c99dea3105d0ec9612cf43f9";
//! let headers = [(HeaderName::from_static("paddle-signature"), HeaderValue::from_static(signature))];
//! let headers = headers.into_iter().collect();
//! let head = HeadRef { method: &Method::POST, target: "/webhooks/paddle", headers: &headers };
//! let body = Bytes::from_static(br#"{"data": ["1", "2"]}"#);
//!
//! let verified = verify(&verifier, &head, &body, 1_698_796_800).expect("a genuine request");
//! assert_eq!((verified.secret, verified.timestamp), (0, Some(1_698_796_800)));
//! // Paddle's tolerance is 5 seconds.
//! assert_eq!(verify(&verifier, &head, &body, 1_698_796_806), Err(Rejection::TimestampStale));
//! let other = Bytes::from_static(br#"{"data": ["1", "3"]}"#);
//! assert_eq!(verify(&verifier, &head, &other, 1_698_796_800), Err(Rejection::SignatureMismatch));
//! ```
//! Sign a Stripe webhook, as `hookgate send` does, and verify it during a rotation of the secret:
//! ```
//! # use bytes::Bytes;
//! # use hookgate::http::message::Headers;
//! # use hookgate::scheme::{HeadRef, NamedSecret, SignRequest, Verifier};
//! # use hookgate::secret::Secret;
//! # use hyper::Method;
//! let key = |name: &str, secret: &str| NamedSecret { name: name.to_owned(), secret: Secret::new(secret.into()) };
//! let sender = Verifier::new("stripe", None, vec![key("new", "whsec_example")], None).expect("a usable key");
//! let body = Bytes::from_static(br#"{"id":"evt_1"}"#);
//! let request = SignRequest { method: &Method::POST, target: "/hooks", delivery_id: None, body: &body };
//! let signed = sender.sign(0, &request, 1_700_000_000).expect("a scheme that signs in a header");
//! assert_eq!(signed[0].0, "stripe-signature");
//! assert_eq!(
//!     signed[0].1,
//!     "t=1700000000,v1=2f6f24854ba5c8d505c37e6fc0a06fc74456f1a4042208e7acdd4bd0bdbd599e"
//! );
//!
//! let keys = vec![key("old", "whsec_before"), key("new", "whsec_example")];
//! let receiver = Verifier::new("stripe", None, keys, None).expect("two usable keys");
//! let headers: Headers = signed.into_iter().collect();
//! let head = HeadRef { method: &Method::POST, target: "/hooks", headers: &headers };
//! let mut request = receiver.present(&head)?.age(1_700_000_100, Some(300))?;
//! request.update(&body);
//! let verified = request.verify(&[body], 1_700_000_100)?;
//! assert_eq!(receiver.key_names()[verified.secret], "new");
//! # Ok::<(), hookgate::outcome::Rejection>(())
//! ```
//! Describe a scheme of your own in the words of `[route.custom]`, here one without a timestamp:
//! ```
//! # use bytes::Bytes;
//! # use hookgate::scheme::{HeadRef, NamedSecret, SchemeDescription, Verifier};
//! # use hookgate::secret::Secret;
//! # use hyper::Method;
//! # use hyper::header::{HeaderName, HeaderValue};
//! let description: SchemeDescription = toml::from_str(
//!     r#"
//!     signature = { header = "X-Acme-Signature", prefix = "sha512=" }
//!     algorithm = "hmac-sha512"
//!     payload = "{method} {path}\n{body}"
//!     "#,
//! )
//! .expect("known keys and values");
//! let secret = Secret::new(b"a secret of 32 bytes, in this case".to_vec());
//! let key = NamedSecret { name: "acme".to_owned(), secret };
//! let verifier = Verifier::new("custom", Some(description), vec![key], None).expect("a complete description");
//! let signature = concat!(
//!     "sha512=c212069afbbc74560ca7b831695466d5fba16e4c735701926083aa4d064407b6",
//!     "61c39a7e8743655ae5a8cb82002f00805ee4dc26bca1b6f90b6c8ac911ac3157",
//! );
//! let headers = [(HeaderName::from_static("x-acme-signature"), HeaderValue::from_static(signature))];
//! let headers = headers.into_iter().collect();
//! let head = HeadRef { method: &Method::POST, target: "/hooks/acme", headers: &headers };
//! assert!(!verifier.has_timestamp());
//! let mut request = verifier.present(&head)?.age(1_700_000_000, None)?;
//! request.update(br#"{"id":1}"#);
//! let verified = request.verify(&[Bytes::from_static(br#"{"id":1}"#)], 1_700_000_000)?;
//! assert_eq!(verified.timestamp, None);
//! # Ok::<(), hookgate::outcome::Rejection>(())
//! ```

pub mod address_list;
mod asymmetric;
mod body_tokens;
mod boundary;
mod buffered;
mod candidates;
mod certificate;
pub mod challenge;
mod compile;
mod compile_fetched;
mod compiled;
mod delivery;
mod derived;
mod description;
pub mod facts;
mod fetched;
mod form;
mod form_digest;
mod given_keys;
mod head;
mod header;
mod identity;
mod json;
mod jwt;
mod jwt_request;
mod key_source;
mod keys;
mod letter_case;
mod location;
mod mac;
mod material;
mod message;
mod message_parts;
mod multipart;
mod plain;
pub mod presets;
mod private_key;
mod query;
mod route_context;
mod scheme_work;
mod sender;
mod sign;
mod sign_again;
mod sign_body;
mod signed_parts;
mod sns;
mod states;
mod streaming;
pub mod strength;
mod template;
mod tenant;
mod tenant_keys;
mod tenant_place;
mod time;
mod types;
mod url;
mod verifier;
mod weaknesses;
mod work;

pub use certificate::CertificateSource;
pub use compiled::Coverage;
pub use delivery::DeliveryId;
pub use description::{
    Algorithm, AlternativeKeys, CertificateDescription, DigestFields, FieldOrder, FormDigestDescription,
    JwtDescription, KeyEncoding, KeyFormat, KeysDescription, LocationDescription, MessageDescription,
    SchemeDescription, SecretPosition, SignatureDescription, SignatureEncoding, Texts, TimeUnit, TimestampDescription,
};
pub use fetched::FetchedKey;
pub use identity::IdentityHash;
pub use key_source::{KeyRequest, KeySource};
pub use private_key::{PrivateKey, PrivateKeyKind};
pub use route_context::RouteContext;
pub use sender::{PublishedKey, Sender, private_key_kind};
pub use states::{Aged, Presented};
pub use tenant::{ChosenTenant, SECRET_NAMES, SigningKey, Tenant};
pub use tenant_keys::unknown_secrets;
pub use tenant_place::TenantPlace;
pub use time::rfc3339;
pub use types::{
    Expected, HeadRef, KeyList, KeySettings, ListedKeys, NamedSecret, ReadPlaces, SchemeFault, SignRequest,
    SignedRequest, ValuePlace, Verified, WantedKey,
};
pub use url::{CREDENTIALS_ELSEWHERE, CREDENTIALS_IN_URL, UrlOfRoute, credentials_problem};
pub use verifier::Verifier;
pub use work::Work;

#[cfg(test)]
mod tests;
