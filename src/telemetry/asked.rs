//! What a request asked for, as an audit line shows it: method, host and path, escaped and cut.
//!
//! The query is left out, because some providers put a token or a signature there; so is a user with a password in front
//! of the host.

use super::ascii;
use crate::http::message::{Request, Role};
use std::fmt;

/// The most bytes of a method, of a host and of a path that are shown. A longer one ends with `…`.
const METHOD_BYTES: usize = 24;
const HOST_BYTES: usize = 128;
const PATH_BYTES: usize = 256;

/// Method, host and path in one allocation, each as the content of a JSON string in printable ASCII.
#[derive(Clone)]
pub struct Asked {
    text: Box<[u8]>,
    /// Where the host begins.
    host: u16,
    /// Where the path begins.
    path: u16,
}

impl Asked {
    /// Reads method, host and path of a request. It does not judge them.
    #[must_use]
    pub fn new(request: &Request) -> Self {
        let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
        let host = authority
            .or_else(|| request.headers.first(Role::Host))
            .unwrap_or_default();
        let host = host.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
        Self::of(request.method.as_str().as_bytes(), host, request.uri.path().as_bytes())
    }

    fn of(method: &[u8], host: &[u8], path: &[u8]) -> Self {
        let mut text = Vec::with_capacity(method.len() + host.len() + path.len().min(PATH_BYTES));
        cut(&mut text, method, METHOD_BYTES);
        let host_at = text.len();
        cut(&mut text, host, HOST_BYTES);
        let path_at = text.len();
        cut(&mut text, path, PATH_BYTES);
        // Each byte becomes at most six, so that both positions are far below the largest one.
        let position = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        Self {
            text: text.into(),
            host: position(host_at),
            path: position(path_at),
        }
    }

    pub(super) fn method(&self) -> &[u8] {
        self.text.get(..self.host.into()).unwrap_or_default()
    }

    pub(super) fn host(&self) -> &[u8] {
        self.text.get(self.host.into()..self.path.into()).unwrap_or_default()
    }

    pub(super) fn path(&self) -> &[u8] {
        self.text.get(self.path.into()..).unwrap_or_default()
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

/// Appends at most `limit` bytes of `text`, escaped. Bytes that are not UTF-8 become U+FFFD.
fn cut(out: &mut Vec<u8>, text: &[u8], limit: usize) {
    let mut left = limit;
    for chunk in text.utf8_chunks() {
        let invalid = (!chunk.invalid().is_empty()).then_some('\u{fffd}');
        for c in chunk.valid().chars().chain(invalid) {
            match left.checked_sub(c.len_utf8()) {
                Some(rest) => left = rest,
                None => return ascii::escaped_char(out, '…'),
            }
            ascii::escaped_char(out, c);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(part: &[u8]) -> String {
        serde_json::from_str(&format!("\"{}\"", str::from_utf8(part).unwrap())).unwrap()
    }

    #[test]
    fn long_parts_are_cut_and_hostile_bytes_escaped() {
        let long = "/\u{e9}".repeat(1000);
        let asked = Asked::of(b"POST", b"h\x1b[2J\xff\r\n\"", long.as_bytes());
        assert_eq!(read(asked.method()), "POST");
        assert_eq!(read(asked.host()), "h\x1b[2J\u{fffd}\r\n\"");
        let path = read(asked.path());
        assert!(path.ends_with("/\u{e9}/…") || path.ends_with("\u{e9}…"), "{path}");
        assert!(path.len() <= PATH_BYTES + '…'.len_utf8());
        assert!(asked.text.iter().all(|byte| matches!(byte, b' '..=b'~')));
        // The longest possible text: every byte becomes six.
        let asked = Asked::of(&[1; 100], &[1; 1000], &[1; 1000]);
        assert_eq!(read(asked.path()), format!("{}…", "\x01".repeat(PATH_BYTES)));
    }

    #[test]
    fn neither_the_query_nor_a_password_is_shown() {
        let request = |uri: &str| {
            let request = hyper::Request::builder()
                .method("POST")
                .uri(uri)
                .header("host", "u:pw@h:80");
            Asked::new(&Request::from_hyper(request.body(()).unwrap()).0)
        };
        let asked = request("/hook/?token=secret");
        assert_eq!((asked.host(), asked.path()), (&b"h:80"[..], &b"/hook/"[..]));
        let asked = request("http://u:pw@other/hook?token=secret");
        assert_eq!((asked.host(), asked.path()), (&b"other"[..], &b"/hook"[..]));
    }
}
