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

mod aliasing;
mod answers;
mod applications;
mod bounds;
mod canary;
mod cases_list;
mod client_auth;
mod clock;
mod commands;
mod dedupe;
mod deploy_compose;
mod deploy_container;
mod deploy_kubernetes;
mod differential;
mod drain;
mod failures;
mod framing;
mod handshakes;
mod heavy;
mod http2_fields;
mod http2_stalls;
mod judges;
mod kept_alive;
mod monitoring;
mod oracles;
mod outputs;
mod proxy_protocol;
mod refusals;
mod relay;
mod reload;
mod renewal;
mod replay;
mod report;
mod series;
mod servers;
mod slow;
mod smuggling;
mod store;
mod store_faults;
mod store_replicas;
mod supply;
mod systemd;
mod targets;
mod tls_face;
mod tls_stream;
mod transports;
mod upstreams;
mod vectors;
mod verify;
