//! From an accepted socket to an HTTP connection: the PROXY protocol header, the TLS handshake, and the choice of the
//! HTTP version. Read from top to bottom.

use super::Listener;
use super::connection::{close_after_last_response, http1, http2};
use super::proxy_protocol::{self, ProxySource};
use crate::gateway::Downstream;
use crate::gateway::connection_state::ConnectionState;
use crate::http::rules::Origin;
use crate::http::source::Source;
use crate::http::transport::{ReadAhead, Readable, Socket};
use crate::http::unread_head::UnreadHead;
use crate::tls::{self, KeyExchange};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};

/// First byte of a TLS record that contains a handshake message.
const TLS_HANDSHAKE_RECORD: u8 = 0x16;
/// The first bytes of an HTTP/2 connection (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The response to plain HTTP on a TLS listener.
const TLS_REQUIRED: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\
    content-length: 26\r\n\r\nThis port speaks TLS only\n";

impl Listener {
    /// Serves an accepted socket until its connection ends. `peer` is `None` on a Unix socket.
    pub(super) async fn serve(&self, socket: Socket, peer: Option<IpAddr>, connection: &Arc<ConnectionState>) {
        let mut stream = ReadAhead::new(socket);
        let (peer, trusted) = match self.sender(&mut stream, peer).await {
            Ok(sender) => sender,
            Err(NoSender::Silent) => return,
            Err(NoSender::Refused) => return self.metrics.proxy_header.inc(),
        };
        self.metrics.accepted.inc();
        if let Some(sender) = peer.filter(|_| self.proxy_protocol && !trusted) {
            connection.set_source(Source::of(sender));
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let downstream = Downstream {
            worker: self.worker,
            connection: connection.clone(),
            listener: self.name.clone(),
            origin: Origin { peer, trusted, scheme },
            trusted_proxies: self.trusted_proxies.clone(),
            health: self.health.clone(),
            acme_answers: self.acme_answers.clone(),
            client_subject: None,
        };
        match &self.tls {
            Some(tls) => self.serve_tls(tls, stream, downstream).await,
            None => self.serve_plaintext(stream, downstream).await,
        }
    }

    /// The address of the sender, and whether it is a trusted proxy. With the PROXY protocol the address comes from the
    /// header, which only a trusted proxy or the peer of a Unix socket may send.
    async fn sender(&self, stream: &mut ReadAhead, peer: Option<IpAddr>) -> Result<(Option<IpAddr>, bool), NoSender> {
        let trusted = peer.map_or(self.trusts_unix_peers, |peer| self.trusts(peer));
        if !self.proxy_protocol {
            return Ok((peer, trusted));
        }
        // The mode of a Unix socket decides who may connect.
        if !trusted && peer.is_some() {
            return Err(NoSender::Refused);
        }
        Ok(match self.read_proxy_header(stream).await? {
            // The header only proves the address. What comes from that address is trusted if it is a trusted proxy
            // itself.
            ProxySource::Sender(sender) => (Some(sender), self.trusts(sender)),
            ProxySource::Unknown => (peer, false),
            ProxySource::Balancer => (peer, trusted),
        })
    }

    /// Whether `peer` is one of the trusted proxies.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// Reads the PROXY protocol header, which must be valid and complete before its timeout. A connection that is closed
    /// at once is the health check of a balancer that only connects.
    async fn read_proxy_header(&self, stream: &mut ReadAhead) -> Result<ProxySource, NoSender> {
        let limit = match self.tls {
            Some(_) => self.handshake_timeout,
            None => self.limits.timeouts.head,
        };
        let is_decided = |bytes: &[u8]| !matches!(proxy_protocol::parse(bytes), Ok(None));
        let peeked = timeout(limit, stream.peek(is_decided)).await;
        let bytes = peeked.map_err(|_| NoSender::Refused)?.map_err(|_| NoSender::Silent)?;
        if bytes.is_empty() {
            return Err(NoSender::Silent);
        }
        let header = proxy_protocol::parse(bytes).ok().flatten().ok_or(NoSender::Refused)?;
        stream.consume(header.length_bytes);
        Ok(header.source)
    }

    /// Completes the TLS handshake before its timeout, then serves HTTP. ALPN chooses the version.
    async fn serve_tls(&self, tls: &tls::Acceptor, mut stream: ReadAhead, mut downstream: Downstream) {
        let results = &self.gateway.recorder.metrics.tls_handshakes;
        let peer = downstream.origin.peer;
        let handshake = async {
            let first_byte = match stream.peek(|bytes| !bytes.is_empty()).await {
                Ok([TLS_HANDSHAKE_RECORD, ..]) => FirstByte::Tls,
                Ok([]) | Err(_) => FirstByte::Missing,
                Ok([..]) => FirstByte::Plaintext,
            };
            match first_byte {
                FirstByte::Tls => tls.accept(stream).await.map(Some),
                FirstByte::Missing => {
                    results.closed.inc();
                    Ok(None)
                }
                FirstByte::Plaintext => {
                    results.plaintext.inc();
                    self.log_failed_handshake(peer, "the sender speaks plain HTTP or another protocol, not TLS");
                    let _ = stream.write_all(TLS_REQUIRED).await;
                    close_after_last_response(stream).await;
                    Ok(None)
                }
            }
        };
        // Both boxes keep the task of the connection small: it lives much longer than the handshake.
        let stream = match Box::pin(timeout(self.handshake_timeout, handshake)).await {
            Ok(Ok(Some(stream))) => Box::new(stream),
            Ok(Ok(None)) => return,
            Ok(Err(tls::FailedHandshake { error, io })) => {
                let lacks = tls::failure::lacks_certificate(&error);
                let reason = match lacks && tls.awaits_certificate() {
                    true => {
                        results.no_certificate.inc();
                        "the ACME server has not issued the certificate of this listener yet"
                    }
                    false => {
                        results.failed.inc();
                        tls::failure::explain(&error)
                    }
                };
                self.log_failed_handshake(downstream.origin.peer, reason);
                return Box::pin(close_after_last_response(io)).await;
            }
            Err(_) => {
                self.log_failed_handshake(downstream.origin.peer, "it was not complete before its timeout");
                return results.timeout.inc();
            }
        };
        let session = stream.session();
        if session.alpn_protocol() == Some(tls::CHALLENGE_PROTOCOL) {
            // An ACME server has seen the certificate that it wanted, and sends no request.
            return results.acme.inc();
        }
        results.completed(KeyExchange::of(session));
        if tls.forwards_subject() {
            let certificate = session.peer_certificates().and_then(<[_]>::first);
            downstream.client_subject = certificate.and_then(tls::subject);
        }
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        self.serve_http(stream, downstream, is_http2).await;
    }

    /// Logs a failed handshake with its reason, at most one in a second on each worker; the next line has the number of
    /// those that were left out.
    fn log_failed_handshake(&self, peer: Option<IpAddr>, reason: &'static str) {
        let Some(left_out) = self.handshake_log.admit(Instant::now()) else {
            return;
        };
        let peer = peer.map_or_else(|| String::from("a Unix socket"), |peer| peer.to_string());
        tracing::warn!(%peer, listener = %self.name, reason, left_out, "TLS handshake failed");
    }

    /// Serves HTTP without TLS. The first bytes choose the version, since there is no ALPN.
    async fn serve_plaintext(&self, mut stream: ReadAhead, downstream: Downstream) {
        let is_decided = |bytes: &[u8]| bytes.len() >= HTTP2_PREFACE.len() || !HTTP2_PREFACE.starts_with(bytes);
        let is_http2 = match timeout(self.limits.timeouts.head, stream.peek(is_decided)).await {
            Ok(Ok(bytes)) => bytes.starts_with(HTTP2_PREFACE),
            Ok(Err(_)) => return,
            Err(_) => {
                let late = http1::refuse_unread(stream, &self.gateway, &downstream, UnreadHead::Timeout);
                return Box::pin(late).await;
            }
        };
        self.serve_http(stream, downstream, is_http2).await;
    }

    /// Serves HTTP in the chosen version.
    async fn serve_http<S: Readable>(&self, stream: S, downstream: Downstream, is_http2: bool) {
        let (gateway, downstream) = (self.gateway.clone(), Arc::new(downstream));
        if is_http2 {
            // Boxed, so that an HTTP/1.1 connection does not hold memory for the state of HTTP/2.
            Box::pin(http2::serve(stream, gateway, downstream, self.limits, &self.drain)).await;
        } else {
            http1::serve(stream, gateway, downstream, self.limits, &self.drain).await;
        }
    }
}

/// Why a connection is not served.
enum NoSender {
    /// It ended before it said anything, as the health checks of balancers do.
    Silent,
    /// Its peer may not send a PROXY protocol header, or sent none that is valid.
    Refused,
}

/// What the first byte on a TLS listener says about the client.
enum FirstByte {
    /// The client begins a TLS handshake.
    Tls,
    /// The client sends something else, probably plain HTTP.
    Plaintext,
    /// The client closed the connection without sending a byte.
    Missing,
}
