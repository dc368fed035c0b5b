//! The scheme as its callers see it, against published bytes and against checks written apart from the code.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

mod classic;
mod custom;
mod paddle;
mod property;
mod providers;

use super::*;

/// Keys named `0`, `1`, … with these texts.
pub(super) fn keys(secrets: &[&str]) -> Vec<NamedSecret> {
    let named = secrets.iter().enumerate();
    named
        .map(|(i, text)| NamedSecret {
            name: i.to_string(),
            secret: Secret::new(text.as_bytes().to_vec()),
        })
        .collect()
}

/// A whole request through all four steps, the body in pieces of seven bytes so that every seam is crossed.
pub(super) fn judge(
    verifier: &Verifier,
    head: &Head<'_>,
    body: &[u8],
    now: u64,
    tolerance: Option<u64>,
) -> Result<Verified, Rejection> {
    let presented = verifier.present(head)?;
    presented.age(now, tolerance)?;
    let mut check = presented.check();
    let pieces: Vec<Bytes> = body.chunks(7).map(Bytes::copy_from_slice).collect();
    for piece in &pieces {
        check.update(piece);
    }
    check.finish(&pieces, now)
}
