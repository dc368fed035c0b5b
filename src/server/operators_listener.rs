//! What the listeners for operators share: the accept loop with a limit on connections, and HTTP/1.1 with small limits. Their
//! answers stay possible while senders overload the gateway.

use hyper::body::{Body, Incoming};
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// Wait after a failed accept.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// A socket that accepts connections.
pub(super) trait Listener {
    /// A connection, with the peer's address where there is one.
    type Connection: Send;

    fn next(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Listener for TcpListener {
    type Connection = (TcpStream, SocketAddr);

    async fn next(&self) -> io::Result<Self::Connection> {
        self.accept().await
    }
}

impl Listener for UnixListener {
    type Connection = UnixStream;

    async fn next(&self) -> io::Result<Self::Connection> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Accepts connections until `end` is ready, and serves each in a task of its own. Every open connection holds one of the
/// `permits`; at the limit, further connections wait in the kernel's queue. `failed` reports a failed accept.
pub(super) async fn accept<L: Listener, F: Future<Output = ()> + Send + 'static>(
    listener: &L,
    permits: &Arc<Semaphore>,
    serve: impl Fn(L::Connection) -> F,
    failed: impl Fn(io::Error),
    end: impl Future<Output = ()>,
) {
    let mut end = pin!(end);
    loop {
        let next = async {
            let permit = Arc::clone(permits).acquire_owned().await;
            (permit, listener.next().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = &mut end => return,
        };
        match accepted {
            Ok(connection) => {
                let served = serve(connection);
                tokio::spawn(async move {
                    served.await;
                    drop(permit);
                });
            }
            Err(error) => {
                failed(error);
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// One connection of HTTP/1.1. `head_timeout` limits the time for a head and idle connections, `head_bytes` the size of
/// the read buffer and so of a head.
pub(super) fn http1<S, V>(
    stream: S,
    service: V,
    head_timeout: Duration,
    head_bytes: usize,
) -> hyper::server::conn::http1::Connection<TokioIo<S>, V>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: HttpService<
            Incoming,
            Error: Into<Box<dyn Error + Send + Sync>>,
            ResBody: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
        >,
{
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(head_bytes)
        .serve_connection(TokioIo::new(stream), service)
}
