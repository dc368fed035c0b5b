//! Tests that drive a whole process to a bound. nextest runs each of them alone (`.config/nextest.toml`).

mod descriptors;
mod kills;
mod load;
mod memory;
mod shipped_limits;
mod soak;
mod stalls;
