//! The Unix socket of the API: only the user of the process may connect, and every action carries the peer's user id.

use super::{StartError, operators_listener};
use crate::console::{self, Actor, Operators, Role};
use crate::listener::socket::{self, BoundSocket, ListeningSocket};
use crate::settings::{Address, Api};
use crate::time::shutdown::ShutdownSignal;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Only the user of the process may connect.
const MODE: u32 = 0o600;
/// Largest number of open connections.
const CONNECTIONS: usize = 64;
/// Time limit for the head of a request, and for idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest size of hyper's read buffer, which limits the head.
const HEAD_BYTES: usize = 16 * 1024;

/// Binds the socket. A socket that a process uses is never removed.
pub(super) fn bind(settings: &Api) -> Result<UnixListener, StartError> {
    let fault = |error| StartError::Bind {
        key: String::from("api.socket"),
        address: settings.socket.display().to_string(),
        error,
    };
    let address = Address::Unix(settings.socket.clone(), MODE);
    let (mut sockets, _) = socket::bind(&address, 1).map_err(fault)?;
    let bound = sockets.pop().map(BoundSocket::listen).transpose().map_err(fault)?;
    match bound {
        Some(ListeningSocket::Unix(listener)) => Ok(listener),
        Some(ListeningSocket::Tcp(_)) | None => Err(fault(std::io::ErrorKind::Unsupported.into())),
    }
}

/// Serves `listener` until `end` is triggered.
pub(super) async fn serve(listener: UnixListener, operators: Arc<Operators>, end: Arc<ShutdownSignal>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let serve = |stream| connection(stream, operators.clone());
    let failed = |error| tracing::warn!(%error, "the socket of the API cannot accept a connection");
    operators_listener::accept(&listener, &permits, serve, failed, end.wait()).await;
}

async fn connection(stream: UnixStream, operators: Arc<Operators>) {
    let Ok(peer) = stream.peer_cred() else { return };
    let actor = Actor {
        name: format!("uid {}", peer.uid()),
        role: Role::Operate,
    };
    let service = service_fn(|request: Request<Incoming>| {
        let (operators, actor) = (&operators, &actor);
        async move { Ok::<_, Infallible>(console::api::serve(operators, actor, request).await) }
    });
    // An error of an operator's connection needs no log line.
    let _ = operators_listener::http1(stream, service, HEAD_TIMEOUT, HEAD_BYTES).await;
}
