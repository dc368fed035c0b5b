//! All of systemd: socket activation (`sd_listen_fds(3)`), notifications (`sd_notify(3)`) and the watchdog
//! (`sd_watchdog_enabled(3)`). `server::heartbeat` decides when the watchdog is pinged.
//!
//! Some other service managers use the same protocols. Without a service manager there are no passed sockets, and no
//! notification is sent.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`activation`] | takes the listening sockets that the service manager opened |
//! | [`notify`] | sends the state of the process to the service manager |

pub mod activation;
pub mod notify;

pub use activation::PassedSocket;
pub use notify::ServiceManager;

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

/// What the service manager passed to this process.
#[derive(Debug, Default)]
pub struct Handover {
    /// Receives notifications.
    pub manager: Arc<ServiceManager>,
    /// Listening sockets. They stay open when the process ends, so that no connection is refused during a restart.
    pub sockets: Vec<PassedSocket>,
}

impl Handover {
    /// Reads the variables of the service manager and takes its sockets. Must be called once, before the process opens
    /// other descriptors.
    ///
    /// # Errors
    /// One sentence when a variable is invalid or a socket is missing or cannot be used.
    pub fn from_environment(environment: &[(OsString, OsString)]) -> Result<Self, String> {
        Ok(Self {
            manager: Arc::new(ServiceManager::from_environment(environment)?),
            sockets: activation::take_sockets(environment)?,
        })
    }
}

/// The value of a variable; `None` if it is not set or empty.
fn variable<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    let found = environment.iter().find(|(key, _)| key == name);
    found
        .map(|(_, value)| value.as_os_str())
        .filter(|value| !value.is_empty())
}

/// Whether a variable such as `LISTEN_PID` contains the id of this process. Child processes inherit the variables of
/// their parent, but the variables are not meant for them.
fn is_own_pid(pid: &OsStr) -> bool {
    pid.to_str().and_then(|text| text.parse().ok()) == Some(std::process::id())
}
