//! Whether a scheme signs what it reads. A time that no signature covers can be written by anyone, so it would make an
//! old request look fresh; an id that no signature covers would let one request look like many.

use super::compiled::FormDigest;
use super::delivery::DeliveryId;
use super::description::{Algorithm, DigestFields};
use super::json::JsonPointer;
use super::location::{TimestampLocation, TimestampSource, ValueLocation};
use super::template::PayloadPart;
use hyper::header::HeaderName;

/// The place of a value that the scheme reads.
#[derive(Clone, Copy)]
enum Place<'p> {
    Header(&'p HeaderName),
    Field(&'p str),
    Position(usize),
    Query(&'p str),
    Json(&'p JsonPointer),
    Form(&'p str),
}

/// The payload of a scheme, and what decides which values it covers.
pub(super) struct SignedParts<'p> {
    pub(super) algorithm: Algorithm,
    pub(super) parts: &'p [PayloadPart],
    pub(super) form_digest: &'p FormDigest,
}

impl SignedParts<'_> {
    /// A fault if the payload does not contain the time.
    pub(super) fn check_time(&self, time: &TimestampSource) -> Result<(), String> {
        let place = match &time.location {
            TimestampLocation::Header(name) => Place::Header(name),
            TimestampLocation::Field(name) => Place::Field(name),
            TimestampLocation::Position(number) => Place::Position(*number),
            TimestampLocation::Query(name) => Place::Query(name),
            TimestampLocation::Json(pointer) => Place::Json(pointer),
            TimestampLocation::Form(name) => Place::Form(name),
            // A token's signature covers all of its claims.
            TimestampLocation::Claim(_) => return Ok(()),
        };
        let is_in_head = matches!(
            place,
            Place::Header(_) | Place::Field(_) | Place::Position(_) | Place::Query(_)
        );
        if self.covers(place) || (is_in_head && self.parts.contains(&PayloadPart::Timestamp)) {
            Ok(())
        } else if self.algorithm.is_token() {
            Err("A token signs nothing, so a sender could write any time: remove `timestamp`.".to_owned())
        } else {
            Err("The payload does not contain the time, so a sender could write any time: add `{timestamp}` to `payload` where the provider signs it, or remove `timestamp`.".to_owned())
        }
    }

    /// A fault if the payload does not contain the id.
    pub(super) fn check_id(&self, id: &DeliveryId) -> Result<(), String> {
        let is_covered = match &id.location {
            ValueLocation::Header(name) => self.covers(Place::Header(name)),
            ValueLocation::Json(pointer) => self.covers(Place::Json(pointer)),
            ValueLocation::SeveralJson(pointers) => pointers.iter().all(|pointer| self.covers(Place::Json(pointer))),
            ValueLocation::Form(name) => self.covers(Place::Form(name)),
        };
        if is_covered {
            Ok(())
        } else {
            Err("The payload does not contain the delivery id, so a sender could write any id: add `{id}` to `payload` where the provider signs it, or remove `delivery_id` and write the place of the id in `dedupe` of the route.".to_owned())
        }
    }

    /// Whether a part of the payload contains the value at this place.
    fn covers(&self, place: Place<'_>) -> bool {
        self.parts.iter().any(|part| match (part, place) {
            (
                PayloadPart::Body | PayloadPart::BodyHash(..) | PayloadPart::BodyText | PayloadPart::Crc32,
                Place::Json(_) | Place::Form(_),
            ) => true,
            (PayloadPart::Sns(_), Place::Json(read)) => super::sns::is_signed(read),
            (PayloadPart::Query | PayloadPart::Target | PayloadPart::Url, Place::Query(_)) => true,
            (PayloadPart::QueryParameter(signed), Place::Query(read)) => signed == read,
            (PayloadPart::Field(signed), Place::Position(number)) => *signed == number.to_string(),
            (PayloadPart::Form | PayloadPart::Php, Place::Form(_)) => true,
            (PayloadPart::FormDigest, Place::Form(name)) => self.digest_covers(name),
            (PayloadPart::Header(signed), Place::Header(read)) => signed == read,
            (PayloadPart::Field(signed), Place::Field(read)) => signed == read,
            (PayloadPart::Json(signed, _), Place::Json(read)) => signed == read,
            (PayloadPart::FormField(signed), Place::Form(read)) => signed == read,
            _ => false,
        })
    }

    /// Whether a form digest covers the field.
    fn digest_covers(&self, name: &str) -> bool {
        let digest = self.form_digest;
        let is_listed = match &digest.fields {
            DigestFields::Order(_) => true,
            DigestFields::Named(names) => names.iter().any(|listed| listed == name),
        };
        is_listed && digest.hash_field != name && !digest.leave_out.iter().any(|left_out| left_out == name)
    }
}
