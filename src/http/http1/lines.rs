//! Writes the lines of a head and the sizes of chunks, in both directions.
//!
//! Names and values come from parsed fields or from hookgate itself, so none of them can contain a line end.

use bytes::{BufMut as _, BytesMut};

/// Writes the line of one field.
///
/// It is never inlined: copies in every caller would push the other code of a request out of the CPU's instruction
/// cache.
#[inline(never)]
pub(crate) fn field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Writes the size line of a chunk of `length` bytes, in hexadecimal.
pub(crate) fn chunk_size(out: &mut BytesMut, length: usize) {
    let digits = length.to_be_bytes();
    let mut hexadecimal = [0; 2 * size_of::<usize>()];
    // This cannot fail: the array has room for exactly these digits.
    let _ = hex::encode_to_slice(digits, &mut hexadecimal);
    let zeros = hexadecimal.iter().take_while(|digit| **digit == b'0').count();
    out.put_slice(hexadecimal.get(zeros..).unwrap_or_default());
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_hexadecimal_without_leading_zeros() {
        for length in [1, 15, 16, 0xabcd0, usize::MAX] {
            let mut out = BytesMut::new();
            chunk_size(&mut out, length);
            assert_eq!(out, format!("{length:x}\r\n"));
        }
    }
}
