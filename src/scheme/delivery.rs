//! The provider's own id of a delivery. It is the same in all retries of a sender, although their signatures differ.
//!
//! `[route.dedupe]` delivers each id once. The id is read from a request that is already verified. Whether the id
//! itself is signed depends on the provider: an id in the body is signed, an id in a header of its own usually is not.

use super::description::LocationDescription;
use super::json::JsonPointer;
use super::location::{self, ValueLocation};
use super::types::{HeadRef, contiguous};
use super::{form, multipart};
use bytes::Bytes;
use hyper::Method;
use std::borrow::Cow;

/// The location of the id.
#[derive(Clone, Debug)]
pub struct DeliveryId {
    pub(super) location: ValueLocation,
    /// Whether a form may stand in place of the JSON body, as for [`SchemeDescription::forms`].
    ///
    /// [`SchemeDescription::forms`]: super::SchemeDescription::forms
    in_forms: bool,
}

impl DeliveryId {
    /// Parses the location from the configuration's table `key`.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn new(key: &str, description: LocationDescription) -> Result<Self, String> {
        Ok(Self {
            location: location::value(key, description)?,
            in_forms: false,
        })
    }

    /// The same location for a scheme whose sender also sends forms (`forms`): there the last part of a JSON pointer is the
    /// name of the field.
    #[must_use]
    pub const fn in_forms(mut self, forms: bool) -> Self {
        self.in_forms = forms;
        self
    }

    /// The location as the configuration writes it: `header`, `pointer`, `pointers` or `form`, and what that key names:
    /// one text, or several for `pointers`.
    #[must_use]
    pub fn describe(&self) -> (&'static str, Vec<String>) {
        match &self.location {
            ValueLocation::Header(name) => ("header", vec![name.to_string()]),
            ValueLocation::Json(pointer) => ("pointer", vec![pointer.to_string()]),
            ValueLocation::SeveralJson(pointers) => ("pointers", pointers.iter().map(ToString::to_string).collect()),
            ValueLocation::Form(name) => ("form", vec![name.clone()]),
        }
    }

    /// The id of a request; `body` in pieces. `None` when there is none (of several values: one is absent), or none that
    /// all readers would understand equally: an empty one, a repeated header, a repeated JSON key, a value that is not a
    /// text, an integer or a truth value.
    #[must_use]
    pub fn find<'a>(&self, head: &HeadRef<'a>, body: &[Bytes]) -> Option<Cow<'a, [u8]>> {
        let id: Cow<'a, [u8]> = match &self.location {
            ValueLocation::Header(name) => {
                let mut values = head.headers.named(name.as_str());
                let value = values.next()?;
                values.next().is_none().then_some(Cow::Borrowed(value))?
            }
            ValueLocation::Json(pointer) => Cow::Owned(self.text(pointer, head, body)?.into_bytes()),
            ValueLocation::SeveralJson(pointers) => {
                let mut id = Vec::new();
                for pointer in pointers {
                    let value = self.text(pointer, head, body)?;
                    // The length keeps the values apart: `a`, `bc` is another id than `ab`, `c`.
                    id.extend_from_slice(&value.len().to_be_bytes());
                    id.extend_from_slice(value.as_bytes());
                }
                Cow::Owned(id)
            }
            ValueLocation::Form(name) => Cow::Owned(field(name, head, body)?),
        };
        (!id.is_empty()).then_some(id)
    }

    /// The value at a JSON pointer, or in the form that stands in place of the JSON body.
    fn text(&self, pointer: &JsonPointer, head: &HeadRef<'_>, body: &[Bytes]) -> Option<String> {
        if self.in_forms && multipart::names_a_form(head) {
            return String::from_utf8(field(pointer.last(), head, body)?).ok();
        }
        pointer.text(&contiguous(body)).ok()?
    }
}

/// The value of a form field. The form of a GET is its query.
fn field(name: &str, head: &HeadRef<'_>, body: &[Bytes]) -> Option<Vec<u8>> {
    let form = if *head.method == Method::GET {
        let query = head.target.split_once('?').map_or("", |(_, query)| query);
        form::decode(query.as_bytes())
    } else {
        multipart::posted(&multipart::content_type(head).ok()?, &contiguous(body))
    };
    Some(form::value(&form.ok()?, name).ok()??.to_vec())
}
