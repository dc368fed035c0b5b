//! The provider's own id of a delivery: the same in each of a sender's retries, whatever their signatures.
//!
//! It names what `[route.dedupe]` delivers once. It is read from a request that is verified already; that the id itself is
//! signed is the provider's choice (an id in the body is, one in a header of its own mostly is not).

use super::place::{self, Place};
use super::{Head, contiguous, custom, form};
use bytes::Bytes;
use hyper::Method;
use std::borrow::Cow;

/// Where the id stands.
#[derive(Clone, Debug)]
pub struct DeliveryId(pub(super) Place);

impl DeliveryId {
    /// An id that stands where the configuration's table `key` says.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn new(key: &str, described: custom::Place) -> Result<Self, String> {
        place::place(key, described).map(Self)
    }

    /// The place in the words of the configuration: `header`, `pointer` or `form`, and which.
    #[must_use]
    pub fn written(&self) -> (&'static str, String) {
        match &self.0 {
            Place::Header(name) => ("header", name.to_string()),
            Place::Json(pointer) => ("pointer", pointer.to_string()),
            Place::Form(name) => ("form", name.clone()),
        }
    }

    /// The id of a request; `body` in pieces. `None` where there is none, or none that all readers would agree on: an
    /// empty one, a header given twice, a JSON key given twice, a value that is not plain.
    #[must_use]
    pub fn find<'a>(&self, head: &Head<'a>, body: &[Bytes]) -> Option<Cow<'a, [u8]>> {
        let id: Cow<'a, [u8]> = match &self.0 {
            Place::Header(name) => {
                let mut values = head.headers.named(name.as_str());
                let value = values.next()?;
                values.next().is_none().then_some(Cow::Borrowed(value))?
            }
            Place::Json(pointer) => Cow::Owned(pointer.text(&contiguous(body)).ok()??.into_bytes()),
            Place::Form(name) => {
                let query = head.target.split_once('?').map_or("", |(_, query)| query);
                let body = contiguous(body);
                let form = if *head.method == Method::GET {
                    query.as_bytes()
                } else {
                    &body
                };
                Cow::Owned(form::value(&form::decode(form).ok()?, name).ok()??.to_vec())
            }
        };
        (!id.is_empty()).then_some(id)
    }
}
