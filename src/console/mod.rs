//! What operators see and do: the API under `/api/v1/`, and the web console.
//!
//! Nothing here is on the request's way. What is shown comes from the audit log, from the metrics and from the snapshot in
//! force. Every action needs the role `operate` and leaves an audit line with the name of the person.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`web`] | the pages |
//! | [`history`] | how many requests each route had in the last quarter of an hour |
//! | [`access`] | who may use the console |
//! | [`hosts`] | by which names a listener for operators may be asked |
//! | [`api`] | the API |
//! | [`operators`] | what the API knows of the running process, and who asks |
//! | [`answer`] | answers: JSON, problems, streams |

pub mod access;
pub mod answer;
pub mod api;
mod history;
pub mod hosts;
mod operators;
pub mod web;

use access::Access;
pub use history::{History, INTERVAL as HISTORY_INTERVAL};
pub use operators::{Actor, Operators, Role};
use std::fmt;
use std::sync::Arc;

/// The web console. Cheap to clone.
#[derive(Clone)]
pub struct Console {
    /// What is shown and changed.
    pub operators: Arc<Operators>,
    /// Who may use it.
    pub access: Arc<Access>,
    /// Requests of each route over time.
    pub history: Arc<History>,
    /// The name of this replica: each has a console of its own.
    pub replica: Arc<str>,
    /// The settings of the process as TOML, without routes and without secrets.
    pub process: Arc<str>,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}
