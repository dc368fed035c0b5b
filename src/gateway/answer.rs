//! The body of the answer to the sender: complete bytes, or the upstream's answer as it arrives.
//!
//! A relayed answer is settled when its last byte has been read from the upstream, before that byte is passed on. If
//! the sender hangs up earlier, a task reads the rest, so that the claim depends on what the upstream did and not on
//! how long the sender stayed.

use crate::gateway::exchange::Settlement;
use crate::outcome::Rejection;
use crate::upstream;
use hyper::body::{Bytes, Frame, SizeHint};
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The body of an answer to the sender.
#[derive(Debug)]
pub enum AnswerBody {
    /// Complete.
    Whole(Bytes),
    /// Still arriving.
    Relay(Box<Relay>),
}

/// An upstream's answer that is still arriving.
#[derive(Debug)]
pub struct Relay {
    /// Read from the upstream and not passed on yet.
    first: Option<Bytes>,
    rest: Rest,
}

/// The unread rest, and what is done after it; `None` once that is done.
#[derive(Debug)]
struct Rest(Option<(upstream::Answer, Settlement)>);

impl AnswerBody {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Whole(Bytes::new())
    }

    /// Makes the body from an upstream's answer. An answer that has arrived completely is settled here, and its
    /// connection is back in the pool before the sender is answered.
    ///
    /// # Errors
    /// The failure of the upstream, if it happened before any byte was passed on.
    pub async fn relay(answer: upstream::Answer, settlement: Settlement) -> Result<Self, Rejection> {
        let mut rest = Rest(Some((answer, settlement)));
        let first = poll_fn(|cx| match rest.poll(cx) {
            Poll::Ready(piece) => Poll::Ready(piece.transpose()),
            Poll::Pending => Poll::Ready(Ok(None)),
        });
        let first = first.await?;
        Ok(match (first, rest.0.is_some()) {
            (first, true) => Self::Relay(Box::new(Relay { first, rest })),
            (first, false) => Self::Whole(first.unwrap_or_default()),
        })
    }
}

impl Rest {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Rejection>>> {
        let Some((answer, _)) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let piece = ready!(answer.poll(cx));
        let end = match &piece {
            Some(Ok(_)) if !answer.is_complete() => None,
            Some(Ok(_)) | None => Some(Ok(())),
            Some(Err(rejection)) => Some(Err(*rejection)),
        };
        if let Some(end) = end
            && let Some((_, settlement)) = self.0.take()
        {
            settlement.settle(end);
        }
        Poll::Ready(piece)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut rest = Rest(self.rest.0.take());
        if rest.0.is_some()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { while let Some(Ok(_)) = poll_fn(|cx| rest.poll(cx)).await {} });
        }
    }
}

impl From<String> for AnswerBody {
    fn from(text: String) -> Self {
        Self::Whole(text.into())
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Rejection;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Rejection>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(mem::take(bytes))))),
            Self::Relay(relay) => match relay.first.take() {
                Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
                None => relay
                    .rest
                    .poll(cx)
                    .map(|piece| piece.map(|piece| piece.map(Frame::data))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Relay(relay) => relay.first.is_none() && relay.rest.0.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Relay(relay) => {
                let at_hand = relay.first.as_ref().map_or(0, |first| first.len() as u64);
                let rest = relay.rest.0.as_ref().and_then(|(answer, _)| answer.remaining().exact());
                rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + at_hand))
            }
        }
    }
}
