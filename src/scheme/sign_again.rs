//! Signs a webhook again that was received before, so that the application's library accepts it although its signed time
//! has passed: the same request with the present time, under a key of the route.

use super::compiled::{CompiledScheme, PayloadPlan, SchemeKey};
use super::keys::VerificationKey;
use super::location::{SignatureHeaderFormat, SignatureLocation, TimestampLocation, TimestampSource};
use super::sign::{HeaderFields, SigningKeys, signature_header};
use super::template::PayloadPart;
use super::types::HeadRef;
use super::{header, time};
use crate::http::message::Headers;
use hyper::header::{HeaderName, HeaderValue};
use std::sync::Arc;

/// Why the requests of a scheme cannot be signed again; `None` when they can.
pub(super) fn obstacle(scheme: &CompiledScheme) -> Option<&'static str> {
    if scheme.keys.iter().any(|key| {
        matches!(
            key.key,
            VerificationKey::Public(_) | VerificationKey::Message(_) | VerificationKey::Fetched
        )
    }) {
        return Some("only the provider has the private key");
    }
    if matches!(scheme.payload, PayloadPlan::Jwt(..)) {
        return Some("the signature is a token");
    }
    if matches!(scheme.payload, PayloadPlan::Message(..)) {
        return Some("the sender chooses what a message signature covers");
    }
    match &scheme.signature {
        SignatureLocation::Header(..) => {}
        SignatureLocation::Query(_) => return Some("the signature is in the query"),
        SignatureLocation::Json(_) | SignatureLocation::EachJson(_) | SignatureLocation::Form(_) => {
            return Some("the signature is in the body");
        }
    }
    match scheme.timestamp.as_ref().map(|timestamp| &timestamp.location) {
        Some(TimestampLocation::Json(_) | TimestampLocation::Form(_)) => Some("the signed time is in the body"),
        Some(TimestampLocation::Claim(_)) => Some("the signed time is in a token"),
        Some(TimestampLocation::Query(_)) => Some("the signed time is in the query"),
        Some(TimestampLocation::Header(_) | TimestampLocation::Field(_) | TimestampLocation::Position(_)) | None => {
            None
        }
    }
}

/// The headers that replace those of the same names: the signature with this key, and the time where it has a header of its
/// own. `head` and `body` are those that were received. `None` when [`obstacle`] has a reason, or when the
/// request has not what the payload needs.
pub(super) fn sign_again(
    scheme: &Arc<CompiledScheme>,
    key: &SchemeKey,
    head: &HeadRef<'_>,
    body: &[u8],
    now_unix: u64,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let SignatureLocation::Header(names, format) = &scheme.signature else {
        return None;
    };
    let is_received = |name: &&HeaderName| head.headers.named(name.as_str()).next().is_some();
    let name = names.iter().find(is_received).or_else(|| names.first())?;
    let received = head.headers.named(name.as_str()).next().unwrap_or_default();
    let mut replaced = Vec::new();
    let mut known = Vec::new();
    let mut written = String::new();
    if let Some(TimestampSource { location, unit }) = &scheme.timestamp {
        written = time::write(now_unix, *unit)?;
        match location {
            TimestampLocation::Header(name) => replaced.push((name.clone(), HeaderValue::try_from(&written).ok()?)),
            TimestampLocation::Field(field) => known.push(format!("{field}={written}")),
            TimestampLocation::Position(_) => {}
            TimestampLocation::Query(_)
            | TimestampLocation::Json(_)
            | TimestampLocation::Form(_)
            | TimestampLocation::Claim(_) => return None,
        }
    }
    if let SignatureHeaderFormat::KeyValueList(_, separator) = format {
        known.extend(signed_fields(scheme, str::from_utf8(received).ok()?, *separator));
    }
    let head = HeadRef {
        headers: &with_replaced(head.headers, &replaced)?,
        ..*head
    };
    let fields = HeaderFields {
        format,
        known,
        written_time: &written,
    };
    let keys = SigningKeys {
        listed: &[key],
        private: None,
    };
    let signature = signature_header(scheme, keys, fields, &head, body, now_unix)?;
    replaced.push((name.clone(), signature));
    Some(replaced)
}

/// The parts of a received signature header that are signed themselves.
fn signed_fields(scheme: &CompiledScheme, received: &str, separator: char) -> Vec<String> {
    let is_signed = |key: &str| {
        scheme.payload.parts().any(|part| match part {
            PayloadPart::Field(field) | PayloadPart::ListedHeaders(field) => field == key,
            PayloadPart::Literal(_)
            | PayloadPart::Timestamp
            | PayloadPart::Method
            | PayloadPart::Target
            | PayloadPart::Query
            | PayloadPart::QueryParameter(_)
            | PayloadPart::Path
            | PayloadPart::Header(_)
            | PayloadPart::Url
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
            | PayloadPart::Secret => false,
        })
    };
    let parts = header::fields(received, separator).filter_map(Result::ok);
    let signed = parts.filter(|(key, _)| is_signed(key));
    signed.map(|(key, value)| format!("{key}={value}")).collect()
}

/// The fields of `headers`, with those of `replaced` in place of the ones with the same names.
fn with_replaced(headers: &Headers, replaced: &[(HeaderName, HeaderValue)]) -> Option<Headers> {
    let is_replaced = |field: &[u8]| {
        let mut names = replaced.iter();
        names.any(|(name, _)| name.as_str().as_bytes().eq_ignore_ascii_case(field))
    };
    let mut all = Vec::with_capacity(headers.len() + replaced.len());
    for field in headers.iter().filter(|field| !is_replaced(field.name)) {
        all.push((
            HeaderName::from_bytes(field.name).ok()?,
            HeaderValue::from_bytes(field.value).ok()?,
        ));
    }
    all.extend(replaced.iter().cloned());
    Some(all.into_iter().collect())
}
