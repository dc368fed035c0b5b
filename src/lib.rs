//! hookgate: a reverse proxy that forwards only genuine webhooks.
//!
//! It terminates TLS, verifies the signature and the age of every request, refuses what is unsigned, tampered with, stale
//! or replayed, and forwards the rest byte for byte to an application that nobody has to change.
//!
//! # The life of a request
//!
//! ```text
//! sender ──► listener ──► connection ──► gateway ─────────────────────────────► upstream ──► application
//!            accept        head           match · admit · present · age ·         forward
//!            TLS                          body · verify · claim                      │
//! sender ◄── connection ◄──────────────── answer ◄── settle · record ◄───────────────┘
//! ```
//!
//! 1. [`listener`] accepts a connection within the connection limit; [`tls`] completes the TLS handshake before its deadline.
//! 2. [`listener::connection`] reads the request's head within its limits ([`http::http1`]; hyper reads HTTP/2) and puts a
//!    timeout on every wait.
//! 3. [`gateway`] ★ is the request's way, one function read from top to bottom. [`gateway::route_table`] finds the route.
//!    [`http::rules`] refuses header fields that two servers could read in two ways. [`scheme`] reads the signature from the
//!    head and checks its age *before a byte of the body is held in memory*. [`http::body`] reads the body within its limit
//!    and hashes it as it arrives. [`scheme`] verifies the signature, [`replay`] claims the delivery, and [`upstream`]
//!    forwards the request.
//! 4. [`gateway::answer`] streams the application's answer back to the sender. [`gateway::exchange`] commits or releases the
//!    claim at its end and records one [`outcome`] in the metrics and in the audit log. [`gateway::refusal`] is the answer
//!    when nothing was forwarded.
//!
//! # Terms
//!
//! *Downstream* is the sender's side; *upstream* is the protected application: one *server* or several, each with one
//! *endpoint* for each of its addresses. An *exchange* is one request and its answer. A *scheme* is the way a provider signs; a
//! *preset* is one provider's row in the table of schemes. The *signed payload* is what the signature covers. One header may
//! carry several *candidate signatures*, and several secrets may be *active* during a rotation. A *challenge* is a request
//! that a provider sends to check an endpoint before it sends webhooks. *Tolerance* is the largest accepted difference
//! between the signed time and our clock, in both directions. A *claim* is the right to deliver one webhook: it is
//! *committed* when the application answered 2xx and *released* otherwise, so that the sender's retry is accepted. A
//! *deadline* is a point in time, a *timeout* a duration. A *snapshot* is the configuration in force for one exchange; a
//! *reload* replaces it. *Drain* is the orderly end of the process, limited by its *grace period*.
//!
//! # Modules
//!
//! Each module imports only from modules below it in this list; `tests/it/operations/imports.rs` checks it.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cli`] | the commands, one file each |
//! | [`server`] | the process: build, run, reload, drain; workers; probes and metrics; systemd |
//! | [`console`] | what operators see and do: the API |
//! | [`config`] | file, environment and command line, parsed into [`settings`]; reports every fault at once |
//! | [`listener`] | sockets, accept loop, PROXY protocol, the connections of both HTTP versions |
//! | [`gateway`] ★ | the request's way; route table, exchange, refusals, snapshot |
//! | [`inbox`] | durable deliveries: model, SQLite, delivery of what is stored |
//! | [`telemetry`] | metrics, audit lines, logs |
//! | [`upstream`] | connection pool, load balancing, health, forwarding |
//! | [`replay`] | claims, in memory or in Redis |
//! | [`remote`] | other servers: keys, addresses and certificates that are asked for in the background; Redis |
//! | [`tls`] | certificates, their choice by server name, the TLS stream |
//! | [`settings`] | the runtime shape of the configuration, and its defaults |
//! | [`scheme`] ★ | signatures: pure and synchronous; the table of providers |
//! | [`http`] | messages, HTTP/1.1 framing, header rules of both directions, bodies; does not know the gateway |
//! | [`outcome`] | every reason for a refusal, with its status and its metric label |
//! | [`secret`] | secret bytes: zeroized in memory, redacted in print; directories of them |
//! | [`time`] | the clock, timers, the shutdown signal |

pub mod cli;
pub mod config;
pub mod console;
pub mod gateway;
pub mod http;
pub mod inbox;
pub mod listener;
pub mod outcome;
pub mod remote;
pub mod replay;
pub mod scheme;
pub mod secret;
pub mod server;
pub mod settings;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod upstream;
