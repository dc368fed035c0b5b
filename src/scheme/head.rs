//! Reads the head of a request: candidate signatures, the time, and the parts of the payload that are in the head.

use super::boundary::{BodyStart, UrlEnd};
use super::compiled::CompiledScheme;
use super::location::{SignatureHeaderFormat, SignatureLocation, TimestampLocation, TimestampSource};
use super::template::PayloadPart;
use super::types::HeadRef;
use super::{form, header, query, time};
use crate::outcome::Rejection;
use hyper::header::HeaderName;
use std::borrow::Cow;

/// Maximum number of headers that one signature may list by name.
const MAX_LISTED_HEADERS: usize = 32;

/// The time that the head contains, and the signature header, from which other fields are read.
#[derive(Debug, Default)]
pub(super) struct HeadValues<'h> {
    /// The signature header's text; empty when the signature is in the body.
    pub(super) signature_header: &'h str,
    /// The time as the sender wrote it; empty where `timestamp_unix` is `None`.
    pub(super) timestamp_text: Cow<'h, str>,
    /// The time in Unix seconds; `None` when the scheme has no time or the time is in the body.
    pub(super) timestamp_unix: Option<u64>,
}

impl CompiledScheme {
    /// Reads the head. `take` is called with every candidate signature.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`, and the errors of `take`.
    pub(super) fn read<'h>(
        &self,
        head: &HeadRef<'h>,
        mut take: impl FnMut(&str) -> Result<(), Rejection>,
    ) -> Result<HeadValues<'h>, Rejection> {
        let mut text = "";
        let mut written = None;
        if let SignatureLocation::Query(name) = &self.signature {
            take(&query::parameter(head.target, name, true)?)?;
        }
        if let SignatureLocation::Header(names, format) = &self.signature {
            let mut is_missing = true;
            for name in names {
                text = match header::only(head.headers, name) {
                    // Of several headers, one at least is there.
                    Err(Rejection::SignatureMissing) => continue,
                    read => read?,
                };
                is_missing = false;
                match format {
                    SignatureHeaderFormat::Single => take(text)?,
                    SignatureHeaderFormat::Separated(separator) => {
                        text.split(*separator)
                            .map(|part| part.trim_matches(' '))
                            .filter(|part| !part.is_empty())
                            .try_for_each(&mut take)?;
                    }
                    SignatureHeaderFormat::Positions(..) | SignatureHeaderFormat::KeyValueList(..) => {}
                }
            }
            if is_missing {
                return Err(Rejection::SignatureMissing);
            }
            match format {
                SignatureHeaderFormat::Single | SignatureHeaderFormat::Separated(_) => {}
                SignatureHeaderFormat::Positions(first, separator) => {
                    for (number, part) in (1..).zip(text.split(*separator).map(|part| part.trim_matches(' '))) {
                        if self.is_time_position(number) {
                            written = Some(part);
                        } else if number >= *first {
                            take(part)?;
                        }
                    }
                }
                SignatureHeaderFormat::KeyValueList(field, separator) => {
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
        let Some(TimestampSource { location, unit }) = &self.timestamp else {
            return Ok(HeadValues {
                signature_header: text,
                timestamp_text: Cow::Borrowed(""),
                timestamp_unix: None,
            });
        };
        let written = match location {
            TimestampLocation::Header(name) => Cow::Borrowed(header::only(head.headers, name)?),
            TimestampLocation::Query(name) => Cow::Owned(query::parameter(head.target, name, false)?),
            TimestampLocation::Field(_) | TimestampLocation::Position(_) => {
                Cow::Borrowed(written.ok_or(Rejection::SignatureMalformed)?)
            }
            TimestampLocation::Json(_) | TimestampLocation::Form(_) | TimestampLocation::Claim(_) => {
                return Ok(HeadValues {
                    signature_header: text,
                    timestamp_text: Cow::Borrowed(""),
                    timestamp_unix: None,
                });
            }
        };
        let timestamp_unix = time::parse(&written, *unit).ok_or(Rejection::SignatureMalformed)?;
        Ok(HeadValues {
            signature_header: text,
            timestamp_text: written,
            timestamp_unix: Some(timestamp_unix),
        })
    }

    /// Whether a request without a body carries a signature, genuine or not.
    pub(super) fn carries_signature(&self, head: &HeadRef<'_>) -> bool {
        match &self.signature {
            SignatureLocation::Header(names, _) => names
                .iter()
                .any(|name| head.headers.named(name.as_str()).next().is_some()),
            SignatureLocation::Query(name) => query::has(head.target, name),
            // An unreadable query may have one.
            SignatureLocation::Form(name) => {
                let query = head.target.split_once('?').map_or("", |(_, query)| query);
                let fields = form::decode(query.as_bytes());
                fields.map_or(true, |fields| fields.iter().any(|(key, _)| key == name.as_bytes()))
            }
            SignatureLocation::Json(_) | SignatureLocation::EachJson(_) => false,
        }
    }

    /// Whether the part of the signature header's list with this number holds the time.
    fn is_time_position(&self, number: usize) -> bool {
        matches!(&self.timestamp, Some(TimestampSource { location: TimestampLocation::Position(position), .. }) if *position == number)
    }

    /// The raw path and query without the parameter of the signature.
    pub(super) fn signed_target<'t>(&self, target: &'t str) -> Cow<'t, str> {
        match &self.signature {
            SignatureLocation::Query(name) => query::without(target, Some(name)),
            SignatureLocation::Header(..)
            | SignatureLocation::Json(_)
            | SignatureLocation::EachJson(_)
            | SignatureLocation::Form(_) => Cow::Borrowed(target),
        }
    }

    /// Whether this key of the signature header's list holds the time.
    fn is_time_field(&self, key: &str) -> bool {
        matches!(&self.timestamp, Some(TimestampSource { location: TimestampLocation::Field(field), .. }) if header::is(field, key))
    }

    /// Passes a part of the payload that is in the head to `into`. Returns `false` for a part that is not in the head.
    ///
    /// # Errors
    /// `SignatureMissing` when a signed header is absent, `SignatureMalformed` when one is repeated.
    pub(super) fn write_head_part(
        &self,
        part: &PayloadPart,
        head: &HeadRef<'_>,
        values: &HeadValues<'_>,
        into: &mut impl FnMut(&[u8]),
    ) -> Result<bool, Rejection> {
        match part {
            PayloadPart::Literal(text) => into(text.as_bytes()),
            PayloadPart::Timestamp => into(values.timestamp_text.as_bytes()),
            PayloadPart::Method => into(head.method.as_str().as_bytes()),
            PayloadPart::Target => into(self.signed_target(head.target).as_bytes()),
            PayloadPart::Query => into(query::of(&self.signed_target(head.target)).as_bytes()),
            PayloadPart::QueryParameter(name) => into(query::parameter(head.target, name, false)?.as_bytes()),
            PayloadPart::Path => into(head.target.split('?').next().unwrap_or_default().as_bytes()),
            PayloadPart::Header(name) => into(header::only(head.headers, name)?.as_bytes()),
            PayloadPart::Field(field) => into(self.field(field, values)?.as_bytes()),
            PayloadPart::ListedHeaders(field) => {
                let mut before: Vec<HeaderName> = Vec::new();
                for name in self.field(field, values)?.split(' ').filter(|name| !name.is_empty()) {
                    let name = HeaderName::try_from(name).map_err(|_| Rejection::SignatureMalformed)?;
                    if before.len() == MAX_LISTED_HEADERS || before.contains(&name) {
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
            PayloadPart::Url
            | PayloadPart::Body
            | PayloadPart::Json(..)
            | PayloadPart::Form
            | PayloadPart::FormField(_)
            | PayloadPart::Php
            | PayloadPart::FormDigest
            | PayloadPart::BodyHash(..)
            | PayloadPart::BodyText
            | PayloadPart::Crc32
            | PayloadPart::Sns(_)
            | PayloadPart::Secret => return Ok(false),
        }
        Ok(true)
    }

    /// Checks that the signed values of the head end where they seem to end. Returns how the body may begin.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`.
    pub(super) fn check_boundaries(&self, head: &HeadRef<'_>, values: &HeadValues<'_>) -> Result<BodyStart, Rejection> {
        // Without a query, the URL is the same in all requests of a route with one path.
        let is_fixed = self.is_path_fixed && !head.target.contains('?');
        self.boundaries.check_head(|part, end| {
            let is_url = matches!(part, PayloadPart::Url | PayloadPart::Path | PayloadPart::Target);
            if is_url && is_fixed && end == UrlEnd::Open {
                return Ok(None);
            }
            if matches!(part, PayloadPart::Url) {
                return Ok(Some(self.signed_target(head.target).as_bytes().to_vec()));
            }
            let mut value = Vec::new();
            let is_in_head = self.write_head_part(part, head, values, &mut |bytes| value.extend_from_slice(bytes))?;
            Ok(is_in_head.then_some(value))
        })
    }

    /// The value of a key of the signature header's list.
    ///
    /// # Errors
    /// `SignatureMalformed` when the key is absent or repeated.
    fn field<'h>(&self, wanted: &str, values: &HeadValues<'h>) -> Result<&'h str, Rejection> {
        let separator = match &self.signature {
            SignatureLocation::Header(_, SignatureHeaderFormat::KeyValueList(_, separator)) => separator,
            SignatureLocation::Header(_, SignatureHeaderFormat::Positions(_, separator)) => {
                let number = wanted.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                let mut parts = values.signature_header.split(*separator);
                let part = number.and_then(|number| parts.nth(number));
                return part
                    .map(|part| part.trim_matches(' '))
                    .ok_or(Rejection::SignatureMalformed);
            }
            SignatureLocation::Header(_, SignatureHeaderFormat::Single | SignatureHeaderFormat::Separated(_))
            | SignatureLocation::Query(_)
            | SignatureLocation::Json(_)
            | SignatureLocation::EachJson(_)
            | SignatureLocation::Form(_) => return Err(Rejection::SignatureMalformed),
        };
        let mut found = None;
        for part in header::fields(values.signature_header, *separator) {
            let (key, value) = part?;
            if key == wanted && found.replace(value).is_some() {
                return Err(Rejection::SignatureMalformed);
            }
        }
        found.ok_or(Rejection::SignatureMalformed)
    }

    /// Reads the time in a JSON body and compares it with `now_unix` (seconds). `None` where the time is not in JSON.
    /// To be called when the body is known to be genuine. `tolerance` in seconds.
    ///
    /// # Errors
    /// `SignatureMalformed` when it is absent or unreadable, `TimestampStale`, `TimestampFuture`.
    pub(super) fn timestamp_in_json(
        &self,
        body: &[u8],
        now_unix: u64,
        tolerance: Option<u64>,
    ) -> Result<Option<u64>, Rejection> {
        let Some(TimestampSource {
            location: TimestampLocation::Json(pointer),
            unit,
        }) = &self.timestamp
        else {
            return Ok(None);
        };
        let text = pointer.text(body).map_err(|()| Rejection::SignatureMalformed)?;
        time::judge(text.as_deref(), *unit, now_unix, tolerance).map(Some)
    }
}
