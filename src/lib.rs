//! hookgate
pub mod config;
pub mod deadline;
pub mod intake;
pub mod outcome;
pub mod replay;
pub mod route;
pub mod scheme;
pub mod secret;
pub mod settings;
pub mod upstream;
