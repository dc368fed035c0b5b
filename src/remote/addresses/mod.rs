//! Lists of source addresses that providers publish, fetched in the background and kept on disk.
//!
//! A route asks what is in memory, and waits for nothing. A list that cannot be fetched, or that cannot be right, changes
//! nothing. The table of lists is in [`crate::scheme::address_list`].
//!
//! | module | what it is |
//! | --- | --- |
//! | [`published`] | one list, and the task that fetches it |
//! | [`known`] | what is known of a list: pure |

mod known;
mod published;

pub use published::{ListSample, Published};

use crate::remote::client::Client;
use crate::settings::{Keys, PublishedList};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

/// All lists of the process. Routes with the same list share it.
#[derive(Debug)]
pub struct AddressBook {
    settings: Keys,
    client: Arc<Client>,
    runtime: Handle,
    lists: Mutex<Vec<Arc<Published>>>,
}

impl AddressBook {
    /// A book without lists.
    pub(super) fn new(settings: Keys, client: Arc<Client>, runtime: Handle) -> Self {
        Self {
            settings,
            client,
            runtime,
            lists: Mutex::default(),
        }
    }

    /// The list. A new one is read from disk, and begins to be fetched.
    #[must_use]
    pub fn list(&self, wanted: &PublishedList) -> Arc<Published> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lists.iter().find(|list| list.settings() == wanted) {
            return known.clone();
        }
        let list = Published::start(wanted, &self.settings, &self.client, &self.runtime);
        lists.push(list.clone());
        list
    }

    /// Forgets every list but these. It ends with the last route that uses it.
    pub fn keep_only(&self, used: &[&Arc<Published>]) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|list| used.iter().any(|other| Arc::ptr_eq(list, other)));
    }

    /// What is known of every list.
    #[must_use]
    pub fn sample(&self) -> Vec<ListSample> {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.iter().map(|list| list.sample()).collect()
    }
}
