//! Reads the configuration: merges file, environment and command line, and makes the valid [`crate::settings`] of them,
//! or reports every fault at once.
//!
//! The steps, in the order in which [`load`] calls them:
//!
//! 1. `document` parses the text of the file.
//! 2. `layers` puts variables and options over the file's values.
//! 3. `service_credential` replaces `credential:NAME` by the path of a file.
//! 4. `decode` reads the merged values into the types of `file`, which have one field for each key.
//! 5. `resolve` fills in the defaults, reads secrets and certificates, and makes the settings.
//!
//! `docs/configuration.md` documents each key with its unit and default; a test compares the two.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`schema`] | the JSON Schema of the file, in builds with the feature `tools` |
//! | [`schema_types`] | the schema of single values |
//! | [`load`] | the steps, and the line of each fault |
//! | [`printed`] | the settings as a file again |
//! | [`resolve`] | from the keys of the file to the settings |
//! | [`service_credential`] | files that the service manager provides |
//! | [`layers`] | file, environment and command line, merged |
//! | [`decode`] | from values to the types of `file`, past every fault |
//! | [`document`] | the text of the file as values with lines |
//! | [`file`] | the keys of the file as types |
//! | [`challenge_reference`] | `challenge` of a route as the file writes it |
//! | [`inbox_keys`] | the keys of the inbox as types |
//! | [`operator_keys`] | the keys of what operators see and do, as types |
//! | [`acme_keys`] | the keys of a listener's `tls` as types |
//! | [`keys_keys`] | the keys of `[keys]` as types |
//! | [`secret_reference`] | where a secret is |
//! | [`value`] | durations, sizes and other single values |
//! | [`credential`] | reads a secret from its source |
//! | [`fault`] | faults and warnings |
//! | [`excerpt`] | the line of the file that has a fault, as far as it may be shown |

mod acme_keys;
mod challenge_reference;
mod credential;
mod decode;
mod document;
mod excerpt;
mod fault;
mod file;
mod inbox_keys;
mod keys_keys;
mod layers;
mod load;
mod operator_keys;
mod printed;
mod resolve;
#[cfg(feature = "tools")]
mod schema;
#[cfg(feature = "tools")]
mod schema_types;
mod secret_reference;
mod service_credential;
mod value;

pub use credential::{SecretError, SecretFiles, read_secret};
pub use fault::{Fault, Faults};
pub use layers::{RESERVED_VARIABLES, Sources, is_key_variable};
pub use load::{Loaded, inspect, load};
#[cfg(feature = "tools")]
pub use schema::schema;

#[cfg(test)]
pub(crate) mod tests;
