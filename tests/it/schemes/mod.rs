//! Signatures: published vectors, the providers' own libraries, challenges, report mode and `verify`.

mod challenges;
mod differential;
mod facts;
mod oracles;
mod report;
mod sdks;
mod vectors;
mod verify;
