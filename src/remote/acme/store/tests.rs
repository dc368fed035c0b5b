//! The store in a directory. That in Redis is tested with a real one, in `tests/it/tls/acme_redis.rs`.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::secret::Secret;
use crate::settings::{AcmeChallenge, SecretInfo, SecretSource, StorageKey};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

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
        storage: AcmeStorage::Directory(directory.to_owned()),
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

async fn write(store: &Store) {
    let lock = store.lock().await.unwrap().unwrap();
    store.write_certificate(&lock, &certificate()).await.unwrap();
    store.unlock(lock).await;
}

async fn read(store: &Store) -> Result<Option<StoredCertificate>, String> {
    let contents = store.read(None).await.map_err(StoreError::into_text)?;
    Ok(contents.unwrap().certificate)
}

#[tokio::test]
async fn a_sealed_certificate_is_read_with_its_key_only_and_for_its_names_only() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let first = store(at, &["first"], &["a.example", "b.example"]);
    assert_eq!(read(&first).await.unwrap(), None);
    write(&first).await;
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let content = fs::read(&path).unwrap();
        assert!(!content.windows(6).any(|part| part == b"CANARY"), "{}", path.display());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }
    let rotated = store(at, &["second", "first"], &["b.example", "a.example"]);
    assert_eq!(read(&rotated).await.unwrap(), Some(certificate()));
    assert_eq!(read(&store(at, &["first"], &["a.example"])).await.unwrap(), None);
    let wrong = read(&store(at, &["second"], &["a.example", "b.example"])).await;
    assert!(wrong.unwrap_err().contains("another key"));
    let none = read(&store(at, &[], &["a.example", "b.example"])).await;
    assert!(none.unwrap_err().contains("another key"));
    write(&store(at, &[], &["plain.example"])).await;
    let plain = read(&store(at, &["first"], &["plain.example"])).await;
    assert!(plain.unwrap_err().contains("other `keys`"));
    assert_eq!(rotated.others().await.len(), 1, "what another key encrypts is left out");
}

#[tokio::test]
async fn a_lock_belongs_to_one_holder() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (
        store(directory.path(), &[], &["a.example"]),
        store(directory.path(), &[], &["a.example"]),
    );
    let held = one.lock().await.unwrap();
    assert!(held.is_some() && other.lock().await.unwrap().is_none());
    one.unlock(held.unwrap()).await;
    assert!(other.lock().await.unwrap().is_some());
}

#[tokio::test]
async fn a_change_by_another_process_changes_the_stamp() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path(), &[], &["a.example"]);
    let before = store.read(None).await.unwrap().unwrap().stamp;
    assert!(store.read(Some(before)).await.unwrap().is_none());
    write(&store).await;
    let written = store.read(Some(before)).await.unwrap().unwrap().stamp;
    let failed = Failures {
        count: 1,
        wait_until: 2,
    };
    let lock = store.lock().await.unwrap().unwrap();
    store.write_failures(&lock, failed).await.unwrap();
    let contents = store.read(Some(written)).await.unwrap().unwrap();
    assert_eq!(contents.failures, failed);
    assert_eq!(contents.certificate, Some(certificate()));
}
