//! What operators see and do: the API under `/api/v1/`.
//!
//! Nothing here is on the request's way. What is shown comes from the audit log, from the metrics and from the snapshot in
//! force. Every action needs the role `operate` and leaves an audit line with the name of the person.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`api`] | the API |
//! | [`operators`] | what the API knows of the running process, and who asks |
//! | [`answer`] | answers: JSON, problems, streams |

pub mod answer;
pub mod api;
mod operators;

pub use operators::{Actor, Operators, Role};
