//! One HTTP/1.1 connection to an upstream, driven by the task that uses it.
//!
//! hyper's client is a pair: a handle that sends requests and a driver that moves bytes. Usually the driver is a task of
//! its own, and every message costs a wake-up between the two. Here the exchange's own task polls both, the driver
//! first; the handle's half then never has to be woken, so it is polled with a waker that does nothing. Idle connections
//! are polled by nobody: whether one is still alive is asked when it is taken from the pool.

use super::stream::{Probe, Stream};
use crate::deadline::Timer;
use crate::intake::Payload;
use crate::outcome::Rejection;
use http_body::Body as _;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of an answer's head that are read before it counts as garbage.
const ANSWER_HEAD_BYTES: usize = 64 * 1024;
/// What is read of an answer before the sender has taken it; hyper's own bound is six times that.
const READ_BUFFER: usize = ANSWER_HEAD_BYTES;
/// Header fields of an answer.
const ANSWER_HEADERS: usize = 256;

/// A connection that was in use this recently is not asked about: that would be a system call for every request.
const TRUSTED: Duration = Duration::from_millis(50);

type Driver = http1::Connection<TokioIo<Stream>, Payload>;

/// An open connection, idle or in use.
#[derive(Debug)]
pub(super) struct Connection {
    sender: http1::SendRequest<Payload>,
    /// Gone once the connection is closed.
    driver: Option<Pin<Box<Driver>>>,
    timer: Timer,
    probe: Probe,
    pub(super) idle_since: Instant,
}

/// Why a request got no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Not a byte was sent: safe to send it again elsewhere.
    NotSent(Box<Request<Payload>>),
    /// Perhaps sent.
    Lost(Rejection),
}

impl Connection {
    pub(super) async fn handshake(stream: Stream) -> Result<Self, Rejection> {
        let probe = stream.probe();
        let mut builder = http1::Builder::new();
        builder
            .max_headers(ANSWER_HEADERS)
            .max_header_size(ANSWER_HEAD_BYTES)
            .max_buf_size(READ_BUFFER);
        let (sender, driver) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Rejection::UpstreamUnreachable)?;
        Ok(Self {
            sender,
            driver: Some(Box::pin(driver)),
            timer: Timer::default(),
            probe,
            idle_since: Instant::now(),
        })
    }

    /// Like [`Connection::is_idle`], and asks the kernel about a connection that has been idle for a while.
    pub(super) fn is_alive(&mut self) -> bool {
        if self.idle_since.elapsed() > TRUSTED {
            self.probe.ask();
        }
        self.is_idle()
    }

    /// Whether another request can be sent. Also lets the driver notice what happened while nobody polled it, and takes
    /// this task's waker out of it.
    pub(super) fn is_idle(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends `request` and waits for the head of the final answer until `deadline`.
    pub(super) async fn send(
        &mut self,
        request: Request<Payload>,
        deadline: Instant,
    ) -> Result<Response<Incoming>, Failure> {
        let mut answer = pin!(self.sender.try_send_request(request));
        // `self.sender` is borrowed by nothing: the request went into the driver's queue when the call was made.
        let (driver, timer) = (&mut self.driver, &mut self.timer);
        let result = poll_fn(|cx| {
            if driver
                .as_mut()
                .is_some_and(|driver| driver.as_mut().poll(cx).is_ready())
            {
                // Dropping the driver gives back what is still in its queue.
                *driver = None;
            }
            match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending => timer.poll(cx, deadline).map(|()| None),
            }
        })
        .await;
        match result {
            Some(Ok(response)) => Ok(response),
            Some(Err(mut refused)) => Err(match refused.take_message() {
                Some(request) => Failure::NotSent(Box::new(request)),
                None => Failure::Lost(cause(refused.error())),
            }),
            None => Err(Failure::Lost(Rejection::UpstreamTimeout)),
        }
    }

    /// The next piece of an answer's body; trailers are dropped.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Incoming,
        deadline: Instant,
    ) -> Poll<Option<Result<Bytes, Rejection>>> {
        self.drive(cx);
        let mut body = Pin::new(body);
        loop {
            match body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(frame))) => match Frame::into_data(frame) {
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(_trailers) => {}
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(cause(&error)))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    return self
                        .timer
                        .poll(cx, deadline)
                        .map(|()| Some(Err(Rejection::UpstreamTimeout)));
                }
            }
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if self
            .driver
            .as_mut()
            .is_some_and(|driver| driver.as_mut().poll(cx).is_ready())
        {
            self.driver = None;
        }
    }
}

/// Whose fault a broken exchange was, as far as hyper can tell.
fn cause(error: &hyper::Error) -> Rejection {
    if error.is_parse() || error.is_parse_status() || error.is_parse_too_large() {
        Rejection::UpstreamInvalid
    } else {
        Rejection::UpstreamReset
    }
}
