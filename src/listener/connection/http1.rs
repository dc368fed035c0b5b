//! HTTP/1.1 with one sender: heads in, exchanges one after the other, answers out, all in the connection's own task.
//!
//! Since the exchange runs in the task that reads and writes, no message costs a wake-up between two, and a sender that hangs
//! up ends nothing: its verified request is finished, and only then does anybody notice. A connection that is idle gives back
//! its buffers and everything else but the stream until the next byte arrives: most connections are idle most of the time.

use super::upload::{Broken, Upload};
use super::wire::Wire;
use super::{Bounds, Listening, contained, linger};
use crate::gateway::answer::Body;
use crate::gateway::{Downstream, Gateway};
use crate::http::http1::answer::{Asked, Delimited};
use crate::http::http1::lines::chunk_size;
use crate::http::http1::request::{Head, Malformed, Reader};
use crate::http::message::Response;
use crate::http::transport::Readable;
use crate::time::clock;
use crate::time::shutdown::Drain;
use crate::time::timer::Timer;
use bytes::{Buf as _, BufMut as _, BytesMut};
use hyper::body::{Body as _, Bytes};
use hyper::{Method, StatusCode, Version};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// How long an idle connection keeps its buffers.
const REST_AFTER: Duration = Duration::from_secs(1);
/// What a connection without a request has when the drain begins: the first one may be on its way.
const FIRST_REQUEST: Duration = Duration::from_secs(5);
/// Room for a usual answer.
const ANSWER: usize = 512;
/// A body up to this size is copied behind its head, so that both are one slice and one TLS record.
const SMALL: usize = 4 * 1024;

/// A connection on which nothing is going on.
#[derive(Clone, Copy)]
struct Quiet {
    since: Instant,
    /// Nothing has ever come.
    fresh: bool,
}

/// Serves HTTP/1.1 until either side is done.
pub async fn serve<S: Readable>(
    mut stream: S,
    gateway: Arc<Gateway>,
    downstream: Arc<Downstream>,
    bounds: Bounds,
    drain: &Drain,
) {
    let mut quiet = Quiet {
        since: Instant::now(),
        fresh: true,
    };
    loop {
        let conversation = Conversation {
            wire: Wire::new(stream, bounds.patience.write),
            reader: Reader::default(),
            gateway: &gateway,
            downstream: &downstream,
            bounds,
            drain: Listening::to(drain),
        };
        (stream, quiet) = match Box::pin(conversation.run(quiet)).await {
            Some(resting) => resting,
            None => return,
        };
        let resting = &gateway.recorder.metrics.connections_resting;
        resting.inc();
        let end = rest(&stream, quiet, bounds, drain).await;
        resting.dec();
        match end {
            Rested::Stirred => {}
            Rested::Enough if quiet.fresh => {
                gateway.recorder.metrics.malformed_requests.head_timeout.inc();
                let mut wire = Wire::new(stream, super::LINGER);
                return Box::pin(async move {
                    if dismiss(&mut wire, StatusCode::REQUEST_TIMEOUT).await.is_ok() {
                        linger(wire.stream).await;
                    }
                })
                .await;
            }
            Rested::Enough | Rested::Drained => return Box::pin(linger(stream)).await,
        }
    }
}

/// How a rest ended.
enum Rested {
    /// Something has arrived.
    Stirred,
    /// It lasted too long.
    Enough,
    /// The process is to stop.
    Drained,
}

/// Waits for the next byte and holds nothing meanwhile.
async fn rest<S: Readable>(stream: &S, quiet: Quiet, bounds: Bounds, drain: &Drain) -> Rested {
    let patience = if quiet.fresh {
        bounds.patience.head
    } else {
        bounds.patience.idle
    };
    let deadline = quiet.since + patience;
    // Whatever has come since then was no request: empty lines, or records without content.
    if Instant::now() >= deadline {
        return Rested::Enough;
    }
    match stirs(stream, deadline, Some(Listening::to(drain))).await {
        Rested::Drained if quiet.fresh => {
            let deadline = deadline.min(Instant::now() + FIRST_REQUEST);
            match stirs(stream, deadline, None).await {
                Rested::Stirred => Rested::Stirred,
                Rested::Enough | Rested::Drained => Rested::Drained,
            }
        }
        end @ (Rested::Stirred | Rested::Enough | Rested::Drained) => end,
    }
}

async fn stirs<S: Readable>(stream: &S, deadline: Instant, mut drain: Option<Listening<'_>>) -> Rested {
    let mut timer = Timer::default();
    poll_fn(|cx| {
        if stream.poll_readable(cx).is_ready() {
            return Poll::Ready(Rested::Stirred);
        }
        if drain.as_mut().is_some_and(|drain| drain.hears(cx)) {
            return Poll::Ready(Rested::Drained);
        }
        timer.poll(cx, deadline).map(|()| Rested::Enough)
    })
    .await
}

/// A connection on which something is going on.
struct Conversation<'a, S> {
    wire: Wire<S>,
    reader: Reader,
    gateway: &'a Gateway,
    downstream: &'a Downstream,
    bounds: Bounds,
    drain: Listening<'a>,
}

/// What comes next on a connection.
#[allow(clippy::large_enum_variant)] // The large one is the common one, and lives for one call.
enum Next {
    /// A request.
    Head(Head),
    /// Nothing, for now.
    Rest(Quiet),
    /// Nothing more.
    Over,
    /// Something that is none, to be answered with this.
    Dismissed(StatusCode),
    /// The stream broke.
    Lost,
}

impl<S: Readable> Conversation<'_, S> {
    /// Serves as long as there is something to do; gives the stream back when there is not, or `None` when it is over.
    async fn run(mut self, quiet: Quiet) -> Option<(S, Quiet)> {
        let mut quiet = Some(quiet);
        loop {
            let goes_on = match self.next(quiet.take()).await {
                Next::Head(head) => self.exchange(head).await,
                Next::Rest(quiet) => return Some((self.wire.stream, quiet)),
                Next::Over => Ok(false),
                Next::Dismissed(status) => dismiss(&mut self.wire, status).await.map(|()| false),
                Next::Lost => return None,
            };
            match goes_on {
                Ok(true) => {}
                Ok(false) => break,
                // The peer is gone, does not read, or gets half an answer: there is no use in a polite end.
                Err(_) => return None,
            }
        }
        linger(self.wire.stream).await;
        None
    }

    /// Waits for the next head; `quiet` is since when, where that is not since now.
    async fn next(&mut self, quiet: Option<Quiet>) -> Next {
        let limits = self.bounds.head;
        let patience = self.bounds.patience;
        let malformed = &self.gateway.recorder.metrics.malformed_requests;
        let fresh = quiet.filter(|quiet| quiet.fresh).map(|quiet| quiet.since);
        let (mut idle, mut begun) = (None, fresh);
        poll_fn(|cx| {
            loop {
                match self.reader.read(&mut self.wire.input, limits) {
                    Ok(Some(head)) => return Poll::Ready(Next::Head(head)),
                    Ok(None) => {}
                    Err(Malformed::Syntax) => {
                        malformed.syntax.inc();
                        return Poll::Ready(Next::Dismissed(StatusCode::BAD_REQUEST));
                    }
                    Err(Malformed::TooLarge) => {
                        malformed.head_too_large.inc();
                        return Poll::Ready(Next::Dismissed(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
                    }
                }
                match self.wire.poll_fill(cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(Ok(0)) => return Poll::Ready(Next::Over),
                    Poll::Ready(Err(_)) => return Poll::Ready(Next::Lost),
                    Poll::Pending if self.wire.input.is_empty() => {
                        self.wire.lend();
                        if let Some(quiet) = quiet {
                            return Poll::Ready(Next::Rest(quiet));
                        }
                        if self.drain.hears(cx) {
                            return Poll::Ready(Next::Over);
                        }
                        let since = *idle.get_or_insert_with(Instant::now);
                        let rest = self.wire.timer.poll(cx, since + REST_AFTER.min(patience.idle));
                        return rest.map(|()| Next::Rest(Quiet { since, fresh: false }));
                    }
                    Poll::Pending => {
                        let since = *begun.get_or_insert_with(Instant::now);
                        return self.wire.timer.poll(cx, since + patience.head).map(|()| {
                            malformed.head_timeout.inc();
                            Next::Dismissed(StatusCode::REQUEST_TIMEOUT)
                        });
                    }
                }
            }
        })
        .await
    }

    /// One request and its answer; whether the connection goes on.
    async fn exchange(&mut self, head: Head) -> io::Result<bool> {
        let Head {
            request,
            framing,
            keep,
            expects,
        } = head;
        let mut asked = Asked::new(&request.method, request.version, keep);
        let mut upload = Upload::new(&mut self.wire, framing, expects);
        let body: &mut (dyn hyper::body::Body<Data = Bytes, Error = Broken> + Send + Unpin) = &mut upload;
        let response = {
            let exchange = pin!(self.gateway.handle(self.downstream, request, body));
            contained(self.gateway, exchange).await
        };
        asked.keep = asked.keep && upload.is_over().await && !self.drain.drain.has_begun();
        answer(&mut self.wire, response, &mut asked).await?;
        Ok(asked.keep)
    }
}

/// Writes an answer as it arrives; turns `keep` off when the connection ends with it.
///
/// # Errors
/// When it is not complete: the peer is gone or does not read, or the upstream broke off.
async fn answer<S: Readable>(wire: &mut Wire<S>, response: Response<Body>, asked: &mut Asked) -> io::Result<()> {
    let (head, mut body) = response.split();
    let mut out = BytesMut::with_capacity(ANSWER);
    let length = body.size_hint().exact();
    let delimited = clock::with_http_date(|date| asked.write(&mut out, &head, length, date.as_bytes()));
    let is_chunked = match delimited {
        Delimited::Bodiless => return wire.send(out).await,
        Delimited::Plain => false,
        Delimited::Chunked => true,
    };
    loop {
        let mut piece = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
        if piece.is_pending() {
            // Nothing is kept back that the upstream has said already.
            wire.send(out.split()).await?;
            piece = Poll::Ready(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await);
        }
        let piece = match piece {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Poll::Ready(None) | Poll::Pending => break,
            Poll::Ready(Some(Err(rejection))) => return Err(io::Error::other(rejection.reason())),
        };
        match (is_chunked, piece.len()) {
            (_, 0) => {}
            (false, ..=SMALL) => out.put_slice(&piece),
            (false, _) => wire.send(out.split().chain(piece)).await?,
            (true, length) => {
                chunk_size(&mut out, length);
                wire.send(out.split().chain(piece).chain(&b"\r\n"[..])).await?;
            }
        }
        if body.is_end_stream() {
            break;
        }
    }
    if is_chunked {
        out.put_slice(b"0\r\n\r\n");
    }
    wire.send(out).await
}

/// Answers what is no request, for the last time on this connection.
async fn dismiss<S: Readable>(wire: &mut Wire<S>, status: StatusCode) -> io::Result<()> {
    let response = Response::new(status, Body::empty());
    answer(wire, response, &mut Asked::new(&Method::GET, Version::HTTP_11, false)).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::{bounds, gateway};
    use super::*;
    use crate::http::rules::Origin;
    use std::task::Context;
    use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, duplex};

    fn downstream() -> Arc<Downstream> {
        Arc::new(Downstream {
            worker: 0,
            origin: Origin {
                peer: None,
                trusted: false,
                scheme: "http",
            },
            trusted_proxies: Arc::default(),
            client_subject: None,
        })
    }

    /// I08: a connection between two requests need not come to rest before it hears that the process is to stop.
    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_hears_of_the_drain_at_once() {
        let (mut sender, stream) = duplex(4096);
        let drain = Arc::new(Drain::default());
        let heard = drain.clone();
        let served = tokio::spawn(async move {
            let bounds = bounds(Duration::from_secs(10));
            serve(stream, Arc::new(gateway()), downstream(), bounds, &heard).await;
        });
        sender.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 4096];
        let count = sender.read(&mut answer).await.unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 404 "));
        tokio::task::yield_now().await;
        let begun = Instant::now();
        drain.begin();
        assert_eq!(sender.read(&mut answer).await.unwrap(), 0);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        drop(sender);
        served.await.unwrap();
    }

    /// Has an empty line for every other read, and something to read whenever it is asked; ends after many.
    struct EmptyLines {
        reads: usize,
        answer: Arc<std::sync::Mutex<Vec<u8>>>,
    }

    impl AsyncRead for EmptyLines {
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

    impl AsyncWrite for EmptyLines {
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

    impl Readable for EmptyLines {
        fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// F01: whoever keeps sending what is no request is not listened to for longer than one who is silent.
    #[tokio::test(start_paused = true)]
    async fn empty_lines_are_no_patience_s_worth() {
        let answer = Arc::<std::sync::Mutex<Vec<u8>>>::default();
        let stream = EmptyLines {
            reads: 0,
            answer: answer.clone(),
        };
        serve(
            stream,
            Arc::new(gateway()),
            downstream(),
            bounds(Duration::ZERO),
            &Drain::default(),
        )
        .await;
        assert!(answer.lock().unwrap().starts_with(b"HTTP/1.1 408 "));
    }
}
