//! Applications: real frameworks, pools of endpoints, failures and transports.

mod applications;
mod failures;
mod pool;
mod transports;
