//! The accept loop of one listening socket on one worker: permits, what a balancer says first, the handshake under its
//! deadline, and the choice of protocol. Everything after that is the connection's.

pub mod connection;
pub mod proxy_protocol;
pub mod socket;

use crate::gateway::{Downstream, Gateway};
use crate::http::rules::Origin;
use crate::http::transport::{ReadAhead, Readable, Socket};
use crate::listener::connection::{Bounds, http1, http2};
use crate::listener::proxy_protocol::Source;
use crate::listener::socket::{BACKLOG, Listening};
use crate::telemetry::metrics::ListenerMetrics;
use crate::time::shutdown::Drain;
use crate::tls;
use ipnet::IpNet;
use std::future::ready;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

/// What an HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// First byte of a TLS handshake record.
const HANDSHAKE_RECORD: u8 = 0x16;
/// Wait after a failed accept, growing up to a second while it keeps failing (no descriptors left).
const BACK_OFF: Duration = Duration::from_millis(10);

/// What all connections of one listener share on one worker.
pub struct Listener {
    /// The request's way.
    pub gateway: Arc<Gateway>,
    /// Index of the worker.
    pub worker: usize,
    /// `None` for plaintext.
    pub tls: Option<Arc<tls::Server>>,
    /// Peers whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Whether every connection begins with a PROXY protocol header, which only they may send.
    pub proxy_protocol: bool,
    /// Bounds of each connection.
    pub bounds: Bounds,
    /// For the TLS handshake.
    pub handshake_timeout: Duration,
    /// Connections of the whole process.
    pub open: Arc<Connections>,
    /// This listener's counters.
    pub metrics: ListenerMetrics,
    /// When to finish connections.
    pub drain: Arc<Drain>,
}

/// Connections open over all listeners and workers, the bound on them, and whether there may be more.
#[derive(Debug)]
pub struct Connections {
    open: AtomicUsize,
    accepting: AtomicUsize,
    limit: usize,
}

impl Connections {
    /// None open yet.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            accepting: AtomicUsize::new(0),
            limit,
        })
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many accept loops have not ended.
    #[must_use]
    pub fn accepting(&self) -> usize {
        self.accepting.load(Ordering::Relaxed)
    }

    fn permit(self: &Arc<Self>) -> Option<Permit> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit(self.clone()))
    }
}

/// One connection's place.
struct Permit(Arc<Connections>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One accept loop.
struct Accepting(Arc<Connections>);

impl Accepting {
    fn on(connections: &Arc<Connections>) -> Self {
        connections.accepting.fetch_add(1, Ordering::Relaxed);
        Self(connections.clone())
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.accepting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts until `stop` says so, and then those whom the kernel has let in already: the socket's end would cut them off.
/// What was accepted goes on by itself.
pub async fn run(listening: Listening, listener: Arc<Listener>, stop: Arc<Drain>) {
    let _accepting = Accepting::on(&listener.open);
    let mut back_off = BACK_OFF;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.begun() => break,
            accepted = listening.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                back_off = BACK_OFF;
                listener.take_in(socket, peer);
            }
            // The peer was faster than we were.
            Err(error) if is_peers_fault(&error) => {}
            Err(error) => {
                listener.gateway.recorder.metrics.accept_errors.inc();
                tracing::error!(%error, "cannot accept connections");
                sleep(back_off).await;
                back_off = (back_off * 2).min(Duration::from_secs(1));
            }
        }
    }
    empty(&listening, &listener).await;
}

/// Takes in whoever stands in the kernel's queue, which is as many as it holds at most.
async fn empty(listening: &Listening, listener: &Arc<Listener>) {
    for _ in 0..BACKLOG {
        // What the runtime knows of the socket is as old as its last look: it gets another one.
        yield_now().await;
        let accepted = tokio::select! {
            biased;
            accepted = listening.accept() => accepted,
            () = ready(()) => return,
        };
        match accepted {
            Ok((socket, peer)) => listener.take_in(socket, peer),
            Err(error) if is_peers_fault(&error) => {}
            Err(_) => return,
        }
    }
}

fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
    )
}

impl Listener {
    /// Serves a new connection in a task of its own, unless there are too many.
    fn take_in(self: &Arc<Self>, socket: Socket, peer: Option<IpAddr>) {
        // At the bound the kernel's queue would only hide the problem from the sender.
        let Some(permit) = self.open.permit() else {
            return self.metrics.over_limit.inc();
        };
        let listener = self.clone();
        tokio::spawn(async move {
            listener.metrics.open.inc();
            listener.serve(socket, peer).await;
            listener.metrics.open.dec();
            drop(permit);
        });
    }

    async fn serve(&self, socket: Socket, peer: Option<IpAddr>) {
        let mut stream = ReadAhead::new(socket);
        let mut trusted = peer.is_none_or(|peer| self.trusts(peer));
        let mut peer = peer;
        if self.proxy_protocol {
            let told = if trusted {
                self.introduced(&mut stream).await
            } else {
                None
            };
            match told {
                // The balancer vouches for the address, and for nothing that is said from there.
                Some(Source::Sender(sender)) => (peer, trusted) = (Some(sender), self.trusts(sender)),
                Some(Source::Unknown) => trusted = false,
                Some(Source::Balancer) => {}
                None => return self.metrics.proxy_header.inc(),
            }
        }
        self.metrics.accepted.inc();
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let downstream = Downstream {
            worker: self.worker,
            origin: Origin { peer, trusted, scheme },
            trusted_proxies: self.trusted_proxies.clone(),
            client_subject: None,
        };
        match &self.tls {
            Some(tls) => self.handshake(tls, stream, downstream).await,
            None => self.plaintext(stream, downstream).await,
        }
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// Reads what the balancer says of the connection; `None` when that is not a PROXY protocol header, or not in time.
    async fn introduced(&self, stream: &mut ReadAhead) -> Option<Source> {
        let patience = match self.tls {
            Some(_) => self.handshake_timeout,
            None => self.bounds.patience.head,
        };
        let decided = |bytes: &[u8]| !matches!(proxy_protocol::parse(bytes), Ok(None));
        let bytes = timeout(patience, stream.peek(decided)).await.ok()?.ok()?;
        let header = proxy_protocol::parse(bytes).ok()??;
        stream.consume(header.length);
        Some(header.source)
    }

    async fn handshake(&self, tls: &tls::Server, mut stream: ReadAhead, mut downstream: Downstream) {
        let results = &self.gateway.recorder.metrics.tls_handshakes;
        let handshake = async {
            let spoken = match stream.peek(|bytes| !bytes.is_empty()).await {
                Ok([HANDSHAKE_RECORD, ..]) => Spoken::Tls,
                Ok([]) | Err(_) => Spoken::Nothing,
                Ok([..]) => Spoken::Plaintext,
            };
            match spoken {
                Spoken::Tls => tls.accept(stream).await.map(Some),
                Spoken::Nothing => {
                    results.closed.inc();
                    Ok(None)
                }
                Spoken::Plaintext => {
                    results.plaintext.inc();
                    let _ = stream.write_all(SPEAK_TLS).await;
                    Ok(None)
                }
            }
        };
        // Both boxes keep the connection's task small: it lives long after the handshake.
        let stream = match Box::pin(timeout(self.handshake_timeout, handshake)).await {
            Ok(Ok(Some(stream))) => Box::new(stream),
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                results.failed.inc();
                return tracing::debug!(%error, "TLS handshake failed");
            }
            Err(_) => return results.timeout.inc(),
        };
        results.ok.inc();
        let session = stream.session();
        if tls.forwards_subject() {
            let shown = session.peer_certificates().and_then(<[_]>::first);
            downstream.client_subject = shown.and_then(tls::subject);
        }
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        self.converse(stream, downstream, is_http2).await;
    }

    /// Without ALPN the first bytes tell HTTP/2 from HTTP/1.1.
    async fn plaintext(&self, mut stream: ReadAhead, downstream: Downstream) {
        let decided = |bytes: &[u8]| bytes.len() >= PREFACE.len() || !PREFACE.starts_with(bytes);
        let is_http2 = match timeout(self.bounds.patience.head, stream.peek(decided)).await {
            Ok(Ok(bytes)) => bytes.starts_with(PREFACE),
            Ok(Err(_)) => return,
            Err(_) => return self.gateway.recorder.metrics.malformed_requests.head_timeout.inc(),
        };
        self.converse(stream, downstream, is_http2).await;
    }

    /// Serves what is spoken from here on.
    async fn converse<S: Readable>(&self, stream: S, downstream: Downstream, is_http2: bool) {
        let (gateway, downstream) = (self.gateway.clone(), Arc::new(downstream));
        if is_http2 {
            // Boxed, so that a connection that speaks HTTP/1.1 does not hold room for the other one's state.
            Box::pin(http2::serve(stream, gateway, downstream, self.bounds, &self.drain)).await;
        } else {
            http1::serve(stream, gateway, downstream, self.bounds, &self.drain).await;
        }
    }
}

/// What a peer begins with on a TLS listener.
enum Spoken {
    Tls,
    Plaintext,
    Nothing,
}

/// For whoever speaks plain HTTP to a TLS listener.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\
    content-length: 26\r\n\r\nThis port speaks TLS only\n";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::listener::connection::tests::{bounds, gateway};
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    /// I08: who was let in by the kernel before the end is served, not reset; who comes later is refused.
    #[tokio::test]
    async fn whoever_is_in_the_kernel_s_queue_at_the_end_is_served() {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let gateway = Arc::new(gateway());
        let open = Connections::new(1000);
        let listener = Listener {
            worker: 0,
            tls: None,
            trusted_proxies: Arc::default(),
            proxy_protocol: false,
            bounds: bounds(Duration::from_secs(10)),
            handshake_timeout: Duration::from_secs(10),
            open: open.clone(),
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
        let stop = Arc::new(Drain::default());
        stop.begin();
        let ended = tokio::spawn(run(Listening::Tcp(socket), Arc::new(listener), stop));
        yield_now().await;
        assert_eq!(open.accepting(), 1, "it is not over before the queue is empty");
        ended.await.unwrap();
        assert_eq!((open.accepting(), open.open()), (0, 50));
        assert!(TcpStream::connect(address).is_err());
        while open.open() > 0 {
            yield_now().await;
        }
        for mut client in queued {
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        }
    }
}
