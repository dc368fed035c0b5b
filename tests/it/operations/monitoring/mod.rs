//! The files for Prometheus and Grafana, checked by Prometheus itself with a gateway under real traffic.

mod alerts;
mod dashboard;
