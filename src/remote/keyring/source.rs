//! One source of keys: its documents, and the task that fetches them.
//!
//! The task does one fetch at a time. A request that needs a key asks for its document and waits until the fetch has ended;
//! any number of requests wait for the same one.

use super::documents::{Document, Documents, MAX_DOCUMENTS};
use super::store::Store;
use crate::outcome::Rejection;
use crate::remote::client::{Client, FetchError};
use crate::scheme::{FetchedKey, KeySource};
use crate::settings::Keys;
use crate::time::clock;
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// The least time between two fetches that requests cause, for each group of [`KeySource::rate_group`].
const LEAST_BETWEEN: Duration = Duration::from_secs(60);
/// The least lifetime of a document, whatever its server says.
const LEAST_REFRESH: Duration = Duration::from_secs(60);
/// The first and the longest wait after a failed fetch.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Maximum number of certificates that are fetched to complete one chain.
const MAX_ISSUERS: usize = 2;
/// What a waiting request allows beyond the time of a fetch.
const WAIT_MARGIN: Duration = Duration::from_millis(500);

/// One source of keys.
#[derive(Debug)]
pub struct Source {
    shared: Arc<Shared>,
    task: AbortHandle,
    client: Arc<Client>,
    /// One confirmation at a time.
    confirming: Semaphore,
}

/// What requests and the task share.
#[derive(Debug)]
struct Shared {
    settings: KeySource,
    documents: ArcSwap<Documents>,
    asked: Mutex<Asked>,
    wake: Notify,
    /// The number of fetches that have ended.
    ended: watch::Sender<u64>,
    max_age: Duration,
    refresh: Duration,
    wait: Duration,
    ok: AtomicU64,
    failed: AtomicU64,
}

/// What is to be fetched, and what has been.
#[derive(Debug, Default)]
struct Asked {
    /// The document that is being fetched.
    current: Option<String>,
    /// Documents that requests need.
    queue: Vec<String>,
    /// When the last fetch that a request caused began, by group; and the results of the last fetches, by document.
    last: BTreeMap<String, Instant>,
    results: BTreeMap<String, Outcome>,
    /// The number of failed fetches since the last successful one.
    failures: u32,
}

/// How the last fetch of a document ended.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    at: Instant,
    /// Whether the server answered: with keys, or that it has none of this name.
    is_known: bool,
}

/// What is shown of a source in metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySample {
    /// The hosts that are asked, as configured.
    pub source: String,
    /// Fetches since the start: successful, failed.
    pub fetches: [u64; 2],
    /// The age of the oldest document, in seconds.
    pub age_seconds: Option<u64>,
    /// The number of keys that may be used.
    pub keys: usize,
}

impl Source {
    /// Reads the documents on disk and starts the task.
    pub(super) fn start(settings: KeySource, keys: &Keys, client: &Arc<Client>, runtime: &Handle) -> Arc<Self> {
        let store = Store::new(keys.directory.as_deref(), &settings);
        let mut documents = Documents::default();
        let (now, now_unix) = (Instant::now(), clock::unix_now());
        for stored in store.read() {
            let age = Duration::from_secs(now_unix.saturating_sub(stored.fetched_unix));
            match settings.parse(&stored.document, stored.answer.as_bytes(), now_unix) {
                Ok(found) if age <= keys.max_age && stored.fetched_unix <= now_unix => {
                    documents.insert(&stored.document, Document::new(found, age, keys.refresh, now), now);
                }
                Ok(_) | Err(_) => {}
            }
        }
        let shared = Arc::new(Shared {
            settings,
            documents: ArcSwap::from_pointee(documents),
            asked: Mutex::default(),
            wake: Notify::new(),
            ended: watch::channel(0).0,
            max_age: keys.max_age,
            refresh: keys.refresh,
            wait: keys.timeout + WAIT_MARGIN,
            ok: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let task = runtime.spawn(run(shared.clone(), client.clone(), store));
        Arc::new(Self {
            shared,
            task: task.abort_handle(),
            client: client.clone(),
            confirming: Semaphore::new(1),
        })
    }

    /// What is fetched.
    #[must_use]
    pub fn settings(&self) -> &KeySource {
        &self.shared.settings
    }

    /// The key with this id. An unknown one is fetched, if it may be, and waited for. `now_unix` in seconds.
    ///
    /// # Errors
    /// `KeyUnknown` when the provider has no such key, `KeyUnavailable` when it cannot be asked now.
    pub async fn key(&self, id: &str, now_unix: u64) -> Result<Arc<FetchedKey>, Rejection> {
        let shared = &*self.shared;
        if let Some(key) = shared.find(id, now_unix) {
            return Ok(key);
        }
        let document = shared.settings.document(id);
        if shared.settings.request(document).is_none() {
            return Err(Rejection::KeyUnknown);
        }
        let mut ended = shared.ended.subscribe();
        let asked_at = Instant::now();
        if shared.ask(document, asked_at) {
            let has_ended = async { while !shared.has_ended(document, asked_at) && ended.changed().await.is_ok() {} };
            let _ = timeout(shared.wait, has_ended).await;
        }
        shared.find(id, now_unix).ok_or_else(|| shared.reason(document))
    }

    /// Calls the URL of a genuine message that asks for a confirmation, one at a time.
    ///
    /// # Errors
    /// `SignatureMalformed` for a URL of another host, `RateLimited` while another one is called, `KeyUnavailable` when the
    /// provider cannot be asked now: it sends the message again.
    pub async fn confirm(&self, url: &str) -> Result<(), Rejection> {
        let request = self
            .shared
            .settings
            .confirmation(url)
            .ok_or(Rejection::SignatureMalformed)?;
        let Ok(_only) = self.confirming.try_acquire() else {
            return Err(Rejection::RateLimited);
        };
        match self.client.fetch(&request).await {
            Ok(_) => {
                tracing::info!(hosts = %self.shared.settings.hosts().join(" "), "a subscription was confirmed");
                Ok(())
            }
            Err(error) => {
                tracing::warn!(hosts = %self.shared.settings.hosts().join(" "), %error, "a subscription could not be confirmed");
                Err(Rejection::KeyUnavailable)
            }
        }
    }

    /// What is shown in metrics.
    #[must_use]
    pub fn sample(&self) -> KeySample {
        let shared = &*self.shared;
        let documents = shared.documents.load();
        let now = Instant::now();
        KeySample {
            source: shared.settings.hosts().join(" "),
            fetches: [shared.ok.load(Ordering::Relaxed), shared.failed.load(Ordering::Relaxed)],
            age_seconds: documents.oldest(now).map(|age| age.as_secs()),
            keys: documents.usable(now, clock::unix_now(), shared.max_age),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn find(&self, id: &str, now_unix: u64) -> Option<Arc<FetchedKey>> {
        let documents = self.documents.load();
        documents.find(self.settings.document(id), id, Instant::now(), now_unix, self.max_age)
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a fetch of a document. Returns whether to wait: one is under way, or has been asked for.
    fn ask(&self, document: &str, now: Instant) -> bool {
        let mut asked = self.asked();
        if asked.current.as_deref() == Some(document) || asked.queue.iter().any(|queued| queued == document) {
            return true;
        }
        let group = self.settings.rate_group(document);
        let is_too_soon = asked
            .last
            .get(group)
            .is_some_and(|last| now.saturating_duration_since(*last) < LEAST_BETWEEN);
        if is_too_soon || asked.queue.len() >= MAX_DOCUMENTS || asked.last.len() > 4 * MAX_DOCUMENTS {
            asked
                .last
                .retain(|_, last| now.saturating_duration_since(*last) < LEAST_BETWEEN);
            return false;
        }
        asked.last.insert(group.to_owned(), now);
        asked.queue.push(document.to_owned());
        self.wake.notify_one();
        true
    }

    /// Whether a fetch of this document has ended since `since`.
    fn has_ended(&self, document: &str, since: Instant) -> bool {
        let asked = self.asked();
        asked.results.get(document).is_some_and(|result| result.at >= since)
    }

    /// Why a key of this document is not known: the provider does not have it, or could not be asked.
    fn reason(&self, document: &str) -> Rejection {
        let now = Instant::now();
        let asked = self.asked();
        match asked.results.get(document) {
            Some(result) if result.is_known && now.saturating_duration_since(result.at) < 2 * LEAST_BETWEEN => {
                Rejection::KeyUnknown
            }
            Some(_) | None => Rejection::KeyUnavailable,
        }
    }

    /// The document that is to be fetched now, or when the next one is.
    fn next(&self, now: Instant) -> Result<String, Option<Instant>> {
        let mut asked = self.asked();
        if !asked.queue.is_empty() {
            let document = asked.queue.remove(0);
            asked.current = Some(document.clone());
            return Ok(document);
        }
        let documents = self.documents.load();
        let due = match documents.next_due() {
            Some((name, at)) => Some((name.to_owned(), at)),
            None if self.settings.is_known_before() => {
                let name = self.settings.document("").to_owned();
                let after = asked
                    .results
                    .get(&name)
                    .map(|result| result.at + backoff(asked.failures));
                Some((name, after.unwrap_or(now)))
            }
            None => None,
        };
        match due {
            Some((name, at)) if at <= now => {
                asked.current = Some(name.clone());
                Ok(name)
            }
            Some((_, at)) => Err(Some(at)),
            None => Err(None),
        }
    }

    /// Notes how a fetch ended.
    fn note(&self, document: &str, result: &Result<(Document, String), FetchError>, now: Instant) {
        let mut asked = self.asked();
        let mut documents = Documents::clone(&self.documents.load());
        let is_known = match result {
            Ok((fetched, _)) => {
                asked.failures = 0;
                documents.insert(document, fetched.clone(), now);
                self.ok.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(error) => {
                asked.failures = asked.failures.saturating_add(1);
                self.failed.fetch_add(1, Ordering::Relaxed);
                // A set that is not found is a wrong address; a single key that is not found does not exist.
                let is_absent = *error == FetchError::NotFound && !self.settings.is_known_before();
                if is_absent {
                    documents.remove(document);
                } else {
                    documents.postpone(document, backoff(asked.failures), now);
                }
                is_absent
            }
        };
        self.documents.store(Arc::new(documents));
        asked.current = None;
        if asked.results.len() >= 4 * MAX_DOCUMENTS && !asked.results.contains_key(document) {
            asked
                .results
                .retain(|_, result| now.saturating_duration_since(result.at) < LEAST_BETWEEN);
        }
        asked.results.insert(document.to_owned(), Outcome { at: now, is_known });
        self.ended.send_modify(|count| *count += 1);
    }
}

/// The wait after this many failures.
fn backoff(failures: u32) -> Duration {
    let doubled = BACKOFF.0.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(BACKOFF.1)
}

/// Fetches what is due and what requests ask for, until the source is dropped.
async fn run(shared: Arc<Shared>, client: Arc<Client>, store: Store) {
    loop {
        match shared.next(Instant::now()) {
            Ok(document) => {
                let result = fetch(&shared, &client, &document).await;
                match &result {
                    Ok((_, answer)) => store.write(&document, answer, clock::unix_now()),
                    Err(error) => {
                        let hosts = shared.settings.hosts().join(" ");
                        tracing::warn!(%hosts, %error, "keys could not be fetched");
                        if *error == FetchError::NotFound && !shared.settings.is_known_before() {
                            store.remove(&document);
                        }
                    }
                }
                shared.note(&document, &result, Instant::now());
            }
            Err(Some(at)) => {
                tokio::select! {
                    () = sleep_until(at) => {}
                    () = shared.wake.notified() => {}
                }
            }
            Err(None) => shared.wake.notified().await,
        }
    }
}

/// A certificate as PEM, from DER or PEM.
fn pem(certificate: &[u8]) -> String {
    match std::str::from_utf8(certificate) {
        Ok(text) if text.contains("-----BEGIN") => format!("\n{text}\n"),
        Ok(_) | Err(_) => format!(
            "\n-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(certificate)
        ),
    }
}

/// Fetches one document and reads its keys.
async fn fetch(shared: &Shared, client: &Client, document: &str) -> Result<(Document, String), FetchError> {
    let request = shared.settings.request(document).ok_or(FetchError::NotFound)?;
    let answer = client.fetch(&request).await?;
    let mut text =
        String::from_utf8(answer.body).map_err(|_| FetchError::Answer("the answer is not text".to_owned()))?;
    let mut parsed = shared.settings.parse(document, text.as_bytes(), clock::unix_now());
    for _ in 0..MAX_ISSUERS {
        let Some(request) = shared.settings.issuer(text.as_bytes()).filter(|_| parsed.is_err()) else {
            break;
        };
        let issuer = client.fetch(&request).await?;
        text.push_str(&pem(&issuer.body));
        parsed = shared.settings.parse(document, text.as_bytes(), clock::unix_now());
    }
    let keys = parsed.map_err(FetchError::Answer)?;
    // Fetched again before its end, so that a failed fetch leaves time for another one.
    let lifetime = answer.lifetime.unwrap_or(shared.refresh).min(shared.refresh);
    let refresh = (lifetime * 3 / 4).max(LEAST_REFRESH);
    Ok((Document::new(keys, Duration::ZERO, refresh, Instant::now()), text))
}
