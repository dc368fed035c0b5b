//! What the head of a request claims: candidate signatures, the time, and the parts of the payload that it holds.

use super::compile::Scheme;
use super::place::{Layout, Shape, Time, TimePlace};
use super::template::Part;
use super::{Head, header, time};
use crate::outcome::Rejection;
use hyper::header::HeaderName;

/// Most headers that one signature may list by name.
const MAX_LISTED: usize = 32;

/// The time that a head claims, and the signature header to find other fields in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claim<'h> {
    /// The signature header's text; empty when the signature stands in the body.
    pub(super) text: &'h str,
    /// As it was written.
    pub(super) written: &'h str,
    /// Unix seconds; `None` when the scheme has no time or it stands in the body.
    pub(super) seconds: Option<u64>,
}

impl Scheme {
    /// Reads the head; every candidate signature goes through `take`.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`, and what `take` says.
    pub(super) fn read<'h>(
        &self,
        head: &Head<'h>,
        mut take: impl FnMut(&'h str) -> Result<(), Rejection>,
    ) -> Result<Claim<'h>, Rejection> {
        let mut text = "";
        let mut written = None;
        if let Layout::Header(name, shape) = &self.layout {
            text = header::only(head.headers, name)?;
            match shape {
                Shape::One => take(text)?,
                Shape::Many(separator) => {
                    text.split(*separator)
                        .map(|part| part.trim_matches(' '))
                        .filter(|part| !part.is_empty())
                        .try_for_each(take)?;
                }
                Shape::List(field, separator) => {
                    for part in header::fields(text, *separator) {
                        match part? {
                            (key, value) if header::is(key, field) => take(value)?,
                            (key, value) if self.is_time_field(key) && written.replace(value).is_some() => {
                                return Err(Rejection::SignatureMalformed);
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
        let Some(Time { place, unit }) = &self.time else {
            return Ok(Claim {
                text,
                written: "",
                seconds: None,
            });
        };
        let written = match place {
            TimePlace::Header(name) => header::only(head.headers, name)?,
            TimePlace::Field(_) => written.ok_or(Rejection::SignatureMalformed)?,
            TimePlace::Json(_) | TimePlace::Form(_) => {
                return Ok(Claim {
                    text,
                    written: "",
                    seconds: None,
                });
            }
        };
        let seconds = time::parse(written, *unit).ok_or(Rejection::SignatureMalformed)?;
        Ok(Claim {
            text,
            written,
            seconds: Some(seconds),
        })
    }

    fn is_time_field(&self, key: &str) -> bool {
        matches!(&self.time, Some(Time { place: TimePlace::Field(field), .. }) if header::is(field, key))
    }

    /// Hands a part of the payload that the head holds to `into`; `false` for a part that it does not hold.
    ///
    /// # Errors
    /// `SignatureMissing` when a signed header is absent, `SignatureMalformed` when one is ambiguous.
    pub(super) fn fill(
        &self,
        part: &Part,
        head: &Head<'_>,
        claim: &Claim<'_>,
        into: &mut impl FnMut(&[u8]),
    ) -> Result<bool, Rejection> {
        match part {
            Part::Literal(text) => into(text.as_bytes()),
            Part::Timestamp => into(claim.written.as_bytes()),
            Part::Method => into(head.method.as_str().as_bytes()),
            Part::Target => into(head.target.as_bytes()),
            Part::Path => into(head.target.split('?').next().unwrap_or_default().as_bytes()),
            Part::Header(name) => into(header::only(head.headers, name)?.as_bytes()),
            Part::Field(field) => into(self.field(field, claim)?.as_bytes()),
            Part::Listed(field) => {
                let mut before: Vec<HeaderName> = Vec::new();
                for name in self.field(field, claim)?.split(' ').filter(|name| !name.is_empty()) {
                    let name = HeaderName::try_from(name).map_err(|_| Rejection::SignatureMalformed)?;
                    if before.len() == MAX_LISTED || before.contains(&name) {
                        return Err(Rejection::SignatureMalformed);
                    }
                    if !before.is_empty() {
                        into(b".");
                    }
                    into(
                        head.headers
                            .named(name.as_str())
                            .next()
                            .ok_or(Rejection::SignatureMissing)?,
                    );
                    if head.headers.named(name.as_str()).nth(1).is_some() {
                        return Err(Rejection::SignatureMalformed);
                    }
                    before.push(name);
                }
            }
            Part::Url
            | Part::Body
            | Part::Json(..)
            | Part::Form
            | Part::FormField(_)
            | Part::Php
            | Part::Values
            | Part::Secret => return Ok(false),
        }
        Ok(true)
    }

    /// The only value of a key of the signature header's list.
    fn field<'h>(&self, wanted: &str, claim: &Claim<'h>) -> Result<&'h str, Rejection> {
        let Layout::Header(_, Shape::List(_, separator)) = &self.layout else {
            return Err(Rejection::SignatureMalformed);
        };
        let mut found = None;
        for part in header::fields(claim.text, *separator) {
            let (key, value) = part?;
            if key == wanted && found.replace(value).is_some() {
                return Err(Rejection::SignatureMalformed);
            }
        }
        found.ok_or(Rejection::SignatureMalformed)
    }
}
