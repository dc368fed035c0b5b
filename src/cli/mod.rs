//! The commands.

pub mod check;
pub mod serve;
mod watch;
