//! Signatures: published vectors, the providers' own libraries, challenges, report mode and `verify`.

mod challenges;
mod confirmation;
mod differential;
#[cfg(feature = "tools")]
mod facts;
mod fetched;
mod fetching;
mod graph;
mod message_signatures;
mod oracles;
mod report;
#[cfg(feature = "tools")]
mod samples;
mod sdks;
mod tenants;
mod token_oracles;
mod vectors;
mod verify;
