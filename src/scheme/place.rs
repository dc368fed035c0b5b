//! Where things stand in a request: signatures, the signed time, the delivery's id.

use super::custom::{self, Unit};
use super::json::Pointer;
use super::template::{self, Part};
use hyper::header::HeaderName;

/// Where signatures stand.
#[derive(Debug)]
pub(super) enum Layout {
    Header(HeaderName, Shape),
    Json(Pointer),
    Form(String),
}

/// What a signature header looks like.
#[derive(Debug)]
pub(super) enum Shape {
    /// One signature.
    One,
    /// Signatures with this between them.
    Many(char),
    /// `key=value` with the second between them; the first is the key of a signature.
    List(String, char),
}

/// The signed time.
#[derive(Debug)]
pub(super) struct Time {
    pub(super) place: TimePlace,
    pub(super) unit: Unit,
}

/// Where the signed time stands.
#[derive(Debug)]
pub(super) enum TimePlace {
    Header(HeaderName),
    Field(String),
    Json(Pointer),
    Form(String),
}

/// Where a text stands.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Header(HeaderName),
    Json(Pointer),
    Form(String),
}

/// Where signatures stand, as described.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn layout(signature: custom::Signature) -> Result<Layout, String> {
    let custom::Signature {
        header,
        pointer,
        form,
        field,
        separator,
        ..
    } = signature;
    if let Some(bad) = separator.filter(|c| c.is_ascii_alphanumeric() || *c == '=' || !c.is_ascii()) {
        return Err(format!(
            "`signature.separator` cannot be `{bad}`: write a sign such as `,` or `;`."
        ));
    }
    match (header, pointer, form, field) {
        (Some(header), None, None, Some(field)) => {
            Ok(Layout::Header(template::header(&header)?, Shape::List(field, separator.unwrap_or(','))))
        }
        (Some(header), None, None, None) => {
            let shape = separator.map_or(Shape::One, Shape::Many);
            Ok(Layout::Header(template::header(&header)?, shape))
        }
        (None, Some(pointer), None, None) => Ok(Layout::Json(Pointer::parse(&pointer)?)),
        (None, None, Some(form), None) => Ok(Layout::Form(form)),
        _ => Err("`signature` says where the signature stands: write one of `{ header = \"X-Signature\" }`, `{ header = …, field = \"v1\" }`, `{ pointer = \"/signature\" }`, `{ form = \"signature\" }`.".to_owned()),
    }
}

/// Where the time stands, as described; `listed` when the signature header is a list.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn time(time: custom::Timestamp, listed: bool) -> Result<Time, String> {
    let custom::Timestamp {
        header,
        field,
        pointer,
        form,
        unit,
    } = time;
    let place = match (header, field, pointer, form) {
        (Some(header), None, None, None) => TimePlace::Header(template::header(&header)?),
        (None, Some(field), None, None) if listed => TimePlace::Field(field),
        (None, None, Some(pointer), None) => TimePlace::Json(Pointer::parse(&pointer)?),
        (None, None, None, Some(form)) => TimePlace::Form(form),
        _ => return Err("`timestamp` says where the time stands: write one of `{ header = \"X-Timestamp\" }`, `{ field = \"t\" }` (of a signature header with `field`), `{ pointer = \"/timestamp\" }`, `{ form = \"time\" }`.".to_owned()),
    };
    Ok(Time {
        place,
        unit: unit.unwrap_or(Unit::Seconds),
    })
}

/// Where a text stands, as described under this key.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn place(key: &str, place: custom::Place) -> Result<Place, String> {
    match (place.header, place.pointer, place.form) {
        (Some(header), None, None) => Ok(Place::Header(template::header(&header)?)),
        (None, Some(pointer), None) => Ok(Place::Json(Pointer::parse(&pointer)?)),
        (None, None, Some(form)) => Ok(Place::Form(form)),
        _ => Err(format!(
            "`{key}` is one of `{{ header = \"X-Id\" }}`, `{{ pointer = \"/id\" }}`, `{{ form = \"id\" }}`."
        )),
    }
}

/// What `{timestamp}` stands for.
pub(super) fn timestamp_part(time: &Time) -> Part {
    match &time.place {
        TimePlace::Header(_) | TimePlace::Field(_) => Part::Timestamp,
        TimePlace::Json(pointer) => Part::Json(pointer.clone(), false),
        TimePlace::Form(name) => Part::FormField(name.clone()),
    }
}

/// What `{id}` stands for.
pub(super) fn id_part(place: &Place) -> Part {
    match place {
        Place::Header(name) => Part::Header(name.clone()),
        Place::Json(pointer) => Part::Json(pointer.clone(), false),
        Place::Form(name) => Part::FormField(name.clone()),
    }
}
