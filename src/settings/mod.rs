//! The configuration as the process uses it: valid data that every other module may read.
//!
//! [`crate::config`] makes it from the file, the environment and the command line. Nothing in this folder parses text,
//! and no field is absent only because the file does not set it: the defaults are filled in.
//!
//! [`Config`] serializes to the tables and keys of the file: every default is filled in and every secret is
//! `[redacted]`. `hookgate check` prints this form, and [`Config::restart_needed`] compares it.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`restart`] | which changes of a reload need a restart |
//! | [`defaults`] | the value of each key that the file does not set |
//! | [`process`] | the whole configuration: workers, limits, drain, logs |
//! | [`route`] | webhook endpoints |
//! | [`operators`] | how operators see and change the running process |
//! | [`keys`] | how keys are fetched |
//! | [`delivery`] | what a route does with a webhook that the application does not take |
//! | [`signature`] | the signature that the application gets |
//! | [`replay`] | the replay guard's store |
//! | [`upstream`] | the application's servers |
//! | [`listener`] | listening sockets and their TLS |
//! | [`acme`] | a certificate that is ordered from an ACME server |
//! | [`redis`] | the servers of a Redis that replicas share |
//! | [`inbox`] | the inbox of the process |
//! | [`published_list`] | a list of source addresses that a provider publishes |
//! | [`tenants`] | one secret for each tenant of a route |
//! | [`secret_info`] | names and sources of secrets |
//! | [`rate`] | a number of requests in a time |
//! | [`serialize`] | durations, sizes and paths as the file writes them |

mod acme;
pub mod defaults;
mod delivery;
mod inbox;
mod keys;
mod listener;
mod operators;
mod process;
mod published_list;
mod rate;
mod redis;
mod replay;
mod restart;
mod route;
mod secret_info;
mod serialize;
mod signature;
mod tenants;
mod upstream;

pub use acme::{Acme, AcmeChallenge, AcmeStorage, ExternalAccount};
pub use delivery::{Delivery, DeliveryMode, Order, Retry};
pub use inbox::{DeadLetters, Inbox, Probe, StorageKey};
pub use keys::{Keys, Proxy};
pub use listener::{
    Address, CertificateFiles, CertificateSource, ClientAuth, Listener, ListenerTls, TlsVersion, UNIX_PEERS,
};
pub use operators::{Api, Capture, Captures, Console, ConsoleRole, ConsoleToken, Variables};
pub use process::{Admin, Audit, Config, Drain, Log, LogFormat, ProcessLimits, ReadyWhen};
pub use published_list::PublishedList;
pub use rate::Rate;
pub use redis::{RedisServers, StoreServer};
pub use replay::{Redis, Replay};
pub use route::{Dedupe, ReplayPolicy, Route, RouteMode};
pub use secret_info::{SecretInfo, SecretSource};
pub(crate) use serialize::{duration_text, size_text};
pub use signature::{ApplicationSignature, GatewayKeys};
pub use tenants::Tenants;
pub use upstream::{Ejection, HealthCheck, ServerSettings, Upstream, UpstreamTarget};
