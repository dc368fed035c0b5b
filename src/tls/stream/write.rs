//! The write side: encrypts plaintext and keeps the records that cannot be written yet, at most two full ones.

use super::{End, Stream, fault};
use crate::tls::session::MAX_PLAINTEXT;
use bytes::{Buf as _, BytesMut};
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Writes the pending records. Ready when none is left.
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.outgoing))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.outgoing.advance(written),
            }
            if self.outgoing.is_empty() {
                self.outgoing = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypts at most [`MAX_WRITE`] bytes of `data`, writes them or keeps them in `outgoing`, and returns their
    /// number.
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(cx))?;
        if let Some(End::Fault(error)) = &self.end {
            return Poll::Ready(Err(fault(error.clone())));
        }
        if self.has_said_goodbye {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let data = data.get(..MAX_WRITE).unwrap_or(data);
        let mut records = SHARED_RECORDS.take();
        records.clear();
        let sent = match self.session.send(data, &mut self.held, &mut records) {
            Ok(()) => self.send_or_keep(cx, &records),
            Err(error) => Err(fault(error)),
        };
        SHARED_RECORDS.set(records);
        Poll::Ready(sent.map(|()| data.len()))
    }

    /// Writes `records`; keeps in `outgoing` what the stream below does not accept now.
    fn send_or_keep(&mut self, cx: &mut Context<'_>, mut records: &[u8]) -> io::Result<()> {
        while !records.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, records)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => records = records.get(written..).unwrap_or_default(),
                Poll::Pending => {
                    self.outgoing.extend_from_slice(records);
                    break;
                }
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, buf)
    }

    /// Joins slices that fit into one record, so that they need one record only.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut slices = bufs.iter().filter(|slice| !slice.is_empty());
        let Some(first) = slices.next() else {
            return Poll::Ready(Ok(0));
        };
        if first.len() >= MAX_PLAINTEXT {
            return this.poll_send(cx, first);
        }
        let Some(second) = slices.next() else {
            return this.poll_send(cx, first);
        };
        ready!(this.poll_sent(cx))?;
        let mut together = SHARED_GATHERED.take();
        together.clear();
        together.extend_from_slice(first);
        for slice in std::iter::once(second).chain(slices) {
            let room = MAX_PLAINTEXT - together.len();
            together.extend_from_slice(slice.get(..room).unwrap_or(slice));
        }
        let sent = this.poll_send(cx, &together);
        SHARED_GATHERED.set(together);
        sent
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_sent(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    /// Sends close_notify and closes the write side of the stream below.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.has_said_goodbye {
            this.has_said_goodbye = true;
            // After an error the alert was the last record; close_notify must not follow it.
            if !matches!(this.end, Some(End::Fault(_))) {
                let mut goodbye = Vec::new();
                this.session.close(&mut this.held, &mut goodbye).map_err(fault)?;
                this.outgoing.extend_from_slice(&goodbye);
            }
        }
        ready!(this.poll_sent(cx))?;
        match ready!(Pin::new(&mut this.io).poll_shutdown(cx)) {
            // The peer has already closed the connection.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}

thread_local! {
    /// Buffer in which records are encrypted; its content is not used after a write.
    static SHARED_RECORDS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Buffer in which small slices are joined to one record.
    static SHARED_GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Largest plaintext of one write in bytes. It also limits the records that are kept for a peer that does not read.
const MAX_WRITE: usize = 2 * MAX_PLAINTEXT;
