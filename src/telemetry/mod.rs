//! What the process says about itself: metrics for Prometheus, one audit line per exchange, logs for people.
//!
//! It exists so that an operator can answer "what was refused, and why" without ever seeing a body, a secret or a
//! signature: none of the three modules is handed one. Label sets are closed (`docs/monitoring.md` lists them), every
//! byte that a sender chose is escaped, and nothing here makes a request wait.

pub mod audit;
mod audit_line;
mod limits;
pub mod logging;
pub mod metrics;
mod registration;
mod route_families;
mod route_metrics;
mod upstream_metrics;

pub use route_metrics::RouteMetrics;
pub use upstream_metrics::{UpstreamCounts, UpstreamSample};
