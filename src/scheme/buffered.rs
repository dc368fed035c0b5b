//! Slower verification for payloads that can only be built when the body is complete (a form, a value inside the JSON,
//! a public key, a URL with variants). Its memory is bounded by the route's body limit; a sender cannot multiply it.

mod payload;
mod search;

use super::body_tokens::BodyTokenCheck;
use super::boundary::BodyStart;
use super::candidates::Candidate;
use super::compiled::CompiledScheme;
use super::fetched::FetchedKey;
use super::form::{self, FormField};
use super::head::HeadValues;
use super::header;
use super::identity::IdentityHash;
use super::json::JsonValues;
use super::location::{SignatureLocation, TimestampLocation, TimestampSource, ValueLocation};
use super::multipart::{self, FormType};
use super::template::PayloadPart;
use super::tenant::ChosenTenant;
use super::time;
use super::types::{HeadRef, Verified, WantedKey, contiguous};
use crate::outcome::Rejection;
use crate::secret::Secret;
use bytes::Bytes;
use hyper::Method;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// What was read from the head, with a copy of everything in it that the payload needs.
#[derive(Debug)]
pub(super) struct BufferedCheck {
    scheme: Arc<CompiledScheme>,
    candidates: Vec<Candidate>,
    /// The signed time of the head, Unix seconds.
    pub(super) timestamp_unix: Option<u64>,
    pieces: Vec<Piece>,
    /// Variants of the URL that may have been signed; one empty text where the payload has no URL.
    urls: Vec<Secret>,
    /// The query of a GET, for schemes that read a form.
    query: Option<Vec<u8>>,
    /// The hex SHA-256 of the body according to the URL.
    body_digest: Option<Vec<u8>>,
    /// The value of `Content-Type`, for schemes that read several kinds of forms.
    content_type: String,
    /// Whether a body is refused, because the form of a GET is its query.
    refuses_body: bool,
    /// How the body may begin.
    body_start: BodyStart,
    /// The fetched key, once it is given, or the URL of its certificate where a header names it.
    key: FetchedState,
    /// The tokens in the body, once it is complete.
    tokens: Option<BodyTokenCheck>,
    /// The tenant whose keys are used in place of those of the scheme.
    pub(super) tenant: Option<ChosenTenant>,
}

/// What is known of the fetched key of a request.
#[derive(Debug)]
enum FetchedState {
    /// The scheme has none, or the body names it.
    Unknown,
    /// A header names it.
    Named(String),
    /// It was given.
    Given(Arc<FetchedKey>),
}

/// A part of the payload.
#[derive(Debug)]
enum Piece {
    /// The bytes from the head.
    Known(Vec<u8>),
    /// A part that needs the body, a variant of the URL or the key.
    Later(PayloadPart),
}

/// The complete body.
struct Content<'b> {
    body: &'b [u8],
    /// The decoded form; empty for schemes that read none.
    form: Vec<FormField>,
    /// The values of the JSON body that the scheme reads, all of them found in one pass.
    json: JsonValues<'b>,
}

impl BufferedCheck {
    /// Reads the head.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`.
    pub(super) fn read(scheme: &Arc<CompiledScheme>, head: &HeadRef<'_>) -> Result<Self, Rejection> {
        let mut candidates = Vec::new();
        let values = scheme.read(head, |text| scheme.candidates(text, &mut candidates))?;
        if candidates.is_empty()
            && matches!(
                scheme.signature,
                SignatureLocation::Header(..) | SignatureLocation::Query(_)
            )
        {
            return Err(Rejection::SignatureMalformed);
        }
        let body_start = scheme.check_boundaries(head, &values)?;
        Ok(Self {
            body_start,
            ..Self::prepare(scheme, head, &values, candidates)?
        })
    }

    /// Copies what the payload needs of the head.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`.
    pub(super) fn prepare(
        scheme: &Arc<CompiledScheme>,
        head: &HeadRef<'_>,
        values: &HeadValues<'_>,
        candidates: Vec<Candidate>,
    ) -> Result<Self, Rejection> {
        let mut pieces = Vec::new();
        for part in scheme.payload.parts() {
            let mut bytes = Vec::new();
            let known = scheme.write_head_part(part, head, values, &mut |more| bytes.extend_from_slice(more))?;
            pieces.push(if known {
                Piece::Known(bytes)
            } else {
                Piece::Later(part.clone())
            });
        }
        let query = head.target.split_once('?').map_or("", |(_, query)| query).as_bytes();
        let body_digest = match &scheme.body_digest {
            None => None,
            Some(name) => form::value(&form::decode(query)?, name)?.map(<[u8]>::to_vec),
        };
        // `{form}` and `{body}` are always the body; all other fields of a GET are read from its query.
        let is_body = |part: &PayloadPart| matches!(part, PayloadPart::Form | PayloadPart::Body);
        let is_get = *head.method == Method::GET || *head.method == Method::HEAD;
        let in_query = is_get && !scheme.payload.parts().any(is_body);
        Ok(Self {
            scheme: Arc::clone(scheme),
            candidates,
            timestamp_unix: values.timestamp_unix,
            pieces,
            urls: scheme.public_url.as_ref().map_or_else(
                || vec![Secret::new(Vec::new())],
                |url| url.candidates(&scheme.signed_target(head.target)),
            ),
            query: (in_query && scheme.reads_form()).then(|| query.to_vec()),
            body_digest,
            content_type: if scheme.reads_multipart() {
                multipart::content_type(head)?
            } else {
                String::new()
            },
            refuses_body: is_get && scheme.reads_form(),
            body_start: BodyStart::Any,
            key: match scheme.fetched.as_ref().and_then(|fetched| fetched.named.as_ref()) {
                Some(ValueLocation::Header(name)) => FetchedState::Named(header::only(head.headers, name)?.to_owned()),
                Some(ValueLocation::Json(_) | ValueLocation::SeveralJson(_) | ValueLocation::Form(_)) | None => {
                    FetchedState::Unknown
                }
            },
            tokens: None,
            tenant: None,
        })
    }

    /// The next fetched key that this request needs. `body` in pieces, once it is complete. The keys of tokens in the body are
    /// wanted only where the signature is genuine.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`, `SignatureMismatch`.
    pub(super) fn wanted_key(&mut self, body: Option<&[Bytes]>) -> Result<WantedKey, Rejection> {
        if self.scheme.tokens.is_some() {
            let Some(body) = body else {
                return Ok(WantedKey::InBody);
            };
            if self.tokens.is_none() {
                self.tokens = self.read_tokens(&contiguous(body))?;
            }
            let id = self.tokens.as_ref().and_then(BodyTokenCheck::wanted_key);
            return Ok(id.map_or(WantedKey::None, |id| WantedKey::Id(id.to_owned())));
        }
        let named = self.scheme.fetched.as_ref().and_then(|fetched| fetched.named.as_ref());
        match (&self.key, named, body) {
            (FetchedState::Given(_), _, _) | (_, None, _) => Ok(WantedKey::None),
            (FetchedState::Named(url), _, _) => Ok(WantedKey::Id(url.clone())),
            (FetchedState::Unknown, Some(ValueLocation::Json(pointer)), Some(body)) => {
                let body = contiguous(body);
                let url = pointer.text(&body).map_err(|()| Rejection::SignatureMalformed)?;
                url.map(WantedKey::Id).ok_or(Rejection::SignatureMissing)
            }
            (FetchedState::Unknown, Some(_), _) => Ok(WantedKey::InBody),
        }
    }

    /// The tokens of a body whose signature is genuine; `None` for schemes without any.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`, `SignatureMismatch`.
    fn read_tokens(&mut self, body: &[u8]) -> Result<Option<BodyTokenCheck>, Rejection> {
        let scheme = Arc::clone(&self.scheme);
        let content = self.content(&scheme, body)?;
        self.take_candidates(&content)?;
        if !self.search(&content)?.0 {
            return Err(Rejection::SignatureMismatch);
        }
        let read = |wanted| BodyTokenCheck::read(&scheme, wanted, &content.json);
        scheme.tokens.as_ref().map(read).transpose()
    }

    /// Gives the fetched key.
    pub(super) fn use_key(&mut self, key: Arc<FetchedKey>) {
        match &mut self.tokens {
            Some(tokens) => tokens.use_key(&key),
            None => self.key = FetchedState::Given(key),
        }
    }

    /// The bytes that a sender with this secret signs.
    ///
    /// # Errors
    /// `SignatureMalformed` when the body does not have what the payload needs.
    pub(super) fn signed(&self, body: &[u8], secret: Option<&Secret>) -> Result<Zeroizing<Vec<u8>>, Rejection> {
        self.payload(
            self.urls.first().map_or(b"", Secret::expose),
            &self.content(&self.scheme, body)?,
            secret,
        )
    }

    /// The number of candidate signatures that were read so far.
    pub(super) const fn candidates(&self) -> usize {
        self.candidates.len()
    }

    /// Compares every key with every candidate of its family. `body` in pieces; `tolerance` in seconds, for a time in
    /// the body; `identity`: how the result's identity is computed.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`, `SignatureMismatch`, `TimestampStale`, `TimestampFuture`.
    pub(super) fn finish(
        mut self,
        body: &[Bytes],
        now_unix: u64,
        tolerance: Option<u64>,
        identity: IdentityHash,
    ) -> Result<Verified, Rejection> {
        let scheme = Arc::clone(&self.scheme);
        let body = contiguous(body);
        self.body_start.check([body.as_ref()])?;
        let content = self.content(&scheme, &body)?;
        if scheme.is_single_element && content.json.elements() != Some(1) {
            return Err(Rejection::SignatureMalformed);
        }
        self.take_candidates(&content)?;
        let timestamp_unix = match &scheme.timestamp {
            Some(TimestampSource {
                location: TimestampLocation::Json(pointer),
                unit,
            }) => Some(time::judge(content.json.text(pointer), *unit, now_unix, tolerance)?),
            Some(TimestampSource {
                location: TimestampLocation::Form(name),
                unit,
            }) => {
                let text = form::value(&content.form, name)?.and_then(|text| std::str::from_utf8(text).ok());
                Some(time::judge(text, *unit, now_unix, tolerance)?)
            }
            Some(TimestampSource {
                location:
                    TimestampLocation::Header(_)
                    | TimestampLocation::Field(_)
                    | TimestampLocation::Position(_)
                    | TimestampLocation::Query(_)
                    | TimestampLocation::Claim(_),
                ..
            })
            | None => self.timestamp_unix,
        };
        let (found, secret) = self.search(&content)?;
        // Hashed for a genuine signature only, so that a forged request does not cost one more hash.
        let digest_matches = || {
            self.body_digest
                .as_ref()
                .is_none_or(|digest| hex::encode(Sha256::digest(&body)).as_bytes().ct_eq(digest).into())
        };
        if found && digest_matches() {
            if scheme.tokens.is_some() {
                // Without a key ring nobody has asked for them.
                let tokens = self.tokens.as_ref().ok_or(Rejection::SignatureMismatch)?;
                tokens.verify(now_unix)?;
            }
            Ok(Verified {
                secret,
                timestamp: timestamp_unix,
                identity: match identity {
                    IdentityHash::None => [0; 32],
                    IdentityHash::Sha256 | IdentityHash::ThisProcess => self.identity(&content, identity)?,
                },
                tenant: self.tenant.as_ref().map_or([0; 32], ChosenTenant::digest),
                sealed: (),
            })
        } else {
            Err(Rejection::SignatureMismatch)
        }
    }

    /// Decodes the signatures that are in the body.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`.
    fn take_candidates(&mut self, content: &Content<'_>) -> Result<(), Rejection> {
        let texts: Vec<Cow<'_, str>> = match &self.scheme.signature {
            SignatureLocation::Header(..) | SignatureLocation::Query(_) => return Ok(()),
            SignatureLocation::Json(pointer) => content.json.text(pointer).map(Cow::Borrowed).into_iter().collect(),
            SignatureLocation::EachJson(list) => content.json.list(list).iter().map(Cow::from).collect(),
            SignatureLocation::Form(name) => {
                let text = form::value(&content.form, name)?;
                text.map(String::from_utf8_lossy).into_iter().collect()
            }
        };
        if texts.is_empty() {
            return Err(Rejection::SignatureMissing);
        }
        let mut candidates = Vec::new();
        for text in &texts {
            self.scheme.candidates(text, &mut candidates)?;
        }
        if candidates.is_empty() {
            return Err(Rejection::SignatureMalformed);
        }
        self.candidates = candidates;
        Ok(())
    }

    /// Reads what the scheme needs of the body: its form, and values of its JSON in one pass.
    ///
    /// # Errors
    /// `SignatureMalformed` for too many fields, for JSON that two readers could read differently, or for a body besides
    /// a signed query.
    fn content<'b>(&self, scheme: &'b CompiledScheme, body: &'b [u8]) -> Result<Content<'b>, Rejection> {
        // The form of a GET is its query. Fields that are signed there must not be moved to a body, and the reverse.
        if self.refuses_body && !body.is_empty() {
            return Err(Rejection::SignatureMalformed);
        }
        let posted = || multipart::posted(&self.content_type, body);
        let form = match (&self.query, self.scheme.reads_form() && self.body_digest.is_none()) {
            (_, false) => Vec::new(),
            (Some(query), true) => form::decode(query)?,
            (None, true) => posted()?,
        };
        let json = if scheme.json.is_empty() {
            JsonValues::default()
        } else if scheme.forms && multipart::form_type(&self.content_type)? != FormType::Other {
            let values = scheme.json.read_form(&posted()?);
            values.map_err(|()| Rejection::SignatureMalformed)?
        } else {
            scheme.json.read(body).map_err(|()| Rejection::SignatureMalformed)?
        };
        Ok(Content { body, form, json })
    }

    /// The identity of the signed payload. No key is part of it: a plain digest's payload has a mark in place of the
    /// secret. Of several variants of the URL it is the first, whichever the sender signed.
    fn identity(&self, content: &Content<'_>, hash: IdentityHash) -> Result<[u8; 32], Rejection> {
        let payload = self.payload(self.urls.first().map_or(b"", Secret::expose), content, None)?;
        Ok(hash.of([payload.as_slice()]))
    }
}
