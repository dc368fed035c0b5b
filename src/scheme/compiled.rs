//! A scheme with its keys in the form that verifies requests.

use super::boundary::Boundaries;
use super::delivery::DeliveryId;
use super::description::{
    Algorithm, DigestFields, FieldOrder, FormDigestDescription, SecretPosition, SignatureEncoding,
};
use super::json::{JsonList, JsonPlan};
use super::key_source::KeySource;
use super::keys::VerificationKey;
use super::location::{SignatureLocation, TimestampLocation, TimestampSource, ValueLocation};
use super::mac::HmacHash;
use super::message_parts::Required;
use super::strength::Weakness;
use super::template::PayloadPart;
use super::types::{ReadPlaces, ValuePlace};
use super::url::PublicUrl;
use hyper::header::HeaderName;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A scheme with its keys, ready to verify requests. Never changes while it verifies requests.
#[derive(Debug)]
pub(super) struct CompiledScheme {
    /// The preset's name, or `custom`.
    pub(super) name: String,
    /// Names of the keys, in configuration order.
    pub(super) key_names: Vec<String>,
    /// In configuration order; never empty.
    pub(super) keys: Vec<SchemeKey>,
    /// The text before a signature, by [`SchemeKey::family`]; one or two.
    pub(super) prefixes: Vec<String>,
    /// Where the signatures are.
    pub(super) signature: SignatureLocation,
    /// How the bytes of a signature are written.
    pub(super) encoding: SignatureEncoding,
    /// Whether one badly written signature makes the whole request malformed; otherwise it is skipped.
    pub(super) strict: bool,
    /// Where the signed time is; `None` for a scheme without one.
    pub(super) timestamp: Option<TimestampSource>,
    /// The tolerance of routes that configure none.
    pub(super) tolerance: Option<Duration>,
    /// Where the id of the delivery is, if the scheme has one.
    pub(super) delivery_id: Option<DeliveryId>,
    /// How the signed payload is built.
    pub(super) payload: PayloadPlan,
    /// What the signature covers.
    pub(super) coverage: Coverage,
    /// Where the values of the payload end, for payloads that need a check of it.
    pub(super) boundaries: Boundaries,
    /// Whether all requests of the route have the same path, and sign the same.
    pub(super) is_path_fixed: bool,
    /// The URL that the provider calls, for schemes that sign it.
    pub(super) public_url: Option<PublicUrl>,
    /// Whether a form may stand in place of the JSON body.
    pub(super) forms: bool,
    /// Query parameter with the hex SHA-256 of the body (Twilio).
    pub(super) body_digest: Option<String>,
    /// Whether the array that `json` counts must have exactly one element, because only the first one is signed (Adyen).
    pub(super) is_single_element: bool,
    /// Everything that a check of the complete body reads of its JSON.
    pub(super) json: JsonPlan,
    /// The options of [`PayloadPart::FormDigest`].
    pub(super) form_digest: FormDigest,
    /// The keys that are fetched; `None` for a scheme whose keys are configured.
    pub(super) fetched: Option<FetchedKeys>,
    /// The tokens in the body that must be genuine too; they have fetched keys.
    pub(super) tokens: Option<BodyTokens>,
    /// Every header that the result depends on, the signature header first.
    pub(super) headers: Vec<HeaderName>,
    /// Whether a payload that is a challenge's text is refused, because the route answers the HMAC of such texts.
    pub(super) refuses_plain_payloads: AtomicBool,
    /// Sentences for the operator about weaknesses of the scheme.
    pub(super) warnings: Vec<String>,
    /// Indices of the secrets that may be guessed once they are decoded.
    pub(super) weak_keys: Vec<(usize, Weakness)>,
}

/// The name of fetched keys in metrics, the audit line and `Hookgate-Key`. Their own ids change, and there is no bound on
/// their number.
const FETCHED_NAME: &str = "fetched";

impl CompiledScheme {
    /// Lets fetched keys verify: the tokens in the body, or else the signature, in place of configured keys.
    pub(super) fn fetch_keys(&mut self, fetched: FetchedKeys) {
        if self.tokens.is_none() {
            self.keys = vec![SchemeKey {
                family: 0,
                key: VerificationKey::Fetched,
            }];
            self.key_names = vec![FETCHED_NAME.to_owned()];
        }
        self.fetched = Some(fetched);
    }

    /// The keys with these indices; `None` when one of them does not exist.
    pub(super) fn keys_at(&self, indices: &[usize]) -> Option<Vec<&SchemeKey>> {
        indices.iter().map(|index| self.keys.get(*index)).collect()
    }

    /// Whether the keys are fetched.
    pub(super) const fn is_fetched(&self) -> bool {
        self.fetched.is_some()
    }

    /// Whether a payload that is a challenge's text is refused.
    pub(super) fn refuses_plain_payloads(&self) -> bool {
        self.refuses_plain_payloads.load(Ordering::Relaxed)
    }
}

/// Tokens in the body, besides the signature.
#[derive(Debug)]
pub(super) struct BodyTokens {
    /// Where they are.
    pub(super) list: JsonList,
    /// What each of them must say.
    pub(super) format: JwtFormat,
}

/// What a token must say.
#[derive(Debug)]
pub(super) struct JwtFormat {
    /// Values that claims must have: the claim, and the values of which one is enough.
    pub(super) claims: Vec<(String, Vec<String>)>,
    /// The same for claims of which one at least must be there.
    pub(super) any_claim: Vec<(String, Vec<String>)>,
    /// The claim with the SHA-256 of the body, and how it is written.
    pub(super) body: Option<(String, SignatureEncoding)>,
    /// The claim with the SHA-256 of method, path and query.
    pub(super) request: Option<String>,
    /// The hash of tokens that are made with a shared secret.
    pub(super) hmac: HmacHash,
}

/// What a message signature must cover and say.
#[derive(Debug)]
pub(super) struct MessageFormat {
    /// The components that every signature covers.
    pub(super) required: Vec<Required>,
    /// Values that parameters must have: the parameter, and the values of which one is enough.
    pub(super) expect: Vec<(String, Vec<String>)>,
}

/// The keys of a scheme that fetches them.
#[derive(Debug)]
pub(super) struct FetchedKeys {
    /// Where they are published.
    pub(super) source: KeySource,
    /// Where a request has the URL of its certificate; `None` for tokens, which have the id of their key.
    pub(super) named: Option<ValueLocation>,
    /// The algorithm of the signatures, except for tokens.
    pub(super) algorithm: Algorithm,
}

/// What a signature covers of a request. The replay key contains everything that it does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// The body, and something that differs between two requests without a body (a time, a URL, an id).
    Whole,
    /// Only the body: nothing of a request without one.
    BodyOnly,
    /// Not the body, but a time and an id that is used once. A second request with this id is a replay, whatever the rest
    /// of it is.
    SingleUseToken,
    /// Not the body: a token, or some values of the body.
    Part,
}

/// A key, and which of the scheme's prefixes its signatures have.
#[derive(Debug)]
pub(super) struct SchemeKey {
    /// Index into [`CompiledScheme::prefixes`]: 0, or 1 for a key of the alternative algorithm.
    pub(super) family: usize,
    /// The parsed key.
    pub(super) key: VerificationKey,
}

/// How the signed payload is built.
#[derive(Debug)]
pub(super) enum PayloadPlan {
    /// Hashed while the body arrives: parts of the head, the body, parts of the head. All keys are HMAC keys of one
    /// hash.
    Streamed {
        before: Vec<PayloadPart>,
        after: Vec<PayloadPart>,
        hash: HmacHash,
    },
    /// Built when the body is complete.
    Buffered(Vec<PayloadPart>),
    /// A token (RFC 7519), and the part of the request that it covers.
    Jwt(JwtFormat, Vec<PayloadPart>),
    /// Message signatures (RFC 9421), and the parts of the request that all of them cover.
    Message(MessageFormat, Vec<PayloadPart>),
}

impl PayloadPlan {
    /// All parts, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &PayloadPart> {
        let (before, body, after): (&[PayloadPart], _, &[PayloadPart]) = match self {
            Self::Streamed { before, after, .. } => (before, Some(&PayloadPart::Body), after),
            Self::Buffered(parts) | Self::Jwt(_, parts) | Self::Message(_, parts) => (parts, None, &[]),
        };
        before.iter().chain(body).chain(after)
    }
}

/// The options of a form digest, with the defaults filled in. The fields are those of [`FormDigestDescription`].
#[derive(Debug)]
pub(super) struct FormDigest {
    pub(super) hash_field: String,
    pub(super) fields: DigestFields,
    pub(super) separator: String,
    pub(super) secret_position: SecretPosition,
    pub(super) leave_out: Vec<String>,
}

impl FormDigest {
    /// Fills in the defaults.
    pub(super) fn new(digest: FormDigestDescription) -> Self {
        Self {
            hash_field: digest.hash_field.unwrap_or_else(|| "msg_id".to_owned()),
            fields: digest.fields.unwrap_or(DigestFields::Order(FieldOrder::Posted)),
            separator: digest.separator.unwrap_or_default(),
            secret_position: digest.secret_position.unwrap_or(SecretPosition::Last),
            leave_out: digest.leave_out,
        }
    }
}

impl CompiledScheme {
    /// Where the scheme reads what it needs.
    pub(super) fn read_places(&self) -> ReadPlaces {
        let json = if self.forms {
            ValuePlace::JsonOrForm
        } else {
            ValuePlace::Json
        };
        let is_secret = |key: &SchemeKey| matches!(key.key, VerificationKey::Token(..));
        let is_other_value = |part: &PayloadPart| match part {
            PayloadPart::Field(_)
            | PayloadPart::Header(_)
            | PayloadPart::ListedHeaders(_)
            | PayloadPart::QueryParameter(_)
            | PayloadPart::Json(_, false)
            | PayloadPart::FormField(_)
            | PayloadPart::Sns(_) => true,
            PayloadPart::Literal(_)
            | PayloadPart::Timestamp
            | PayloadPart::Method
            | PayloadPart::Url
            | PayloadPart::Path
            | PayloadPart::Target
            | PayloadPart::Query
            | PayloadPart::Json(_, true)
            | PayloadPart::Form
            | PayloadPart::Php
            | PayloadPart::FormDigest
            | PayloadPart::Secret
            | PayloadPart::Body
            | PayloadPart::BodyHash(..)
            | PayloadPart::BodyText
            | PayloadPart::Crc32 => false,
        };
        ReadPlaces {
            signature: match &self.signature {
                SignatureLocation::Header(..) => ValuePlace::SignatureHeader,
                SignatureLocation::Query(_) => ValuePlace::Query,
                SignatureLocation::Json(_) | SignatureLocation::EachJson(_) => json,
                SignatureLocation::Form(_) => ValuePlace::Form,
            },
            is_secret: self.keys.iter().any(is_secret),
            time: self.timestamp.as_ref().map(|time| match &time.location {
                TimestampLocation::Header(_) => ValuePlace::OtherHeader,
                TimestampLocation::Field(_) | TimestampLocation::Position(_) | TimestampLocation::Claim(_) => {
                    ValuePlace::SignatureHeader
                }
                TimestampLocation::Query(_) => ValuePlace::Query,
                TimestampLocation::Json(_) => json,
                TimestampLocation::Form(_) => ValuePlace::Form,
            }),
            has_more: self.payload.parts().any(is_other_value),
            covers_body: self.payload.parts().any(PayloadPart::covers_body),
        }
    }

    /// Whether a form may be `multipart/form-data`. Not where the signature covers all fields of a form: a file could be
    /// added to those.
    pub(super) fn reads_multipart(&self) -> bool {
        let covers_all =
            |part: &PayloadPart| matches!(part, PayloadPart::Form | PayloadPart::Php | PayloadPart::FormDigest);
        (self.forms || self.reads_form()) && !self.payload.parts().any(covers_all)
    }

    /// Whether the scheme reads a form.
    pub(super) fn reads_form(&self) -> bool {
        let in_payload = self.payload.parts().any(|part| {
            matches!(
                part,
                PayloadPart::Form | PayloadPart::FormField(_) | PayloadPart::Php | PayloadPart::FormDigest
            )
        });
        let is_time = matches!(
            &self.timestamp,
            Some(TimestampSource {
                location: TimestampLocation::Form(_),
                ..
            })
        );
        in_payload || is_time || matches!(self.signature, SignatureLocation::Form(_))
    }
}
