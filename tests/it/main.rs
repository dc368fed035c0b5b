//! The integration tests: the real binary over real sockets. One binary, so that it links once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests wait by the clock and sign with it")]

mod support;

/// What `cargo xtask lists` writes.
#[cfg(feature = "tools")]
#[path = "../../xtask/generated/mod.rs"]
mod generated;

mod deploy;
mod heavy;
mod inbox;
mod operations;
mod protocol;
mod replay;
mod reports;
mod schemes;
mod tls;
mod upstreams;
