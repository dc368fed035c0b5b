//! hookgate under a service manager: the real protocols, systemd's own tools with the shipped units, the Debian
//! package, and a real systemd that runs it.

mod activation;
mod boot;
mod notify;
mod package;
mod units;
