//! Other servers that hookgate asks in the background, never on behalf of one request alone.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`acme`] | certificates that are ordered from ACME servers |
//! | [`keyring`] | keys that providers publish |
//! | [`addresses`] | lists of addresses that providers publish |
//! | [`client`] | one request over HTTPS |

pub mod acme;
pub mod addresses;
pub mod client;
pub mod keyring;
