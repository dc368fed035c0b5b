//! An HTTP/1.1 connection of one sender: reads heads, runs the exchanges one after the other, and writes the responses,
//! all in the connection's own task.
//!
//! Because the exchange runs in the task that reads and writes, no message costs a wake-up of another task. The end of
//! the stream is only noticed between exchanges, so a verified request is finished even when its sender hangs up.
//!
//! [`serve`] alternates between two states. An [`ActiveConnection`] has buffers and serves requests. Most connections
//! are idle most of the time; an idle one keeps nothing but its stream until the next byte arrives ([`wait_idle`]).

use super::buffered_stream::BufferedStream;
use super::request_body::{IncompleteBody, RequestBody};
use super::{ConnectionLimits, CountedIdle, ShutdownWatch, close_after_last_response, run_catching_panics};
use crate::gateway::answer::AnswerBody;
use crate::gateway::{Downstream, Gateway, refusal};
use crate::http::http1::lines::chunk_size;
use crate::http::http1::request::{RequestHead, RequestHeadReader};
use crate::http::http1::response::{BodyFormat, ResponseContext};
use crate::http::message::Response;
use crate::http::transport::Readable;
use crate::http::unread_head::UnreadHead;
use crate::time::clock;
use crate::time::shutdown::ShutdownSignal;
use crate::time::timer::Timer;
use bytes::{Buf as _, BufMut as _, BytesMut};
use hyper::body::{Body as _, Bytes};
use hyper::{Method, Version};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// How long a connection without a request keeps its buffers.
const KEEP_BUFFERS: Duration = Duration::from_secs(1);
/// How long a new connection may wait for its first request after shutdown has begun; the request may be on its way.
const FIRST_REQUEST_AT_SHUTDOWN: Duration = Duration::from_secs(5);
/// Initial capacity for a response, in bytes; enough for most.
const RESPONSE_CAPACITY_BYTES: usize = 512;
/// A part of a body up to this size is copied after its head, so that both are one slice and one TLS record.
const MAX_COPIED_BYTES: usize = 4 * 1024;

/// The state of an idle connection.
#[derive(Clone, Copy)]
struct Idle {
    /// When the connection became idle.
    since: Instant,
    /// Whether it has not received a request yet.
    is_new: bool,
}

/// Serves HTTP/1.1 until one side closes the connection or a limit is reached. `shutdown` ends it between two requests.
pub async fn serve<S: Readable>(
    mut stream: S,
    gateway: Arc<Gateway>,
    downstream: Arc<Downstream>,
    limits: ConnectionLimits,
    shutdown: &ShutdownSignal,
) {
    let mut idle = Idle {
        since: Instant::now(),
        is_new: true,
    };
    loop {
        let connection = ActiveConnection {
            stream: BufferedStream::new(stream, limits.timeouts.write),
            reader: RequestHeadReader::default(),
            gateway: &gateway,
            downstream: &downstream,
            limits,
            shutdown: ShutdownWatch::new(shutdown),
        };
        // Boxed, so that an idle connection does not keep this memory.
        (stream, idle) = match Box::pin(connection.run(idle)).await {
            Some(state) => state,
            None => return,
        };
        let counted = CountedIdle::new(&gateway.recorder.metrics.connections_resting);
        let end = wait_idle(&stream, idle, limits, shutdown).await;
        drop(counted);
        match end {
            IdleEnd::DataArrived => {}
            IdleEnd::TimedOut if idle.is_new => {
                return Box::pin(refuse_unread(stream, &gateway, &downstream, UnreadHead::Timeout)).await;
            }
            IdleEnd::TimedOut | IdleEnd::Shutdown => return Box::pin(close_after_last_response(stream)).await,
        }
    }
}

/// Records a request whose head could not be read, answers it, and closes the connection.
pub async fn refuse_unread<S: Readable>(stream: S, gateway: &Gateway, downstream: &Downstream, failure: UnreadHead) {
    gateway.recorder.unread(downstream, failure);
    let mut stream = BufferedStream::new(stream, super::LINGER_TIMEOUT);
    if write_unread(&mut stream, failure).await.is_ok() {
        close_after_last_response(stream.stream).await;
    }
}

/// Why a connection is no longer idle.
enum IdleEnd {
    /// Bytes, the end of the stream or an error can be read.
    DataArrived,
    /// The deadline for the next request has passed.
    TimedOut,
    /// The shutdown signal was triggered.
    Shutdown,
}

/// Waits for the next byte without holding any buffer.
async fn wait_idle<S: Readable>(
    stream: &S,
    idle: Idle,
    limits: ConnectionLimits,
    shutdown: &ShutdownSignal,
) -> IdleEnd {
    let timeout = if idle.is_new {
        limits.timeouts.head
    } else {
        limits.timeouts.idle
    };
    let deadline = idle.since + timeout;
    // Bytes that arrived before the deadline were not a request: blank lines, or TLS records without content. They do
    // not extend it.
    if Instant::now() >= deadline {
        return IdleEnd::TimedOut;
    }
    match wait_for_data(stream, deadline, Some(ShutdownWatch::new(shutdown))).await {
        IdleEnd::Shutdown if idle.is_new => {
            let deadline = deadline.min(Instant::now() + FIRST_REQUEST_AT_SHUTDOWN);
            match wait_for_data(stream, deadline, None).await {
                IdleEnd::DataArrived => IdleEnd::DataArrived,
                IdleEnd::TimedOut | IdleEnd::Shutdown => IdleEnd::Shutdown,
            }
        }
        end @ (IdleEnd::DataArrived | IdleEnd::TimedOut | IdleEnd::Shutdown) => end,
    }
}

/// Waits until the stream is readable, the deadline passes, or the shutdown signal is triggered.
async fn wait_for_data<S: Readable>(stream: &S, deadline: Instant, mut shutdown: Option<ShutdownWatch<'_>>) -> IdleEnd {
    let mut timer = Timer::default();
    poll_fn(|cx| {
        if stream.poll_readable(cx).is_ready() {
            return Poll::Ready(IdleEnd::DataArrived);
        }
        if shutdown.as_mut().is_some_and(|shutdown| shutdown.is_triggered(cx)) {
            return Poll::Ready(IdleEnd::Shutdown);
        }
        timer.poll(cx, deadline).map(|()| IdleEnd::TimedOut)
    })
    .await
}

/// A connection that is not idle.
struct ActiveConnection<'a, S> {
    stream: BufferedStream<S>,
    reader: RequestHeadReader,
    gateway: &'a Gateway,
    downstream: &'a Downstream,
    limits: ConnectionLimits,
    shutdown: ShutdownWatch<'a>,
}

/// What happens next on a connection.
#[allow(clippy::large_enum_variant)] // The large variant is the common one, and each value lives for one call.
enum Next {
    /// A request has arrived.
    Head(RequestHead),
    /// No request arrives for now.
    Idle(Idle),
    /// The connection is to be closed.
    Close,
    /// The head cannot be read; the connection is answered and closed.
    Unread(UnreadHead),
    /// The stream failed.
    Failed,
}

impl<S: Readable> ActiveConnection<'_, S> {
    /// Serves requests. Returns the stream when the connection becomes idle, or `None` when it is closed.
    async fn run(mut self, idle: Idle) -> Option<(S, Idle)> {
        let mut idle = Some(idle);
        loop {
            let keep_alive = match self.next(idle.take()).await {
                Next::Head(head) => self.exchange(head).await,
                Next::Idle(idle) => return Some((self.stream.stream, idle)),
                Next::Close => Ok(false),
                Next::Unread(failure) => {
                    self.gateway.recorder.unread(self.downstream, failure);
                    write_unread(&mut self.stream, failure).await.map(|()| false)
                }
                Next::Failed => return None,
            };
            match keep_alive {
                Ok(true) => {}
                Ok(false) => break,
                // The peer is gone, does not read, or has an incomplete response: an orderly close has no use.
                Err(_) => return None,
            }
        }
        close_after_last_response(self.stream.stream).await;
        None
    }

    /// Waits for the next head. `idle` is the idle state that has just ended; it continues when no request has arrived.
    async fn next(&mut self, idle: Option<Idle>) -> Next {
        let limits = self.limits.head;
        let timeouts = self.limits.timeouts;
        // The head timeout of a new connection starts with the connection, otherwise with the first byte of the head.
        let mut head_since = idle.filter(|idle| idle.is_new).map(|idle| idle.since);
        let mut idle_since = None;
        poll_fn(|cx| {
            loop {
                match self.reader.read(&mut self.stream.input, limits) {
                    Ok(Some(head)) => return Poll::Ready(Next::Head(head)),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Next::Unread(error.into())),
                }
                match self.stream.poll_fill(cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(Ok(0)) => return Poll::Ready(Next::Close),
                    Poll::Ready(Err(_)) => return Poll::Ready(Next::Failed),
                    Poll::Pending if self.stream.input.is_empty() => {
                        if let Some(idle) = idle {
                            return Poll::Ready(Next::Idle(idle));
                        }
                        if self.shutdown.is_triggered(cx) {
                            return Poll::Ready(Next::Close);
                        }
                        let since = *idle_since.get_or_insert_with(Instant::now);
                        let deadline = since + KEEP_BUFFERS.min(timeouts.idle);
                        return self
                            .stream
                            .timer
                            .poll(cx, deadline)
                            .map(|()| Next::Idle(Idle { since, is_new: false }));
                    }
                    Poll::Pending => {
                        let since = *head_since.get_or_insert_with(Instant::now);
                        let expired = self.stream.timer.poll(cx, since + timeouts.head);
                        return expired.map(|()| Next::Unread(UnreadHead::Timeout));
                    }
                }
            }
        })
        .await
    }

    /// Runs one exchange: a request and its response. Returns whether the connection is kept.
    ///
    /// # Errors
    /// When the response could not be written completely.
    async fn exchange(&mut self, head: RequestHead) -> io::Result<bool> {
        let RequestHead {
            request,
            framing,
            keep_alive,
            expects_continue,
        } = head;
        let mut context = ResponseContext::new(&request.method, request.version, keep_alive);
        let mut request_body = RequestBody::new(&mut self.stream, framing, expects_continue);
        // A trait object, so that the gateway's code exists once for all types of streams.
        let body: &mut (dyn hyper::body::Body<Data = Bytes, Error = IncompleteBody> + Send + Unpin) = &mut request_body;
        let response = {
            let exchange = pin!(self.gateway.handle(self.downstream, request, body));
            run_catching_panics(self.gateway, exchange).await
        };
        context.keep_alive =
            context.keep_alive && request_body.discard_rest().await && !self.shutdown.signal.is_triggered();
        write_response(&mut self.stream, response, &mut context).await?;
        Ok(context.keep_alive)
    }
}

/// Writes a response while its body arrives. Clears `keep_alive` when the response ends the connection.
///
/// # Errors
/// When the response is not complete: the peer is gone or does not read, or the upstream aborted its response.
async fn write_response<S: Readable>(
    stream: &mut BufferedStream<S>,
    response: Response<AnswerBody>,
    context: &mut ResponseContext,
) -> io::Result<()> {
    let (head, mut body) = response.split();
    let mut out = BytesMut::with_capacity(RESPONSE_CAPACITY_BYTES);
    let length = body.size_hint().exact();
    let format = clock::with_http_date(|date| context.write_head(&mut out, &head, length, date.as_bytes()));
    let is_chunked = match format {
        BodyFormat::None => return stream.send(out).await,
        BodyFormat::Plain => false,
        BodyFormat::Chunked => true,
    };
    loop {
        let mut piece = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
        if piece.is_pending() {
            // Sends what is ready before waiting for the upstream.
            stream.send(out.split()).await?;
            piece = Poll::Ready(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await);
        }
        let piece = match piece {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Poll::Ready(None) | Poll::Pending => break,
            Poll::Ready(Some(Err(rejection))) => return Err(io::Error::other(rejection.reason())),
        };
        match (is_chunked, piece.len()) {
            (_, 0) => {}
            (false, ..=MAX_COPIED_BYTES) => out.put_slice(&piece),
            (false, _) => stream.send(out.split().chain(piece)).await?,
            (true, length) => {
                chunk_size(&mut out, length);
                stream.send(out.split().chain(piece).chain(&b"\r\n"[..])).await?;
            }
        }
        if body.is_end_stream() {
            break;
        }
    }
    if is_chunked {
        out.put_slice(b"0\r\n\r\n");
    }
    stream.send(out).await
}

/// Answers a request whose head cannot be read. The answer ends the connection.
async fn write_unread<S: Readable>(stream: &mut BufferedStream<S>, failure: UnreadHead) -> io::Result<()> {
    let response = refusal::unread(failure);
    let mut context = ResponseContext::new(&Method::GET, Version::HTTP_11, false);
    write_response(stream, response, &mut context).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::{gateway, limits};
    use super::*;
    use crate::gateway::connection_state::ConnectionState;
    use crate::http::rules::Origin;
    use std::task::Context;
    use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, duplex};

    fn downstream() -> Arc<Downstream> {
        Arc::new(Downstream {
            connection: Arc::new(ConnectionState::new(Instant::now())),
            worker: 0,
            listener: "test".into(),
            origin: Origin {
                peer: None,
                trusted: false,
                scheme: "http",
            },
            trusted_proxies: Arc::default(),
            health: None,
            acme_answers: None,
            client_subject: None,
        })
    }

    /// I08: a connection between two requests closes immediately at shutdown, even while it still has its buffers.
    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_closes_immediately_at_shutdown() {
        let (mut sender, stream) = duplex(4096);
        let shutdown = Arc::new(ShutdownSignal::default());
        let signal = shutdown.clone();
        let served = tokio::spawn(async move {
            let limits = limits(Duration::from_secs(10));
            serve(stream, Arc::new(gateway()), downstream(), limits, &signal).await;
        });
        sender.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 4096];
        let count = sender.read(&mut answer).await.unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 404 "));
        tokio::task::yield_now().await;
        let start = Instant::now();
        shutdown.trigger();
        assert_eq!(sender.read(&mut answer).await.unwrap(), 0);
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(sender);
        served.await.unwrap();
    }

    /// A stream that is always readable: every other read returns a blank line, until it ends after 2,000 reads.
    struct BlankLines {
        reads: usize,
        answer: Arc<std::sync::Mutex<Vec<u8>>>,
    }

    impl AsyncRead for BlankLines {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.reads += 1;
            match self.reads {
                2_000.. => Poll::Ready(Ok(())),
                odd if odd % 2 == 1 => {
                    into.put_slice(b"\r\n");
                    Poll::Ready(Ok(()))
                }
                _ => Poll::Pending,
            }
        }
    }

    impl AsyncWrite for BlankLines {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.answer.lock().unwrap().extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Readable for BlankLines {
        fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// F01: a sender of blank lines gets no more time than a silent one.
    #[tokio::test(start_paused = true)]
    async fn blank_lines_do_not_extend_the_head_deadline() {
        let answer = Arc::<std::sync::Mutex<Vec<u8>>>::default();
        let stream = BlankLines {
            reads: 0,
            answer: answer.clone(),
        };
        serve(
            stream,
            Arc::new(gateway()),
            downstream(),
            limits(Duration::ZERO),
            &ShutdownSignal::default(),
        )
        .await;
        assert!(answer.lock().unwrap().starts_with(b"HTTP/1.1 408 "));
    }
}
