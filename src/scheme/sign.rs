//! The sender's side: the headers that a provider would set, for the commands `sign`, `send` and `demo`.
//!
//! The code that verifies also builds the payload here, so a round trip does not prove that a scheme is correct. The
//! published vectors and the providers' own libraries do.

use super::buffered::BufferedCheck;
use super::compiled::{CompiledScheme, PayloadPlan, SchemeKey};
use super::head::HeadValues;
use super::keys::VerificationKey;
use super::location::{SignatureHeaderFormat, SignatureLocation, TimestampLocation, TimestampSource, ValueLocation};
use super::private_key::PrivateKey;
use super::template::PayloadPart;
use super::types::{HeadRef, SignRequest};
use super::{header, jwt, message, time};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use std::borrow::Cow;
use std::sync::Arc;

/// The header that is listed by name in the signature header, for schemes with `{headers:…}`.
const LISTED: HeaderName = HeaderName::from_static("x-delivery");

/// The value of another signed field of the signature header, such as the name of an environment.
const FIELD_VALUE: &str = "main";

/// Whether a field of the signature header names headers that are signed.
fn is_list_of_headers(scheme: &CompiledScheme, field: &str) -> bool {
    let mut parts = scheme.payload.parts();
    parts.any(|part| matches!(part, PayloadPart::ListedHeaders(listed) if listed == field))
}

/// Keys of a scheme, as one who signs has them.
#[derive(Clone, Copy)]
pub(super) struct SigningKeys<'k> {
    /// The keys of the scheme; there is one signature for each.
    pub(super) listed: &'k [&'k SchemeKey],
    /// The private key that belongs to a public or a fetched one of them; a gateway has none.
    pub(super) private: Option<&'k PrivateKey>,
}

/// Signs a request; see [`super::Verifier::sign_with`].
pub(super) fn sign(
    scheme: &Arc<CompiledScheme>,
    keys: SigningKeys<'_>,
    request: &SignRequest<'_>,
    now_unix: u64,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let SignatureLocation::Header(names, format) = &scheme.signature else {
        return None;
    };
    let name = names.first()?;
    let SigningKeys { listed, private } = keys;
    let id = request
        .delivery_id
        .map_or_else(|| format!("msg_{now_unix}"), str::to_owned);
    let id = HeaderValue::try_from(id).ok()?;
    let mut headers = HeaderMap::new();
    let mut fields = Vec::new();
    if let Some(ValueLocation::Header(name)) = scheme.delivery_id.as_ref().map(|id| &id.location) {
        headers.insert(name, id.clone());
    }
    let mut written = String::new();
    if let Some(TimestampSource { location, unit }) = &scheme.timestamp {
        written = time::write(now_unix, *unit)?;
        match location {
            TimestampLocation::Header(name) => drop(headers.insert(name, HeaderValue::try_from(&written).ok()?)),
            TimestampLocation::Field(field) => fields.push(format!("{field}={written}")),
            TimestampLocation::Position(_)
            | TimestampLocation::Json(_)
            | TimestampLocation::Form(_)
            | TimestampLocation::Claim(_) => {}
            TimestampLocation::Query(_) => return None,
        }
    }
    if let PayloadPlan::Jwt(format, _) = &scheme.payload {
        let [key] = listed else { return None };
        let head = HeadRef {
            method: request.method,
            target: request.target,
            headers: &headers.iter().collect(),
        };
        let token = jwt::sign(scheme, format, &key.key, private, &head, request.body, now_unix)?;
        let token = HeaderValue::try_from(token).ok()?;
        headers.insert(name, token);
        return Some(
            headers
                .into_iter()
                .filter_map(|(name, value)| Some((name?, value)))
                .collect(),
        );
    }
    if let PayloadPlan::Message(format, _) = &scheme.payload {
        let [key] = listed else { return None };
        let head = HeadRef {
            method: request.method,
            target: request.target,
            headers: &headers.iter().collect(),
        };
        return message::sign(scheme, format, &key.key, private, &head, request.body, now_unix);
    }
    for part in scheme.payload.parts() {
        if let PayloadPart::Header(name) = part
            && !headers.contains_key(name)
        {
            headers.insert(name, id.clone());
        } else if let PayloadPart::ListedHeaders(field) = part {
            headers.insert(LISTED, id.clone());
            fields.push(format!("{field}={LISTED}"));
        } else if let PayloadPart::Field(field) = part
            && matches!(format, SignatureHeaderFormat::KeyValueList(..))
            && !fields.iter().any(|known| known.split('=').next() == Some(field))
            && !is_list_of_headers(scheme, field)
        {
            fields.push(format!("{field}={FIELD_VALUE}"));
        }
    }
    let fields = HeaderFields {
        format,
        known: fields,
        written_time: &written,
    };
    let head = HeadRef {
        method: request.method,
        target: request.target,
        headers: &headers.iter().collect(),
    };
    let value = signature_header(scheme, keys, fields, &head, request.body, now_unix)?;
    let mut all = vec![(name.clone(), value)];
    all.extend(
        headers
            .into_iter()
            .filter_map(|(name, value)| name.map(|name| (name, value))),
    );
    Some(all)
}

/// What a signature header consists of besides its signatures.
pub(super) struct HeaderFields<'a> {
    pub(super) format: &'a SignatureHeaderFormat,
    /// The `key=value` parts before the signatures.
    pub(super) known: Vec<String>,
    /// The time as it is signed; empty in a scheme without one.
    pub(super) written_time: &'a str,
}

/// The value of the signature header of a request, with one signature for each of `keys`. `None` when a key cannot sign,
/// or when the format has room for one signature and there are more.
pub(super) fn signature_header(
    scheme: &Arc<CompiledScheme>,
    keys: SigningKeys<'_>,
    fields: HeaderFields<'_>,
    head: &HeadRef<'_>,
    body: &[u8],
    now_unix: u64,
) -> Option<HeaderValue> {
    let HeaderFields {
        format,
        known: mut fields,
        written_time: written,
    } = fields;
    let separator = match format {
        SignatureHeaderFormat::Single => None,
        SignatureHeaderFormat::Separated(separator)
        | SignatureHeaderFormat::Positions(_, separator)
        | SignatureHeaderFormat::KeyValueList(_, separator) => Some(separator.to_string()),
    };
    if keys.listed.is_empty() || (separator.is_none() && keys.listed.len() > 1) {
        return None;
    }
    let text = fields.join(separator.as_deref().unwrap_or_default());
    let values = HeadValues {
        signature_header: &text,
        timestamp_text: Cow::Borrowed(written),
        timestamp_unix: Some(now_unix),
    };
    let unsigned = BufferedCheck::prepare(scheme, head, &values, Vec::new()).ok()?;
    for key in keys.listed {
        let prefix = scheme.prefixes.get(key.family).map_or("", String::as_str);
        let signature = signature(scheme, key, keys.private, &unsigned, body)?;
        fields.push(match format {
            SignatureHeaderFormat::KeyValueList(field, _) => format!("{field}={prefix}{signature}"),
            SignatureHeaderFormat::Single
            | SignatureHeaderFormat::Separated(_)
            | SignatureHeaderFormat::Positions(..) => {
                format!("{prefix}{signature}")
            }
        });
    }
    if let SignatureHeaderFormat::Positions(first, _) = format {
        fields = in_positions(*first, scheme.timestamp.as_ref(), written, fields);
    }
    HeaderValue::try_from(fields.join(separator.as_deref().unwrap_or_default())).ok()
}

/// One signature, or the secret itself in a scheme that compares it, as its text without a prefix. `None` for a public key
/// without the private key that belongs to it.
pub(super) fn signature(
    scheme: &CompiledScheme,
    key: &SchemeKey,
    private: Option<&PrivateKey>,
    unsigned: &BufferedCheck,
    body: &[u8],
) -> Option<String> {
    match &key.key {
        VerificationKey::Mac(mac) => {
            let mut mac = mac.clone();
            mac.update(&unsigned.signed(body, None).ok()?);
            Some(header::encode(mac.finish().as_slice(), scheme.encoding))
        }
        VerificationKey::Digest(plain, secret) => {
            let digest = plain.digest(&unsigned.signed(body, Some(secret)).ok()?);
            Some(header::encode(&digest, scheme.encoding))
        }
        VerificationKey::Token(_, secret) => Some(std::str::from_utf8(secret.expose()).ok()?.to_owned()),
        VerificationKey::Public(public) => {
            let signature = private?.sign(public.algorithm(), &unsigned.signed(body, None).ok()?)?;
            Some(header::encode(&signature, scheme.encoding))
        }
        VerificationKey::Message(_) | VerificationKey::Fetched => None,
    }
}

/// The parts of a list without names: signatures from the part `first` on, and the time where it belongs.
fn in_positions(
    first: usize,
    timestamp: Option<&TimestampSource>,
    written: &str,
    signatures: Vec<String>,
) -> Vec<String> {
    let time_at = timestamp.and_then(|timestamp| match timestamp.location {
        TimestampLocation::Position(position) => Some(position),
        TimestampLocation::Header(_)
        | TimestampLocation::Field(_)
        | TimestampLocation::Query(_)
        | TimestampLocation::Json(_)
        | TimestampLocation::Form(_)
        | TimestampLocation::Claim(_) => None,
    });
    let mut parts = Vec::new();
    let mut rest = signatures.into_iter().peekable();
    while rest.peek().is_some() || time_at.is_some_and(|at| at > parts.len()) {
        let number = parts.len() + 1;
        parts.push(if time_at == Some(number) {
            written.to_owned()
        } else if number >= first {
            rest.next().unwrap_or_default()
        } else {
            String::new()
        });
    }
    parts
}
