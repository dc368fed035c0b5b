//! Commands for developers, in builds with the feature `tools`: the image for containers has none of them, nor the crates
//! that only they need.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`demo`] | demonstrates that hookgate works, with a sample application |
//! | [`send`] | signs a body and delivers it to a URL |
//! | [`sign`] | prints the headers that a provider would send |
//! | [`destination`] | the URL that they send to, with TLS |
//! | [`client_tls`] | which certificates they accept, and why a handshake failed |
//! | [`signing`] | arguments of `sign` and `send`: provider, secrets, route |

mod client_tls;
pub(super) mod demo;
mod destination;
pub(super) mod send;
pub(super) mod sign;
mod signing;
