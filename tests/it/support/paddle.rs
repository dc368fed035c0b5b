//! An independent Paddle Billing signer, written from the description in SCHEMES with the `hmac` and `sha2` crates
//! only.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// The secret that [`super::Setup`] configures; it has the form of Paddle's own secrets.
pub(crate) const SECRET: &str = "pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_GrOWLNef+vmtjJYq4mSnHNzvc8uWoJ1I";
/// The path of the route in [`super::Setup`].
pub(crate) const PATH: &str = "/webhooks/paddle";

/// Unix seconds by this machine's clock, which the gateway uses as well.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Lower-case hex HMAC-SHA256 of `ts:body`.
pub(crate) fn mac(secret: &str, ts: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(ts.as_bytes());
    mac.update(b":");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// A `Paddle-Signature` value.
pub(crate) fn signature(secret: &str, ts: u64, body: &[u8]) -> String {
    format!("ts={ts};h1={}", mac(secret, &ts.to_string(), body))
}

/// A webhook request to be sent over HTTP/1.1, genuine until a test changes it.
#[derive(Clone)]
pub(crate) struct Webhook {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The signature header's value; `None` leaves it out.
    pub(crate) signature: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Webhook {
    /// Signed with [`SECRET`] at the current time.
    pub(crate) fn new(body: impl Into<Vec<u8>>) -> Self {
        Self::signed(body, SECRET, now())
    }

    pub(crate) fn signed(body: impl Into<Vec<u8>>, secret: &str, ts: u64) -> Self {
        let body = body.into();
        Self {
            method: "POST".into(),
            path: PATH.into(),
            signature: Some(signature(secret, ts, &body)),
            headers: vec![
                ("Host".into(), "shop.example".into()),
                ("User-Agent".into(), "Paddle".into()),
            ],
            body,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn signature(mut self, value: Option<&str>) -> Self {
        self.signature = value.map(Into::into);
        self
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    pub(crate) fn path(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    /// Request line and headers including the empty line; `framing` are the lines that frame the body.
    pub(crate) fn head(&self, framing: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(value) = &self.signature {
            head.push_str(&format!("Paddle-Signature: {value}\r\n"));
        }
        head.push_str(framing);
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The head only, announcing `length` body bytes.
    pub(crate) fn announcing(&self, length: usize) -> Vec<u8> {
        self.head(&format!("Content-Length: {length}\r\n"))
    }

    /// Any framing lines, followed by any bytes.
    pub(crate) fn framed(&self, framing: &str, body: &[u8]) -> Vec<u8> {
        [&self.head(framing), body].concat()
    }

    /// The whole request with `Content-Length`.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.announcing(self.body.len());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The whole request, chunked, `size` bytes per chunk.
    pub(crate) fn chunked(&self, size: usize) -> Vec<u8> {
        let mut bytes = self.head("Transfer-Encoding: chunked\r\n");
        for chunk in self.body.chunks(size) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }
}
