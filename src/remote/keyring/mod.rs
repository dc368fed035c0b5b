//! The key ring: keys that providers publish, fetched in the background.
//!
//! A request takes a key from memory. It waits for a fetch only if it names a key that is not known, and then at most for
//! the time of one fetch. What a request names is never fetched as such: [`KeySource`] decides which address that is, if
//! any. Verification itself is in [`crate::scheme`] and gets the key as an argument.
//!
//! Bounds: for each source (for certificates: for each host of a source) unknown names cost one fetch a minute, whatever
//! their number; a source has at most 16 documents of at most 256 KiB.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`source`] | the keys of one source, and the task that fetches them |
//! | [`store`] | documents on disk |
//! | [`documents`] | what was fetched, with its age |

mod documents;
mod source;
mod store;
#[cfg(test)]
mod tests;

pub use source::{KeySample, Source};

use crate::remote::addresses::AddressBook;
use crate::remote::client::Client;
use crate::scheme::KeySource;
use crate::settings::Keys;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

/// All sources of the process. Routes with the same settings share one.
#[derive(Debug)]
pub struct KeyRing {
    settings: Keys,
    client: Arc<Client>,
    /// The runtime on which keys are fetched: that of the control plane, so that no worker spends time on it.
    runtime: Handle,
    sources: Mutex<Vec<Arc<Source>>>,
    /// The lists of addresses, which are fetched with the same settings.
    pub addresses: AddressBook,
}

impl KeyRing {
    /// A ring without sources. Fetches run on `runtime`.
    #[must_use]
    pub fn new(settings: Keys, runtime: Handle) -> Arc<Self> {
        let client = Arc::new(Client::new(&settings));
        Arc::new(Self {
            addresses: AddressBook::new(settings.clone(), client.clone(), runtime.clone()),
            client,
            settings,
            runtime,
            sources: Mutex::default(),
        })
    }

    /// The source with these settings. A new one reads its documents on disk and begins to fetch.
    #[must_use]
    pub fn source(&self, wanted: &KeySource) -> Arc<Source> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sources.iter().find(|source| source.settings() == wanted) {
            return known.clone();
        }
        let source = Source::start(wanted.clone(), &self.settings, &self.client, &self.runtime);
        sources.push(source.clone());
        source
    }

    /// Forgets every source but these. It ends with the last route that uses it.
    pub fn keep_only(&self, used: &[&Arc<Source>]) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|source| used.iter().any(|other| Arc::ptr_eq(source, other)));
    }

    /// What is known of every source.
    #[must_use]
    pub fn sample(&self) -> Vec<KeySample> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.iter().map(|source| source.sample()).collect()
    }
}
