//! The listener of the web console: its own address, with TLS if it is configured.

use super::{StartError, operators_listener};
use crate::console::access::Peer;
use crate::console::{self, Console};
use crate::settings;
use crate::time::shutdown::ShutdownSignal;
use crate::tls;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Largest number of open connections; a page with live updates holds one.
const CONNECTIONS: usize = 256;
/// Time limit for the handshake, for the head of a request, and for idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest size of hyper's read buffer, which limits the head.
const HEAD_BYTES: usize = 32 * 1024;

/// Binds the address and reads the certificates.
pub(super) async fn bind(
    settings: &settings::Console,
) -> Result<(TcpListener, Option<Arc<tls::Acceptor>>), StartError> {
    // The configuration accepts files only here.
    let no_files = |_: &settings::Acme| Err(String::from("the console takes its certificate from files"));
    let load = |tls| tls::Acceptor::load(tls, no_files);
    let tls = settings.tls.as_ref().map(load).transpose();
    let tls = tls.map_err(StartError::Tls)?.map(Arc::new);
    let bound = TcpListener::bind(settings.address).await;
    let listener = bound.map_err(|error| StartError::Bind {
        key: String::from("console.address"),
        address: settings.address.to_string(),
        error,
    })?;
    Ok((listener, tls))
}

/// Serves `listener` until `end` is triggered, and samples the history.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<tls::Acceptor>>,
    console: Console,
    end: Arc<ShutdownSignal>,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let serve = |(stream, peer)| accept(stream, peer, tls.clone(), console.clone());
    let failed = |error| tracing::warn!(%error, "the console cannot accept a connection");
    tokio::select! {
        () = operators_listener::accept(&listener, &permits, serve, failed, end.wait()) => {}
        () = sample(&console) => {}
    }
}

/// Samples the history for ever.
async fn sample(console: &Console) {
    let mut samples = tokio::time::interval(console::HISTORY_INTERVAL);
    loop {
        samples.tick().await;
        console.history.sample(&console.operators.gateway.snapshot.load());
    }
}

async fn accept(stream: TcpStream, peer: SocketAddr, tls: Option<Arc<tls::Acceptor>>, console: Console) {
    let address = Some(peer.ip().to_canonical());
    let Some(tls) = tls else {
        let peer = Peer {
            address,
            subject: None,
            is_tls: false,
        };
        return connection(stream, peer, &console).await;
    };
    // A failed handshake of a browser needs no log line.
    let Ok(Ok(stream)) = timeout(HEAD_TIMEOUT, tls.accept(stream)).await else {
        return;
    };
    let certificate = stream.session().peer_certificates().and_then(<[_]>::first);
    let subject = certificate.and_then(tls::subject);
    let peer = Peer {
        address,
        subject: subject
            .and_then(|subject| subject.to_str().ok().map(str::to_owned))
            .filter(|subject| !subject.is_empty()),
        is_tls: true,
    };
    connection(stream, peer, &console).await;
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, peer: Peer, console: &Console) {
    let service = service_fn(|request: Request<Incoming>| {
        let peer = &peer;
        async move { Ok::<_, Infallible>(console::web::serve(console, peer, request).await) }
    });
    let _ = operators_listener::http1(stream, service, HEAD_TIMEOUT, HEAD_BYTES).await;
}
