//! One certificate: what is stored is used at once, what is due is ordered, and what another replica has ordered is taken
//! over. All of it in one task of the thread for ACME, so that neither a worker nor a probe waits for the storage.

use super::answers::HttpAnswers;
use super::connection::{Connection, Failure};
use super::order;
use super::schedule::{self, Failures, Lifetime};
use super::store::{Challenges, Contents, Lock, Stamp, Store, StoreError, StoredCertificate};
use crate::settings::{Acme, AcmeChallenge, Keys};
use crate::time::clock;
use crate::tls::{self, IssuedCertificate, LoadedCertificate};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How often the store is looked at for what another replica has written.
const LOOK: Duration = Duration::from_secs(1);
/// The time between writing an answer and letting the server check it: every replica has read it then, and the server may
/// ask any of them.
const SETTLE: Duration = Duration::from_millis(2_500);
/// The longest time of the first look at the store, for which the start or a reload waits.
const LONGEST_FIRST_READ: Duration = Duration::from_secs(5);
/// How long a new certificate is tried to be stored, while the store is not there.
const LONGEST_STORING: Duration = Duration::from_secs(60);
/// The longest time of one order.
const LONGEST_ORDER: Duration = Duration::from_secs(300);

/// What is known of a certificate, for metrics.
#[derive(Clone, Debug)]
pub struct AcmeSample {
    /// `acme:` and the first name.
    pub certificate: String,
    /// `notAfter`, Unix seconds; `None` while there is none.
    pub expires_unix: Option<i64>,
    /// Orders of this process that succeeded and that failed.
    pub orders: [u64; 2],
    /// Failed orders since the last one that succeeded, of all replicas.
    pub failures: u32,
    /// When the certificate was issued, Unix seconds; `None` while there is none.
    pub issued_unix: Option<u64>,
}

/// A certificate with its task, which ends with the value.
pub(super) struct Managed {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    settings: Acme,
    connection: Connection,
    store: Store,
    issued: Arc<IssuedCertificate>,
    answers: Arc<HttpAnswers>,
    /// Between 0 and 1, another number in each process.
    jitter: f64,
    known: Mutex<Known>,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// What was read from the store.
#[derive(Default)]
struct Known {
    stamp: Option<Stamp>,
    stored: Option<StoredCertificate>,
    lifetime: Option<Lifetime>,
    failures: Failures,
    challenges: Challenges,
    /// The last fault of the store, so that each is logged once.
    fault: Option<String>,
    /// Whether the store has lost the certificate.
    is_forgotten: bool,
}

impl Managed {
    /// Reads what is stored. Nothing is ordered before [`Managed::start`]. A Redis that is not there is no error: the
    /// certificate is taken over as soon as it is.
    ///
    /// # Errors
    /// One sentence when the store cannot be used.
    pub(super) async fn load(settings: &Acme, keys: &Keys, answers: &Arc<HttpAnswers>) -> Result<Self, String> {
        let mut random = [0; 4];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| "the system provides no random numbers")?;
        let shared = Shared {
            connection: Connection::new(settings, keys),
            store: Store::new(settings)?,
            issued: Arc::new(IssuedCertificate::new(settings.domains.clone())),
            answers: answers.clone(),
            jitter: f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX),
            known: Mutex::default(),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            settings: settings.clone(),
        };
        let read = timeout(LONGEST_FIRST_READ, shared.read()).await;
        match read.unwrap_or_else(|_| Err(StoreError::Unreachable(String::from("no answer in time")))) {
            Ok(()) => {}
            Err(StoreError::Unreachable(fault)) => shared.note_fault(Some(fault)),
            Err(StoreError::Unusable(fault)) => return Err(fault),
        }
        Ok(Self {
            shared: Arc::new(shared),
            task: Mutex::default(),
        })
    }

    pub(super) fn settings(&self) -> &Acme {
        &self.shared.settings
    }

    pub(super) fn issued(&self) -> &Arc<IssuedCertificate> {
        &self.shared.issued
    }

    /// Starts the task, if it does not run.
    pub(super) fn start(&self, runtime: &Handle) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.get_or_insert_with(|| runtime.spawn(run(self.shared.clone())));
    }

    pub(super) fn sample(&self) -> AcmeSample {
        let known = self.shared.known();
        AcmeSample {
            certificate: self.shared.settings.label(),
            expires_unix: self.shared.issued.current().map(|current| current.expires_unix),
            orders: [&self.shared.succeeded, &self.shared.failed].map(|count| count.load(Ordering::Relaxed)),
            failures: known.failures.count,
            issued_unix: known.stored.as_ref().map(|stored| stored.issued_unix),
        }
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
        self.shared
            .answers
            .replace(&self.shared.settings.label(), &Challenges::default());
    }
}

async fn run(shared: Arc<Shared>) {
    let mut has_first_key = false;
    loop {
        let read = shared.read().await;
        let is_readable = read.is_ok();
        shared.note_fault(read.err().map(StoreError::into_text));
        // A store that cannot be read may have a certificate, so nothing is ordered.
        if is_readable && shared.is_forgotten() {
            shared.restore().await;
        } else if is_readable && shared.is_due() {
            shared.order().await;
        } else if is_readable && !has_first_key {
            has_first_key = shared.use_first_key().await;
        }
        sleep(LOOK).await;
    }
}

impl Shared {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self) -> bool {
        let known = self.known();
        let now = clock::unix_now();
        schedule::due(known.lifetime, known.failures, now, self.jitter) <= now
    }

    fn is_forgotten(&self) -> bool {
        self.known().is_forgotten
    }

    /// Takes over what this process or another one has written.
    async fn read(&self) -> Result<(), StoreError> {
        let known = self.known().stamp;
        let Some(contents) = self.store.read(known).await? else {
            return Ok(());
        };
        let Contents {
            certificate,
            failures,
            challenges,
            stamp,
        } = contents;
        match certificate {
            Some(stored) => {
                self.install(stored).map_err(StoreError::Unusable)?;
                self.known().is_forgotten = false;
            }
            None if self.issued.current().is_none() => self.stand_in().await,
            None => {
                let mut known = self.known();
                known.is_forgotten = known.stored.is_some() && self.store.may_forget();
            }
        }
        self.answer(&challenges);
        let mut known = self.known();
        known.failures = failures;
        known.challenges = challenges;
        known.stamp = Some(stamp);
        Ok(())
    }

    /// Encrypts what is stored with the first of the keys, so that the others can be removed from the configuration.
    /// Returns whether it is.
    async fn use_first_key(&self) -> bool {
        if matches!(self.store.is_sealed_with_first_key().await, Ok(true)) {
            return true;
        }
        let Ok(Some(lock)) = self.store.lock().await else {
            return false;
        };
        let sealed = self.store.seal_with_first_key(&lock).await;
        self.store.unlock(lock).await;
        if sealed.is_ok() {
            tracing::info!(certificate = %self.settings.label(), "account and certificate are encrypted with the first of `keys` now");
        }
        self.note_fault(sealed.as_ref().err().cloned().map(StoreError::into_text));
        sealed.is_ok()
    }

    /// Stores the certificate in use again, unless another process does so.
    async fn restore(&self) {
        let Ok(Some(lock)) = self.store.lock().await else {
            return;
        };
        let read = self.read().await;
        let stored = self.known().stored.clone();
        if let (Ok(()), true, Some(stored)) = (read, self.is_forgotten(), stored) {
            let certificate = self.settings.label();
            match self.store.write_certificate(&lock, &stored).await {
                Ok(()) => tracing::warn!(%certificate, "the storage had lost the certificate, and it was stored again"),
                Err(fault) => self.note_fault(Some(fault.into_text())),
            }
        }
        self.store.unlock(lock).await;
    }

    /// Uses a certificate from the next handshake on, unless it is in use already.
    fn install(&self, stored: StoredCertificate) -> Result<(), String> {
        if self.known().stored.as_ref() == Some(&stored) {
            return Ok(());
        }
        let certificate = Arc::new(load(&stored)?);
        let lifetime = Lifetime {
            starts: u64::try_from(certificate.starts_unix).unwrap_or_default(),
            ends: u64::try_from(certificate.expires_unix).unwrap_or_default(),
            issued: stored.issued_unix,
        };
        self.issued.replace(certificate);
        let mut known = self.known();
        known.lifetime = Some(lifetime);
        known.stored = Some(stored);
        Ok(())
    }

    /// Until the first certificate is issued, uses the one of the storage that covers most of the names: with a name more
    /// in the configuration, the other names are served all the time.
    async fn stand_in(&self) {
        let count = |certificate: &LoadedCertificate| {
            let names = self.settings.domains.iter();
            names.filter(|name| certificate.covers(name)).count()
        };
        let others = self.store.others().await.into_iter();
        let usable = others.filter_map(|stored| load(&stored).ok());
        let best = usable.max_by_key(|certificate| (count(certificate), certificate.expires_unix));
        if let Some(best) = best.filter(|best| count(best) > 0) {
            self.issued.replace(Arc::new(best));
        }
    }

    /// Answers these challenges, and no others.
    fn answer(&self, challenges: &Challenges) {
        if self.known().challenges == *challenges {
            return;
        }
        match self.settings.challenge {
            AcmeChallenge::Http01 => self.answers.replace(&self.settings.label(), challenges),
            AcmeChallenge::TlsAlpn01 => {
                let answers = challenges.0.values().filter_map(|answer| {
                    let certificate = challenge_certificate(&answer.name, &answer.key_authorization)?;
                    Some((answer.name.clone(), certificate))
                });
                self.issued.answer_challenges(answers.collect::<HashMap<_, _>>());
            }
        }
    }

    /// Logs a fault of the store once, and its end.
    fn note_fault(&self, fault: Option<String>) {
        let mut known = self.known();
        if known.fault != fault {
            if let Some(fault) = &fault {
                tracing::error!(certificate = %self.settings.label(), %fault, "the ACME storage cannot be used");
            }
            known.fault = fault;
        }
    }

    /// Orders a certificate, unless another process does so.
    async fn order(&self) {
        let lock = match self.store.lock().await {
            Ok(Some(lock)) => lock,
            Ok(None) => return,
            Err(fault) => return self.fail(&Failure::unreachable(fault.into_text()), None).await,
        };
        self.order_locked(&lock).await;
        self.store.unlock(lock).await;
    }

    async fn order_locked(&self, lock: &Lock) {
        // Another process may have ordered it before this one had the lock.
        self.note_fault(self.read().await.err().map(StoreError::into_text));
        if self.known().fault.is_some() || !self.is_due() {
            return;
        }
        let certificate = self.settings.label();
        tracing::info!(%certificate, names = %self.settings.domains.join(" "), "ordering a certificate");
        let ordered = tokio::select! {
            ordered = timeout(LONGEST_ORDER, self.attempt(lock)) => ordered
                .unwrap_or_else(|_| Err(Failure::refused("the order was not complete after 5 minutes"))),
            lost = self.store.keep(lock) => Err(Failure::unreachable(lost.into_text())),
        };
        let _ = self.publish(lock, Challenges::default()).await;
        match ordered {
            Ok(()) => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
                let expires_unix = self.known().lifetime.map_or(0, |lifetime| lifetime.ends);
                tracing::info!(%certificate, expires_unix, "a certificate was issued");
            }
            Err(failure) => self.fail(&failure, Some(lock)).await,
        }
    }

    async fn attempt(&self, lock: &Lock) -> Result<(), Failure> {
        let (settings, connection, store) = (&self.settings, &self.connection, &self.store);
        let account = order::account(settings, connection, store, lock).await?;
        let mut placed = match order::place(settings, connection, store, lock, &account).await {
            // The server does not know the account any more, and it was removed: with a new one the order is placed again.
            Err(_) if matches!(store.account().await, Ok(None)) => {
                let account = order::account(settings, connection, store, lock).await?;
                order::place(settings, connection, store, lock, &account).await?
            }
            placed => placed?,
        };
        let challenges = std::mem::take(&mut placed.challenges);
        if !challenges.0.is_empty() {
            let published = self.publish(lock, challenges).await;
            published.map_err(|fault| Failure::unreachable(fault.into_text()))?;
            sleep(SETTLE).await;
        }
        let stored = order::complete(settings, connection, placed, clock::unix_now).await?;
        // What senders would not accept must not replace what they accept now.
        let loaded = load(&stored).map_err(Failure::refused)?;
        if let Some(name) = settings.domains.iter().find(|name| !loaded.covers(name)) {
            return Err(Failure::refused(format!(
                "the certificate that was issued is not for {name}"
            )));
        }
        self.keep_new(lock, &stored).await?;
        let written = store.write_failures(lock, Failures::default()).await;
        self.known().failures = Failures::default();
        self.install(stored).map_err(Failure::refused)?;
        written.map_err(|fault| Failure::unreachable(fault.into_text()))
    }

    /// Stores a new certificate. A store that is not there for a moment must not cost another order.
    async fn keep_new(&self, lock: &Lock, stored: &StoredCertificate) -> Result<(), Failure> {
        let storing = async {
            loop {
                match self.store.write_certificate(lock, stored).await {
                    Ok(()) => {
                        // What was read before does not say what is stored now.
                        self.known().stamp = None;
                        return Ok(());
                    }
                    Err(StoreError::Unusable(fault)) => return Err(Failure::unreachable(fault)),
                    Err(StoreError::Unreachable(fault)) => self.note_fault(Some(fault)),
                }
                sleep(LOOK).await;
            }
        };
        let in_time = timeout(LONGEST_STORING, storing).await;
        in_time.unwrap_or_else(|_| Err(Failure::unreachable("the new certificate could not be stored")))
    }

    /// Answers challenges in this process, and through the store in all others.
    async fn publish(&self, lock: &Lock, challenges: Challenges) -> Result<(), StoreError> {
        self.answer(&challenges);
        let written = self.store.write_challenges(lock, &challenges).await;
        self.known().challenges = challenges;
        written
    }

    async fn fail(&self, failure: &Failure, lock: Option<&Lock>) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let now = clock::unix_now();
        let failures = schedule::after_failure(self.known().failures, failure.cause, now, self.jitter);
        self.known().failures = failures;
        if let Some(lock) = lock {
            // In memory the wait holds in any case.
            let _ = self.store.write_failures(lock, failures).await;
        }
        tracing::warn!(
            certificate = %self.settings.label(),
            error = %failure.text,
            failures = failures.count,
            next_attempt_seconds = failures.wait_until.saturating_sub(now),
            "a certificate could not be ordered; the one in use stays"
        );
    }
}

/// What is stored in the form that TLS uses.
pub(super) fn load(stored: &StoredCertificate) -> Result<LoadedCertificate, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(stored.chain.as_bytes()).collect();
    let chain = chain.map_err(|_| "the certificate is not PEM")?;
    let key = PrivateKeyDer::from_pem_slice(stored.key.as_bytes()).map_err(|_| "the private key is not PEM")?;
    LoadedCertificate::issued(chain, key)
}

/// The certificate that answers the challenge TLS-ALPN-01 of a name (RFC 8737, 3).
fn challenge_certificate(name: &str, key_authorization: &str) -> Option<Arc<rustls::sign::CertifiedKey>> {
    let digest = Sha256::digest(key_authorization);
    let mut params = CertificateParams::new(vec![name.to_owned()]).ok()?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let key = KeyPair::generate().ok()?;
    let certificate = params.self_signed(&key).ok()?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).ok()?;
    tls::certified(vec![certificate.der().clone()], key).ok()
}
