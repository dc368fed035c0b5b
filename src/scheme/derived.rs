//! What follows from a parsed description: the plan of its payload, what is read of a JSON body, which headers it depends on,
//! and what it covers.

use super::boundary::Boundaries;
use super::compiled::{BodyTokens, Coverage, JwtFormat, MessageFormat, PayloadPlan, SchemeKey};
use super::delivery::DeliveryId;
use super::description::{DigestFields, SchemeDescription};
use super::json::{JsonList, JsonPlan, JsonPointer};
use super::keys::VerificationKey;
use super::location::{self, SignatureLocation, TimestampLocation, TimestampSource};
use super::message_parts::{CONTENT_DIGEST, SIGNATURE_INPUT};
use super::sns;
use super::template::PayloadPart;
use super::url::PublicUrl;
use hyper::header::HeaderName;
use std::time::Duration;

/// The description after every text in it was parsed; see the fields of [`CompiledScheme`].
pub(super) struct Parsed {
    pub(super) signature: SignatureLocation,
    pub(super) timestamp: Option<TimestampSource>,
    pub(super) tolerance: Option<Duration>,
    pub(super) delivery_id: Option<DeliveryId>,
    pub(super) public_url: Option<PublicUrl>,
    pub(super) single_element_array: Option<JsonPointer>,
    pub(super) parts: Vec<PayloadPart>,
    pub(super) boundaries: Boundaries,
    pub(super) jwt: Option<JwtFormat>,
    pub(super) tokens: Option<BodyTokens>,
    pub(super) message: Option<MessageFormat>,
}

/// Everything that a check of the complete body reads of its JSON.
pub(super) fn json_plan(parsed: &Parsed) -> JsonPlan {
    let signature = match &parsed.signature {
        SignatureLocation::Json(pointer) => Some(pointer),
        SignatureLocation::Header(..)
        | SignatureLocation::Query(_)
        | SignatureLocation::EachJson(_)
        | SignatureLocation::Form(_) => None,
    };
    let mut lists: Vec<&JsonList> = Vec::new();
    if let SignatureLocation::EachJson(list) = &parsed.signature {
        lists.push(list);
    }
    lists.extend(parsed.tokens.as_ref().map(|tokens| &tokens.list));
    let time = parsed
        .timestamp
        .as_ref()
        .and_then(|timestamp| match &timestamp.location {
            TimestampLocation::Json(pointer) => Some(pointer),
            TimestampLocation::Header(_)
            | TimestampLocation::Field(_)
            | TimestampLocation::Position(_)
            | TimestampLocation::Query(_)
            | TimestampLocation::Form(_)
            | TimestampLocation::Claim(_) => None,
        });
    let signed = parsed.parts.iter().filter_map(|part| {
        if let PayloadPart::Json(pointer, _) = part {
            Some(pointer)
        } else {
            None
        }
    });
    let is_sns = parsed.parts.iter().any(|part| matches!(part, PayloadPart::Sns(_)));
    let of_sns = if is_sns { sns::pointers() } else { Vec::new() };
    let texts = signature.into_iter().chain(time).chain(signed).chain(&of_sns);
    JsonPlan::new(texts, parsed.single_element_array.as_ref(), &lists)
}

/// Decides whether the payload is hashed while the body arrives. It is when everything before and after the body is
/// known from the head and every key is an HMAC key of one hash.
pub(super) fn plan(description: &SchemeDescription, parsed: &mut Parsed, keys: &[SchemeKey]) -> PayloadPlan {
    if let Some(format) = parsed.jwt.take() {
        return PayloadPlan::Jwt(format, parsed.parts.clone());
    }
    if let Some(format) = parsed.message.take() {
        return PayloadPlan::Message(format, parsed.parts.clone());
    }
    let mut hashes = keys.iter().map(|key| match &key.key {
        VerificationKey::Mac(mac) if key.family == 0 => Some(mac.hash()),
        VerificationKey::Mac(_)
        | VerificationKey::Public(_)
        | VerificationKey::Token(..)
        | VerificationKey::Digest(..)
        | VerificationKey::Message(_)
        | VerificationKey::Fetched => None,
    });
    let hash = hashes
        .next()
        .flatten()
        .filter(|first| hashes.all(|hash| hash == Some(*first)));
    let time_in_form = parsed
        .timestamp
        .as_ref()
        .is_some_and(|timestamp| matches!(timestamp.location, TimestampLocation::Form(_)));
    let allowed = matches!(
        parsed.signature,
        SignatureLocation::Header(..) | SignatureLocation::Query(_)
    ) && !time_in_form
        && !description.url_ports
        && description.body_digest.is_none()
        && parsed.single_element_array.is_none()
        && !parsed.parts.iter().any(PayloadPart::needs_whole_body);
    let mut bodies = parsed
        .parts
        .iter()
        .enumerate()
        .filter(|(_, part)| **part == PayloadPart::Body);
    match (hash, bodies.next(), bodies.next()) {
        (Some(hash), Some((at, _)), None) if allowed => {
            let (before, after) = parsed.parts.split_at(at);
            PayloadPlan::Streamed {
                before: before.to_vec(),
                after: after.iter().skip(1).cloned().collect(),
                hash,
            }
        }
        _ => PayloadPlan::Buffered(parsed.parts.clone()),
    }
}

/// Every header that the result depends on, the signature header first.
pub(super) fn signed_headers(
    signature: &SignatureLocation,
    timestamp: Option<&TimestampSource>,
    payload: &PayloadPlan,
) -> Vec<HeaderName> {
    let mut headers = Vec::new();
    let mut add = |name: &HeaderName| {
        if !headers.contains(name) {
            headers.push(name.clone());
        }
    };
    if let SignatureLocation::Header(names, _) = signature {
        names.iter().for_each(&mut add);
    }
    if let Some(TimestampLocation::Header(name)) = timestamp.map(|timestamp| &timestamp.location) {
        add(name);
    }
    for part in payload.parts() {
        if let PayloadPart::Header(name) = part {
            add(name);
        }
    }
    if let PayloadPlan::Message(..) = payload {
        [SIGNATURE_INPUT, CONTENT_DIGEST]
            .map(HeaderName::from_static)
            .iter()
            .for_each(add);
    }
    headers
}

/// What the signature covers.
pub(super) fn coverage(description: &SchemeDescription, parsed: &Parsed, payload: &PayloadPlan) -> Coverage {
    // A form digest over some of the fields leaves the others open.
    let digest = description.form_digest.as_ref();
    let leaves_fields_out = digest
        .is_some_and(|digest| matches!(digest.fields, Some(DigestFields::Named(_))) || !digest.leave_out.is_empty());
    let is_fixed = |part: &PayloadPart| matches!(part, PayloadPart::Literal(_) | PayloadPart::Secret);
    if payload.parts().any(PayloadPart::covers_body) && !leaves_fields_out {
        if payload.parts().all(|part| *part == PayloadPart::Body || is_fixed(part)) {
            Coverage::BodyOnly
        } else {
            Coverage::Whole
        }
    } else {
        let id = parsed
            .delivery_id
            .as_ref()
            .and_then(|id| location::id_part(&id.location));
        let signs_id = id.is_some_and(|id| payload.parts().any(|part| *part == id));
        if signs_id && parsed.timestamp.is_some() {
            Coverage::SingleUseToken
        } else {
            Coverage::Part
        }
    }
}
