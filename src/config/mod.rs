//! The configuration in force: file, environment and command line, parsed once into the shape that the gateway runs on.
//!
//! `load` reads through figment into the serde mirror (`file.rs`), then `resolve.rs` turns the mirror into the types of
//! [`crate::settings`], collecting every fault instead of stopping at the first. What comes out is valid: ports are numbers,
//! secrets are keyed. Keys, defaults and units are documented in `docs/configuration.md`.

pub use crate::settings::*;
