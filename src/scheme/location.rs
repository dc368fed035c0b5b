//! Where things are in a request: signatures, the signed time, the delivery's id.

use super::description::{LocationDescription, SignatureDescription, TimeUnit, TimestampDescription};
use super::json::JsonPointer;
use super::template::{self, PayloadPart};
use hyper::header::HeaderName;

/// Where signatures are.
#[derive(Debug)]
pub(super) enum SignatureLocation {
    /// In a header of this name and format.
    Header(HeaderName, SignatureHeaderFormat),
    /// At this pointer in the JSON body.
    Json(JsonPointer),
    /// In this form field of the body, or of the query of a GET.
    Form(String),
}

/// The format of a signature header.
#[derive(Debug)]
pub(super) enum SignatureHeaderFormat {
    /// One signature.
    Single,
    /// Several signatures with this separator between them.
    Separated(char),
    /// A list of `key=value`. The first value is the key of a signature, the second is the separator of the list.
    KeyValueList(String, char),
}

/// The signed time: where it is and how it is written.
#[derive(Debug)]
pub(super) struct TimestampSource {
    pub(super) location: TimestampLocation,
    pub(super) unit: TimeUnit,
}

/// Where the signed time is.
#[derive(Debug)]
pub(super) enum TimestampLocation {
    /// In a header of its own.
    Header(HeaderName),
    /// Under this key of the signature header's list.
    Field(String),
    /// At this pointer in the JSON body.
    Json(JsonPointer),
    /// In this form field.
    Form(String),
}

/// Where a text value, such as the delivery's id, is.
#[derive(Clone, Debug)]
pub(super) enum ValueLocation {
    /// In a header.
    Header(HeaderName),
    /// At this pointer in the JSON body.
    Json(JsonPointer),
    /// At these pointers in the JSON body: their values together.
    SeveralJson(Vec<JsonPointer>),
    /// In this form field.
    Form(String),
}

/// Parses where signatures are.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn signature(description: SignatureDescription) -> Result<SignatureLocation, String> {
    let SignatureDescription {
        header,
        pointer,
        form,
        field,
        separator,
        ..
    } = description;
    if let Some(bad) = separator.filter(|c| c.is_ascii_alphanumeric() || *c == '=' || !c.is_ascii()) {
        return Err(format!(
            "`signature.separator` cannot be `{bad}`: write a sign such as `,` or `;`."
        ));
    }
    match (header, pointer, form, field) {
        (Some(header), None, None, Some(field)) => {
            let format = SignatureHeaderFormat::KeyValueList(field, separator.unwrap_or(','));
            Ok(SignatureLocation::Header(template::header(&header)?, format))
        }
        (Some(header), None, None, None) => {
            let format = separator.map_or(SignatureHeaderFormat::Single, SignatureHeaderFormat::Separated);
            Ok(SignatureLocation::Header(template::header(&header)?, format))
        }
        (None, Some(pointer), None, None) => Ok(SignatureLocation::Json(JsonPointer::parse(&pointer)?)),
        (None, None, Some(form), None) => Ok(SignatureLocation::Form(form)),
        _ => Err("`signature` is the location of the signature: write one of `{ header = \"X-Signature\" }`, `{ header = …, field = \"v1\" }`, `{ pointer = \"/signature\" }`, `{ form = \"signature\" }`.".to_owned()),
    }
}

/// Parses where the time is. `has_list` says whether the signature header is a list of `key=value`.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn timestamp(description: TimestampDescription, has_list: bool) -> Result<TimestampSource, String> {
    let TimestampDescription {
        header,
        field,
        pointer,
        form,
        unit,
    } = description;
    let location = match (header, field, pointer, form) {
        (Some(header), None, None, None) => TimestampLocation::Header(template::header(&header)?),
        (None, Some(field), None, None) if has_list => TimestampLocation::Field(field),
        (None, None, Some(pointer), None) => TimestampLocation::Json(JsonPointer::parse(&pointer)?),
        (None, None, None, Some(form)) => TimestampLocation::Form(form),
        _ => return Err("`timestamp` is the location of the time: write one of `{ header = \"X-Timestamp\" }`, `{ field = \"t\" }` (of a signature header with `field`), `{ pointer = \"/timestamp\" }`, `{ form = \"time\" }`.".to_owned()),
    };
    Ok(TimestampSource {
        location,
        unit: unit.unwrap_or(TimeUnit::Seconds),
    })
}

/// Parses where a text value is; `key` is the configuration key, for the message.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn value(key: &str, description: LocationDescription) -> Result<ValueLocation, String> {
    let LocationDescription {
        header,
        pointer,
        pointers,
        form,
    } = description;
    match (header, pointer, form, pointers.is_empty()) {
        (Some(header), None, None, true) => Ok(ValueLocation::Header(template::header(&header)?)),
        (None, Some(pointer), None, true) => Ok(ValueLocation::Json(JsonPointer::parse(&pointer)?)),
        (None, None, Some(form), true) => Ok(ValueLocation::Form(form)),
        (None, None, None, false) => {
            let pointers: Result<_, _> = pointers.iter().map(|text| JsonPointer::parse(text)).collect();
            Ok(ValueLocation::SeveralJson(pointers?))
        }
        _ => Err(format!(
            "`{key}` is one of `{{ header = \"X-Id\" }}`, `{{ pointer = \"/id\" }}`, `{{ pointers = [\"/type\", \"/id\"] }}`, `{{ form = \"id\" }}`."
        )),
    }
}

/// The part of the payload that `{timestamp}` means.
pub(super) fn timestamp_part(timestamp: &TimestampSource) -> PayloadPart {
    match &timestamp.location {
        TimestampLocation::Header(_) | TimestampLocation::Field(_) => PayloadPart::Timestamp,
        TimestampLocation::Json(pointer) => PayloadPart::Json(pointer.clone(), false),
        TimestampLocation::Form(name) => PayloadPart::FormField(name.clone()),
    }
}

/// The part of the payload that `{id}` means; `None` for an id that consists of several values.
pub(super) fn id_part(location: &ValueLocation) -> Option<PayloadPart> {
    match location {
        ValueLocation::Header(name) => Some(PayloadPart::Header(name.clone())),
        ValueLocation::Json(pointer) => Some(PayloadPart::Json(pointer.clone(), false)),
        ValueLocation::SeveralJson(_) => None,
        ValueLocation::Form(name) => Some(PayloadPart::FormField(name.clone())),
    }
}
