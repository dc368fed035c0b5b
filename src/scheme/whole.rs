//! The slow way: the payload can only be put together when the body is complete (a form, a value inside the JSON, a
//! public key, a URL with variants). Bounded by the route's body limit; nothing a sender sends can multiply it.

use super::claim::Claim;
use super::compile::{Scheme, Values};
use super::custom::{FieldOrder, Fields, SecretPosition};
use super::form::{self, Pair};
use super::header::{self, MAX_CANDIDATES};
use super::keys::Key;
use super::mac::Tag;
use super::place::{Layout, Time, TimePlace};
use super::template::Part;
use super::{Head, Verified, contiguous, time};
use crate::outcome::Rejection;
use crate::secret::Secret;
use bytes::Bytes;
use hyper::Method;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

/// What the head claims, with a copy of everything in it that the payload needs.
#[derive(Debug)]
pub(super) struct Whole {
    scheme: Arc<Scheme>,
    candidates: Vec<Candidate>,
    pub(super) seconds: Option<u64>,
    pub(super) tolerance: Option<u64>,
    pieces: Vec<Piece>,
    /// Spellings of the URL that may have been signed; one empty one where the payload has no URL.
    urls: Vec<String>,
    /// The form of a GET.
    query: Option<Vec<u8>>,
    /// What the URL says the body's SHA-256 is.
    body_digest: Option<Vec<u8>>,
}

/// A decoded signature, and the family of keys that may have made it.
#[derive(Debug)]
pub(super) struct Candidate {
    family: usize,
    bytes: Vec<u8>,
}

/// A part of the payload.
#[derive(Debug)]
enum Piece {
    /// The head holds it.
    Known(Vec<u8>),
    /// It waits for the body, the URL's spelling or the key.
    Later(Part),
}

/// The body, complete.
struct Content<'b> {
    body: &'b [u8],
    form: Vec<Pair>,
}

impl Whole {
    /// Reads the head.
    pub(super) fn read(scheme: &Arc<Scheme>, head: &Head<'_>) -> Result<Self, Rejection> {
        let mut candidates = Vec::new();
        let claim = scheme.read(head, |text| scheme.candidates(text, &mut candidates))?;
        if candidates.is_empty() && matches!(scheme.layout, Layout::Header(..)) {
            return Err(Rejection::SignatureMalformed);
        }
        Self::prepare(scheme, head, &claim, candidates)
    }

    /// Copies what the payload needs of the head.
    pub(super) fn prepare(
        scheme: &Arc<Scheme>,
        head: &Head<'_>,
        claim: &Claim<'_>,
        candidates: Vec<Candidate>,
    ) -> Result<Self, Rejection> {
        let mut pieces = Vec::new();
        for part in scheme.payload.parts() {
            let mut bytes = Vec::new();
            let known = scheme.fill(part, head, claim, &mut |more| bytes.extend_from_slice(more))?;
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
        // `{form}` is by definition the body's; every other form is a GET's query.
        let in_query = *head.method == Method::GET && !scheme.payload.parts().any(|part| *part == Part::Form);
        Ok(Self {
            scheme: Arc::clone(scheme),
            candidates,
            seconds: claim.seconds,
            tolerance: scheme.tolerance.map(|tolerance| tolerance.as_secs()),
            pieces,
            urls: scheme
                .url
                .as_ref()
                .map_or_else(|| vec![String::new()], |url| url.candidates(head.target)),
            query: (in_query && scheme.reads_form()).then(|| query.to_vec()),
            body_digest,
        })
    }

    /// What a sender with this secret would sign.
    pub(super) fn signed(&self, body: &[u8], secret: Option<&Secret>) -> Result<Zeroizing<Vec<u8>>, Rejection> {
        self.payload(
            self.urls.first().map_or("", String::as_str),
            &self.content(body)?,
            secret,
        )
    }

    /// Every key against every candidate of its family.
    pub(super) fn finish(mut self, body: &[Bytes], now: u64) -> Result<Verified, Rejection> {
        let scheme = Arc::clone(&self.scheme);
        let body = contiguous(body);
        let content = self.content(&body)?;
        if scheme
            .single
            .as_ref()
            .is_some_and(|array| array.elements(&body) != Ok(Some(1)))
        {
            return Err(Rejection::SignatureMalformed);
        }
        let signature = match &scheme.layout {
            Layout::Header(..) => None,
            Layout::Json(pointer) => Some(pointer.text(&body).map_err(|()| Rejection::SignatureMalformed)?),
            Layout::Form(name) => {
                Some(form::value(&content.form, name)?.map(|text| String::from_utf8_lossy(text).into_owned()))
            }
        };
        if let Some(text) = signature {
            scheme.candidates(&text.ok_or(Rejection::SignatureMissing)?, &mut self.candidates)?;
            if self.candidates.is_empty() {
                return Err(Rejection::SignatureMalformed);
            }
        }
        let timestamp = match &scheme.time {
            Some(Time {
                place: TimePlace::Json(_),
                ..
            }) => scheme.late_time(&body, now, self.tolerance)?,
            Some(Time {
                place: TimePlace::Form(name),
                unit,
            }) => {
                let text = form::value(&content.form, name)?.and_then(|text| std::str::from_utf8(text).ok());
                let seconds = text
                    .and_then(|text| time::parse(text, *unit))
                    .ok_or(Rejection::SignatureMalformed)?;
                time::judge(seconds, now, self.tolerance)?;
                Some(seconds)
            }
            Some(Time {
                place: TimePlace::Header(_) | TimePlace::Field(_),
                ..
            })
            | None => self.seconds,
        };
        let intact = self
            .body_digest
            .as_ref()
            .is_none_or(|digest| hex::encode(Sha256::digest(&body)).as_bytes().ct_eq(digest).into());
        let (found, secret, identity) = self.search(&content)?;
        if found && intact {
            Ok(Verified {
                secret,
                timestamp,
                identity,
            })
        } else {
            Err(Rejection::SignatureMismatch)
        }
    }

    fn content<'b>(&self, body: &'b [u8]) -> Result<Content<'b>, Rejection> {
        // A body beside a signed query is signed by nobody.
        if self.query.is_some() && !body.is_empty() {
            return Err(Rejection::SignatureMalformed);
        }
        let form = match (&self.query, self.scheme.reads_form() && self.body_digest.is_none()) {
            (_, false) => Vec::new(),
            (Some(query), true) => form::decode(query)?,
            (None, true) => form::decode(body)?,
        };
        Ok(Content { body, form })
    }

    /// Whether any key explains any candidate, which key, and the payload's identity under the first key.
    fn search(&self, content: &Content<'_>) -> Result<(bool, usize, [u8; 32]), Rejection> {
        let mut found = Choice::from(0);
        let mut secret = 0u64;
        let mut identity = None;
        for url in &self.urls {
            let shared = self.payload(url, content, None)?;
            for (index, key) in (0u64..).zip(&self.scheme.keys) {
                let of_family = || {
                    self.candidates
                        .iter()
                        .filter(|candidate| candidate.family == key.family)
                };
                let (hit, this) = match &key.key {
                    Key::Mac(mac) => {
                        let mut mac = mac.clone();
                        mac.update(&shared);
                        let tag = mac.finish();
                        (any(of_family(), |bytes| tag.matches(bytes)), tag.identity())
                    }
                    Key::Digest(plain, secret) => {
                        let payload = self.payload(url, content, Some(secret))?;
                        let tag = Tag::new(&plain.digest(&payload));
                        (
                            any(of_family(), |bytes| tag.matches(bytes)),
                            Sha256::digest(&*payload).into(),
                        )
                    }
                    Key::Public(public) => {
                        let hit = of_family().any(|candidate| public.verifies(&shared, &candidate.bytes));
                        (Choice::from(u8::from(hit)), Sha256::digest(&*shared).into())
                    }
                    Key::Token(digest, _) => {
                        let hit = any(of_family(), |bytes| digest.as_slice().ct_eq(&Sha256::digest(bytes)));
                        (hit, Sha256::digest(content.body).into())
                    }
                };
                identity.get_or_insert(this);
                secret.conditional_assign(&index, hit & !found);
                found |= hit;
            }
        }
        Ok((
            found.into(),
            usize::try_from(secret).unwrap_or_default(),
            identity.unwrap_or_default(),
        ))
    }

    fn payload(
        &self,
        url: &str,
        content: &Content<'_>,
        secret: Option<&Secret>,
    ) -> Result<Zeroizing<Vec<u8>>, Rejection> {
        let mut out = Zeroizing::new(Vec::with_capacity(content.body.len() + 256));
        for piece in &self.pieces {
            match piece {
                Piece::Known(bytes) => out.extend_from_slice(bytes),
                Piece::Later(part) => self.later(part, url, content, secret, &mut out)?,
            }
        }
        Ok(out)
    }

    fn later(
        &self,
        part: &Part,
        url: &str,
        content: &Content<'_>,
        secret: Option<&Secret>,
        out: &mut Vec<u8>,
    ) -> Result<(), Rejection> {
        let secret = secret.map(Secret::expose).unwrap_or_default();
        match part {
            Part::Body => out.extend_from_slice(content.body),
            Part::Url => out.extend_from_slice(url.as_bytes()),
            Part::Secret => out.extend_from_slice(secret),
            Part::Json(pointer, optional) => match pointer.text(content.body) {
                Ok(Some(text)) => out.extend_from_slice(text.as_bytes()),
                Ok(None) if *optional => {}
                Ok(None) | Err(()) => return Err(Rejection::SignatureMalformed),
            },
            Part::Form => out.extend_from_slice(&form::concatenated(&content.form)),
            Part::FormField(name) => {
                out.extend_from_slice(form::value(&content.form, name)?.ok_or(Rejection::SignatureMalformed)?);
            }
            Part::Php => {
                let without = match &self.scheme.layout {
                    Layout::Form(name) => name.as_str(),
                    Layout::Header(..) | Layout::Json(_) => "",
                };
                out.extend_from_slice(&form::php_serialized(&content.form, without)?);
            }
            Part::Values => self.scheme.values.write(&content.form, secret, out)?,
            // Filled in from the head, before the body came.
            Part::Literal(_)
            | Part::Timestamp
            | Part::Method
            | Part::Path
            | Part::Target
            | Part::Header(_)
            | Part::Field(_)
            | Part::Listed(_) => {}
        }
        Ok(())
    }
}

/// Whether any candidate matches, in constant time.
fn any<'c>(candidates: impl Iterator<Item = &'c Candidate>, matches: impl Fn(&[u8]) -> Choice) -> Choice {
    candidates.fold(Choice::from(0), |hit, candidate| hit | matches(&candidate.bytes))
}

impl Scheme {
    /// Decodes one signature for every family that it may belong to.
    fn candidates(&self, text: &str, into: &mut Vec<Candidate>) -> Result<(), Rejection> {
        let token = self.keys.iter().any(|key| matches!(key.key, Key::Token(..)));
        for (family, prefix) in self.prefixes.iter().enumerate() {
            let Some(text) = text.strip_prefix(prefix.as_str()) else {
                continue;
            };
            let bytes = if token {
                Some(text.as_bytes().to_vec())
            } else {
                header::decode(text, self.encoding)
            };
            match bytes {
                Some(_) if into.len() == MAX_CANDIDATES => return Err(Rejection::SignatureMalformed),
                Some(bytes) => into.push(Candidate { family, bytes }),
                None if self.strict => return Err(Rejection::SignatureMalformed),
                None => {}
            }
        }
        Ok(())
    }

    /// Whether anything is read from a form.
    fn reads_form(&self) -> bool {
        let in_payload = self
            .payload
            .parts()
            .any(|part| matches!(part, Part::Form | Part::FormField(_) | Part::Php | Part::Values));
        let time = matches!(
            &self.time,
            Some(Time {
                place: TimePlace::Form(_),
                ..
            })
        );
        in_payload || time || matches!(self.layout, Layout::Form(_))
    }
}

impl Values {
    /// The values in their order with the secret in its place.
    fn write(&self, form: &[Pair], secret: &[u8], out: &mut Vec<u8>) -> Result<(), Rejection> {
        form::unambiguous(form)?;
        let covered = |name: &[u8]| {
            let is = |other: &String| other.as_bytes() == name;
            !is(&self.hash_field) && !self.leave_out.iter().any(is)
        };
        let mut pairs: Vec<&Pair> = form.iter().filter(|(name, _)| covered(name)).collect();
        let mut values: Vec<&[u8]> = match &self.fields {
            Fields::Order(order) => {
                if *order == FieldOrder::Sorted {
                    pairs.sort();
                }
                pairs.into_iter().map(|(_, value)| value.as_slice()).collect()
            }
            Fields::Named(names) => {
                let value = |name: &String| {
                    pairs
                        .iter()
                        .find(|pair| pair.0 == name.as_bytes())
                        .map_or(&b""[..], |pair| &pair.1)
                };
                names.iter().map(value).collect()
            }
        };
        match self.secret_position {
            SecretPosition::First => values.insert(0, secret),
            SecretPosition::Last => values.push(secret),
        }
        out.extend_from_slice(&values.join(self.separator.as_bytes()));
        Ok(())
    }
}
