//! What the process reports about itself: metrics for Prometheus, one audit line for each exchange, logs for people.
//!
//! With it an operator can answer "what was refused, and why" without seeing a body, a secret or a signature: none of
//! these modules receives one. Label sets are closed (`docs/monitoring.md` lists them), every byte that a sender chose
//! is escaped, and no request waits for anything here.
//!
//! # Who owns a metric
//!
//! There is one pattern:
//!
//! 1. [`metrics::Metrics`] owns the registry and every *family*. Nothing else registers a metric. Families stay inside
//!    this folder. Those with a `route` or an `upstream` label are not in the registry: there may be ten thousand routes,
//!    so they are plain numbers whose text is written at a scrape (`docs/decisions/metrics.md`).
//! 2. Code that counts has a *handle*: a struct of resolved children, such as [`metrics::ListenerMetrics`]. Handles are
//!    cheap to clone, and clones count together. A handle with a fixed label set is a public field of `Metrics`; one
//!    for a configured name comes from a method (`Metrics::listener`, `Metrics::route`) when the configuration is
//!    loaded. So a request never looks up a label, which takes a lock and costs twenty times as much as an increment.
//! 3. A number that another part already keeps (connections in the pool, keys in the store, bytes in the budget, health
//!    of endpoints) is not counted twice: it is *sampled*. The server reads it before each scrape and sets it through
//!    `Metrics`.
//!
//! The upstream pool and the replay store are below telemetry and do not import it. The pool keeps its own counters,
//! which are sampled. The store defines the type of its handle ([`crate::replay::ReplayStoreMetrics`]), which is filled
//! here.
//!
//! # Modules
//!
//! Read `metrics` first, then `audit`. Each module imports only from those below it.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`logging`] | logs of the process, on standard error |
//! | [`log_line`] | one line of the log as JSON |
//! | [`audit`] | the audit log: a bounded buffer for each worker and the thread that writes them |
//! | [`recent`] | the latest audit lines in memory, for the API and the console |
//! | [`refusal_lines`] | the rate of audit lines about refused requests |
//! | [`audit_line`] | one audit line, as JSON or for people |
//! | [`asked`] | what a request asked for, as an audit line shows it |
//! | [`ascii`] | text and numbers in plain ASCII |
//! | [`metrics`] | the registry, all families, all handles; the text of a scrape |
//! | [`inbox_metrics`] | the handle of the inbox and of its routes |
//! | [`acme_metrics`] | the metrics of certificates that ACME servers issue |
//! | [`address_metrics`] | the metrics of lists of addresses |
//! | [`key_metrics`] | the metrics of fetched keys |
//! | [`upstream_metrics`] | families with an `upstream` label, sampled |
//! | [`route_metrics`] | the counters of one route |
//! | [`route_families`] | families with a `route` label |
//! | [`histogram`] | counts by bucket |
//! | [`exposition`] | the text format of Prometheus, in pieces |
//! | [`handles`] | handles with a fixed label set, and the handle of one listener |
//! | [`registration`] | how a metric is put into the registry |

mod acme_metrics;
mod address_metrics;
mod ascii;
mod asked;
pub mod audit;
mod audit_line;
mod exposition;
mod handles;
mod histogram;
mod inbox_metrics;
mod key_metrics;
mod log_line;
pub mod logging;
pub mod metrics;
pub mod recent;
mod refusal_lines;
mod registration;
mod route_families;
mod route_metrics;
mod upstream_metrics;

pub use ascii::rfc3339;
pub use route_metrics::RouteMetrics;
pub use upstream_metrics::{UpstreamCounts, UpstreamSample};

#[cfg(test)]
mod tests;
