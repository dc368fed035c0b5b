//! A byte stream to an upstream: TCP, TLS over TCP, or a Unix socket.

use crate::settings::UpstreamTarget;
use rustls_pki_types::ServerName;
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An open stream.
#[derive(Debug)]
pub(super) enum UpstreamStream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// What waits to be read from an idle stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// Nothing: the stream can be used.
    Nothing,
    /// The other side has closed the stream.
    End,
    /// Bytes that nobody asked for.
    Bytes,
    /// TLS records, which may have no content.
    Records,
}

impl UpstreamStream {
    /// Opens a stream to `target`, whose host has the given `addresses`. There is no timeout; the caller sets one.
    /// `tls` is needed for [`UpstreamTarget::Tls`].
    ///
    /// # Errors
    /// Errors of the system and of the TLS handshake.
    pub(super) async fn open(
        target: &UpstreamTarget,
        addresses: &[SocketAddr],
        tls: Option<&TlsConnector>,
    ) -> io::Result<Self> {
        Ok(match target {
            UpstreamTarget::Tcp { .. } => Self::Tcp(tcp(addresses).await?),
            UpstreamTarget::Tls { host, .. } => {
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                let connector = tls.ok_or_else(|| io::Error::other("no TLS configuration"))?;
                Self::Tls(Box::new(connector.connect(name, tcp(addresses).await?).await?))
            }
            UpstreamTarget::Unix(path) => Self::Unix(UnixStream::connect(path).await?),
        })
    }

    /// Asks the kernel what waits to be read. The runtime knows that only after it has polled its driver; until then, a
    /// request could be written to a closed connection, or to one with bytes that would be taken for its answer.
    pub(super) fn unread(&self) -> Unread {
        let socket = match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Tls(stream) => SockRef::from(stream.get_ref().0),
            Self::Unix(stream) => SockRef::from(stream),
        };
        match socket.peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => Unread::End,
            Ok(_) if matches!(self, Self::Tls(_)) => Unread::Records,
            Ok(_) => Unread::Bytes,
            // Nothing waits, or there is an error, which the next operation returns.
            Err(_) => Unread::Nothing,
        }
    }

    /// Waits until the runtime knows that something can be read.
    pub(super) async fn readable(&self) {
        // An error is returned by the next operation.
        let _ = match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Tls(stream) => stream.get_ref().0.readable().await,
            Self::Unix(stream) => stream.readable().await,
        };
    }
}

/// Connects to the first address that answers; addresses are tried in order.
async fn tcp(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addresses).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            UpstreamStream::Tcp($stream) => $call,
            UpstreamStream::Tls($stream) => $call,
            UpstreamStream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for UpstreamStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
