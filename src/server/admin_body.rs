//! The body of an answer of the admin listener: a short text, or the pieces of a text that another thread writes.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Pieces that wait for a slow reader. The writer waits when there are more.
const PIECES: usize = 4;

/// The body of an answer.
#[derive(Debug)]
pub enum AdminBody {
    /// A short text; `None` once it is read.
    Text(Option<Bytes>),
    /// The pieces of a text, as they are written.
    Pieces(mpsc::Receiver<Bytes>),
}

impl AdminBody {
    /// A body that `write` writes on a thread of its own, piece by piece, until the reader is gone. The caller's thread
    /// goes on meanwhile.
    pub(super) fn written_by(
        write: impl FnOnce(&mut dyn FnMut(String) -> ControlFlow<()>) -> ControlFlow<()> + Send + 'static,
    ) -> Self {
        let (pieces, body) = mpsc::channel(PIECES);
        drop(tokio::task::spawn_blocking(move || {
            write(&mut |piece| match pieces.blocking_send(piece.into()) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            })
        }));
        Self::Pieces(body)
    }
}

impl<T: Into<Bytes>> From<T> for AdminBody {
    fn from(text: T) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl Body for AdminBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match &mut *self {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Pieces(pieces) => pieces
                .poll_recv(cx)
                .map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Text(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}
