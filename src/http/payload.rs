//! The body of the request that is forwarded to the upstream.

use super::budget::Reservation;
use bytes::{Buf, Bytes};
use std::io::IoSlice;

/// The body of a forwarded request, as a buffer to be written. Each piece is freed once it has been written; the
/// reservation in the process's `Budget` is returned on drop.
#[derive(Debug)]
pub struct Payload {
    /// The pieces that are not completely written, in order; none of them is empty.
    pieces: std::vec::IntoIter<Bytes>,
    /// The total length of `pieces`.
    remaining_bytes: usize,
    _reservation: Option<Reservation>,
}

impl Payload {
    /// A payload of `pieces`, of which none is empty and which have `length_bytes` together.
    pub(super) fn new(pieces: Vec<Bytes>, length_bytes: usize, reservation: Option<Reservation>) -> Self {
        Self {
            pieces: pieces.into_iter(),
            remaining_bytes: length_bytes,
            _reservation: reservation,
        }
    }

    /// A payload of one piece. Whoever makes it counts its bytes.
    #[must_use]
    pub fn whole(body: Bytes) -> Self {
        let length = body.len();
        let pieces = if body.is_empty() { Vec::new() } else { vec![body] };
        Self::new(pieces, length, None)
    }

    /// A payload without a byte.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(Vec::new(), 0, None)
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.remaining_bytes
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.as_slice().first().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(self.pieces.as_slice());
        filled.map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, count: usize) {
        self.remaining_bytes = self.remaining_bytes.saturating_sub(count);
        let mut left = count;
        while let Some(piece) = self.pieces.as_mut_slice().first_mut() {
            if left < piece.len() {
                piece.advance(left);
                return;
            }
            left -= piece.len();
            // Drops a piece that is completely written, so that its buffer is free for the next read.
            self.pieces.next();
        }
    }
}
