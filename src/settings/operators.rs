//! How operators see and change the running process: the API's socket.

use serde::Serialize;
use std::path::PathBuf;

/// The API of operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Api {
    /// Path of the Unix socket that serves `/api/v1/`; only the user of the process may connect.
    pub socket: PathBuf,
}
