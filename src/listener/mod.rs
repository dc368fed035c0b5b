//! Accepts connections and serves them. This file has the accept loop of one listening socket on one worker.
//!
//! A connection passes through these steps: [`run`] accepts it within the connection limit and starts a task for it;
//! [`protocol`] reads the PROXY protocol header if one is configured, completes the TLS handshake, and chooses the HTTP
//! version; [`connection`] serves requests until the end. Each module imports only from modules below it:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`protocol`] | from an accepted socket to an HTTP connection: PROXY protocol, TLS, HTTP version |
//! | [`connection`] | the connections of both HTTP versions |
//! | [`proxy_protocol`] | parses the PROXY protocol header |
//! | [`connections`] | counts connections and accept loops, limits the connections, and chooses which one gives way |
//! | [`line_rate`] | the rate of log lines that a sender causes |
//! | [`socket`] | binds listening sockets and accepts from them |

pub mod connection;
mod connections;
mod line_rate;
mod protocol;
pub mod proxy_protocol;
pub mod socket;

pub use connections::Connections;
pub use line_rate::LineRate;

use crate::gateway::Gateway;
use crate::http::source::Source;
use crate::http::transport::Socket;
use crate::listener::connection::ConnectionLimits;
use crate::listener::socket::{BACKLOG, ListeningSocket};
use crate::remote::acme::HttpAnswers;
use crate::telemetry::metrics::ListenerMetrics;
use crate::time::shutdown::ShutdownSignal;
use crate::tls;
use ipnet::IpNet;
use std::future::{Future as _, poll_fn, ready};
use std::io;
use std::mem;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::sleep;

/// Pause after the first failed accept; it doubles with each further failure.
const MIN_ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause between failed accepts. They usually fail because the process has no file descriptors left.
const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What all connections of one listener share on one worker.
pub struct Listener {
    /// Handles the requests.
    pub gateway: Arc<Gateway>,
    /// Index of the worker.
    pub worker: usize,
    /// Its name. Each worker has a copy of its own, which no other core uses.
    pub name: Arc<str>,
    /// The rate of log lines about failed TLS handshakes.
    pub handshake_log: LineRate,
    /// `None` for plaintext.
    pub tls: Option<Arc<tls::Acceptor>>,
    /// Networks of the proxies whose `X-Forwarded-*` fields and PROXY protocol headers are used.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Whether the peers of a Unix socket are trusted proxies; they have no address.
    pub trusts_unix_peers: bool,
    /// Whether every connection begins with a PROXY protocol header; only trusted proxies may then connect.
    pub proxy_protocol: bool,
    /// The path of health checks; `None` answers none.
    pub health: Option<Arc<str>>,
    /// What is answered to the challenges of ACME servers; `None` on a listener with TLS.
    pub acme_answers: Option<Arc<HttpAnswers>>,
    /// Limits of each connection.
    pub limits: ConnectionLimits,
    /// How long a TLS handshake may take, with the PROXY protocol header before it.
    pub handshake_timeout: Duration,
    /// The connections of the whole process.
    pub connections: Arc<Connections>,
    /// The counters of this listener.
    pub metrics: ListenerMetrics,
    /// Triggered when connections are to finish their exchanges and close.
    pub drain: Arc<ShutdownSignal>,
}

/// Accepts connections until `stop` is triggered, then those that are already in the kernel's queue: closing the socket
/// would reset them. Accepted connections continue in tasks of their own.
pub async fn run(socket: ListeningSocket, listener: Arc<Listener>, stop: Arc<ShutdownSignal>) {
    let _accept_loop = listener.connections.accept_loop();
    let mut pause = MIN_ACCEPT_PAUSE;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.wait() => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = MIN_ACCEPT_PAUSE;
                listener.start(stream, peer);
            }
            // The peer closed the connection before it was accepted.
            Err(error) if is_caused_by_peer(&error) => {}
            Err(error) => {
                listener.gateway.recorder.metrics.accept_errors.inc();
                tracing::error!(%error, "cannot accept connections");
                sleep(pause).await;
                pause = (pause * 2).min(MAX_ACCEPT_PAUSE);
            }
        }
    }
    accept_pending(&socket, &listener).await;
}

/// Accepts the connections that are in the kernel's queue, of which there are at most [`BACKLOG`].
async fn accept_pending(socket: &ListeningSocket, listener: &Arc<Listener>) {
    for _ in 0..BACKLOG {
        // The runtime refreshes the readiness of the socket only when this task yields.
        yield_now().await;
        let accepted = tokio::select! {
            biased;
            accepted = socket.accept() => accepted,
            () = ready(()) => return,
        };
        match accepted {
            Ok((stream, peer)) => listener.start(stream, peer),
            Err(error) if is_caused_by_peer(&error) => {}
            Err(_) => return,
        }
    }
}

/// Whether accepting failed because of the state of one connection, so that the next one can be accepted immediately.
fn is_caused_by_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
    )
}

impl Listener {
    /// Starts a task that serves an accepted connection. At the limit another connection gives way, or this one is
    /// closed.
    fn start(self: &Arc<Self>, socket: Socket, peer: Option<IpAddr>) {
        // Behind a trusted proxy there are many senders. With the PROXY protocol the sender is known later.
        let single = peer.filter(|peer| !self.proxy_protocol && !self.trusts(*peer));
        // At the limit the connection is closed, not left in the kernel's queue, where the sender could not see the
        // problem.
        let Some(permit) = self.connections.permit(single.map(Source::of)) else {
            return self.metrics.over_limit.inc();
        };
        let listener = self.clone();
        tokio::spawn(async move {
            listener.metrics.open.inc();
            let mut serve = pin!(listener.serve(socket, peer, permit.state()));
            let mut is_first_poll = true;
            let gave_way = poll_fn(|cx| {
                if permit.state().must_close(mem::take(&mut is_first_poll), cx) {
                    return Poll::Ready(true);
                }
                serve.as_mut().poll(cx).map(|()| false)
            });
            if gave_way.await {
                listener.metrics.gave_way.inc();
            }
            listener.metrics.open.dec();
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::listener::connection::tests::{gateway, limits};
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    /// I08: connections that the kernel accepted before the shutdown are served, not reset; later ones are refused.
    #[tokio::test]
    async fn connections_in_the_kernel_queue_are_served_at_shutdown() {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let gateway = Arc::new(gateway());
        let connections = Connections::new(1000);
        let listener = Listener {
            worker: 0,
            name: "test".into(),
            handshake_log: LineRate::default(),
            tls: None,
            trusted_proxies: Arc::default(),
            trusts_unix_peers: false,
            proxy_protocol: false,
            health: None,
            acme_answers: None,
            limits: limits(Duration::from_secs(10)),
            handshake_timeout: Duration::from_secs(10),
            connections: connections.clone(),
            metrics: gateway.recorder.metrics.listener("test"),
            drain: Arc::default(),
            gateway,
        };
        let mut queued: Vec<_> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
        for client in &mut queued {
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                .unwrap();
        }
        let stop = Arc::new(ShutdownSignal::default());
        stop.trigger();
        let ended = tokio::spawn(run(ListeningSocket::Tcp(socket), Arc::new(listener), stop));
        yield_now().await;
        assert_eq!(
            connections.accepting(),
            1,
            "the accept loop ends only when the queue is empty"
        );
        ended.await.unwrap();
        assert_eq!((connections.accepting(), connections.open()), (0, 50));
        assert!(TcpStream::connect(address).is_err());
        while connections.open() > 0 {
            yield_now().await;
        }
        for mut client in queued {
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        }
    }
}
