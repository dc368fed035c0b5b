//! What is shipped for Prometheus and Grafana, judged by Prometheus itself over a gateway under real traffic.

mod alerts;
mod dashboard;
