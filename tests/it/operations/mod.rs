//! Commands, reload, drain, logs, metrics, and checks of this repository itself.

mod admin;
mod api;
mod audit;
mod canary;
#[cfg(feature = "tools")]
mod cases;
pub(crate) mod clock;
mod collectors;
mod commands;
mod console;
mod console_access;
mod console_bounds;
mod documents;
mod drain;
mod first_steps;
#[cfg(feature = "tools")]
mod generated;
mod guards;
mod imports;
mod instructions;
mod monitoring;
mod outputs;
mod reload;
mod series;
mod supply;
mod terminal;
mod training;
mod unsigned_cpu;
mod worker_instructions;
mod workload;
