//! The service manager's side: the listening sockets that it hands over, what it is told, and its watchdog.
//!
//! Everything here follows systemd's protocols, which other managers speak as well (`sd_listen_fds(3)`, `sd_notify(3)`,
//! `sd_watchdog_enabled(3)`). Without such a manager nothing is handed over and nobody is told.

pub mod activation;
pub mod notify;

pub use activation::Passed;
pub use notify::Manager;

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

/// What the service manager gave to this process.
#[derive(Debug, Default)]
pub struct Handover {
    /// Whom to tell.
    pub manager: Arc<Manager>,
    /// Listening sockets; they outlive the process, so that a restart refuses nobody.
    pub sockets: Vec<Passed>,
}

impl Handover {
    /// Takes what the environment announces. To be called once, before anything else opens descriptors.
    ///
    /// # Errors
    /// One sentence when what was announced is not there or cannot be used.
    pub fn accept(environment: &[(OsString, OsString)]) -> Result<Self, String> {
        Ok(Self {
            manager: Arc::new(Manager::find(environment)?),
            sockets: activation::accept(environment)?,
        })
    }
}

/// The value of a variable, when it is set to something.
fn variable<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    let found = environment.iter().find(|(key, _)| key == name);
    found
        .map(|(_, value)| value.as_os_str())
        .filter(|value| !value.is_empty())
}

/// Whether a variable such as `LISTEN_PID` means this process: children inherit variables that are not for them.
fn is_us(pid: &OsStr) -> bool {
    pid.to_str().and_then(|text| text.parse().ok()) == Some(std::process::id())
}
