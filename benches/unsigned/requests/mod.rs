//! Unsigned requests that are slow to refuse, for every preset: bodies that are slow to read, and as many well-formed
//! signatures under no key as the preset accepts. They are made from the description of the preset, so that a new preset
//! is covered without a line here.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`bodies`] | bodies that are slow to read |
//! | [`sender`] | a preset with a key, and the head of a request |
//! | [`keys`] | keys of every kind, and signatures that none of them has made |

mod bodies;
mod keys;
mod sender;

use bytes::Bytes;
use hookgate::http::message::Headers;
use hookgate::scheme::{Aged, FetchedKey, HeadRef, Verifier, presets};
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use sender::{Alternative, Sender};
use std::sync::Arc;

/// The time of all requests, in Unix seconds.
pub(crate) const NOW: u64 = 1_700_000_000;

/// One preset with keys of one kind, and its requests.
pub(crate) struct Case {
    /// The preset, and the kind of key where it has two.
    pub(crate) name: String,
    verifier: Verifier,
    key: Option<Arc<FetchedKey>>,
    target: String,
    pub(crate) requests: Vec<Unsigned>,
}

/// One request.
pub(crate) struct Unsigned {
    /// What makes its body slow to read.
    pub(crate) name: &'static str,
    headers: Headers,
    pub(crate) body: Bytes,
}

impl Case {
    fn new(name: String, sender: Sender, body_bytes: usize) -> Self {
        let (target, fields) = sender.head();
        let bodies = bodies::all(&sender, body_bytes);
        let requests = bodies.into_iter().map(|(name, content_type, body)| {
            let mut fields = fields.clone();
            let value = HeaderValue::from_static(content_type);
            fields.push((HeaderName::from_static("content-type"), value));
            Unsigned {
                name,
                headers: fields.into_iter().collect(),
                body,
            }
        });
        Self {
            name,
            requests: requests.collect(),
            verifier: sender.verifier,
            key: sender.key,
            target,
        }
    }

    /// The request before its body arrives, with the key that it names.
    pub(crate) fn aged(&self, request: &Unsigned) -> Aged {
        let head = HeadRef {
            method: &Method::POST,
            target: &self.target,
            headers: &request.headers,
        };
        let mut aged = self.verifier.present(&head).unwrap().age(NOW, Some(300)).unwrap();
        if let Some(key) = &self.key {
            aged.use_key(key.clone());
        }
        aged
    }
}

/// The requests of every preset, with bodies of about this length. A preset under the name of another one
/// (`same_as`) has requests too.
pub(crate) fn all(body_bytes: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for provider in presets::names() {
        let plain = Sender::of(provider, None);
        let alternative = plain.verifier.description().alternative.clone();
        cases.push(Case::new(format!("`{provider}`"), plain, body_bytes));
        if let Some(alternative) = alternative {
            let prefix = alternative.key_prefix.as_slice().first().cloned().unwrap_or_default();
            let name = format!("`{provider}` with `{prefix}`");
            let other = Alternative {
                key_prefix: prefix,
                algorithm: alternative.algorithm,
                prefix: alternative.prefix,
            };
            cases.push(Case::new(name, Sender::of(provider, Some(other)), body_bytes));
        }
    }
    cases
}
