//! The provider's own id of a delivery. It is the same in all retries of a sender, although their signatures differ.
//!
//! `[route.dedupe]` delivers each id once. The id is read from a request that is already verified. Whether the id
//! itself is signed depends on the provider: an id in the body is signed, an id in a header of its own usually is not.

use super::description::LocationDescription;
use super::form::FormField;
use super::json::{JsonPlan, JsonPointer};
use super::location::{self, ValueLocation};
use super::types::{HeadRef, contiguous};
use super::work::Work;
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

    /// The work of finding the id in a body.
    #[must_use]
    pub const fn work(&self) -> Work {
        self.location.work()
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
            ValueLocation::Json(pointer) => {
                let mut values = self.texts(std::slice::from_ref(pointer), head, body)?;
                Cow::Owned(values.pop()?.into_bytes())
            }
            ValueLocation::SeveralJson(pointers) => {
                let mut id = Vec::new();
                for value in self.texts(pointers, head, body)? {
                    // The length keeps the values apart: `a`, `bc` is another id than `ab`, `c`.
                    id.extend_from_slice(&value.len().to_be_bytes());
                    id.extend_from_slice(value.as_bytes());
                }
                Cow::Owned(id)
            }
            ValueLocation::Form(name) => Cow::Owned(field(&form(head, body)?, name)?),
        };
        (!id.is_empty()).then_some(id)
    }

    /// The values at JSON pointers, all of which are there: in one pass over the JSON body, or over the form that stands in
    /// its place.
    fn texts(&self, pointers: &[JsonPointer], head: &HeadRef<'_>, body: &[Bytes]) -> Option<Vec<String>> {
        if self.in_forms && multipart::names_a_form(head) {
            let form = form(head, body)?;
            let value = |pointer: &JsonPointer| String::from_utf8(field(&form, pointer.last())?).ok();
            return pointers.iter().map(value).collect();
        }
        let body = contiguous(body);
        let plan = JsonPlan::new(pointers, None, &[]);
        let values = plan.read(&body).ok()?;
        let value = |pointer: &JsonPointer| values.text(pointer).map(str::to_owned);
        pointers.iter().map(value).collect()
    }
}

/// The form of a request. That of a GET is its query.
fn form(head: &HeadRef<'_>, body: &[Bytes]) -> Option<Vec<FormField>> {
    let form = if *head.method == Method::GET {
        let query = head.target.split_once('?').map_or("", |(_, query)| query);
        form::decode(query.as_bytes())
    } else {
        multipart::posted(&multipart::content_type(head).ok()?, &contiguous(body))
    };
    form.ok()
}

/// The value of a form field.
fn field(form: &[FormField], name: &str) -> Option<Vec<u8>> {
    Some(form::value(form, name).ok()??.to_vec())
}
