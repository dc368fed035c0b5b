//! The directory in which account, certificate and the state of the orders are kept, and which replicas share.
//!
//! Every file is written beside the old one and renamed, so that a reader sees one of the two. The lock is one of the
//! system (`flock`): it ends with the process that has it. Account and certificate have private keys, so they are sealed
//! by the [`Vault`]; what is answered to challenges, and the state of failed orders, are no secrets.

use super::schedule::Failures;
use crate::secret::vault::{OpenError, Vault};
use crate::settings::Acme;
use instant_acme::AccountCredentials;
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How many certificates for other names are looked at.
const MAX_OTHERS: usize = 64;
const NO_RANDOM: &str = "the system provides no random numbers";

/// A certificate on disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct StoredCertificate {
    /// The chain in PEM, the leaf first.
    pub(super) chain: String,
    /// The private key in PEM.
    pub(super) key: String,
    /// When it was issued, Unix seconds.
    pub(super) issued_unix: u64,
}

/// What is answered to the challenges of one certificate: the key authorization (RFC 8555, 8.1) of each token, with the
/// name that it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Challenges(pub(super) BTreeMap<String, Answer>);

/// The answer to one challenge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Answer {
    pub(super) name: String,
    pub(super) key_authorization: String,
}

/// The files of one certificate.
pub(super) struct Store {
    directory: PathBuf,
    /// The beginning of the names of the files: a hash of the server and of the certificate's names.
    certificate: String,
    /// The same of the account, which all certificates of one server share.
    account: String,
    vault: Vault,
}

/// The exclusive right to order certificates. It ends with the value, and with the process.
pub(super) struct Lock {
    _file: File,
}

/// What a file looks like from outside, to find out whether another process has replaced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<(u64, i64, i64)>; 3]);

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
            directory: settings.storage.clone(),
            certificate: short_hash(&format!("{server}\n{}", names.join("\n"))),
            account: short_hash(&account),
            vault: vault.ok_or("a key of the storage cannot be used")?,
        })
    }

    /// The certificate; `None` if there is none.
    ///
    /// # Errors
    /// One sentence when the file cannot be read or opened.
    pub(super) fn certificate(&self) -> Result<Option<StoredCertificate>, String> {
        self.open(&self.path("certificate"))
    }

    /// The certificates of this storage for other names, or of other servers. Files that cannot be opened are left out.
    pub(super) fn others(&self) -> Vec<StoredCertificate> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let certificates = paths.filter(|path| path.extension().is_some_and(|kind| kind == "certificate"));
        certificates
            .take(MAX_OTHERS)
            .filter_map(|path| self.open(&path).ok().flatten())
            .collect()
    }

    /// # Errors
    /// One sentence when the file cannot be written.
    pub(super) fn write_certificate(&self, certificate: &StoredCertificate) -> Result<(), String> {
        self.seal(&self.path("certificate"), certificate)
    }

    /// The account; `None` if there is none.
    ///
    /// # Errors
    /// One sentence when the file cannot be read or opened.
    pub(super) fn account(&self) -> Result<Option<AccountCredentials>, String> {
        self.open(&self.account_path())
    }

    /// # Errors
    /// One sentence when the file cannot be written.
    pub(super) fn write_account(&self, account: &AccountCredentials) -> Result<(), String> {
        self.seal(&self.account_path(), account)
    }

    /// Forgets the account, which the server does not know any more.
    pub(super) fn remove_account(&self) {
        let _ = fs::remove_file(self.account_path());
    }

    /// The state of the orders; that of a new certificate if there is none that can be read.
    pub(super) fn failures(&self) -> Failures {
        plain(&self.path("state")).unwrap_or_default()
    }

    /// # Errors
    /// One sentence when the file cannot be written.
    pub(super) fn write_failures(&self, failures: Failures) -> Result<(), String> {
        write_plain(&self.path("state"), &failures)
    }

    /// What is answered to challenges, by this process or another one.
    pub(super) fn challenges(&self) -> Challenges {
        plain(&self.path("challenges")).unwrap_or_default()
    }

    /// # Errors
    /// One sentence when the file cannot be written.
    pub(super) fn write_challenges(&self, challenges: &Challenges) -> Result<(), String> {
        write_plain(&self.path("challenges"), challenges)
    }

    /// Takes the lock of the account: one order at a time, and one account for all certificates of a directory. `None`
    /// while another process, or another certificate, has it.
    ///
    /// # Errors
    /// One sentence when the lock file cannot be created.
    pub(super) fn lock(&self) -> Result<Option<Lock>, String> {
        let path = self.directory.join(format!("{}.lock", self.account));
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&path).map_err(|error| cannot("create", &path, &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(cannot("lock", &path, &error.into())),
        }
    }

    /// What certificate, state and challenges look like now.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp(["certificate", "state", "challenges"].map(|kind| {
            let found = fs::metadata(self.path(kind)).ok()?;
            Some((found.ino(), found.mtime(), found.mtime_nsec()))
        }))
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.directory.join(format!("{}.{kind}", self.certificate))
    }

    fn account_path(&self) -> PathBuf {
        self.directory.join(format!("{}.account", self.account))
    }

    fn open<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, String> {
        let Some(sealed) = read(path)? else {
            return Ok(None);
        };
        let name = path.display();
        let opened = self.vault.open(&place(path), sealed).map_err(|error| match error {
            OpenError::KeyMissing => format!(
                "{name} was encrypted with another key: write this key into `keys` again, behind the one that encrypts"
            ),
            OpenError::Changed => format!(
                "{name} was changed, or written with other `keys` (none, or some): restore it, or remove it to have a new one issued"
            ),
        })?;
        let opened = Zeroizing::new(opened);
        let content = serde_json::from_slice(&opened);
        content
            .map(Some)
            .map_err(|_| format!("{name} is damaged: restore it, or remove it to have a new one issued"))
    }

    fn seal<T: Serialize>(&self, path: &Path, content: &T) -> Result<(), String> {
        let content = Zeroizing::new(serde_json::to_vec(content).unwrap_or_default());
        let sealed = self.vault.seal(&place(path), &content);
        replace(path, &sealed.ok_or(NO_RANDOM)?)
    }
}

/// The place of a content for the vault: the name of its file.
fn place(path: &Path) -> Vec<u8> {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().to_vec()
}

/// The content of a file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("read", path, &error)),
    };
    let mut content = Vec::new();
    let read = file.take(MAX_FILE_BYTES).read_to_end(&mut content);
    read.map_err(|error| cannot("read", path, &error))?;
    Ok(Some(content))
}

fn plain<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&read(path).ok()??).ok()
}

fn write_plain<T: Serialize>(path: &Path, content: &T) -> Result<(), String> {
    replace(path, &serde_json::to_vec(content).unwrap_or_default())
}

/// Writes a file beside the old one and renames it. Only the user of the process may read it.
fn replace(path: &Path, content: &[u8]) -> Result<(), String> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| NO_RANDOM)?;
    // Two replicas may have the same process id.
    let beside = path.with_extension(format!("new-{}", hex::encode(random)));
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&beside);
        cannot("write", path, &error)
    })
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}

/// The first 16 hex digits of a SHA-256.
fn short_hash(text: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(text));
    digits.truncate(16);
    digits
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::secret::Secret;
    use crate::settings::{AcmeChallenge, SecretInfo, SecretSource, StorageKey};

    fn store(directory: &Path, keys: &[&str], domains: &[&str]) -> Store {
        let key = |text: &&str| StorageKey {
            info: SecretInfo {
                name: (*text).to_owned(),
                source: SecretSource::Env((*text).to_owned()),
                retired: false,
            },
            secret: Secret::new(text.as_bytes().to_vec()),
        };
        Store::new(&Acme {
            domains: domains.iter().map(ToString::to_string).collect(),
            contact: Vec::new(),
            directory: String::from("https://acme.example/directory"),
            ca: None,
            storage: directory.to_owned(),
            keys: keys.iter().map(key).collect(),
            challenge: AcmeChallenge::TlsAlpn01,
            http: None,
            external_account: None,
        })
        .unwrap()
    }

    fn certificate() -> StoredCertificate {
        StoredCertificate {
            chain: String::from("a chain"),
            key: String::from("CANARY of a private key"),
            issued_unix: 7,
        }
    }

    #[test]
    fn a_sealed_certificate_is_read_with_its_key_only_and_for_its_names_only() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let first = store(at, &["first"], &["a.example", "b.example"]);
        assert_eq!(first.certificate().unwrap(), None);
        first.write_certificate(&certificate()).unwrap();
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let content = fs::read(&path).unwrap();
            assert!(!content.windows(6).any(|part| part == b"CANARY"), "{}", path.display());
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        }
        let rotated = store(at, &["second", "first"], &["b.example", "a.example"]);
        assert_eq!(rotated.certificate().unwrap(), Some(certificate()));
        assert_eq!(store(at, &["first"], &["a.example"]).certificate().unwrap(), None);
        let wrong = store(at, &["second"], &["a.example", "b.example"]).certificate();
        assert!(wrong.unwrap_err().contains("another key"));
        let none = store(at, &[], &["a.example", "b.example"]).certificate();
        assert!(none.unwrap_err().contains("another key"));
        store(at, &[], &["plain.example"])
            .write_certificate(&certificate())
            .unwrap();
        let plain = store(at, &["first"], &["plain.example"]).certificate();
        assert!(plain.unwrap_err().contains("other `keys`"));
    }

    #[test]
    fn a_lock_belongs_to_one_holder() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (
            store(directory.path(), &[], &["a.example"]),
            store(directory.path(), &[], &["a.example"]),
        );
        let held = one.lock().unwrap();
        assert!(held.is_some() && other.lock().unwrap().is_none());
        drop(held);
        assert!(other.lock().unwrap().is_some());
    }

    #[test]
    fn a_change_by_another_process_changes_the_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path(), &[], &["a.example"]);
        let before = store.stamp();
        assert_eq!(before, store.stamp());
        store.write_certificate(&certificate()).unwrap();
        let written = store.stamp();
        assert_ne!(before, written);
        let failed = Failures {
            count: 1,
            wait_until: 2,
        };
        store.write_failures(failed).unwrap();
        assert_ne!(written, store.stamp());
        assert_eq!(store.failures(), failed);
    }
}
