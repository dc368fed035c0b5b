//! Owners of secrets by name. Requests read it without a lock, and one owner is replaced at the cost of a small part of the
//! table.

use super::is_owner_name;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Parts of the table. Replacing an owner copies one part.
const PARTS: usize = 256;

type Part<T> = HashMap<Box<str>, Arc<T>, RandomState>;

/// Owners by name; `T` is what their secrets became.
#[derive(Debug)]
pub struct OwnerTable<T> {
    parts: Vec<ArcSwap<Part<T>>>,
    /// Chooses the part of a name. The sender does not know it.
    hasher: RandomState,
    /// The most secrets that any owner has had.
    width: AtomicUsize,
}

impl<T> Default for OwnerTable<T> {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| ArcSwap::from_pointee(Part::default())).collect(),
            hasher: RandomState::new(),
            width: AtomicUsize::new(1),
        }
    }
}

impl<T> OwnerTable<T> {
    /// The owner of this name, if there is one, and the most secrets that any owner has had. In place of a name that no owner
    /// can have, another one is looked up that no owner can have, so that it takes the same time.
    #[must_use]
    pub fn choose(&self, name: &str) -> (Option<Arc<T>>, usize) {
        let name = if is_owner_name(name) { name } else { "." };
        let owner = self.part(name).and_then(|part| part.load().get(name).cloned());
        (owner, self.width.load(Ordering::Relaxed))
    }

    /// The number of owners.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.load().len()).sum()
    }

    /// Whether there is no owner.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds and replaces owners (`Some`), and removes others (`None`). `width` is the most secrets that one of them has.
    pub(super) fn apply(&self, changes: Vec<(String, Option<T>)>, width: usize) {
        self.width.fetch_max(width, Ordering::Relaxed);
        let mut by_part: HashMap<usize, Vec<(String, Option<T>)>> = HashMap::new();
        for change in changes {
            by_part.entry(self.index(&change.0)).or_default().push(change);
        }
        for (index, changes) in by_part {
            let Some(part) = self.parts.get(index) else { continue };
            let mut new = Part::<T>::clone(&part.load());
            for (name, owner) in changes {
                match owner {
                    Some(owner) => drop(new.insert(name.into(), Arc::new(owner))),
                    None => drop(new.remove(name.as_str())),
                }
            }
            part.store(Arc::new(new));
        }
    }

    fn index(&self, name: &str) -> usize {
        usize::try_from(self.hasher.hash_one(name)).unwrap_or_default() % PARTS
    }

    fn part(&self, name: &str) -> Option<&ArcSwap<Part<T>>> {
        self.parts.get(self.index(name))
    }
}
