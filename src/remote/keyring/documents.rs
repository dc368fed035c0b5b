//! What was fetched from one source: documents by name, each with its keys and its age.
//!
//! Ages are monotonic: a document of an earlier process has the age that it had when it was read, and grows older from
//! there. A clock that is set back makes no key live longer.

use crate::scheme::FetchedKey;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of documents of one source.
pub(super) const MAX_DOCUMENTS: usize = 16;

/// One document.
#[derive(Clone, Debug)]
pub(super) struct Document {
    keys: Vec<Arc<FetchedKey>>,
    /// Its age at `read`.
    age: Duration,
    read: Instant,
    /// After which age it should be fetched again.
    pub(super) refresh: Duration,
}

impl Document {
    /// A document that had this age at `now`.
    pub(super) fn new(keys: Vec<FetchedKey>, age: Duration, refresh: Duration, now: Instant) -> Self {
        Self {
            keys: keys.into_iter().map(Arc::new).collect(),
            age,
            read: now,
            refresh,
        }
    }

    /// The time since it was fetched.
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.age + now.saturating_duration_since(self.read)
    }

    /// When it should be fetched again.
    pub(super) fn due(&self) -> Instant {
        self.read + self.refresh.saturating_sub(self.age)
    }
}

/// The documents of a source.
#[derive(Clone, Debug, Default)]
pub(super) struct Documents(BTreeMap<String, Arc<Document>>);

impl Documents {
    /// The key with this id, in a document of at most `max_age`, if the key itself may be used at `now_unix` (seconds). A
    /// request without an id gets the only key of a set.
    pub(super) fn find(
        &self,
        document: &str,
        id: &str,
        now: Instant,
        now_unix: u64,
        max_age: Duration,
    ) -> Option<Arc<FetchedKey>> {
        let document = self.0.get(document).filter(|document| document.age(now) <= max_age)?;
        let key = match document.keys.as_slice() {
            [only] if id.is_empty() => Some(only),
            keys => keys
                .iter()
                .find(|key| key.id == id || (!id.is_empty() && key.thumbprint == id)),
        };
        key.filter(|key| key.is_valid(now_unix)).cloned()
    }

    /// Adds or replaces a document. Of more than [`MAX_DOCUMENTS`], the oldest is dropped.
    pub(super) fn insert(&mut self, name: &str, document: Document, now: Instant) {
        self.0.insert(name.to_owned(), Arc::new(document));
        if self.0.len() > MAX_DOCUMENTS {
            let oldest = self.0.iter().max_by_key(|(_, document)| document.age(now));
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.0.remove(&oldest);
            }
        }
    }

    /// Removes a document.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The document that should be fetched next, and when.
    pub(super) fn next_due(&self) -> Option<(&str, Instant)> {
        let due = self.0.iter().map(|(name, document)| (name.as_str(), document.due()));
        due.min_by_key(|(_, at)| *at)
    }

    /// Postpones the next fetch of a document that could not be fetched.
    pub(super) fn postpone(&mut self, name: &str, wait: Duration, now: Instant) {
        if let Some(document) = self.0.get(name) {
            let mut later = Document::clone(document);
            later.refresh = later.age(now) + wait;
            self.0.insert(name.to_owned(), Arc::new(later));
        }
    }

    /// The age of the oldest document; `None` without one.
    pub(super) fn oldest(&self, now: Instant) -> Option<Duration> {
        self.0.values().map(|document| document.age(now)).max()
    }

    /// The number of keys that may be used at `now_unix` (seconds).
    pub(super) fn usable(&self, now: Instant, now_unix: u64, max_age: Duration) -> usize {
        let fresh = self.0.values().filter(|document| document.age(now) <= max_age);
        fresh
            .map(|document| document.keys.iter().filter(|key| key.is_valid(now_unix)).count())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn keys(ids: &[&str]) -> Vec<FetchedKey> {
        let point = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let jwk = |id: &&str| serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": point, "kid": id });
        let keys: Vec<_> = ids.iter().map(jwk).collect();
        FetchedKey::of_set(serde_json::json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    /// A provider that cannot be asked for a day is no outage, and one that cannot be asked for ever is.
    #[tokio::test(start_paused = true)]
    async fn keys_outlive_an_outage_of_a_day_and_not_of_a_week() {
        let mut documents = Documents::default();
        let start = Instant::now();
        documents.insert("", Document::new(keys(&["a"]), Duration::ZERO, HOUR, start), start);
        for hour in [0, 1, 24, 71] {
            tokio::time::advance(start + HOUR * hour - Instant::now()).await;
            documents.postpone("", Duration::from_secs(60), Instant::now());
            assert!(
                documents.find("", "a", Instant::now(), 0, HOUR * 72).is_some(),
                "{hour}"
            );
        }
        tokio::time::advance(HOUR * 2).await;
        assert!(documents.find("", "a", Instant::now(), 0, HOUR * 72).is_none());
        assert_eq!(documents.usable(Instant::now(), 0, HOUR * 72), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_is_due_by_its_age_and_later_after_a_failure() {
        let mut documents = Documents::default();
        let now = Instant::now();
        documents.insert("", Document::new(keys(&["a"]), HOUR / 2, HOUR, now), now);
        assert_eq!(documents.next_due(), Some(("", now + HOUR / 2)));
        documents.postpone("", HOUR * 3, now);
        assert_eq!(documents.next_due(), Some(("", now + HOUR * 3)));
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_documents_the_oldest_is_dropped() {
        let mut documents = Documents::default();
        let now = Instant::now();
        for number in 0..100u32 {
            let id = number.to_string();
            let age = HOUR * (100 - number);
            documents.insert(&id, Document::new(keys(&[&id]), age, HOUR, now), now);
        }
        let found = |id: &str| documents.find(id, id, now, 0, HOUR * 200).is_some();
        assert!(found("99") && found("84") && !found("83") && !found("0"));
    }

    #[test]
    fn a_request_without_an_id_gets_the_only_key_and_never_one_of_several() {
        let now = Instant::now();
        let mut documents = Documents::default();
        documents.insert("", Document::new(keys(&["a"]), Duration::ZERO, HOUR, now), now);
        assert!(documents.find("", "", now, 0, HOUR).is_some());
        documents.insert("", Document::new(keys(&["a", "b"]), Duration::ZERO, HOUR, now), now);
        assert!(documents.find("", "", now, 0, HOUR).is_none());
        assert!(documents.find("", "c", now, 0, HOUR).is_none());
    }
}
