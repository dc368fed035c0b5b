//! Memory for large bodies, in blocks that all workers share.
//!
//! The C library keeps freed memory for the thread that had allocated it. If each worker allocated memory for the bodies
//! that it reads, the process would hold the whole budget once for each worker after a while. A block that one body
//! leaves is used by the next one, on any worker, so that there are never more blocks than the budget allows. Blocks are
//! mapped from the system one by one, so that those that a burst of large bodies leaves behind can be given back to it.

use super::{Budget, lock};
use bytes::Bytes;
use memmap2::MmapMut;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Size of a block in bytes.
pub(in crate::http) const BLOCK_BYTES: usize = 16 * 1024;

/// A block that is being filled. It returns to the budget's free blocks when it is dropped, or, once it is frozen, when
/// the last part of its bytes is dropped.
#[derive(Debug)]
pub(in crate::http) struct Block {
    /// All of the memory; empty while the block is dropped.
    memory: Memory,
    /// Bytes that are filled.
    length: usize,
    budget: Arc<Budget>,
}

/// The memory of one block.
#[derive(Debug)]
enum Memory {
    /// Pages of the system, which has them back when this is dropped.
    Mapped(MmapMut),
    /// Where the system maps no more: the process has a limit of mappings.
    Allocated(Box<[u8]>),
}

impl Memory {
    /// Of [`BLOCK_BYTES`].
    fn new() -> Self {
        MmapMut::map_anon(BLOCK_BYTES).map_or_else(|_| Self::Allocated(vec![0; BLOCK_BYTES].into()), Self::Mapped)
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(pages) => pages,
            Self::Allocated(bytes) => bytes,
        }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Mapped(pages) => pages,
            Self::Allocated(bytes) => bytes,
        }
    }
}

/// Blocks that no body uses now.
#[derive(Debug, Default)]
pub(super) struct FreeBlocks {
    blocks: Vec<Memory>,
    /// The least number of them since some were given back last: these are needed by nobody.
    fewest: usize,
}

impl FreeBlocks {
    fn take(&mut self) -> Option<Memory> {
        let block = self.blocks.pop();
        self.fewest = self.fewest.min(self.blocks.len());
        block
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }
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
    pub(in crate::http) fn is_full(&self) -> bool {
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
        let memory = std::mem::replace(&mut self.memory, Memory::Allocated(Box::default()));
        let most = self.budget.limit() / BLOCK_BYTES;
        let mut free = lock(&self.budget.free_blocks);
        if free.blocks.len() < most {
            free.blocks.push(memory);
        }
    }
}

impl Budget {
    /// An empty block. The caller has reserved [`BLOCK_BYTES`] for it.
    pub(in crate::http) fn take_block(self: &Arc<Self>) -> Block {
        let free = lock(&self.free_blocks).take();
        Block {
            memory: free.unwrap_or_else(Memory::new),
            length: 0,
            budget: self.clone(),
        }
    }

    /// Gives half of the blocks that were not needed since the last call back to the system. To be called once a second,
    /// so that a pause between two large bodies costs the second one little.
    pub fn give_back(&self) {
        let mut free = lock(&self.free_blocks);
        let kept = free.blocks.len() - free.fewest.div_ceil(2);
        let given = free.blocks.split_off(kept);
        free.fewest = free.blocks.len();
        // To unmap many takes a while, and workers must not wait for the lock meanwhile.
        drop(free);
        drop(given);
    }
}
