//! hookgate
pub mod admin;
pub mod config;
pub mod outcome;
pub mod scheme;
pub mod secret;
pub mod telemetry;
