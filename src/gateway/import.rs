//! Checks a delivery that an operator brings in from elsewhere, as a request is checked: header rules, length, and the
//! sender's signature, without its age. Pure.

use crate::gateway::snapshot::{CompiledRoute, Snapshot};
use crate::http::http1::lines;
use crate::http::message::Headers;
use crate::http::rules;
use crate::inbox::Inbox;
use crate::inbox::record::HeadLine;
use crate::inbox::store::types::{FirstAttempt, NewDelivery};
use crate::scheme::HeadRef;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Version};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;

/// Header fields of an imported request.
const FIELDS: usize = 1_000;

/// A delivery as an export writes it. Fields that the check does not need are ignored.
#[derive(Debug, Deserialize)]
pub struct Exported {
    /// The name of its route.
    pub route: String,
    request: ExportedRequest,
}

#[derive(Debug, Deserialize)]
struct ExportedRequest {
    method: String,
    target: String,
    authority: String,
    peer: Option<IpAddr>,
    request_id: String,
    headers: Vec<(String, String)>,
    body_base64: String,
}

/// The delivery, if a request like it would have been accepted when it was signed.
///
/// # Errors
/// A sentence that says why not.
pub fn checked(snapshot: &Snapshot, inbox: &Arc<Inbox>, exported: &Exported) -> Result<NewDelivery, String> {
    let mut routes = snapshot.routes().iter();
    let route = routes
        .find(|route| route.settings.name == exported.route)
        .ok_or_else(|| format!("there is no route `{}`", exported.route))?;
    let Some((_, target)) = &route.durable else {
        return Err(format!("the route `{}` has no inbox", exported.route));
    };
    let request = &exported.request;
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| "the method is not one")?;
    if !route.settings.methods.contains(&method) {
        return Err(format!("the route does not accept {method}"));
    }
    let path = PathAndQuery::try_from(request.target.as_str()).map_err(|_| "the target is not a path")?;
    let found = snapshot.find(&request.authority, path.path());
    if !found.is_some_and(|found| Arc::ptr_eq(found, route)) {
        return Err(String::from("host and path do not belong to the route"));
    }
    let headers = parsed(&request.headers).ok_or("a header field is not one")?;
    rules::check_request_fields(&headers, Version::HTTP_11, route.settings.verifier.signature_headers())
        .map_err(|rejection| rejection.title().to_string())?;
    let body = STANDARD
        .decode(&request.body_base64)
        .map_err(|_| "the body is not base64")?;
    if body.len() > route.settings.body_limit {
        return Err(String::from("the body is larger than `body_limit`"));
    }
    stored(
        route,
        target.name.clone(),
        inbox,
        request,
        &method,
        &headers,
        Bytes::from(body),
    )
}

fn stored(
    route: &CompiledRoute,
    name: Arc<str>,
    inbox: &Inbox,
    request: &ExportedRequest,
    method: &Method,
    headers: &Headers,
    body: Bytes,
) -> Result<NewDelivery, String> {
    let Some((_, target)) = &route.durable else {
        return Err(String::from("the route has no inbox"));
    };
    let verifier = &route.settings.verifier;
    let head = HeadRef {
        method,
        target: &request.target,
        headers,
    };
    let pieces = [body];
    let refused = |rejection: crate::outcome::Rejection| {
        format!(
            "its signature is not genuine under the secrets of the route ({})",
            rejection.reason()
        )
    };
    let tenant = route.tenant_in_head(&head, &request.authority);
    // Any age is accepted, so the present time has no effect.
    let mut aged = verifier
        .present(&head)
        .and_then(|presented| presented.age_as(0, None, tenant.clone()))
        .map_err(refused)?;
    let in_body = route.tenant_in_body(&head, &pieces);
    if let Some(tenant) = in_body.clone() {
        aged.choose(tenant);
    }
    let tenant = in_body.or(tenant).and_then(|chosen| chosen.tenant);
    pieces.iter().for_each(|piece| aged.update(piece));
    let verified = aged.verify(&pieces, 0).map_err(refused)?;
    let claim = route.claim_request(&verified, &head, &pieces, 0).map_err(refused)?;
    let secret = verifier.key_names().get(verified.secret).cloned().unwrap_or_default();
    let line = HeadLine {
        method: request.method.clone(),
        target: request.target.clone(),
        authority: request.authority.clone(),
        peer: request.peer,
        trusted: false,
        tls: true,
        request_id: request
            .request_id
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "-_.:".contains(*c))
            .collect(),
        scheme: verifier.name().to_owned(),
        secret,
        tenant: tenant.and_then(|tenant| tenant.name.to_str().ok().map(str::to_owned)),
        client_subject: None,
        token_header: None,
    };
    Ok(NewDelivery {
        id: route.delivery_id(&verified, &head, &pieces, &claim),
        route: name,
        order_key: target.order_key(&head, &pieces).unwrap_or(None),
        position: inbox.next_position(),
        head: line.encode(headers),
        body: pieces.to_vec(),
        window: target.settings.window,
        first: FirstAttempt::None,
        retry: target.retry.clone(),
        reason: "import",
    })
}

/// The fields as the parser of requests reads them, so that none of them holds two.
fn parsed(fields: &[(String, String)]) -> Option<Headers> {
    let mut bytes = BytesMut::new();
    for (name, value) in fields {
        if value.bytes().any(|byte| byte == b'\r' || byte == b'\n' || byte == 0) || name.contains(['\r', '\n', ':']) {
            return None;
        }
        lines::field(&mut bytes, name.as_bytes(), value.as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    let bytes = bytes.freeze();
    let mut room = vec![httparse::EMPTY_HEADER; FIELDS.min(fields.len() + 1)];
    match httparse::parse_headers(&bytes, &mut room) {
        Ok(httparse::Status::Complete((length, parsed))) if length == bytes.len() && parsed.len() == fields.len() => {
            Headers::parsed(&bytes, parsed)
        }
        Ok(httparse::Status::Complete(_) | httparse::Status::Partial) | Err(_) => None,
    }
}
