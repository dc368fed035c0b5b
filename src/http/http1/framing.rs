//! Where a body ends: after so many bytes, after the last chunk, or with the connection. Pure.
//!
//! RFC 9112, section 6 and 7.1. Which of them it is was decided with the head, where what could be read in two ways is
//! refused: a sender's in [`super::request`], an upstream's in its own module.

use bytes::{Bytes, BytesMut};

/// Bytes of a chunk's size line, its extensions included.
const SIZE_LINE: usize = 4 * 1024;
/// Bytes of the extensions of all chunks, which mean nothing to us.
const EXTENSIONS: usize = 16 * 1024;
/// Bytes of all trailers, which are read and dropped.
const TRAILERS: usize = 16 * 1024;

/// How much of a body is still to come.
#[derive(Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; none of them: complete.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// Everything until the connection ends.
    UntilClose,
}

/// A chunked body on its way.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    next: Part,
    /// Bytes of extensions so far.
    extensions: usize,
}

/// What a chunked body has to say next.
#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    /// A size line.
    #[default]
    Size,
    /// The rest of a chunk.
    Data(u64),
    /// The line end behind a chunk.
    DataEnd,
    /// Trailer lines, of which so many bytes have come.
    Trailers(usize),
}

/// What the bytes at hand amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A piece of the body.
    Data(Bytes),
    /// The body is complete.
    End,
    /// More bytes are needed.
    More,
}

/// Not a body in this framing.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// Bytes that have arrived, to be taken away from the front.
pub trait Input: AsRef<[u8]> {
    /// The first `count` of them, of which there are as many.
    fn take(&mut self, count: usize) -> Bytes;
}

impl Input for Bytes {
    fn take(&mut self, count: usize) -> Bytes {
        self.split_to(count)
    }
}

impl Input for BytesMut {
    fn take(&mut self, count: usize) -> Bytes {
        self.split_to(count).freeze()
    }
}

impl Framing {
    /// Takes the next step with the bytes in `input`, which it shortens.
    ///
    /// # Errors
    /// For chunks that are none, and for too much that is not body.
    pub fn next(&mut self, input: &mut impl Input) -> Result<Step, Malformed> {
        match self {
            Self::Length(0) => Ok(Step::End),
            Self::Length(left) => Ok(take(left, input)),
            Self::UntilClose => {
                let mut everything = u64::MAX;
                Ok(take(&mut everything, input))
            }
            Self::Chunked(chunks) => {
                let step = chunks.next(input)?;
                if step == Step::End {
                    *self = Self::Length(0);
                }
                Ok(step)
            }
        }
    }

    /// Whether nothing is to come. A chunked body is complete only once its end has been read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Length(0))
    }

    /// The connection ended here: whether that is the body's end.
    #[must_use]
    pub const fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }
}

impl Chunks {
    fn next(&mut self, input: &mut impl Input) -> Result<Step, Malformed> {
        loop {
            self.next = match &mut self.next {
                Part::Size => match line(input, SIZE_LINE)? {
                    None => return Ok(Step::More),
                    Some(line) => {
                        let (size, extensions) = size(&line)?;
                        self.extensions += extensions;
                        match size {
                            _ if self.extensions > EXTENSIONS => return Err(Malformed),
                            0 => Part::Trailers(0),
                            size => Part::Data(size),
                        }
                    }
                },
                Part::Data(0) => Part::DataEnd,
                Part::Data(left) => return Ok(take(left, input)),
                Part::DataEnd => match line(input, 0)? {
                    None => return Ok(Step::More),
                    Some(_) => Part::Size,
                },
                Part::Trailers(before) => match line(input, TRAILERS.saturating_sub(*before))? {
                    None => return Ok(Step::More),
                    Some(line) if line.is_empty() => return Ok(Step::End),
                    Some(line) => Part::Trailers(*before + line.len() + 2),
                },
            };
        }
    }
}

/// Up to `left` bytes of `input`.
fn take(left: &mut u64, input: &mut impl Input) -> Step {
    let at_hand = input.as_ref().len();
    if at_hand == 0 {
        return Step::More;
    }
    let some = usize::try_from(*left).unwrap_or(usize::MAX).min(at_hand);
    *left -= some as u64;
    Step::Data(input.take(some))
}

/// The next line without its CRLF, of at most `limit` bytes; `None` when its end has not come yet.
fn line(input: &mut impl Input, limit: usize) -> Result<Option<Bytes>, Malformed> {
    match memchr::memchr(b'\n', input.as_ref()) {
        Some(end) if end <= limit + 1 => {
            let mut line = input.take(end + 1);
            line.truncate(end);
            // A bare LF could hide a line from whoever insists on CRLF.
            if line.last() != Some(&b'\r') {
                return Err(Malformed);
            }
            line.truncate(end - 1);
            Ok(Some(line))
        }
        None if input.as_ref().len() <= limit + 1 => Ok(None),
        Some(_) | None => Err(Malformed),
    }
}

/// A chunk's size, and how many bytes of its line are something else: after hexadecimal digits there may be blanks and an extension.
fn size(line: &[u8]) -> Result<(u64, usize), Malformed> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit());
    let (digits, rest) = line.split_at(end.unwrap_or(line.len()));
    if !rest.is_empty() && rest.trim_ascii_start().first() != Some(&b';') && !rest.trim_ascii().is_empty() {
        return Err(Malformed);
    }
    let digits = str::from_utf8(digits).map_err(|_| Malformed)?;
    let size = u64::from_str_radix(digits, 16).map_err(|_| Malformed)?;
    Ok((size, rest.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Feeds `wire` in pieces of `step` bytes; the body, and what was left behind its end.
    fn read(mut framing: Framing, wire: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>, bool), Malformed> {
        let (mut body, mut input) = (Vec::new(), Bytes::new());
        let mut pieces = wire.chunks(step);
        loop {
            match framing.next(&mut input)? {
                Step::Data(piece) => body.extend_from_slice(&piece),
                Step::End => {
                    let left = [&input[..], &pieces.flatten().copied().collect::<Vec<_>>()].concat();
                    return Ok((body, left, true));
                }
                Step::More => match pieces.next() {
                    Some(piece) => input = [&input[..], piece].concat().into(),
                    None => return Ok((body, input.to_vec(), false)),
                },
            }
        }
    }

    #[test]
    fn chunks_are_joined_however_they_are_cut() {
        let wire = b"5\r\nhello\r\n0a;x=\"y\" \r\n, world...\r\n0\r\nX-Trailer: gone\r\n\r\nHTTP/1.1";
        for step in 1..=wire.len() {
            let (body, left, complete) = read(Framing::Chunked(Chunks::default()), wire, step).unwrap();
            assert_eq!(
                (&body[..], &left[..], complete),
                (&b"hello, world..."[..], &b"HTTP/1.1"[..], true)
            );
        }
    }

    #[test]
    fn what_is_not_a_chunk_is_refused() {
        let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(SIZE_LINE));
        let each = format!(
            "{}0\r\n\r\n",
            format!("1;{}\r\nx\r\n", "e".repeat(200)).repeat(EXTENSIONS / 200 + 1)
        );
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(TRAILERS / 6 + 2));
        for wire in [
            "\r\nx\r\n",
            "-1\r\nx\r\n",
            "+1\r\nx\r\n",
            "0x1\r\nx\r\n",
            "1 1\r\nx\r\n",
            "g\r\n",
            "1\nx\r\n0\r\n\r\n",
            "1\r\nxy\r\n0\r\n\r\n",
            "1\r\nx0\r\n\r\n",
            "10000000000000000\r\nx",
            &long,
            &each,
            &trailers,
        ] {
            for step in [1, wire.len()] {
                let read = read(Framing::Chunked(Chunks::default()), wire.as_bytes(), step);
                assert_eq!(read, Err(Malformed), "{:?}", &wire[..wire.len().min(40)]);
            }
        }
    }

    #[test]
    fn a_length_is_exact_and_a_connection_s_end_is_an_end_only_where_it_was_announced() {
        let (body, left, complete) = read(Framing::Length(5), b"helloHTTP/1.1", 3).unwrap();
        assert_eq!(
            (&body[..], &left[..], complete),
            (&b"hello"[..], &b"HTTP/1.1"[..], true)
        );
        let (body, _, complete) = read(Framing::Length(6), b"hello", 3).unwrap();
        assert_eq!((&body[..], complete), (&b"hello"[..], false));
        assert_eq!(read(Framing::UntilClose, b"hello", 2).unwrap().0, b"hello");
        assert!(Framing::UntilClose.ends_with_connection());
        assert!(!Framing::Length(1).ends_with_connection());
        assert!(!Framing::Chunked(Chunks::default()).ends_with_connection());
    }

    proptest! {
        #[test]
        fn what_was_chunked_is_read_back(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
            step in 1_usize..400,
        ) {
            let mut wire = Vec::new();
            for piece in &pieces {
                wire.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let (body, left, complete) = read(Framing::Chunked(Chunks::default()), &wire, step).unwrap();
            prop_assert_eq!(body, pieces.concat());
            prop_assert!(left.is_empty() && complete);
        }
    }
}
