//! Certificates that are ordered from ACME servers (RFC 8555), and renewed before their end.
//!
//! Handshakes use what is in memory and never wait for a server. A failed order changes nothing: the certificate in use
//! stays. Replicas share a directory or a Redis with the account, the certificate, the state of failed orders and the answers to
//! challenges, so that they order once, and each of them can answer the server.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`managed`] | one certificate, and the task that renews it |
//! | [`order`] | one order |
//! | [`connection`] | requests to the server, and why an order failed |
//! | [`http_listener`] | the listener for the challenge HTTP-01 |
//! | [`answers`] | what is answered to the challenge HTTP-01 |
//! | [`store`] | what replicas share |
//! | [`schedule`] | when a certificate is ordered |

mod answers;
mod connection;
mod http_listener;
mod managed;
mod order;
mod schedule;
mod store;

pub use answers::HttpAnswers;
pub use managed::AcmeSample;

use crate::settings::{Acme, Keys};
use crate::time::shutdown::ShutdownSignal;
use crate::tls::IssuedCertificate;
use managed::Managed;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// All certificates of the process that are ordered from ACME servers. Listeners with the same settings share one.
pub struct Certificates {
    keys: Keys,
    /// The runtime of a thread of its own, made with the first certificate: a storage on another machine may keep it
    /// waiting.
    runtime: OnceLock<Handle>,
    /// Ends the thread.
    end: Arc<ShutdownSignal>,
    answers: Arc<HttpAnswers>,
    managed: Mutex<Vec<Arc<Managed>>>,
    /// The listeners for HTTP-01.
    listeners: Mutex<HashMap<SocketAddr, JoinHandle<()>>>,
}

impl Certificates {
    /// None yet. Servers are asked with the timeout, the proxy and (by default) the authorities of `keys`.
    #[must_use]
    pub fn new(keys: Keys) -> Arc<Self> {
        Arc::new(Self {
            keys,
            runtime: OnceLock::new(),
            end: Arc::default(),
            answers: Arc::default(),
            managed: Mutex::default(),
            listeners: Mutex::default(),
        })
    }

    /// What is answered to the challenge HTTP-01.
    #[must_use]
    pub fn answers(&self) -> &Arc<HttpAnswers> {
        &self.answers
    }

    /// The certificate with these settings, as it is stored. It is not ordered before [`Certificates::run_only`].
    ///
    /// # Errors
    /// One sentence when the storage, or the address for HTTP-01, cannot be used.
    pub fn certificate(&self, settings: &Acme) -> Result<Arc<IssuedCertificate>, String> {
        let runtime = self.runtime()?;
        if let Some(address) = settings.http {
            self.listen(address, &runtime)?;
        }
        if let Some(known) = self.find(settings) {
            return Ok(known);
        }
        // The store may be waited for, which a scrape must not do: the lock is taken afterwards.
        let new = {
            let (settings, keys, answers) = (settings.clone(), self.keys.clone(), self.answers.clone());
            let (sender, receiver) = mpsc::sync_channel(1);
            runtime.spawn(async move {
                let _ = sender.send(Managed::load(&settings, &keys, &answers).await);
            });
            receiver.recv().map_err(|_| "the thread for ACME has ended")??
        };
        let issued = new.issued().clone();
        let mut all = self.managed.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::new(new));
        Ok(issued)
    }

    fn find(&self, settings: &Acme) -> Option<Arc<IssuedCertificate>> {
        let all = self.managed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().find(|managed| managed.settings() == settings);
        known.map(|managed| managed.issued().clone())
    }

    /// Orders and renews the certificates with these settings, and forgets all others.
    pub fn run_only<'a>(&self, used: impl IntoIterator<Item = &'a Acme>) {
        let used: Vec<&Acme> = used.into_iter().collect();
        let mut all = self.managed.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|managed| used.contains(&managed.settings()));
        for managed in all.iter() {
            // Every certificate has started the thread.
            if let Some(runtime) = self.runtime.get() {
                managed.start(runtime);
            }
        }
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|address, task| {
            let is_used = used.iter().any(|acme| acme.http == Some(*address));
            if !is_used {
                task.abort();
            }
            is_used
        });
    }

    /// What is known of every certificate.
    #[must_use]
    pub fn sample(&self) -> Vec<AcmeSample> {
        let all = self.managed.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|managed| managed.sample()).collect()
    }

    /// The runtime of the thread, which the first call starts.
    fn runtime(&self) -> Result<Handle, String> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime.clone());
        }
        let failed = |error| format!("cannot start the thread for ACME: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let handle = runtime.handle().clone();
        let end = self.end.clone();
        let thread = std::thread::Builder::new().name(String::from("acme"));
        thread.spawn(move || runtime.block_on(end.wait())).map_err(failed)?;
        Ok(self.runtime.get_or_init(|| handle).clone())
    }

    fn listen(&self, address: SocketAddr, runtime: &Handle) -> Result<(), String> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if let std::collections::hash_map::Entry::Vacant(new) = listeners.entry(address) {
            let listener = http_listener::bind(address)
                .map_err(|error| format!("cannot listen on {address} for the challenge HTTP-01: {error}"))?;
            let serving = http_listener::serve(listener, self.answers.clone());
            new.insert(runtime.spawn(serving));
        }
        Ok(())
    }
}

/// Reads what is stored in a directory for `check`, and says whether there is a certificate. A Redis is not asked.
///
/// # Errors
/// One sentence when what is stored cannot be used.
pub fn inspect(settings: &Acme) -> Result<bool, String> {
    let store = store::Store::new(settings)?;
    match store.inspect().map_err(store::StoreError::into_text)? {
        Some(stored) => managed::load(&stored).map(|_| true),
        None => Ok(false),
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        self.end.trigger();
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}
