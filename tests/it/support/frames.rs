//! HTTP/2 frames by hand (RFC 9113, 4.1): for bytes that no well-behaved client sends, and to see what hyper's client
//! hides.

use super::client::Client;
use super::gateway::Gateway;
use super::paddle::Webhook;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame as received.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A TLS connection with ALPN h2 on which only the preface and empty settings have been sent.
pub(crate) fn connect(gateway: &Gateway) -> Client {
    connect_with(gateway, b"")
}

/// The same with settings: pairs of identifier and value (RFC 9113, 6.5.1).
pub(crate) fn connect_with(gateway: &Gateway, settings: &[u8]) -> Client {
    let mut client = Client::tls_offering(gateway.tls(), "localhost", &gateway.setup.certificate.der, "h2");
    client.send(
        &[
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
            &frame(SETTINGS, 0, 0, settings),
        ]
        .concat(),
    );
    client
}

/// Reads frames until one for which `wanted` is true; `None` when the gateway closed before.
pub(crate) fn read_until(client: &mut Client, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
    loop {
        let head = client.exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = client.exactly(length as usize)?;
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream,
            payload,
        };
        if wanted(&frame) {
            return Some(frame);
        }
    }
}

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The header block of a webhook.
pub(crate) fn head(webhook: &Webhook) -> Vec<u8> {
    let signature = webhook.signature.as_deref().unwrap_or_default();
    hpack(&[
        (":method", &webhook.method),
        (":scheme", "https"),
        (":path", &webhook.path),
        (":authority", "localhost"),
        ("paddle-signature", signature),
    ])
}

/// A header block of literals without indexing (RFC 7541, 6.2.2); names and values under 127 bytes.
pub(crate) fn hpack(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}
