//! Commands, reload, drain, logs, metrics, and the checks of this repository itself.

mod canary;
mod cases;
pub(crate) mod clock;
mod commands;
mod drain;
mod imports;
mod monitoring;
mod outputs;
mod reload;
mod series;
mod supply;
