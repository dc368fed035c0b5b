//! One TLS session with a sender, without IO: records go in, plaintext and records come out.
//!
//! rustls' unbuffered interface keeps no buffers of its own, so that a connection on which nothing happens holds none. What
//! it asks for in steps (encode this, transmit that, read on) is done here in one go: after each call everything that can be
//! known from the bytes at hand is known, and everything that has to be sent stands in the caller's buffer, in order.

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{CommonState, Error, ServerConfig};
use std::ops::Deref;
use std::sync::Arc;

/// A session of the server's side, from the first byte of the handshake on.
pub(super) struct Session {
    connection: UnbufferedServerConnection,
    has_peer_closed: bool,
}

/// What became of incoming bytes.
#[derive(Debug)]
pub(super) struct Received {
    /// How many bytes at the front are done with; the others must be there again, with more behind them, the next time.
    pub(super) used: usize,
    /// After an error nothing more may be received; the alert for the peer is among what has to be sent.
    pub(super) outcome: Result<(), Error>,
}

impl Session {
    /// Nothing is said yet.
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config)?,
            has_peer_closed: false,
        })
    }

    /// Whether the peer has said that nothing more comes from it.
    pub(super) const fn has_peer_closed(&self) -> bool {
        self.has_peer_closed
    }

    /// Takes in records, which are decrypted where they stand. `plaintext` is given each one's content, and how many bytes
    /// of the incoming ones are still to be looked at; it is never called before the handshake has finished.
    pub(super) fn receive(
        &mut self,
        incoming: &mut [u8],
        outgoing: &mut Vec<u8>,
        plaintext: impl FnMut(&[u8], usize),
    ) -> Received {
        self.advance(incoming, outgoing, plaintext, |_, _| Ok(()))
    }

    /// Encrypts `data`. `held` is what [`receive`](Self::receive) was not done with.
    pub(super) fn send(&mut self, data: &[u8], held: &mut [u8], outgoing: &mut Vec<u8>) -> Result<(), Error> {
        self.at_rest(held, outgoing, |traffic, outgoing| {
            fitting(outgoing, sealed(data.len()), |room| traffic.encrypt(data, room))
        })
    }

    /// Says that nothing more comes from here. `held` is what [`receive`](Self::receive) was not done with.
    pub(super) fn close(&mut self, held: &mut [u8], outgoing: &mut Vec<u8>) -> Result<(), Error> {
        self.at_rest(held, outgoing, |traffic, outgoing| {
            fitting(outgoing, sealed(0), |room| traffic.queue_close_notify(room))
        })
    }

    /// What was received before is all dealt with, so this neither uses bytes nor finds content.
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
        debug_assert_eq!(received.used, 0, "bytes were left unread");
        received.outcome?;
        if done { Ok(()) } else { Err(Error::HandshakeNotComplete) }
    }

    /// Processes `incoming` until there is nothing to be done without more of it, and then, when records may be sent, does
    /// `then`.
    fn advance(
        &mut self,
        incoming: &mut [u8],
        outgoing: &mut Vec<u8>,
        mut plaintext: impl FnMut(&[u8], usize),
        then: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut Vec<u8>) -> Result<(), Error>,
    ) -> Received {
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
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        plaintext(record.payload, to_come.saturating_sub(discard));
                    }
                }
                // What follows the peer's last word is not looked at.
                Ok(ConnectionState::PeerClosed) => {
                    self.has_peer_closed = true;
                    discard = to_come;
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    used += discard;
                    break then(&mut traffic, outgoing);
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => {
                    used += discard;
                    break Ok(());
                }
                // Early data is never accepted, and rustls may only invent states for what we ask it to do.
                Ok(ConnectionState::ReadEarlyData(_) | _) => break Err(Error::General("not a state of ours".into())),
                Err(error) => {
                    self.encode_alert(outgoing);
                    break Err(error);
                }
            }
            used += discard;
        };
        Received { used, outcome }
    }

    /// After an error nothing may be processed, and nothing is while there is something to be encoded.
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

/// What was agreed on.
impl Deref for Session {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        &self.connection
    }
}

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

/// Appends what `write` writes, which needs about `expected` bytes.
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
            // A key update goes first.
            Err(EncryptError::InsufficientSize(room)) => outgoing.resize(at + room.required_size, 0),
            Err(EncryptError::EncryptExhausted) => {
                outgoing.truncate(at);
                return Err(Error::EncryptError);
            }
        }
    }
}

/// The size of `length` bytes as records, at most.
const fn sealed(length: usize) -> usize {
    length + (length / MAX_PLAINTEXT + 1) * OVERHEAD
}

/// Content of one record (RFC 8446 §5.1).
pub(super) const MAX_PLAINTEXT: usize = 16 * 1024;
/// Header, TLS 1.2's explicit nonce, type of the content, tag.
const OVERHEAD: usize = 5 + 8 + 1 + 16;
