//! Time and its end: the wall clock, timers, the stopwatch of verification, and the shutdown signal.

pub mod clock;
pub mod shutdown;
pub mod stopwatch;
pub mod timer;
