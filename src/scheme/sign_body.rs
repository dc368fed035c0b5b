//! The body that a sender sends in a scheme whose signature is in the body: a value of its JSON, or a field of its form.

use super::buffered::BufferedCheck;
use super::compiled::CompiledScheme;
use super::head::HeadValues;
use super::json::JsonList;
use super::location::{SignatureLocation, TimestampLocation, TimestampSource};
use super::sign::{self, SigningKeys};
use super::template::PayloadPart;
use super::time;
use super::types::{HeadRef, SignRequest};
use crate::http::message::Headers;
use crate::http::percent;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::sync::Arc;

/// The body with its time and its signature. `None` for a scheme whose signature is elsewhere or would cover itself, for a
/// body of another kind, and for several keys.
pub(super) fn sign(
    scheme: &Arc<CompiledScheme>,
    keys: SigningKeys<'_>,
    request: &SignRequest<'_>,
    now_unix: u64,
) -> Option<Vec<u8>> {
    let [key] = keys.listed else { return None };
    // Only the provider makes tokens.
    if scheme.payload.parts().any(is_whole_body) || scheme.tokens.is_some() {
        return None;
    }
    let mut body = Editor::open(&scheme.signature, request.body)?;
    if let Some(TimestampSource { location, unit }) = &scheme.timestamp {
        let written = time::write(now_unix, *unit)?;
        match location {
            TimestampLocation::Json(pointer) => body.set(&pointer.to_string(), &written)?,
            TimestampLocation::Form(name) => body.set(name, &written)?,
            TimestampLocation::Header(_)
            | TimestampLocation::Field(_)
            | TimestampLocation::Position(_)
            | TimestampLocation::Query(_)
            | TimestampLocation::Claim(_) => return None,
        }
    }
    let head = HeadRef {
        method: request.method,
        target: request.target,
        headers: &Headers::default(),
    };
    let values = HeadValues {
        signature_header: "",
        timestamp_text: Cow::Borrowed(""),
        timestamp_unix: None,
    };
    let unsigned = BufferedCheck::prepare(scheme, &head, &values, Vec::new()).ok()?;
    let signature = sign::signature(scheme, key, keys.private, &unsigned, &body.written())?;
    let prefix = scheme.prefixes.get(key.family).map_or("", String::as_str);
    let signature = format!("{prefix}{signature}");
    match &scheme.signature {
        SignatureLocation::Json(pointer) => body.set(&pointer.to_string(), &signature)?,
        SignatureLocation::EachJson(list) => body.set_each(list, &signature)?,
        SignatureLocation::Form(name) => body.set(name, &signature)?,
        SignatureLocation::Header(..) | SignatureLocation::Query(_) => return None,
    }
    Some(body.written())
}

/// Whether a part of the payload is the whole body, so that a signature in the body would cover itself.
const fn is_whole_body(part: &PayloadPart) -> bool {
    matches!(
        part,
        PayloadPart::Body | PayloadPart::BodyHash(..) | PayloadPart::BodyText | PayloadPart::Crc32 | PayloadPart::Form
    )
}

/// A body whose values can be set.
enum Editor {
    Json(Value),
    /// The encoded fields of a form.
    Form(Vec<String>),
}

impl Editor {
    /// Reads a body of the kind that has the signature.
    fn open(signature: &SignatureLocation, body: &[u8]) -> Option<Self> {
        match signature {
            SignatureLocation::Json(_) | SignatureLocation::EachJson(_) => {
                serde_json::from_slice(body).ok().map(Self::Json)
            }
            SignatureLocation::Form(_) => {
                let fields = std::str::from_utf8(body).ok()?.split('&');
                let fields = fields.filter(|field| !field.is_empty()).map(str::to_owned);
                Some(Self::Form(fields.collect()))
            }
            SignatureLocation::Header(..) | SignatureLocation::Query(_) => None,
        }
    }

    /// Sets the value at a pointer (RFC 6901) or of a field. A number of the JSON stays a number.
    fn set(&mut self, name: &str, text: &str) -> Option<()> {
        match self {
            Self::Json(document) => {
                let place = place(document, name)?;
                *place = match text.parse::<u64>() {
                    Ok(number) if place.is_number() => number.into(),
                    _ => text.into(),
                };
            }
            Self::Form(fields) => {
                let encoded = percent::encode(name);
                let field = format!("{encoded}={}", percent::encode(text));
                fields.retain(|field| field.split('=').next() != Some(&encoded));
                fields.push(field);
            }
        }
        Some(())
    }

    /// Sets the text in every element of an array.
    fn set_each(&mut self, list: &JsonList, text: &str) -> Option<()> {
        let (Self::Json(document), Some(inner)) = (&*self, &list.text) else {
            return None;
        };
        let elements = document.pointer(&list.array.to_string())?.as_array()?.len();
        (0..elements).try_for_each(|index| self.set(&format!("{}/{index}{inner}", list.array), text))
    }

    fn written(&self) -> Vec<u8> {
        match self {
            Self::Json(document) => document.to_string().into_bytes(),
            Self::Form(fields) => fields.join("&").into_bytes(),
        }
    }
}

/// The value at the pointer. Objects that are missing on the way are made; `None` where there is another value.
fn place<'v>(document: &'v mut Value, pointer: &str) -> Option<&'v mut Value> {
    let mut at = document;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        at = match at {
            Value::Object(fields) => fields.entry(token).or_insert(Value::Null),
            Value::Array(items) => items.get_mut(token.parse::<usize>().ok()?)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    Some(at)
}
