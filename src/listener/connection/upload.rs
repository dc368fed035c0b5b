//! A request's body on its way in, read from the connection as it is asked for.

use super::wire::Wire;
use crate::http::http1::framing::{Framing, Step};
use crate::http::transport::Readable;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What a sender that asks first is told, once its body is wanted.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Bytes of a body that nobody wanted which are thrown away so that the connection can go on.
const UNWANTED: usize = 64 * 1024;

/// A body and the connection that it comes from.
pub(super) struct Upload<'a, S> {
    wire: &'a mut Wire<S>,
    framing: Framing,
    /// What is left to be said before its sender sends it.
    invitation: &'static [u8],
}

/// It will never be complete: the connection ended, or its chunks are none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken;

impl<'a, S: Readable> Upload<'a, S> {
    pub(super) fn new(wire: &'a mut Wire<S>, framing: Framing, expects: bool) -> Self {
        Self {
            wire,
            framing,
            invitation: if expects { CONTINUE } else { b"" },
        }
    }

    /// Whether the connection stands behind its end. What nobody wanted of it and has arrived already is thrown away, if
    /// that is not much.
    pub(super) async fn is_over(&mut self) -> bool {
        // Whoever was not invited may send it or leave it: what comes next could be either.
        if self.framing.is_complete() || !self.invitation.is_empty() {
            return self.framing.is_complete();
        }
        let mut left = UNWANTED;
        poll_fn(|cx| {
            loop {
                match Pin::new(&mut *self).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                        Some(less) => left = less,
                        None => return Poll::Ready(false),
                    },
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Ready(Some(Err(Broken))) | Poll::Pending => return Poll::Ready(false),
                }
            }
        })
        .await
    }

    fn poll_invite(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.invitation.is_empty() {
            let some = ready!(Pin::new(&mut self.wire.stream).poll_write(cx, self.invitation))?;
            if some == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.invitation = self.invitation.get(some..).unwrap_or_default();
            if self.invitation.is_empty() {
                ready!(Pin::new(&mut self.wire.stream).poll_flush(cx))?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Readable> Body for Upload<'_, S> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        loop {
            match this.framing.next(&mut this.wire.input) {
                Ok(Step::Data(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Ok(Step::End) => return Poll::Ready(None),
                Ok(Step::More) => {}
                Err(_) => return Poll::Ready(Some(Err(Broken))),
            }
            let arrived = match ready!(this.poll_invite(cx)) {
                Ok(()) => ready!(this.wire.poll_fill(cx)),
                Err(error) => Err(error),
            };
            if !matches!(arrived, Ok(1..)) {
                return Poll::Ready(Some(Err(Broken)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.framing.is_complete()
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::UntilClose => SizeHint::default(),
        }
    }
}
