//! One list: the networks in force, and the task that fetches them again.

use super::known::Known;
use crate::remote::client::{Client, FetchError};
use crate::scheme::address_list::AddressList;
use crate::settings::{Keys, PublishedList};
use crate::time::clock;
use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::header::ACCEPT;
use hyper::{Request, StatusCode};
use ipnet::IpNet;
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Longest document, in bytes. GitHub's has some hundred kilobytes, of which webhooks are a small part.
const MAX_DOCUMENT_BYTES: usize = 2 << 20;
/// Longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The first wait after a failed fetch; it doubles up to the time between two fetches.
const BACKOFF: Duration = Duration::from_secs(30);

/// What is known of a list, for metrics.
#[derive(Clone, Debug)]
pub struct ListSample {
    /// Its name.
    pub list: &'static str,
    /// Fetches since the start: successful, failed.
    pub fetches: [u64; 2],
    /// When the networks in force were fetched, Unix seconds; 0 for the bundled ones.
    pub fetched_unix: u64,
    /// The number of networks in force.
    pub networks: usize,
}

/// A list with its task, which ends with the value.
pub struct Published {
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

struct Shared {
    settings: PublishedList,
    list: &'static AddressList,
    file: Option<PathBuf>,
    refresh: Duration,
    known: ArcSwap<Known>,
    allowed: ArcSwap<Vec<IpNet>>,
    ok: AtomicU64,
    failed: AtomicU64,
}

impl Published {
    /// The bundled list, which is not fetched.
    #[must_use]
    pub fn bundled(settings: &PublishedList) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::new(Shared::new(settings, None, Duration::MAX)),
            task: None,
        })
    }

    /// Reads the list from disk and starts the task.
    pub(super) fn start(settings: &PublishedList, keys: &Keys, client: &Arc<Client>, runtime: &Handle) -> Arc<Self> {
        let file = keys.directory.as_ref();
        let file = file.map(|directory| directory.join(format!("addresses-{}.json", settings.list.name)));
        let shared = Arc::new(Shared::new(settings, file, keys.refresh));
        let task = runtime.spawn(run(shared.clone(), client.clone()));
        Arc::new(Self {
            shared,
            task: Some(task),
        })
    }

    /// Which list it is.
    #[must_use]
    pub fn settings(&self) -> &PublishedList {
        &self.shared.settings
    }

    /// Whether the list contains this address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.shared
            .allowed
            .load()
            .iter()
            .any(|network| network.contains(&address))
    }

    pub(super) fn sample(&self) -> ListSample {
        let Shared {
            list, known, allowed, ..
        } = &*self.shared;
        ListSample {
            list: list.name,
            fetches: [&self.shared.ok, &self.shared.failed].map(|count| count.load(Ordering::Relaxed)),
            fetched_unix: known.load().fetched_unix,
            networks: allowed.load().len(),
        }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Published").field(&self.shared.list.name).finish()
    }
}

impl Shared {
    fn new(settings: &PublishedList, file: Option<PathBuf>, refresh: Duration) -> Self {
        let now_unix = clock::unix_now();
        let stored = file.as_ref().and_then(|file| {
            let mut text = Vec::new();
            fs::File::open(file)
                .ok()?
                .take(MAX_FILE_BYTES)
                .read_to_end(&mut text)
                .ok()?;
            serde_json::from_slice::<Known>(&text).ok()
        });
        let known = stored
            .filter(|known| known.is_plausible(now_unix))
            .unwrap_or_else(|| Known::bundled(settings.list.bundled()));
        Self {
            list: settings.list,
            settings: settings.clone(),
            file,
            refresh,
            allowed: ArcSwap::from_pointee(known.allowed(now_unix)),
            known: ArcSwap::from_pointee(known),
            ok: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Fetches the list once.
    async fn fetch(&self, client: &Client) -> Result<Vec<IpNet>, FetchError> {
        let request = Request::get(self.settings.url.as_str()).header(ACCEPT, "application/json");
        let request = request.body(Bytes::new());
        let request = request.map_err(|_| FetchError::Answer(String::from("the URL cannot be asked for")))?;
        let answer = client.send(request, MAX_DOCUMENT_BYTES).await?;
        if answer.status() != StatusCode::OK {
            let status = answer.status().as_u16();
            return Err(FetchError::Answer(format!("the server answered with status {status}")));
        }
        self.list.read(answer.body()).map_err(FetchError::Answer)
    }

    /// Takes a fetched list into force, and writes it to disk.
    fn adopt(&self, networks: Vec<IpNet>, now_unix: u64) {
        let (known, change) = self.known.load().after(networks, now_unix);
        if change.added + change.left > 0 {
            tracing::info!(
                list = self.list.name,
                added = change.added,
                left = change.left,
                "the list of addresses has changed; what left it stays allowed for a week"
            );
        }
        self.allowed.store(Arc::new(known.allowed(now_unix)));
        if let Some(file) = &self.file {
            let beside = file.with_extension("new");
            let text = serde_json::to_vec(&known).unwrap_or_default();
            if let Err(error) = fs::write(&beside, text).and_then(|()| fs::rename(&beside, file)) {
                tracing::warn!(path = %file.display(), %error, "the list of addresses could not be written");
            }
        }
        self.known.store(Arc::new(known));
    }
}

/// Fetches the list, until it is dropped.
async fn run(shared: Arc<Shared>, client: Arc<Client>) {
    let mut failures = 0;
    loop {
        let wait = match shared.fetch(&client).await {
            Ok(networks) => {
                shared.ok.fetch_add(1, Ordering::Relaxed);
                failures = 0;
                shared.adopt(networks, clock::unix_now());
                shared.refresh
            }
            Err(error) => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(list = shared.list.name, url = %shared.settings.url, %error,
                    "the list of addresses could not be fetched; the one in use stays");
                let allowed = shared.known.load().allowed(clock::unix_now());
                shared.allowed.store(Arc::new(allowed));
                failures += 1;
                BACKOFF.saturating_mul(1 << (failures - 1).min(16)).min(shared.refresh)
            }
        };
        sleep(wait).await;
    }
}
