//! One attempt of a stored delivery: the request is made again from what is stored and the configuration in force, and
//! sent by the same code as a direct one.

use super::crypt::{OpenError, Part, Vault};
use super::model::delivery::{Outcome, Unsendable};
use super::record::StoredHead;
use super::store::types::Begun;
use super::target::{IdText, Signing, Target};
use crate::http::message::Response;
use crate::http::payload::Payload;
use crate::outcome::Rejection;
use crate::scheme::{HeadRef, SigningKey};
use crate::settings::ApplicationSignature;
use crate::upstream::forwarding::{
    self, DeliveryHeaders, ForwardedHead, SignatureHeaders, VerificationHeaders, VerificationResult,
};
use crate::upstream::{Answer, ForwardError, OutgoingRequest};
use bytes::Bytes;
use httpdate::HttpDate;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use std::future::poll_fn;
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

/// Bytes of the answer's body after which a 2xx is a success even if more would follow.
const ANSWER_BYTES: usize = 64 * 1024;
/// Bytes of an answer other than 2xx that are kept for operators.
const KEPT_ANSWER_BYTES: usize = 1024;

/// How an attempt ended.
#[derive(Debug)]
pub struct Finished {
    /// Its outcome.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// The beginning of the answer, where it was not 2xx.
    pub answer: Vec<u8>,
}

/// The request of a stored delivery at `now_unix` (seconds). `source` is the name of the route under which it was stored.
///
/// # Errors
/// See [`Unsendable`].
pub fn request(
    target: &Target,
    source: &str,
    begun: Begun,
    vault: &Vault,
    now_unix: u64,
) -> Result<OutgoingRequest, Unsendable> {
    let open = |part, sealed| {
        vault
            .open(source, &begun.id, part, sealed)
            .map_err(|error| match error {
                OpenError::KeyMissing => Unsendable::KeyMissing,
                OpenError::Changed => Unsendable::Changed,
            })
    };
    let head = StoredHead::decode(&Bytes::from(open(Part::Head, begun.head)?)).map_err(|_| Unsendable::Changed)?;
    let body = Bytes::from(open(Part::Body, begun.body)?);
    let line = &head.line;
    let method = Method::from_bytes(line.method.as_bytes()).map_err(|_| Unsendable::Changed)?;
    let received = PathAndQuery::try_from(line.target.as_str()).map_err(|_| Unsendable::Changed)?;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Unsendable::Changed);
    let (key, tenant, client) = (
        value(&line.secret)?,
        line.tenant.as_deref().map(value).transpose()?,
        line.client_subject.as_deref().map(value).transpose()?,
    );
    let settings = target.upstream.settings();
    let id = IdText::of(&begun.id);
    let signature = signature(target, id, &method, &head, &body, now_unix)?;
    let received_at = u64::try_from(begun.received_at / 1_000).unwrap_or(0);
    let received_at = HttpDate::from(UNIX_EPOCH + Duration::from_secs(received_at)).to_string();
    let head = ForwardedHead {
        method: &method,
        target: &forwarding::target(settings, &received),
        headers: &head.headers,
        origin: &line.origin(),
        authority: &line.authority,
        host: settings.host.as_ref(),
        upstream_host: &settings.authority(),
        length: body.len(),
        request_id: &line.request_id,
        verification: VerificationHeaders {
            result: VerificationResult::Verified(line.scheme.as_bytes()),
            key: Some(&key),
            route: &target.route,
            tenant: tenant.as_ref(),
            client: client.as_ref(),
        },
        delivery: Some(DeliveryHeaders {
            id: id.as_str(),
            attempt: Some(begun.attempt),
            received_at: Some(&received_at),
            is_manual: begun.is_manual,
        }),
        signature: Some(SignatureHeaders {
            fields: &signature,
            originals: target.signing.verifier.signature_headers(),
        }),
        fixed: &settings.headers,
    };
    Ok(OutgoingRequest {
        head: head.write(),
        body: Payload::whole(body),
        is_head: method == Method::HEAD,
    })
}

/// The headers of the signature that replace the stored ones: of a new signature, or of a token, whose value is not
/// stored.
fn signature(
    target: &Target,
    id: IdText,
    method: &Method,
    head: &StoredHead,
    body: &Bytes,
    now_unix: u64,
) -> Result<Vec<(HeaderName, HeaderValue)>, Unsendable> {
    let Signing {
        verifier,
        signature,
        tenants,
    } = &target.signing;
    let line = &head.line;
    let again = || {
        let received = HeadRef {
            method,
            target: &line.target,
            headers: &head.headers,
        };
        if line.scheme != verifier.name() {
            return None;
        }
        let sign = |key| verifier.sign_again(key, &received, body, now_unix);
        match tenants {
            None => sign(SigningKey::OfRoute(&line.secret)),
            // The keys of the route are known to nobody. A delivery from before it had tenants names none.
            Some(tenants) => {
                let tenant = tenants.choose(line.tenant.as_deref()?).tenant?;
                sign(SigningKey::OfTenant(&tenant, &line.secret))
            }
        }
    };
    let token = || {
        let name = HeaderName::from_bytes(line.token_header.as_deref()?.as_bytes()).ok()?;
        let signed = again().filter(|_| verifier.compares_token())?;
        Some(vec![(name, signed.into_iter().next()?.1)])
    };
    let fields = match signature {
        ApplicationSignature::Original | ApplicationSignature::Fresh if line.token_header.is_some() => token(),
        ApplicationSignature::Original => Some(Vec::new()),
        ApplicationSignature::Fresh => again(),
        ApplicationSignature::Gateway(keys) => {
            keys.sign(id.as_str(), std::slice::from_ref(body), now_unix)
                .map(|mut signed| {
                    signed.extend(token().unwrap_or_default());
                    signed
                })
        }
    };
    fields.ok_or(Unsendable::SecretMissing)
}

/// Sends a request and reads its answer.
pub async fn send(target: &Target, worker: usize, mut request: OutgoingRequest) -> Finished {
    let started = Instant::now();
    let mut server = None;
    let answer = target
        .upstream
        .forward(worker, &mut request, started, &mut server)
        .await;
    let (outcome, answer) = match answer {
        Ok(response) => read(response).await,
        Err(error) => (failure(error), Vec::new()),
    };
    Finished {
        outcome,
        took: started.elapsed(),
        answer,
    }
}

/// Reads an answer to its end, or to [`ANSWER_BYTES`].
pub async fn read(response: Response<Answer>) -> (Outcome, Vec<u8>) {
    let (head, mut answer) = response.split();
    let outcome = answered(&head);
    let mut kept = Vec::new();
    let mut length = 0_usize;
    while length < ANSWER_BYTES {
        match poll_fn(|cx| answer.poll(cx)).await {
            Some(Ok(piece)) => {
                length += piece.len();
                let room = KEPT_ANSWER_BYTES.saturating_sub(kept.len()).min(piece.len());
                kept.extend_from_slice(piece.get(..room).unwrap_or_default());
            }
            Some(Err(_)) => return (Outcome::Unknown, kept),
            None => break,
        }
    }
    if outcome.is_success() {
        kept.clear();
    }
    (outcome, kept)
}

/// The outcome that the head of an answer announces.
#[must_use]
pub fn answered<B>(head: &Response<B>) -> Outcome {
    let retry_after = head.headers.named("retry-after").next();
    let retry_after = retry_after.and_then(|value| str::from_utf8(value).ok()?.trim().parse().ok());
    Outcome::Answered {
        status: head.status.as_u16(),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

/// The outcome of an attempt without an answer.
#[must_use]
pub fn failure(error: ForwardError) -> Outcome {
    if error.is_sent {
        Outcome::Unknown
    } else {
        Outcome::NotSent {
            crowded: error.rejection == Rejection::Overloaded,
        }
    }
}
