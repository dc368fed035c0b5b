//! Both ends of a TLS connection in one process: the gateway's stream, which reads pieces of any size, and a client
//! that follows the protocol (rustls) or does not (a [`Forger`]).

use crate::support::certificates::Certificate;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hookgate::http::transport::Readable;
use hookgate::tls;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, ConnectionTrafficSecrets, RootCertStore, ServerConfig,
    SupportedProtocolVersion,
};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(super) static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| Certificate::new(&["localhost"]));
/// Both protocol versions that the listener accepts.
pub(super) const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A byte stream that returns at most `step` bytes for each read.
#[derive(Debug)]
pub(super) struct LimitedReads {
    pub(super) io: DuplexStream,
    pub(super) step: usize,
}

pub(super) type Server = tls::Stream<LimitedReads>;
pub(super) type Client = TlsStream<DuplexStream>;

impl AsyncRead for LimitedReads {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let step = self.step.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(step));
        let read = Pin::new(&mut self.io).poll_read(cx, &mut part);
        let length = part.filled().len();
        buf.advance(length);
        read
    }
}

impl AsyncWrite for LimitedReads {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Readable for LimitedReads {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A client configuration for one version.
pub(super) fn client(version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CERTIFICATE.der.clone()).unwrap();
    let mut provider = default_provider();
    // The only TLS 1.3 suite that the forger implements.
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_none() || suite.suite() == cipher_suite::TLS13_AES_128_GCM_SHA256.suite());
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Both ends after the handshake; the pipe between them holds at most `pipe` bytes.
pub(super) async fn connected(client: ClientConfig, step: usize, pipe: usize) -> (Server, Client) {
    connected_to(CERTIFICATE.server(), client, step, pipe).await
}

pub(super) async fn connected_to(
    server: Arc<ServerConfig>,
    client: ClientConfig,
    step: usize,
    pipe: usize,
) -> (Server, Client) {
    let (near, far) = duplex(pipe);
    let connector = TlsConnector::from(Arc::new(client));
    let (server, client) = tokio::join!(
        tls::Stream::accept(server, LimitedReads { io: near, step }),
        connector.connect("localhost".try_into().unwrap(), far)
    );
    (server.unwrap(), client.unwrap())
}

/// A client that knows the keys of its TLS 1.3 connection and sends any records.
pub(super) struct Forger {
    pub(super) io: DuplexStream,
    ours: Keys,
    theirs: Keys,
}

struct Keys {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Keys {
    fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Self {
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
            panic!("another suite was agreed on");
        };
        Self {
            key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key.as_ref()).unwrap()),
            iv: iv.as_ref().try_into().unwrap(),
            sequence,
        }
    }

    /// RFC 8446 §5.3.
    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, of_sequence) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= of_sequence;
        }
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Forger {
    /// Completes a regular handshake; returns the gateway's end and the forger.
    pub(super) async fn connect() -> (Server, Self) {
        Self::connect_in(usize::MAX).await
    }

    /// The same, where the gateway reads at most `step` bytes at once.
    pub(super) async fn connect_in(step: usize) -> (Server, Self) {
        let (near, mut far) = duplex(4 * 1024 * 1024);
        let mut config = client(&rustls::version::TLS13);
        config.enable_secret_extraction = true;
        let mut session = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let handshake = async {
            loop {
                let mut out = Vec::new();
                while session.wants_write() {
                    session.write_tls(&mut out).unwrap();
                }
                far.write_all(&out).await.unwrap();
                if !session.is_handshaking() {
                    return;
                }
                let record = read_record(&mut far).await.unwrap();
                session.read_tls(&mut &record[..]).unwrap();
                session.process_new_packets().unwrap();
            }
        };
        let io = LimitedReads { io: near, step };
        let (server, ()) = tokio::join!(tls::Stream::accept(CERTIFICATE.server(), io), handshake);
        let secrets = session.dangerous_extract_secrets().unwrap();
        let (ours, theirs) = (Keys::new(secrets.tx), Keys::new(secrets.rx));
        (server.unwrap(), Self { io: far, ours, theirs })
    }

    /// A record of `content`, whose type is the byte `kind`.
    pub(super) fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut sealed = [content, &[kind]].concat();
        let length = u16::try_from(sealed.len() + 16).unwrap().to_be_bytes();
        let header = [23, 3, 3, length[0], length[1]];
        let nonce = self.ours.nonce();
        self.ours
            .key
            .seal_in_place_append_tag(nonce, Aad::from(header), &mut sealed)
            .unwrap();
        [&header[..], &sealed].concat()
    }

    pub(super) async fn send(&mut self, kind: u8, content: &[u8]) {
        let record = self.record(kind, content);
        self.io.write_all(&record).await.unwrap();
    }

    /// Type and content of the next record from the gateway; `None` at the end.
    pub(super) async fn received(&mut self) -> Option<(u8, Vec<u8>)> {
        let record = read_record(&mut self.io).await?;
        let (header, sealed) = record.split_at(5);
        let mut sealed = sealed.to_vec();
        let nonce = self.theirs.nonce();
        let open = self.theirs.key.open_in_place(nonce, Aad::from(header), &mut sealed);
        let opened = open.unwrap();
        let (kind, content) = opened.split_last().unwrap();
        Some((*kind, content.to_vec()))
    }

    /// The alert that the gateway sends, after any other records.
    pub(super) async fn alert(&mut self) -> AlertDescription {
        loop {
            let (kind, content) = self.received().await.expect("no alert came");
            if kind == ALERT {
                return AlertDescription::from(content[1]);
            }
        }
    }
}

pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const CONTENT: u8 = 23;

async fn read_record(io: &mut DuplexStream) -> Option<Vec<u8>> {
    let mut record = vec![0; 5];
    io.read_exact(&mut record).await.ok()?;
    let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(5 + length, 0);
    io.read_exact(&mut record[5..]).await.ok()?;
    Some(record)
}
