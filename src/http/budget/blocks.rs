//! Memory for large bodies, in blocks that all workers share.
//!
//! The C library keeps freed memory for the thread that had allocated it. If each worker allocated memory for the bodies
//! that it reads, the process would hold the whole budget once for each worker after a while. A block that one body
//! leaves is used by the next one, on any worker, so that there are never more blocks than the budget allows.

use super::{Budget, lock};
use bytes::Bytes;
use std::sync::Arc;

/// Size of a block in bytes.
pub(in crate::http) const BLOCK_BYTES: usize = 16 * 1024;

/// A block that is being filled. It returns to the budget's free blocks when it is dropped, or, once it is frozen, when
/// the last part of its bytes is dropped.
#[derive(Debug)]
pub(in crate::http) struct Block {
    /// All of the memory; empty while the block is dropped.
    memory: Box<[u8]>,
    /// Bytes that are filled.
    length: usize,
    budget: Arc<Budget>,
}

impl Block {
    /// Copies as much of `bytes` as fits and returns the rest.
    pub(in crate::http) fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let free = self.memory.get_mut(self.length..).unwrap_or_default();
        let (some, rest) = bytes.split_at(bytes.len().min(free.len()));
        if let Some(free) = free.get_mut(..some.len()) {
            free.copy_from_slice(some);
        }
        self.length += some.len();
        rest
    }

    /// Whether no byte more fits.
    pub(in crate::http) const fn is_full(&self) -> bool {
        self.length == self.memory.len()
    }

    /// The filled bytes.
    pub(in crate::http) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let most = self.budget.limit() / BLOCK_BYTES;
        let mut free = lock(&self.budget.free_blocks);
        if free.len() < most {
            free.push(memory);
        }
    }
}

impl Budget {
    /// An empty block. The caller has reserved [`BLOCK_BYTES`] for it.
    pub(in crate::http) fn take_block(self: &Arc<Self>) -> Block {
        let free = lock(&self.free_blocks).pop();
        Block {
            memory: free.unwrap_or_else(|| vec![0; BLOCK_BYTES].into_boxed_slice()),
            length: 0,
            budget: self.clone(),
        }
    }
}
