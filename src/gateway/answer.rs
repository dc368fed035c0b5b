//! The body of the answer to the sender: complete bytes, or the upstream's answer as it arrives.
//!
//! A relayed answer is settled when its last byte has been read from the upstream, before that byte is passed on. If
//! the sender hangs up earlier, a task reads the rest, so that the claim depends on what the upstream did and not on
//! how long the sender stayed.
//!
//! A claim in a shared store ends with its lease, which is a little longer than the upstream may take. A sender that
//! reads slowly would keep the exchange open beyond it, and a copy of the webhook would be delivered meanwhile. Such an
//! answer is therefore taken from the sender at the upstream's deadline, and a task reads the rest.

use crate::gateway::exchange::Settlement;
use crate::outcome::Rejection;
use crate::upstream;
use hyper::body::{Bytes, Frame, SizeHint};
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// How long a task may read the rest of an answer whose sender has gone or is too slow. An upstream whose bytes are at
/// hand needs much less. Shorter than the margin of a lease.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

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

/// The unread rest of an answer.
#[derive(Debug)]
enum Rest {
    /// Only this body reads it.
    Own(Unread),
    /// A task takes it over when the upstream's deadline has passed.
    Leased {
        unread: Arc<Mutex<Unread>>,
        task: AbortHandle,
    },
}

/// What has not been read of an answer, and what is done after it.
#[derive(Debug)]
enum Unread {
    /// The answer, and its settlement.
    Answer(Box<(upstream::Answer, Settlement)>),
    /// Everything has been read and settled.
    Nothing,
    /// A task reads the rest; the sender gets no more of it.
    TakenOver,
}

impl AnswerBody {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Whole(Bytes::new())
    }

    /// Makes the body from an answer whose first piece has been read.
    #[must_use]
    pub fn relay_begun(begun: BegunAnswer, settlement: Settlement) -> Self {
        if begun.answer.is_complete() {
            settlement.settle(Ok(()));
            return Self::Whole(begun.first.unwrap_or_default());
        }
        Self::Relay(Box::new(Relay {
            first: begun.first,
            rest: Rest::new(Unread::Answer(Box::new((begun.answer, settlement)))),
        }))
    }

    /// Makes the body from an upstream's answer. An answer that has arrived completely is settled here, and its
    /// connection is back in the pool before the sender is answered.
    ///
    /// # Errors
    /// The failure of the upstream, if it happened before any byte was passed on.
    pub async fn relay(answer: upstream::Answer, settlement: Settlement) -> Result<Self, Rejection> {
        let mut unread = Unread::Answer(Box::new((answer, settlement)));
        let first = poll_fn(|cx| match unread.poll(cx) {
            Poll::Ready(piece) => Poll::Ready(piece.transpose()),
            Poll::Pending => Poll::Ready(Ok(None)),
        });
        let first = first.await?;
        if let Unread::Answer(held) = &mut unread {
            held.1.answer();
        }
        Ok(match unread {
            Unread::Nothing => Self::Whole(first.unwrap_or_default()),
            Unread::Answer(_) | Unread::TakenOver => Self::Relay(Box::new(Relay {
                first,
                rest: Rest::new(unread),
            })),
        })
    }
}

/// An answer whose first piece has been read, if it was at hand. Nothing of it has been sent on.
#[derive(Debug)]
pub struct BegunAnswer {
    first: Option<Bytes>,
    answer: upstream::Answer,
}

impl BegunAnswer {
    /// Reads what is at hand of an answer. Returns its first piece, for [`BegunAnswer::new`].
    ///
    /// # Errors
    /// The failure of the upstream.
    pub async fn first(answer: &mut upstream::Answer) -> Result<Option<Bytes>, Rejection> {
        let first = poll_fn(|cx| match answer.poll(cx) {
            Poll::Ready(piece) => Poll::Ready(piece.transpose()),
            Poll::Pending => Poll::Ready(Ok(None)),
        });
        first.await
    }

    /// An answer after its `first` piece.
    #[must_use]
    pub const fn new(first: Option<Bytes>, answer: upstream::Answer) -> Self {
        Self { first, answer }
    }

    /// Whether the whole answer has been read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.answer.is_complete()
    }
}

impl Rest {
    fn new(unread: Unread) -> Self {
        let deadline = match &unread {
            Unread::Answer(held) if held.1.is_leased() => held.0.deadline(),
            Unread::Answer(_) | Unread::Nothing | Unread::TakenOver => return Self::Own(unread),
        };
        let unread = Arc::new(Mutex::new(unread));
        let taken = unread.clone();
        let task = tokio::spawn(async move {
            sleep_until(deadline).await;
            let unread = lock(&taken).take_over();
            unread.finish().await;
        });
        Self::Leased {
            unread,
            task: task.abort_handle(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Rejection>>> {
        match self {
            Self::Own(unread) => unread.poll(cx),
            Self::Leased { unread, .. } => lock(unread).poll(cx),
        }
    }

    fn with<T>(&self, read: impl FnOnce(&Unread) -> T) -> T {
        match self {
            Self::Own(unread) => read(unread),
            Self::Leased { unread, .. } => read(&lock(unread)),
        }
    }

    fn is_complete(&self) -> bool {
        self.with(|unread| matches!(unread, Unread::Nothing))
    }

    /// Takes what has not been read, unless the task already has it.
    fn take(&mut self) -> Unread {
        match self {
            Self::Own(unread) => unread.take_over(),
            Self::Leased { unread, task } => {
                let unread = lock(unread).take_over();
                if !matches!(unread, Unread::TakenOver) {
                    task.abort();
                }
                unread
            }
        }
    }
}

fn lock(unread: &Mutex<Unread>) -> MutexGuard<'_, Unread> {
    unread.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unread {
    /// Reads the next piece. The last one is settled before it is returned.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Rejection>>> {
        let answer = match self {
            Self::Answer(held) => &mut held.0,
            Self::Nothing => return Poll::Ready(None),
            Self::TakenOver => return Poll::Ready(Some(Err(Rejection::UpstreamTimeout))),
        };
        let piece = ready!(answer.poll(cx));
        let end = match &piece {
            Some(Ok(_)) if !answer.is_complete() => None,
            Some(Ok(_)) | None => Some(Ok(())),
            Some(Err(rejection)) => Some(Err(*rejection)),
        };
        if let Some(end) = end
            && let Self::Answer(held) = mem::replace(self, Self::Nothing)
        {
            let (_, settlement) = *held;
            settlement.settle(end);
        }
        Poll::Ready(piece)
    }

    /// Takes what is here for a task, and leaves [`Unread::TakenOver`] in its place, or [`Unread::Nothing`] when
    /// nothing is left.
    fn take_over(&mut self) -> Self {
        match self {
            Self::Answer(_) => mem::replace(self, Self::TakenOver),
            Self::Nothing => Self::Nothing,
            Self::TakenOver => Self::TakenOver,
        }
    }

    /// Reads the rest without a sender, and settles.
    async fn finish(mut self) {
        if let Self::Answer(held) = &mut self {
            held.0.extend_deadline(Instant::now() + FINISH_TIMEOUT);
            while let Some(Ok(_)) = poll_fn(|cx| self.poll(cx)).await {}
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let unread = self.rest.take();
        if matches!(unread, Unread::Answer(_))
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(unread.finish());
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
            Self::Relay(relay) => relay.first.is_none() && relay.rest.is_complete(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Relay(relay) => {
                let at_hand = relay.first.as_ref().map_or(0, |first| first.len() as u64);
                let rest = relay.rest.with(|unread| match unread {
                    Unread::Answer(held) => held.0.remaining().exact(),
                    Unread::Nothing => Some(0),
                    Unread::TakenOver => None,
                });
                rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + at_hand))
            }
        }
    }
}
