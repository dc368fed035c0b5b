//! Finds the end of a body: after a number of bytes, after the last chunk, or at the end of the connection (RFC 9112,
//! sections 6 and 7.1). Pure.
//!
//! The head decides which of them applies: [`super::request`] for a sender's request, `upstream::message` for an
//! upstream's response.

use bytes::{Bytes, BytesMut};

/// The most bytes of a chunk's size line, with its extensions.
const MAX_SIZE_LINE_BYTES: usize = 4 * 1024;
/// The most bytes of the extensions of all chunks of a body; extensions are ignored.
const MAX_EXTENSION_BYTES: usize = 16 * 1024;
/// The most bytes of all trailers of a body; trailers are read and dropped.
const MAX_TRAILER_BYTES: usize = 16 * 1024;

/// How a body ends, and how much of it has not been read yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes are left; 0 means that the body is complete.
    Length(u64),
    /// The body is chunked.
    Chunked(Chunks),
    /// The body ends with the connection.
    UntilClose,
    /// The bytes were not a valid body. Nothing after them can be read, so the connection has to end (RFC 9112,
    /// section 7.1).
    Broken,
}

/// The position in a chunked body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    /// What is read next.
    next: Part,
    /// Bytes of extensions read so far.
    extension_bytes: usize,
}

/// The part of a chunked body that is read next.
#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    /// The size line of a chunk.
    #[default]
    Size,
    /// The data of a chunk, of which this many bytes are left.
    Data(u64),
    /// The line end after the data of a chunk.
    DataEnd,
    /// Trailer lines, of which this many bytes have been read.
    Trailers(usize),
}

/// The result of [`Framing::next`].
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A piece of the body.
    Data(Bytes),
    /// The body is complete.
    End,
    /// More input is needed.
    More,
}

/// The bytes are not a valid chunked body, or its extensions or trailers are too large.
#[derive(Debug, PartialEq, Eq)]
pub struct FramingError;

/// Bytes that have arrived, which are consumed from the front.
pub trait Input: AsRef<[u8]> {
    /// Removes and returns the first `count` bytes. The caller makes sure that there are as many.
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
    /// Reads the next part of the body from `input` and removes the bytes that it has read.
    ///
    /// # Errors
    /// When a chunk or a trailer is malformed, or when extensions or trailers are too large. An error is final: every
    /// later call returns it too and reads nothing, so that no byte after it can be taken for a part of a message.
    pub fn next(&mut self, input: &mut impl Input) -> Result<Step, FramingError> {
        match self {
            Self::Length(0) => Ok(Step::End),
            Self::Length(left) => Ok(take(left, input)),
            Self::UntilClose => {
                let mut unlimited = u64::MAX;
                Ok(take(&mut unlimited, input))
            }
            Self::Chunked(chunks) => {
                let step = chunks.next(input);
                match step {
                    Ok(Step::End) => *self = Self::Length(0),
                    Err(FramingError) => *self = Self::Broken,
                    Ok(Step::Data(_) | Step::More) => {}
                }
                step
            }
            Self::Broken => Err(FramingError),
        }
    }

    /// Whether the whole body has been read. A chunked body is complete only once its last line has been read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Length(0))
    }

    /// Whether the end of the connection is the regular end of the body.
    #[must_use]
    pub const fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }
}

impl Chunks {
    fn next(&mut self, input: &mut impl Input) -> Result<Step, FramingError> {
        loop {
            self.next = match &mut self.next {
                Part::Size => match line(input, MAX_SIZE_LINE_BYTES)? {
                    None => return Ok(Step::More),
                    Some(line) => {
                        let (size, extensions) = size(&line)?;
                        self.extension_bytes += extensions;
                        match size {
                            _ if self.extension_bytes > MAX_EXTENSION_BYTES => return Err(FramingError),
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
                Part::Trailers(before) => match line(input, MAX_TRAILER_BYTES.saturating_sub(*before))? {
                    None => return Ok(Step::More),
                    Some(line) if line.is_empty() => return Ok(Step::End),
                    Some(line) if !is_field_line(&line) => return Err(FramingError),
                    Some(line) => Part::Trailers(*before + line.len() + 2),
                },
            };
        }
    }
}

/// Reads up to `left` bytes of `input` and lowers `left` by their number.
fn take(left: &mut u64, input: &mut impl Input) -> Step {
    let available = input.as_ref().len();
    if available == 0 {
        return Step::More;
    }
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= count as u64;
    Step::Data(input.take(count))
}

/// The next line of at most `limit` bytes, without its CRLF; `None` when its end has not arrived yet.
fn line(input: &mut impl Input, limit: usize) -> Result<Option<Bytes>, FramingError> {
    match memchr::memchr(b'\n', input.as_ref()) {
        Some(end) if end <= limit + 1 => {
            let mut line = input.take(end + 1);
            line.truncate(end);
            // A server that requires CRLF would not see the end of this line at a bare LF.
            if line.last() != Some(&b'\r') {
                return Err(FramingError);
            }
            line.truncate(end - 1);
            Ok(Some(line))
        }
        None if input.as_ref().len() <= limit + 1 => Ok(None),
        Some(_) | None => Err(FramingError),
    }
}

/// The size of a chunk, and the number of the other bytes in its size line: extensions may follow the hexadecimal digits.
/// Blanks may stand before an extension, and nowhere else (RFC 9112, section 7.1.1; llhttp and gunicorn refuse them too).
fn size(line: &[u8]) -> Result<(u64, usize), FramingError> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit());
    let (digits, rest) = line.split_at(end.unwrap_or(line.len()));
    let after_blanks = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    let is_extension = rest.is_empty() || after_blanks == Some(&b';');
    if !is_extension || !rest.iter().all(|byte| is_field_byte(*byte)) || !extensions_have_names(rest) {
        return Err(FramingError);
    }
    let digits = str::from_utf8(digits).map_err(|_| FramingError)?;
    let size = u64::from_str_radix(digits, 16).map_err(|_| FramingError)?;
    Ok((size, rest.len()))
}

/// Whether a token follows each semicolon outside of a quoted string, as the name of an extension (RFC 9112, section
/// 7.1.1; llhttp, gunicorn and waitress refuse `5;` too).
fn extensions_have_names(extensions: &[u8]) -> bool {
    let (mut is_quoted, mut is_escaped, mut lacks_name) = (false, false, false);
    for byte in extensions {
        match byte {
            b' ' | b'\t' if lacks_name => continue,
            _ if lacks_name && !is_token_byte(byte) => return false,
            b'"' if !is_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        lacks_name = *byte == b';' && !is_quoted;
        is_escaped = *byte == b'\\' && is_quoted && !is_escaped;
    }
    !lacks_name
}

/// Whether `line` is a field of a trailer section: a name that is a token, a colon, and a value without control
/// characters (RFC 9112, section 7.1.2).
fn is_field_line(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else {
        return false;
    };
    let (name, value) = line.split_at(colon);
    !name.is_empty() && name.iter().all(is_token_byte) && value.iter().all(|byte| is_field_byte(*byte))
}

/// Whether a byte may stand in a token.
fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// Whether a byte may stand in a field's value or in the extensions of a chunk: anything but control characters other
/// than the tab.
const fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn extensions_need_names() {
        for valid in ["", ";a", " ;a=b", "; a;b=\"x;;\\\";\";c", ";a=\";\""] {
            assert!(extensions_have_names(valid.as_bytes()), "{valid}");
        }
        for invalid in [";", "; ", ";;a", ";a;", ";a=b; ;c", ";\"a\"", ";=b"] {
            assert!(!extensions_have_names(invalid.as_bytes()), "{invalid}");
        }
    }

    /// Feeds `wire` in pieces of `step` bytes; returns the body, the bytes after its end, and whether it is complete.
    fn read(mut framing: Framing, wire: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>, bool), FramingError> {
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
    fn chunks_are_decoded_however_the_input_is_divided() {
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
    fn malformed_and_oversized_chunks_are_refused() {
        let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(MAX_SIZE_LINE_BYTES));
        let each = format!(
            "{}0\r\n\r\n",
            format!("1;{}\r\nx\r\n", "e".repeat(200)).repeat(MAX_EXTENSION_BYTES / 200 + 1)
        );
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(MAX_TRAILER_BYTES / 6 + 2));
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
            "1;a\rb\r\nx\r\n0\r\n\r\n",
            "1;a\x0b\r\nx\r\n0\r\n\r\n",
            "1;\0\r\nx\r\n0\r\n\r\n",
            "1;a=\"\x7f\"\r\nx\r\n0\r\n\r\n",
            "1\x0c\r\nx\r\n0\r\n\r\n",
            "1\r\r\nx\r\n0\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\n: no name\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\nA: b\r\n folded\r\n\r\n",
            "0\r\nA: \0\r\n\r\n",
            "0\r\nA: b\rC: d\r\n\r\n",
            &long,
            &each,
            &trailers,
        ] {
            for step in [1, wire.len()] {
                let read = read(Framing::Chunked(Chunks::default()), wire.as_bytes(), step);
                assert_eq!(read, Err(FramingError), "{:?}", &wire[..wire.len().min(40)]);
            }
        }
    }

    #[test]
    fn a_length_is_exact_and_the_end_of_the_connection_ends_only_a_body_without_length() {
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
        /// A09: whatever follows a malformed chunk, nothing of it is read.
        #[test]
        fn an_error_is_final(
            broken in "[ -~\r\n]{0,12}",
            after in "([0-9a-f]{1,2}(;[a-z])?\r\n|[a-z]{1,9}|\r\n|0\r\n\r\n|POST / HTTP/1.1\r\n){0,12}",
            step in 1_usize..40,
        ) {
            let wire = [broken.as_bytes(), b"x\n", after.as_bytes()].concat();
            let (mut framing, mut input) = (Framing::Chunked(Chunks::default()), BytesMut::new());
            let mut left_at_error = None;
            for piece in wire.chunks(step) {
                input.extend_from_slice(piece);
                while left_at_error.is_none() {
                    match framing.next(&mut input) {
                        Ok(Step::Data(_)) => {}
                        Ok(Step::End) => return Ok(()),
                        Ok(Step::More) => break,
                        Err(FramingError) => left_at_error = Some(input.len()),
                    }
                }
                if let Some(left) = &mut left_at_error {
                    let before = input.len();
                    prop_assert_eq!(framing.next(&mut input), Err(FramingError));
                    prop_assert_eq!(input.len(), before);
                    prop_assert!(!framing.is_complete() && !framing.ends_with_connection());
                    *left = before;
                }
            }
        }

        #[test]
        fn a_chunked_body_is_decoded_to_its_original(
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
