//! hookgate: a reverse proxy that lets only genuine webhooks through.
//!
//! It terminates TLS, checks every request's signature and age, refuses what is unsigned, tampered with, stale or
//! replayed, and forwards the rest byte for byte to an application that need not know about any of it.
//!
//! # The life of a request
//!
//! ```text
//! sender ──► listener ──► connection ──► gateway ─────────────────────────────► upstream ──► application
//!            accept        head           match · admit · present · age ·         forward
//!            handshake                    intake · verify · claim                    │
//! sender ◄── connection ◄──────────────── answer ◄── settle · record ◄───────────────┘
//! ```
//!
//! 1. [`listener`] accepts a connection within the bound, [`tls`] shakes hands within its deadline.
//! 2. [`connection`] reads the head within limits ([`http1`]; HTTP/2 is hyper's), and bounds every wait.
//! 3. [`gateway`] ★ takes the request its way, top to bottom in one function: [`route`] finds where it belongs,
//!    [`upstream::headers`] refuses what two servers could read in two ways, [`scheme`] reads the claim from the headers
//!    and judges its age *before a byte of the body is read*, [`intake`] reads the body within a limit and a budget while
//!    the running check absorbs it, [`scheme`] gives the verdict, [`replay`] claims the delivery, [`upstream`] forwards it.
//! 4. [`answer`] takes the application's answer back to the sender; [`exchange`] settles the claim at its end and records
//!    the one [`outcome`] in metrics and audit line. [`refusal`] is the answer when there was nothing to forward.
//!
//! # Terms
//!
//! *Downstream* is the sender's side, *upstream* the protected application: one *server* or several, each with one *endpoint* for
//! every address that it has. An *exchange* is one request and its answer. A
//! *scheme* is a provider's signing convention; what its signature covers is the *signed payload*; a header may carry several
//! *candidate signatures*, and several secrets may be *active* during a rotation. *Tolerance* is the allowed clock difference,
//! both ways. A *claim* is the right to deliver one webhook: *committed* when the application answered 2xx, *released*
//! otherwise, so that the sender's retry is let in. A *deadline* is a point in time, a *timeout* a duration. A *snapshot* is
//! the configuration in force for one exchange; *reload* swaps it; *drain* is the orderly end, bounded by its *grace period*.
//!
//! # Modules, each importing only from those below it
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cli`] | the commands: serve, check, demo, sign, send, … |
//! | [`server`] | composition: workers, reload, drain |
//! | [`admin`] | `/metrics`, `/livez`, `/readyz` on a listener of its own |
//! | [`config`] | file, environment and command line to [`settings`], every fault at once |
//! | [`systemd`] | sockets that the service manager hands over, and what it is told |
//! | [`listener`], [`bind`], [`tls`], [`proxy_protocol`] | sockets, accept loop, what a balancer says first, handshake |
//! | [`connection`], [`transport`] | one HTTP connection over any byte stream |
//! | [`gateway`] ★ | the request's way |
//! | [`answer`], [`refusal`], [`exchange`], [`snapshot`] | what goes back, the account of it, the compiled configuration |
//! | [`telemetry`] | metrics, audit lines, logs |
//! | [`upstream`], [`replay`], [`intake`], [`route`] | forwarding, claims, bounded bodies, the route table |
//! | [`http1`], [`message`] | HTTP/1.1 as bytes: heads and the ends of bodies, pure; messages of any version, their fields as written |
//! | [`settings`], [`handshake`], [`scheme`] ★ | the runtime shape of the configuration; what providers ask first; signatures, pure |
//! | [`outcome`], [`secret`], [`clock`], [`deadline`], [`stopwatch`], [`drain`], [`percent`], `decimal` | the words that all others use |

pub mod admin;
pub mod answer;
pub mod bind;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod deadline;
mod decimal;
pub mod drain;
pub mod exchange;
pub mod gateway;
pub mod handshake;
pub mod http1;
pub mod intake;
pub mod listener;
pub mod message;
pub mod outcome;
pub mod percent;
pub mod process;
pub mod proxy_protocol;
pub mod refusal;
pub mod replay;
pub mod route;
pub mod scheme;
pub mod secret;
pub mod server;
pub mod settings;
pub mod snapshot;
pub mod stopwatch;
pub mod systemd;
pub mod telemetry;
pub mod tls;
pub mod transport;
pub mod upstream;
