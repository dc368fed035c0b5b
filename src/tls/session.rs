//! A TLS session with a sender, without I/O: it converts received records to plaintext, and plaintext to records.
//!
//! It uses the unbuffered interface of rustls, which has no buffers of its own, so an idle connection has none. rustls
//! requests single steps (encode, transmit, read). A call to this module performs all steps that are possible:
//! afterwards all given bytes are processed, and all records to send are in the caller's buffer, in order.

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{CommonState, Error, ServerConfig};
use std::ops::Deref;
use std::sync::Arc;

/// The server side of a TLS session, from the first byte of the handshake on.
pub(super) struct TlsSession {
    connection: UnbufferedServerConnection,
    state: SessionState,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionState {
    /// The handshake is not complete, so nothing can be encrypted.
    Handshake,
    /// Both sides may send.
    Open,
    /// The peer has sent close_notify. We may still send.
    PeerClosed,
    /// An error has ended the session. Nothing more is received or encrypted.
    Failed,
}

/// The result of processing received bytes.
#[derive(Debug)]
pub(super) struct Received {
    /// Number of bytes at the front that are processed. The next call must begin with the other bytes, followed by
    /// more.
    pub(super) used: usize,
    /// After an error, nothing more may be received; the alert for the peer is in the buffer of records to send.
    pub(super) outcome: Result<(), Error>,
}

impl TlsSession {
    /// A session before the handshake.
    ///
    /// # Errors
    /// When rustls refuses the configuration.
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config)?,
            state: SessionState::Handshake,
        })
    }

    /// How far the session is.
    pub(super) const fn state(&self) -> SessionState {
        self.state
    }

    /// Processes received records, which are decrypted in place. For each record, `plaintext` is called with its
    /// content and with the number of incoming bytes that are not yet processed. It is not called before the handshake
    /// is complete.
    pub(super) fn receive(
        &mut self,
        incoming: &mut [u8],
        outgoing: &mut Vec<u8>,
        plaintext: impl FnMut(&[u8], usize),
    ) -> Received {
        self.advance(incoming, outgoing, plaintext, |_, _| Ok(()))
    }

    /// Encrypts `data`. `held` are the bytes that [`receive`](Self::receive) has not processed.
    pub(super) fn send(&mut self, data: &[u8], held: &mut [u8], outgoing: &mut Vec<u8>) -> Result<(), Error> {
        self.at_rest(held, outgoing, |traffic, outgoing| {
            fitting(outgoing, sealed(data.len()), |room| traffic.encrypt(data, room))
        })
    }

    /// Encodes close_notify. `held` are the bytes that [`receive`](Self::receive) has not processed.
    pub(super) fn close(&mut self, held: &mut [u8], outgoing: &mut Vec<u8>) -> Result<(), Error> {
        self.at_rest(held, outgoing, |traffic, outgoing| {
            fitting(outgoing, sealed(0), |room| traffic.queue_close_notify(room))
        })
    }

    /// Runs `then` when records may be sent. All received bytes were processed before, so `held` yields no plaintext.
    fn at_rest(
        &mut self,
        held: &mut [u8],
        outgoing: &mut Vec<u8>,
        then: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut Vec<u8>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut done = false;
        let received = self.advance(
            held,
            outgoing,
            |_, _| {},
            |traffic, outgoing| {
                done = true;
                then(traffic, outgoing)
            },
        );
        debug_assert_eq!(received.used, 0, "received bytes were not processed before sending");
        received.outcome?;
        if done { Ok(()) } else { Err(Error::HandshakeNotComplete) }
    }

    /// Processes `incoming` until more bytes are needed. Then runs `then` if records may be sent.
    fn advance(
        &mut self,
        incoming: &mut [u8],
        outgoing: &mut Vec<u8>,
        mut plaintext: impl FnMut(&[u8], usize),
        then: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut Vec<u8>) -> Result<(), Error>,
    ) -> Received {
        if self.state == SessionState::Failed {
            let outcome = Err(Error::General("the TLS session has failed".into()));
            return Received { used: 0, outcome };
        }
        let mut used = 0;
        let outcome = loop {
            let rest = incoming.get_mut(used..).unwrap_or_default();
            let to_come = rest.len();
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(rest);
            match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    if let Err(error) = encode(&mut data, outgoing) {
                        break Err(error);
                    }
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    self.state = SessionState::Open;
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        plaintext(record.payload, to_come.saturating_sub(discard));
                    }
                }
                // Bytes after close_notify are ignored.
                Ok(ConnectionState::PeerClosed) => {
                    self.state = SessionState::PeerClosed;
                    discard = to_come;
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    if self.state == SessionState::Handshake {
                        self.state = SessionState::Open;
                    }
                    used += discard;
                    break then(&mut traffic, outgoing);
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => {
                    used += discard;
                    break Ok(());
                }
                // Early data is never accepted. New states of rustls only concern features that are not enabled here.
                Ok(ConnectionState::ReadEarlyData(_) | _) => {
                    break Err(Error::General("unexpected state of the TLS session".into()));
                }
                Err(error) => {
                    self.encode_alert(outgoing);
                    break Err(error);
                }
            }
            used += discard;
        };
        if outcome.is_err() {
            self.state = SessionState::Failed;
        }
        Received { used, outcome }
    }

    /// Encodes the alert after an error. rustls processes no received bytes while it has something to encode.
    fn encode_alert(&mut self, outgoing: &mut Vec<u8>) {
        while self.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) = self.connection.process_tls_records(&mut []).state
            else {
                return;
            };
            if encode(&mut data, outgoing).is_err() {
                return;
            }
        }
    }
}

/// The negotiated parameters and the peer's certificates.
impl Deref for TlsSession {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        &self.connection
    }
}

/// Appends the next handshake message or alert to `outgoing`.
fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Vec<u8>) -> Result<(), Error> {
    let at = outgoing.len();
    loop {
        match data.encode(outgoing.get_mut(at..).unwrap_or_default()) {
            Ok(written) => {
                outgoing.truncate(at + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(room)) => outgoing.resize(at + room.required_size, 0),
            Err(EncodeError::AlreadyEncoded) => return Err(Error::General("a record was encoded twice".into())),
        }
    }
}

/// Appends the bytes that `write` writes; `expected` is the estimated length.
fn fitting(
    outgoing: &mut Vec<u8>,
    expected: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Error> {
    let at = outgoing.len();
    outgoing.resize(at + expected, 0);
    loop {
        match write(outgoing.get_mut(at..).unwrap_or_default()) {
            Ok(written) => {
                outgoing.truncate(at + written);
                return Ok(());
            }
            // rustls also writes a key update in front, which was not in the estimate.
            Err(EncryptError::InsufficientSize(room)) => outgoing.resize(at + room.required_size, 0),
            Err(EncryptError::EncryptExhausted) => {
                outgoing.truncate(at);
                return Err(Error::EncryptError);
            }
        }
    }
}

/// Largest size of `length` bytes of plaintext as records, in bytes.
const fn sealed(length: usize) -> usize {
    length + (length / MAX_PLAINTEXT + 1) * OVERHEAD
}

/// Largest plaintext of one record, in bytes (RFC 8446 §5.1).
pub(super) const MAX_PLAINTEXT: usize = 16 * 1024;
/// Largest overhead of a record in bytes: header, explicit nonce of TLS 1.2, content type, authentication tag.
const OVERHEAD: usize = 5 + 8 + 1 + 16;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use std::io::{Read as _, Write as _};

    /// A session and a client that trusts its certificate, both before the handshake.
    fn pair() -> (TlsSession, ClientConnection) {
        let made = rcgen::generate_simple_self_signed(vec![String::from("localhost")]).unwrap();
        let certificate = CertificateDer::from(made.cert.der().to_vec());
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = crate::tls::provider();
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let server = server
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(client), name).unwrap();
        (TlsSession::new(Arc::new(server)).unwrap(), client)
    }

    /// Gives the session what the client sends, and the client what the session answers. Returns the received plaintext.
    fn exchange(session: &mut TlsSession, client: &mut ClientConnection) -> Vec<u8> {
        let mut plaintext = Vec::new();
        loop {
            let mut incoming = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut incoming).unwrap();
            }
            let mut outgoing = Vec::new();
            let received = session.receive(&mut incoming, &mut outgoing, |content, _| {
                plaintext.extend_from_slice(content);
            });
            received.outcome.unwrap();
            assert_eq!(received.used, incoming.len());
            let mut rest = &outgoing[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets().unwrap();
            }
            if incoming.is_empty() && outgoing.is_empty() {
                return plaintext;
            }
        }
    }

    #[test]
    fn nothing_is_sent_before_the_handshake_and_both_sides_send_after_it() {
        let (mut session, mut client) = pair();
        let mut outgoing = Vec::new();
        assert_eq!(
            session.send(b"early", &mut [], &mut outgoing),
            Err(Error::HandshakeNotComplete)
        );
        assert_eq!((session.state(), outgoing.len()), (SessionState::Handshake, 0));
        exchange(&mut session, &mut client);
        assert_eq!(session.state(), SessionState::Open);

        client.writer().write_all(b"question").unwrap();
        assert_eq!(exchange(&mut session, &mut client), b"question");
        session.send(b"answer", &mut [], &mut outgoing).unwrap();
        client.read_tls(&mut &outgoing[..]).unwrap();
        client.process_new_packets().unwrap();
        let mut answer = [0; 6];
        client.reader().read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
    }

    #[test]
    fn after_close_notify_the_session_can_still_send_and_reads_nothing_more() {
        let (mut session, mut client) = pair();
        exchange(&mut session, &mut client);
        client.send_close_notify();
        exchange(&mut session, &mut client);
        assert_eq!(session.state(), SessionState::PeerClosed);
        let mut outgoing = Vec::new();
        let received = session.receive(&mut b"not a record".to_vec(), &mut outgoing, |_, _| panic!("plaintext"));
        assert_eq!((received.used, received.outcome), (0, Ok(())));
        session.send(b"rest", &mut [], &mut outgoing).unwrap();
        session.close(&mut [], &mut outgoing).unwrap();
        client.read_tls(&mut &outgoing[..]).unwrap();
        assert!(client.process_new_packets().unwrap().peer_has_closed());
    }

    #[test]
    fn an_error_ends_the_session_with_an_alert() {
        let (mut session, mut client) = pair();
        exchange(&mut session, &mut client);
        let mut outgoing = Vec::new();
        let mut forged = b"\x17\x03\x03\x00\x20".to_vec();
        forged.extend_from_slice(&[7; 32]);
        let received = session.receive(&mut forged, &mut outgoing, |_, _| {});
        assert_eq!(received.outcome, Err(Error::DecryptError));
        assert_eq!(session.state(), SessionState::Failed);
        client.read_tls(&mut &outgoing[..]).unwrap();
        assert!(matches!(client.process_new_packets(), Err(Error::AlertReceived(_))));

        let alert = outgoing.len();
        assert!(session.receive(&mut forged, &mut outgoing, |_, _| {}).outcome.is_err());
        assert!(session.send(b"late", &mut [], &mut outgoing).is_err());
        assert_eq!(outgoing.len(), alert, "nothing follows the alert");
    }
}
