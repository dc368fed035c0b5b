//! One certificate: what is stored is used at once, what is due is ordered, and what another replica has ordered is taken
//! over. All of it in one task of the thread for ACME, so that neither a worker nor a probe waits for the storage.

use super::answers::HttpAnswers;
use super::connection::{Connection, Failure};
use super::order;
use super::schedule::{self, Failures, Lifetime};
use super::store::{Challenges, Stamp, Store, StoredCertificate};
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
}

impl Managed {
    /// Reads what is stored. Nothing is ordered before [`Managed::start`].
    ///
    /// # Errors
    /// One sentence when the store cannot be used.
    pub(super) fn load(settings: &Acme, keys: &Keys, answers: &Arc<HttpAnswers>) -> Result<Self, String> {
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
        shared.read()?;
        if shared.issued.current().is_none() {
            shared.stand_in();
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
    loop {
        let read = shared.read();
        let is_readable = read.is_ok();
        shared.note_fault(read.err());
        // A store that cannot be read may have a certificate, so nothing is ordered.
        if is_readable && shared.is_due() {
            shared.order().await;
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

    /// Takes over what this process or another one has written.
    fn read(&self) -> Result<(), String> {
        let stamp = self.store.stamp();
        if self.known().stamp == Some(stamp) {
            return Ok(());
        }
        if let Some(stored) = self.store.certificate()? {
            self.install(stored)?;
        }
        let (failures, challenges) = (self.store.failures(), self.store.challenges());
        self.answer(&challenges);
        let mut known = self.known();
        known.failures = failures;
        known.challenges = challenges;
        known.stamp = Some(stamp);
        Ok(())
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
    fn stand_in(&self) {
        let count = |certificate: &LoadedCertificate| {
            let names = self.settings.domains.iter();
            names.filter(|name| certificate.covers(name)).count()
        };
        let others = self.store.others().into_iter();
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
        let lock = match self.store.lock() {
            Ok(Some(lock)) => lock,
            Ok(None) => return,
            Err(fault) => return self.fail(&Failure::unreachable(fault)),
        };
        // Another process may have ordered it before this one had the lock.
        self.note_fault(self.read().err());
        if self.known().fault.is_some() || !self.is_due() {
            return;
        }
        let certificate = self.settings.label();
        tracing::info!(%certificate, names = %self.settings.domains.join(" "), "ordering a certificate");
        let ordered = timeout(LONGEST_ORDER, self.attempt()).await;
        let ordered = ordered.unwrap_or_else(|_| Err(Failure::refused("the order was not complete after 5 minutes")));
        let _ = self.publish(Challenges::default());
        match ordered {
            Ok(()) => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
                let expires_unix = self.known().lifetime.map_or(0, |lifetime| lifetime.ends);
                tracing::info!(%certificate, expires_unix, "a certificate was issued");
            }
            Err(failure) => self.fail(&failure),
        }
        drop(lock);
    }

    async fn attempt(&self) -> Result<(), Failure> {
        let (settings, connection, store) = (&self.settings, &self.connection, &self.store);
        let account = order::account(settings, connection, store).await?;
        let mut placed = match order::place(settings, connection, store, &account).await {
            // The server does not know the account any more, and it was removed: with a new one the order is placed again.
            Err(_) if matches!(store.account(), Ok(None)) => {
                let account = order::account(settings, connection, store).await?;
                order::place(settings, connection, store, &account).await?
            }
            placed => placed?,
        };
        let challenges = std::mem::take(&mut placed.challenges);
        if !challenges.0.is_empty() {
            self.publish(challenges).map_err(Failure::unreachable)?;
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
        store.write_certificate(&stored).map_err(Failure::unreachable)?;
        let written = store.write_failures(Failures::default());
        self.known().failures = Failures::default();
        self.install(stored).map_err(Failure::refused)?;
        written.map_err(Failure::unreachable)
    }

    /// Answers challenges in this process, and through the store in all others.
    fn publish(&self, challenges: Challenges) -> Result<(), String> {
        self.answer(&challenges);
        let written = self.store.write_challenges(&challenges);
        self.known().challenges = challenges;
        written
    }

    fn fail(&self, failure: &Failure) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let now = clock::unix_now();
        let failures = schedule::after_failure(self.known().failures, failure.cause, now, self.jitter);
        self.known().failures = failures;
        // In memory the wait holds in any case.
        let _ = self.store.write_failures(failures);
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
