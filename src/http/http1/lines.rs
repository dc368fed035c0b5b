//! The lines of a head as they are written, in either direction. Names and values are those of parsed fields, or ours: none
//! can hold a line end.

use bytes::{BufMut as _, BytesMut};

/// Writes the line of one field. Kept as one function: copied into every place that writes a line it pushes the rest of a
/// request's way out of the CPU's instruction cache.
#[inline(never)]
pub(crate) fn field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// The line before a chunk of `length` bytes.
pub(crate) fn chunk_size(out: &mut BytesMut, length: usize) {
    let digits = length.to_be_bytes();
    let mut hexadecimal = [0; 2 * size_of::<usize>()];
    // As many digits as there is room for: it cannot fail.
    let _ = hex::encode_to_slice(digits, &mut hexadecimal);
    let zeros = hexadecimal.iter().take_while(|digit| **digit == b'0').count();
    out.put_slice(hexadecimal.get(zeros..).unwrap_or_default());
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_say_their_size_as_http_wants_it() {
        for length in [1, 15, 16, 0xabcd0, usize::MAX] {
            let mut out = BytesMut::new();
            chunk_size(&mut out, length);
            assert_eq!(out, format!("{length:x}\r\n"));
        }
    }
}
