//! What the tests use to drive hookgate: the real binary, recording upstreams, clients that send any bytes, and an
//! independent signer. Nothing here calls the crate under test: expected values are computed independently.

pub(crate) mod apps;
pub(crate) mod balancer;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod dns;
pub(crate) mod frames;
pub(crate) mod gateway;
#[cfg(feature = "tools")]
pub(crate) mod generated;
pub(crate) mod http2;
pub(crate) mod invariants;
pub(crate) mod logs;
pub(crate) mod memory_group;
pub(crate) mod message;
pub(crate) mod metrics;
pub(crate) mod namespace;
pub(crate) mod oracle;
pub(crate) mod paddle;
pub(crate) mod pebble;
pub(crate) mod prometheus;
pub(crate) mod redis;
pub(crate) mod redis_cluster;
pub(crate) mod setup;
pub(crate) mod tools;
pub(crate) mod upstream;
pub(crate) mod wait;

pub(crate) use client::Client;
pub(crate) use gateway::Gateway;
pub(crate) use invariants::{assert_forwards, assert_invariants, assert_nothing_forwarded};
pub(crate) use paddle::Webhook;
pub(crate) use setup::Setup;
pub(crate) use upstream::{AfterAnswer, Upstream};
pub(crate) use wait::{Gate, WAIT_TIMEOUT, eventually};
