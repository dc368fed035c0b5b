//! Where things are in a request: signatures, the signed time, the delivery's id.

use super::description::{LocationDescription, SignatureDescription, TimeUnit, TimestampDescription};
use super::header::MAX_CANDIDATES;
use super::json::{JsonList, JsonPointer};
use super::template::{self, PayloadPart};
use super::work::{COPY, FORM, Work};
use hyper::header::HeaderName;

/// Where signatures are.
#[derive(Debug)]
pub(super) enum SignatureLocation {
    /// In headers of these names and this format. One is usual; of several, one at least is there.
    Header(Vec<HeaderName>, SignatureHeaderFormat),
    /// In this parameter of the query.
    Query(String),
    /// At this pointer in the JSON body.
    Json(JsonPointer),
    /// In every element of an array of the JSON body.
    EachJson(JsonList),
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
    /// A list of values without names: the number, from 1, of the first that is a signature, and the separator.
    Positions(usize, char),
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
    /// The part of the signature header's list with this number, from 1.
    Position(usize),
    /// In this parameter of the query.
    Query(String),
    /// At this pointer in the JSON body.
    Json(JsonPointer),
    /// In this form field.
    Form(String),
    /// In this claim of the token.
    Claim(String),
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

impl ValueLocation {
    /// The work of finding the value in a body.
    pub(super) const fn work(&self) -> Work {
        match self {
            Self::Header(_) => Work::per_byte(0),
            // The fields of a form may stand in place of the JSON.
            Self::Json(_) | Self::SeveralJson(_) | Self::Form(_) => Work::per_byte(COPY + FORM),
        }
    }
}

/// Parses where signatures are.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn signature(description: SignatureDescription) -> Result<SignatureLocation, String> {
    let SignatureDescription {
        header,
        query,
        pointer,
        each,
        form,
        field,
        position,
        separator,
        prefix: _,
    } = description;
    if let Some(array) = each {
        let (None, None, Some(pointer), None, None, None) = (&header, &query, &pointer, &form, &field, position) else {
            return Err("`signature.each` is the array of the JSON body whose elements each have a signature: write `{ each = \"/value\", pointer = \"/token\" }`, with the pointer within an element.".to_owned());
        };
        return Ok(SignatureLocation::EachJson(JsonList {
            array: JsonPointer::parse(&array)?,
            text: Some(JsonPointer::parse(pointer)?),
            most: MAX_CANDIDATES,
        }));
    }
    if let Some(bad) = separator.filter(|c| c.is_ascii_alphanumeric() || *c == '=' || !c.is_ascii()) {
        return Err(format!(
            "`signature.separator` cannot be `{bad}`: write a sign such as `,` or `;`."
        ));
    }
    let in_list = field.is_some() || position.is_some();
    match (header, query, pointer, form) {
        (Some(header), None, None, None) => {
            let names: Result<Vec<_>, _> = header.as_slice().iter().map(|name| template::header(name)).collect();
            let names = names?;
            if names.is_empty() || names.len() > MAX_CANDIDATES {
                return Err(format!("`signature.header` has no name, or more than {MAX_CANDIDATES}: write the names of the headers that have a signature."));
            }
            if names.len() > 1 && in_list {
                return Err("Several headers have one signature each: remove `signature.field` and `signature.position`, or write one header.".to_owned());
            }
            let format = match (field, position) {
                (Some(field), None) => SignatureHeaderFormat::KeyValueList(field, separator.unwrap_or(',')),
                (None, Some(position @ 1..)) => SignatureHeaderFormat::Positions(position, separator.unwrap_or(',')),
                (None, None) => separator.map_or(SignatureHeaderFormat::Single, SignatureHeaderFormat::Separated),
                (None, Some(0)) => return Err("`signature.position` is 0: the first part of the list has the number 1.".to_owned()),
                (Some(_), Some(_)) => return Err("A list has names or numbers: remove `signature.field` or `signature.position`.".to_owned()),
            };
            Ok(SignatureLocation::Header(names, format))
        }
        (None, Some(query), None, None) if !in_list => Ok(SignatureLocation::Query(query)),
        (None, None, Some(pointer), None) if !in_list => Ok(SignatureLocation::Json(JsonPointer::parse(&pointer)?)),
        (None, None, None, Some(form)) if !in_list => Ok(SignatureLocation::Form(form)),
        _ => Err("`signature` is the location of the signature: write one of `{ header = \"X-Signature\" }`, `{ header = …, field = \"v1\" }`, `{ header = …, position = 2 }`, `{ query = \"signature\" }`, `{ pointer = \"/signature\" }`, `{ form = \"signature\" }`.".to_owned()),
    }
}

/// Parses where the time is. `signature` is where the signatures are; `None` where that has a fault.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn timestamp(
    description: TimestampDescription,
    signature: Option<&SignatureLocation>,
) -> Result<TimestampSource, String> {
    let format = match signature {
        Some(SignatureLocation::Header(_, format)) => Some(format),
        Some(
            SignatureLocation::Query(_)
            | SignatureLocation::Json(_)
            | SignatureLocation::EachJson(_)
            | SignatureLocation::Form(_),
        )
        | None => None,
    };
    let has_names = matches!(format, Some(SignatureHeaderFormat::KeyValueList(..)));
    let has_numbers = matches!(format, Some(SignatureHeaderFormat::Positions(..)));
    let TimestampDescription {
        header,
        field,
        position,
        query,
        pointer,
        form,
        claim,
        unit,
    } = description;
    if let (Some(claim), None, None, None, None, None, None) =
        (&claim, &header, &field, position, &query, &pointer, &form)
    {
        return Ok(TimestampSource {
            location: TimestampLocation::Claim(claim.clone()),
            unit: TimeUnit::Seconds,
        });
    }
    let location = match (header, field, position, query, pointer, form) {
        (Some(header), None, None, None, None, None) => TimestampLocation::Header(template::header(&header)?),
        (None, Some(field), None, None, None, None) if has_names => TimestampLocation::Field(field),
        (None, None, Some(position @ 1..), None, None, None) if has_numbers => TimestampLocation::Position(position),
        (None, None, None, Some(query), None, None) => TimestampLocation::Query(query),
        (None, None, None, None, Some(pointer), None) => TimestampLocation::Json(JsonPointer::parse(&pointer)?),
        (None, None, None, None, None, Some(form)) => TimestampLocation::Form(form),
        _ => return Err("`timestamp` is the location of the time: write one of `{ header = \"X-Timestamp\" }`, `{ field = \"t\" }` (of a signature header with `field`), `{ position = 1 }` (of one with `position`), `{ query = \"time\" }`, `{ pointer = \"/timestamp\" }`, `{ form = \"time\" }`.".to_owned()),
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
        TimestampLocation::Header(_)
        | TimestampLocation::Field(_)
        | TimestampLocation::Position(_)
        | TimestampLocation::Query(_) => PayloadPart::Timestamp,
        TimestampLocation::Json(pointer) => PayloadPart::Json(pointer.clone(), false),
        TimestampLocation::Form(name) => PayloadPart::FormField(name.clone()),
        // The time of a token has no placeholder: a token has no payload template.
        TimestampLocation::Claim(_) => PayloadPart::Timestamp,
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
