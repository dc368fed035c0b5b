//! The listener for the challenge HTTP-01: it answers pending challenges, and everything else with 404.

use super::answers::HttpAnswers;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{self, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Largest number of open connections.
const CONNECTIONS: usize = 64;
/// The time for one connection, which serves one request.
const LONGEST: Duration = Duration::from_secs(10);
/// Largest head in bytes; the smallest size that hyper accepts.
const HEAD_BYTES: usize = 8 * 1024;
/// Wait after a failed accept.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Binds the address.
///
/// # Errors
/// What the system says.
pub(super) fn bind(address: SocketAddr) -> io::Result<net::TcpListener> {
    let listener = net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until the task is aborted.
pub(super) async fn serve(listener: net::TcpListener, answers: Arc<HttpAnswers>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the challenge HTTP-01 cannot be answered");
            return;
        }
    };
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Takes a permit before it accepts: at the limit, further connections wait in the kernel's queue.
        let permit = connections.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let answers = answers.clone();
                tokio::spawn(async move {
                    let serving = service_fn(|request| std::future::ready(answer(&answers, &request)));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .keep_alive(false)
                        .max_buf_size(HEAD_BYTES)
                        .serve_connection(TokioIo::new(stream), serving);
                    let _ = timeout(LONGEST, connection).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for the challenge HTTP-01 cannot be accepted");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

fn answer(answers: &HttpAnswers, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let found = answers
        .find(request.uri().path())
        .filter(|_| request.method() == Method::GET);
    let status = if found.is_some() {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    let mut response = Response::new(Full::from(found.unwrap_or_default()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
