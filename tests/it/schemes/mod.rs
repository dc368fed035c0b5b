//! Signatures: published vectors, the providers' own libraries, challenges, report mode and `verify`.

mod challenges;
mod differential;
#[cfg(feature = "tools")]
mod facts;
mod fetched;
mod oracles;
mod report;
mod sdks;
mod tenants;
mod token_oracles;
mod vectors;
mod verify;
