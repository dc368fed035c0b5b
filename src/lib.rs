//! hookgate
pub mod config;
pub mod outcome;
pub mod scheme;
pub mod secret;
