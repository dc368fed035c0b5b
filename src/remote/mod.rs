//! Other servers that hookgate asks in the background, and the connections to Redis.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`acme`] | certificates that are ordered from ACME servers |
//! | [`keyring`] | keys that providers publish |
//! | [`addresses`] | lists of addresses that providers publish |
//! | [`client`] | one request over HTTPS |
//! | [`redis`] | opens a connection to Redis |

pub mod acme;
pub mod addresses;
pub mod client;
pub mod keyring;
pub mod redis;
