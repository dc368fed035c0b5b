//! Signatures: published vectors, the providers' own libraries, challenges, report mode and `verify`.

mod challenges;
mod differential;
mod judges;
mod oracles;
mod report;
mod vectors;
mod verify;
