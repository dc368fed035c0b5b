//! Time: the wall clock, timers, the stopwatch of verification, and the shutdown signal.
//!
//! No module imports another:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`clock`] | the wall clock, in Unix seconds |
//! | [`timer`] | a timer that is polled often and armed rarely |
//! | [`stopwatch`] | adds up the CPU time of verification |
//! | [`shutdown`] | the shutdown signal |

pub mod clock;
pub mod shutdown;
pub mod stopwatch;
pub mod timer;
