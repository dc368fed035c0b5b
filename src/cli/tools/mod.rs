//! Commands for developers, in builds with the feature `tools`: the image for containers has none of them, nor the crates
//! that only they need.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`dev`] | runs the gateway for development, without a file |
//! | [`init`] | writes a configuration file |
//! | [`schema`] | prints the JSON Schema of the configuration file |
//! | [`demo`] | demonstrates that hookgate works, with a sample application |
//! | [`send`] | signs a body and delivers it to a URL |
//! | [`sign`] | prints the headers that a provider would send |
//! | [`destination`] | the URL that they send to, with TLS |
//! | [`client_tls`] | which certificates they accept, and why a handshake failed |
//! | [`sample_route`] | one route as `init` and `dev` write it |
//! | [`signing`] | arguments of `sign` and `send`: provider, secrets or private key, route |
//! | [`key_file`] | the private key that plays a provider, and its public key |
//! | [`files`] | private files: a directory, a certificate, secrets |

mod client_tls;
pub(super) mod demo;
mod destination;
pub(super) mod dev;
mod files;
pub(super) mod init;
mod key_file;
mod sample_route;
pub(super) mod schema;
pub(super) mod send;
pub(super) mod sign;
mod signing;
