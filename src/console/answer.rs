//! Answers to operators: JSON, problems (RFC 9457), and streams of events.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde::Serialize;
use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// An answer to an operator.
pub type Answer = Response<AnswerBody>;

/// The body of an answer.
#[derive(Debug)]
pub enum AnswerBody {
    /// The whole body; empty after it was sent.
    Whole(Bytes),
    /// Pieces that are written later; it ends with its sender.
    Stream(mpsc::Receiver<Bytes>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(pieces) => pieces
                .poll_recv(cx)
                .map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// An answer with this body, which no cache keeps.
#[must_use]
pub fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    with_body(status, content_type, AnswerBody::Whole(body.into()))
}

/// A document.
#[must_use]
pub fn json(status: StatusCode, document: &impl Serialize) -> Answer {
    let mut text = serde_json::to_vec(document).unwrap_or_default();
    text.push(b'\n');
    whole(status, "application/json", text)
}

/// Why an operator does not get what was asked for: a problem document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// One sentence without its point.
    pub title: Cow<'static, str>,
    /// The methods of this path, for 405.
    pub allow: Option<&'static str>,
}

impl Refusal {
    /// The answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let document = serde_json::json!({ "title": self.title, "status": self.status.as_u16() });
        let mut answer = whole(self.status, "application/problem+json", format!("{document}\n"));
        if let Some(methods) = self.allow {
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        }
        answer
    }
}

/// A refusal with this status.
#[must_use]
pub fn refusal(status: StatusCode, title: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal {
        status,
        title: title.into(),
        allow: None,
    }
}

/// Nothing is at this path.
#[must_use]
pub fn not_found() -> Refusal {
    refusal(StatusCode::NOT_FOUND, "there is nothing at this path")
}

/// A stream of server-sent events.
#[must_use]
pub fn events(pieces: mpsc::Receiver<Bytes>) -> Answer {
    with_body(StatusCode::OK, "text/event-stream", AnswerBody::Stream(pieces))
}

fn with_body(status: StatusCode, content_type: &'static str, body: AnswerBody) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
