//! Tests of the public interface, with published test vectors and with independent implementations.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

mod classic;
mod custom;
mod examples;
mod facts;
mod forms;
mod graph;
mod identity;
mod keys;
mod message;
mod paddle;
mod paddle_header;
mod property;
mod providers;
mod signed_values;
mod words;

use super::*;
use crate::http::message::Headers;
use crate::outcome::Rejection;
use crate::secret::Secret;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use std::time::Duration;

/// Keys with the names `0`, `1`, … and these secrets.
pub(super) fn keys(secrets: &[&str]) -> Vec<NamedSecret> {
    let named = secrets.iter().enumerate();
    named
        .map(|(i, text)| NamedSecret {
            name: i.to_string(),
            secret: Secret::new(text.as_bytes().to_vec()),
        })
        .collect()
}

/// A secret in the format that a preset takes.
pub(super) fn example_secret(preset: &str) -> &'static str {
    let row = presets::description(preset).unwrap();
    let key = row.key.clone().unwrap_or_default();
    match key.encoding {
        Some(KeyEncoding::Hex) => "74F490DD33F7327BAECC88B2947C011F",
        Some(KeyEncoding::Base64) if key.prefix.is_none() => "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        _ if row.algorithm == Some(Algorithm::Basic) => "user:MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        _ => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }
}

/// A URL for the presets that sign one.
pub(super) fn example_url(preset: &str) -> Option<String> {
    presets::signs_url(preset).then(|| "https://hooks.example.com".to_owned())
}

/// Verifies a request in all four steps. The body comes in pieces of seven bytes, so that pieces end at all kinds of
/// places.
pub(super) fn verify(
    verifier: &Verifier,
    head: &HeadRef<'_>,
    body: &[u8],
    now_unix: u64,
    tolerance: Option<u64>,
) -> Result<Verified, Rejection> {
    let presented = verifier.present(head)?;
    let mut aged = presented.age(now_unix, tolerance)?;
    let pieces: Vec<Bytes> = body.chunks(7).map(Bytes::copy_from_slice).collect();
    for piece in &pieces {
        aged.update(piece);
    }
    aged.verify(&pieces, now_unix)
}
