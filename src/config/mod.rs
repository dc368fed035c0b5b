//! The configuration in force: file, environment and command line, parsed once into the shape that the gateway runs on.
//!
//! It reads top to bottom: `layer.rs` puts variables and options over the `document.rs` of the file (figment merges),
//! `decode.rs` reads the merged tree into the serde mirror of `file.rs` past every fault, `resolve` turns the mirror into
//! the types of [`crate::settings`]. What comes out is valid: ports are numbers, secrets are keyed, certificates load and
//! fit their keys. What does not come out is explained by [`Faults`], all at once. Keys, defaults and units are documented
//! in `docs/configuration.md`, and a test compares the two.

mod credential;
mod decode;
mod describe;
mod document;
mod fault;
mod file;
mod layer;
mod load;
mod reload;
mod resolve;
mod service_credential;
mod value;

pub use crate::settings::*;
pub use credential::{SecretError, SecretFiles, read_secret};
pub use fault::{Fault, Faults};
pub use layer::{RESERVED_VARIABLES, Sources};
pub use load::{Loaded, inspect, load};

#[cfg(test)]
mod tests;
