//! Deployment files checked by the real tools: compose, container images, Kubernetes, systemd.

mod chart;
mod compose;
mod container;
mod kubernetes;
mod kubernetes_console;
mod proxies;
mod schema;
mod sidecar;
mod systemd;
