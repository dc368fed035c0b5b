//! Where account, certificate and the state of the orders are kept, and what replicas share: a directory or a Redis.
//!
//! Account and certificate have private keys, so they are sealed by the [`Vault`]; what is answered to challenges, and the
//! state of failed orders, are no secrets.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`directory`] | values are files |
//! | [`redis`] | values are keys |
//! | [`values`] | the values and their names |

mod directory;
mod redis;
mod values;

use super::schedule::Failures;
use crate::secret::vault::{OpenError, Vault};
use crate::settings::{Acme, AcmeStorage};
use directory::{Directory, FileStamp};
use instant_acme::AccountCredentials;
use redis::{RedisLock, RedisStorage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::future::pending;
use values::Name;
pub(super) use values::{Answer, Challenges, StoreError, StoredCertificate};
use zeroize::Zeroizing;

/// How many certificates for other names are looked at.
const MAX_OTHERS: usize = 64;
const NO_RANDOM: &str = "the system provides no random numbers";
/// The kind of value that has a certificate.
const CERTIFICATE: &str = "certificate";

/// What is stored for one certificate, beside the account.
#[derive(Debug)]
pub(super) struct Contents {
    /// `None` if there is none.
    pub(super) certificate: Option<StoredCertificate>,
    /// The state of the orders; that of a new certificate if there is none that can be read.
    pub(super) failures: Failures,
    /// What is answered to challenges, by this process or another one.
    pub(super) challenges: Challenges,
    /// What it looks like, to find out whether another process has changed it.
    pub(super) stamp: Stamp,
}

/// What the values of a certificate look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Look);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Files([FileStamp; 3]),
    Values([u8; 32]),
}

/// The store of one certificate.
pub(super) struct Store {
    place: Place,
    account: String,
    certificate: String,
    vault: Vault,
}

enum Place {
    Directory(Directory),
    Redis(Box<RedisStorage>),
}

/// The exclusive right to order certificates and to change what is stored. That of a directory ends with the value, and
/// with the process; that of a Redis by [`Store::unlock`], or by itself.
pub(super) struct Lock(HeldLock);

enum HeldLock {
    File { _file: File },
    Redis(RedisLock),
}

impl Store {
    /// The store of a certificate.
    ///
    /// # Errors
    /// When the library refuses a key, which does not happen.
    pub(super) fn new(settings: &Acme) -> Result<Self, String> {
        let mut names = settings.domains.clone();
        names.sort();
        let server = &settings.directory;
        let account = format!(
            "{server}\n{}",
            settings.external_account.as_ref().map_or("", |account| &account.id)
        );
        let vault = Vault::new("acme", settings.keys.iter().map(|key| &key.secret));
        Ok(Self {
            place: match &settings.storage {
                AcmeStorage::Directory(path) => Place::Directory(Directory(path.clone())),
                AcmeStorage::Redis(servers) => Place::Redis(Box::new(RedisStorage::new((**servers).clone()))),
            },
            certificate: short_hash(&format!("{server}\n{}", names.join("\n"))),
            account: short_hash(&account),
            vault: vault.ok_or("a key of the storage cannot be used")?,
        })
    }

    /// What is stored, unless it still looks like `known`.
    ///
    /// # Errors
    /// When it cannot be read or opened.
    pub(super) async fn read(&self, known: Option<Stamp>) -> Result<Option<Contents>, StoreError> {
        let names = [CERTIFICATE, "state", "challenges"].map(|kind| self.name(kind));
        let (stamp, values) = match &self.place {
            Place::Directory(directory) => {
                let stamp = Stamp(Look::Files(names.each_ref().map(|name| directory.stamp(name))));
                if known == Some(stamp) {
                    return Ok(None);
                }
                let [certificate, state, challenges] = names.each_ref().map(|name| directory.read(name));
                (stamp, [certificate?, state?, challenges?])
            }
            Place::Redis(redis) => {
                let values = redis.read(names.each_ref()).await?;
                let stamp = Stamp(Look::Values(hash_of(&values)));
                if known == Some(stamp) {
                    return Ok(None);
                }
                (stamp, values)
            }
        };
        let [certificate, failures, challenges] = values;
        let [name, ..] = names;
        Ok(Some(Contents {
            certificate: certificate.map(|sealed| self.open(&name, sealed)).transpose()?,
            failures: plain(failures.as_deref()),
            challenges: plain(challenges.as_deref()),
            stamp,
        }))
    }

    /// Whether there is a certificate in the directory; a Redis is not asked.
    ///
    /// # Errors
    /// When account or certificate cannot be read or opened.
    pub(super) fn inspect(&self) -> Result<Option<StoredCertificate>, StoreError> {
        let Place::Directory(directory) = &self.place else {
            return Ok(None);
        };
        let account = self.account_name("account");
        if let Some(sealed) = directory.read(&account)? {
            let _: AccountCredentials = self.open(&account, sealed)?;
        }
        let certificate = self.name(CERTIFICATE);
        let sealed = directory.read(&certificate)?;
        sealed.map(|sealed| self.open(&certificate, sealed)).transpose()
    }

    /// The certificates of this storage for other names, or of other servers. What cannot be opened is left out.
    pub(super) async fn others(&self) -> Vec<StoredCertificate> {
        let found = match &self.place {
            Place::Directory(directory) => directory.certificates(MAX_OTHERS),
            Place::Redis(redis) => redis.certificates(MAX_OTHERS).await.unwrap_or_default(),
        };
        let opened = found.into_iter().filter_map(|(file, sealed)| {
            let opened = Zeroizing::new(self.vault.open(file.as_bytes(), sealed).ok()?);
            serde_json::from_slice(&opened).ok()
        });
        opened.collect()
    }

    /// Whether the store may lose what it has without anybody having removed it.
    pub(super) const fn may_forget(&self) -> bool {
        matches!(self.place, Place::Redis(_))
    }

    /// # Errors
    /// When it cannot be written.
    pub(super) async fn write_certificate(
        &self,
        lock: &Lock,
        certificate: &StoredCertificate,
    ) -> Result<(), StoreError> {
        self.seal(lock, &self.name(CERTIFICATE), certificate).await
    }

    /// The account; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read or opened.
    pub(super) async fn account(&self) -> Result<Option<AccountCredentials>, StoreError> {
        let name = self.account_name("account");
        let sealed = self.sealed(&name).await?;
        sealed.map(|sealed| self.open(&name, sealed)).transpose()
    }

    /// Whether everything with a private key is encrypted with the first of the keys.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn is_sealed_with_first_key(&self) -> Result<bool, StoreError> {
        for name in self.secret_names() {
            let sealed = self.sealed(&name).await?;
            if sealed.is_some_and(|sealed| !self.vault.is_current(&sealed)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Encrypts everything with a private key again, with the first of the keys.
    ///
    /// # Errors
    /// When it cannot be read, opened or written.
    pub(super) async fn seal_with_first_key(&self, lock: &Lock) -> Result<(), StoreError> {
        for name in self.secret_names() {
            if let Some(sealed) = self
                .sealed(&name)
                .await?
                .filter(|sealed| !self.vault.is_current(sealed))
            {
                let content: Zeroizing<Vec<u8>> = Zeroizing::new(self.unsealed(&name, sealed)?);
                self.seal_bytes(lock, &name, &content).await?;
            }
        }
        Ok(())
    }

    fn secret_names(&self) -> [Name; 2] {
        [self.account_name("account"), self.name(CERTIFICATE)]
    }

    async fn sealed(&self, name: &Name) -> Result<Option<Vec<u8>>, StoreError> {
        match &self.place {
            Place::Directory(directory) => directory.read(name),
            Place::Redis(redis) => {
                let [sealed] = redis.read([name]).await?;
                Ok(sealed)
            }
        }
    }

    /// # Errors
    /// When it cannot be written.
    pub(super) async fn write_account(&self, lock: &Lock, account: &AccountCredentials) -> Result<(), StoreError> {
        self.seal(lock, &self.account_name("account"), account).await
    }

    /// Forgets the account, which the server does not know any more.
    pub(super) async fn remove_account(&self, lock: &Lock) {
        let name = self.account_name("account");
        match (&self.place, &lock.0) {
            (Place::Directory(directory), _) => directory.remove(&name),
            (Place::Redis(redis), HeldLock::Redis(lock)) => redis.remove(lock, &name).await,
            (Place::Redis(_), HeldLock::File { .. }) => {}
        }
    }

    /// # Errors
    /// When it cannot be written.
    pub(super) async fn write_failures(&self, lock: &Lock, failures: Failures) -> Result<(), StoreError> {
        let content = serde_json::to_vec(&failures).unwrap_or_default();
        self.write(lock, &self.name("state"), &content).await
    }

    /// # Errors
    /// When it cannot be written.
    pub(super) async fn write_challenges(&self, lock: &Lock, challenges: &Challenges) -> Result<(), StoreError> {
        let content = serde_json::to_vec(challenges).unwrap_or_default();
        self.write(lock, &self.name("challenges"), &content).await
    }

    /// Takes the lock of the account: one order at a time, and one account for all certificates of a storage. `None`
    /// while another process, or another certificate, has it.
    ///
    /// # Errors
    /// When the lock cannot be created.
    pub(super) async fn lock(&self) -> Result<Option<Lock>, StoreError> {
        let name = self.account_name("lock");
        let lock = match &self.place {
            Place::Directory(directory) => directory.lock(&name)?.map(|file| HeldLock::File { _file: file }),
            Place::Redis(redis) => redis.lock(&name).await?.map(HeldLock::Redis),
        };
        Ok(lock.map(Lock))
    }

    /// Keeps the lock. Returns when another process has taken it.
    pub(super) async fn keep(&self, lock: &Lock) -> StoreError {
        match (&self.place, &lock.0) {
            (Place::Redis(redis), HeldLock::Redis(lock)) => redis.keep(lock).await,
            (Place::Redis(_) | Place::Directory(_), _) => pending().await,
        }
    }

    /// Gives the lock back.
    pub(super) async fn unlock(&self, lock: Lock) {
        if let (Place::Redis(redis), HeldLock::Redis(lock)) = (&self.place, &lock.0) {
            redis.unlock(lock).await;
        }
    }

    fn name(&self, kind: &'static str) -> Name {
        Name {
            account: self.account.clone(),
            of: self.certificate.clone(),
            kind,
        }
    }

    fn account_name(&self, kind: &'static str) -> Name {
        Name {
            account: self.account.clone(),
            of: self.account.clone(),
            kind,
        }
    }

    async fn write(&self, lock: &Lock, name: &Name, content: &[u8]) -> Result<(), StoreError> {
        match (&self.place, &lock.0) {
            (Place::Directory(directory), _) => directory.write(name, content),
            (Place::Redis(redis), HeldLock::Redis(lock)) => redis.write(lock, name, content).await,
            // A lock belongs to the store that made it.
            (Place::Redis(_), HeldLock::File { .. }) => Ok(()),
        }
    }

    fn shown(&self, name: &Name) -> String {
        match &self.place {
            Place::Directory(directory) => directory.path(name).display().to_string(),
            Place::Redis(redis) => format!("the key {} in Redis", redis.key(name)),
        }
    }

    fn unsealed(&self, name: &Name, sealed: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let opened = self.vault.open(name.file().as_bytes(), sealed);
        opened.map_err(|error| {
            let shown = self.shown(name);
            StoreError::Unusable(match error {
                OpenError::KeyMissing => format!(
                    "{shown} was encrypted with another key: write this key into `keys` again, behind the one that encrypts"
                ),
                OpenError::Changed => format!(
                    "{shown} was changed, or written with other `keys` (none, or some): restore it, or remove it to have a new one issued"
                ),
            })
        })
    }

    fn open<T: DeserializeOwned>(&self, name: &Name, sealed: Vec<u8>) -> Result<T, StoreError> {
        let opened = Zeroizing::new(self.unsealed(name, sealed)?);
        serde_json::from_slice(&opened).map_err(|_| {
            StoreError::Unusable(format!(
                "{} is damaged: restore it, or remove it to have a new one issued",
                self.shown(name)
            ))
        })
    }

    async fn seal<T: Serialize>(&self, lock: &Lock, name: &Name, content: &T) -> Result<(), StoreError> {
        let content = Zeroizing::new(serde_json::to_vec(content).unwrap_or_default());
        self.seal_bytes(lock, name, &content).await
    }

    async fn seal_bytes(&self, lock: &Lock, name: &Name, content: &[u8]) -> Result<(), StoreError> {
        let sealed = self.vault.seal(name.file().as_bytes(), content);
        let sealed = sealed.ok_or_else(|| StoreError::Unusable(NO_RANDOM.to_owned()))?;
        self.write(lock, name, &sealed).await
    }
}

/// A value that is no secret; the default if it does not exist or is damaged.
fn plain<T: DeserializeOwned + Default>(content: Option<&[u8]>) -> T {
    content
        .and_then(|content| serde_json::from_slice(content).ok())
        .unwrap_or_default()
}

fn hash_of(values: &[Option<Vec<u8>>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for value in values {
        let length = value.as_ref().map_or(u64::MAX, |value| value.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(value.as_deref().unwrap_or_default());
    }
    hash.finalize().into()
}

/// The first 16 hex digits of a SHA-256.
fn short_hash(text: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(text));
    digits.truncate(16);
    digits
}

#[cfg(test)]
mod tests;
