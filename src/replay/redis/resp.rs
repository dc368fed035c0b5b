//! The Redis protocol (RESP2), as far as the guard needs it: writes commands, reads replies. Pure.
//!
//! Bounded: a reply that is larger or deeper than any that the guard requests is an error and ends the connection.

use crate::http::decimal;

/// Largest reply that is accepted, in bytes; `INFO` has a few thousand.
const MAX_REPLY_BYTES: usize = 256 * 1024;
/// Deepest nesting of arrays that is accepted; `SENTINEL` and `ROLE` have two levels.
const MAX_DEPTH: usize = 4;

/// A reply of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RespReply {
    /// `+OK`
    Status(String),
    /// `-ERR what`
    Error(String),
    /// `:1`
    Integer(i64),
    /// `$5`, or the null of `$-1`.
    Bulk(Option<Vec<u8>>),
    /// `*2`; the null of `*-1` is empty.
    Array(Vec<RespReply>),
}

/// The bytes are not RESP2, or the reply is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RespError;

/// Appends one command.
pub(super) fn command(into: &mut Vec<u8>, words: &[&[u8]]) {
    head(into, b'*', words.len());
    for word in words {
        head(into, b'$', word.len());
        into.extend_from_slice(word);
        into.extend_from_slice(b"\r\n");
    }
}

/// Reads one complete reply from the start of `bytes`: the reply and its length in bytes, or `None` if it is
/// incomplete.
///
/// # Errors
/// [`RespError`].
pub(super) fn reply(bytes: &[u8]) -> Result<Option<(RespReply, usize)>, RespError> {
    let mut reader = Reader { bytes, at: 0 };
    match reader.reply(0) {
        Ok(reply) => Ok(Some((reply, reader.at))),
        Err(Stop::More) if bytes.len() > MAX_REPLY_BYTES => Err(RespError),
        Err(Stop::More) => Ok(None),
        Err(Stop::Malformed) => Err(RespError),
    }
}

fn head(into: &mut Vec<u8>, kind: u8, length: usize) {
    into.push(kind);
    into.extend_from_slice(decimal::write(length as u64, &mut [0; 20]));
    into.extend_from_slice(b"\r\n");
}

/// Why reading stopped.
enum Stop {
    /// The reply is incomplete.
    More,
    Malformed,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn reply(&mut self, depth: usize) -> Result<RespReply, Stop> {
        let (kind, line) = self.line()?.split_first().ok_or(Stop::Malformed)?;
        match kind {
            b'+' => Ok(RespReply::Status(text(line))),
            b'-' => Ok(RespReply::Error(text(line))),
            b':' => Ok(RespReply::Integer(number(line)?)),
            b'$' => match number(line)? {
                -1 => Ok(RespReply::Bulk(None)),
                length => {
                    let length = usize::try_from(length).map_err(|_| Stop::Malformed)?;
                    Ok(RespReply::Bulk(Some(self.bulk(length)?.to_vec())))
                }
            },
            b'*' if depth < MAX_DEPTH => match number(line)? {
                -1 => Ok(RespReply::Array(Vec::new())),
                count => {
                    let count = usize::try_from(count).map_err(|_| Stop::Malformed)?;
                    // An element has at least three bytes. A larger count must not cause an allocation.
                    if count > MAX_REPLY_BYTES / 3 {
                        return Err(Stop::Malformed);
                    }
                    (0..count)
                        .map(|_| self.reply(depth + 1))
                        .collect::<Result<_, _>>()
                        .map(RespReply::Array)
                }
            },
            _ => Err(Stop::Malformed),
        }
    }

    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or(Stop::More)?;
        self.at += end + 2;
        rest.get(..end).ok_or(Stop::Malformed)
    }

    fn bulk(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        if length > MAX_REPLY_BYTES {
            return Err(Stop::Malformed);
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (bulk, end) = rest.split_at_checked(length).ok_or(Stop::More)?;
        if end.len() < 2 {
            return Err(Stop::More);
        }
        if !end.starts_with(b"\r\n") {
            return Err(Stop::Malformed);
        }
        self.at += length + 2;
        Ok(bulk)
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

fn number(line: &[u8]) -> Result<i64, Stop> {
    std::str::from_utf8(line)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Stop::Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_are_arrays_of_bulk_strings() {
        let mut bytes = Vec::new();
        command(&mut bytes, &[b"SET", b"k\r\n", b""]);
        command(&mut bytes, &[&[b'x'; 1234]]);
        let expected = [
            &b"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n*1\r\n$1234\r\n"[..],
            &[b'x'; 1234],
            b"\r\n",
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn only_complete_replies_are_read() {
        let whole = b"*3\r\n:-7\r\n$2\r\nab\r\n*1\r\n$-1\r\n";
        let expected = RespReply::Array(vec![
            RespReply::Integer(-7),
            RespReply::Bulk(Some(b"ab".to_vec())),
            RespReply::Array(vec![RespReply::Bulk(None)]),
        ]);
        for end in 0..whole.len() {
            assert_eq!(reply(&whole[..end]), Ok(None), "{end}");
        }
        let more = [&whole[..], b"+OK\r\n-ERR x\r\n"].concat();
        assert_eq!(reply(&more), Ok(Some((expected, whole.len()))));
        assert_eq!(
            reply(&more[whole.len()..]),
            Ok(Some((RespReply::Status("OK".into()), 5)))
        );
        assert_eq!(
            reply(&more[whole.len() + 5..]),
            Ok(Some((RespReply::Error("ERR x".into()), 8)))
        );
    }

    #[test]
    fn bytes_that_are_not_resp_are_an_error() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\r\n",
            b":x\r\n",
            b"$-2\r\n",
            b"$1\r\nabc\r\n",
            b"$999999999999\r\n",
            b"*999999999\r\n",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        ] {
            assert_eq!(reply(bytes), Err(RespError), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(reply(&vec![b'+'; MAX_REPLY_BYTES + 1]), Err(RespError));
    }

    proptest! {
        /// Any bytes give a reply, a wait or an error, and a reply is never longer than the bytes.
        #[test]
        fn a_reply_is_never_longer_than_the_bytes(bytes in proptest::collection::vec(prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'-'), any::<u8>()], 0..64)) {
            if let Ok(Some((_, length))) = reply(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
