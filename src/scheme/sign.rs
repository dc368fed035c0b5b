//! The sender's side: the headers that a provider would set, for `sign`, `send` and `demo`.
//!
//! The payload is put together by the code that verifies, so this proves nothing about a scheme: the vectors and the
//! providers' own libraries do.

use super::claim::Claim;
use super::compile::Scheme;
use super::delivery::DeliveryId;
use super::keys::Key;
use super::place::{Layout, Place, Shape, Time, TimePlace};
use super::template::Part;
use super::whole::Whole;
use super::{Head, SignRequest, header, time};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use std::sync::Arc;

/// The header that a signature lists by name where the scheme wants such a list.
const LISTED: HeaderName = HeaderName::from_static("x-delivery");

/// See [`super::Verifier::sign_with`].
pub(super) fn sign(
    scheme: &Arc<Scheme>,
    keys: &[usize],
    request: &SignRequest<'_>,
    now: u64,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let Layout::Header(name, shape) = &scheme.layout else {
        return None;
    };
    let id = request.delivery_id.map_or_else(|| format!("msg_{now}"), str::to_owned);
    let id = HeaderValue::try_from(id).ok()?;
    let mut headers = HeaderMap::new();
    let mut fields = Vec::new();
    if let Some(DeliveryId(Place::Header(name))) = &scheme.delivery_id {
        headers.insert(name, id.clone());
    }
    let mut written = String::new();
    if let Some(Time { place, unit }) = &scheme.time {
        written = time::write(now, *unit)?;
        match place {
            TimePlace::Header(name) => drop(headers.insert(name, HeaderValue::try_from(&written).ok()?)),
            TimePlace::Field(field) => fields.push(format!("{field}={written}")),
            TimePlace::Json(_) | TimePlace::Form(_) => {}
        }
    }
    for part in scheme.payload.parts() {
        if let Part::Header(name) = part
            && !headers.contains_key(name)
        {
            headers.insert(name, id.clone());
        } else if let Part::Listed(field) = part {
            headers.insert(LISTED, id.clone());
            fields.push(format!("{field}={LISTED}"));
        }
    }
    let separator = match shape {
        Shape::One => None,
        Shape::Many(separator) | Shape::List(_, separator) => Some(separator.to_string()),
    };
    let text = fields.join(separator.as_deref().unwrap_or_default());
    let claim = Claim {
        text: &text,
        written: &written,
        seconds: Some(now),
    };
    let head = Head {
        method: request.method,
        target: request.target,
        headers: &headers.iter().collect(),
    };
    let whole = Whole::prepare(scheme, &head, &claim, Vec::new()).ok()?;

    let prefix = scheme.prefixes.first().map_or("", String::as_str);
    for key in keys {
        let signature = match &scheme.keys.get(*key)?.key {
            Key::Mac(mac) => {
                let mut mac = mac.clone();
                mac.update(&whole.signed(request.body, None).ok()?);
                header::encode(mac.finish().as_slice(), scheme.encoding)
            }
            Key::Digest(plain, secret) => header::encode(
                &plain.digest(&whole.signed(request.body, Some(secret)).ok()?),
                scheme.encoding,
            ),
            Key::Token(_, secret) => std::str::from_utf8(secret.expose()).ok()?.to_owned(),
            Key::Public(_) => return None,
        };
        fields.push(match shape {
            Shape::List(field, _) => format!("{field}={prefix}{signature}"),
            Shape::One | Shape::Many(_) => format!("{prefix}{signature}"),
        });
    }
    if keys.is_empty() || (separator.is_none() && keys.len() > 1) {
        return None;
    }
    let value = HeaderValue::try_from(fields.join(separator.as_deref().unwrap_or_default())).ok()?;
    let mut all = vec![(name.clone(), value)];
    all.extend(
        headers
            .into_iter()
            .filter_map(|(name, value)| name.map(|name| (name, value))),
    );
    Some(all)
}
