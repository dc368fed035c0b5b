//! Notifications to the service manager: datagrams to the socket of `NOTIFY_SOCKET` (`sd_notify(3)`).
//!
//! A notification that cannot be sent is logged and has no other effect.

use super::{is_own_pid, variable};
use rustix::time::{ClockId, clock_gettime};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Timeout of a write, so that a service manager that does not read cannot block the gateway.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// The notification socket of the service manager. The default has none and sends nothing.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Period of the watchdog.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Reads `NOTIFY_SOCKET`, and the watchdog of `WATCHDOG_USEC` if it is meant for this process.
    ///
    /// # Errors
    /// When a variable is invalid: the service manager would wait for notifications that never arrive.
    pub fn from_environment(environment: &[(OsString, OsString)]) -> Result<Self, String> {
        let Some(name) = variable(environment, "NOTIFY_SOCKET") else {
            return Ok(Self::default());
        };
        let socket = address(name)
            .and_then(|address| {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
                Ok((socket, address))
            })
            .map_err(|error| format!("NOTIFY_SOCKET is `{}`: {error}", name.display()))?;
        Ok(Self {
            socket: Some(socket),
            watchdog: watchdog(environment)?,
        })
    }

    /// The longest time between two calls of [`ping_watchdog`](Self::ping_watchdog); `None` without a watchdog.
    #[must_use]
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Reports that the process serves, after the start or a reload. `status` is one line for `systemctl status`.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// Reports that a reload begins; [`ready`](Self::ready) reports its end. The time stamp distinguishes this reload
    /// from an earlier one (`Type=notify-reload`).
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.send(&format!(
            "RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=Reloading the configuration"
        ));
    }

    /// Reports the drain, and asks the service manager not to kill the process before `limit`.
    pub fn stopping(&self, limit: Duration) {
        let mut message = String::from("STOPPING=1\nSTATUS=Draining: finishing the exchanges in flight");
        let _ = write!(message, "\nEXTEND_TIMEOUT_USEC={}", limit.as_micros());
        self.send(&message);
    }

    /// Tells the watchdog that the process works.
    pub fn ping_watchdog(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, message: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::warn!(%error, "cannot notify the service manager");
        }
    }
}

/// The address of a path, or of a name in the abstract namespace that begins with `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [..] => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it is neither an absolute path nor a name that begins with `@`",
        )),
    }
}

/// The period of the watchdog, if it is meant for this process.
fn watchdog(environment: &[(OsString, OsString)]) -> Result<Option<Duration>, String> {
    let Some(text) = variable(environment, "WATCHDOG_USEC") else {
        return Ok(None);
    };
    if variable(environment, "WATCHDOG_PID").is_some_and(|pid| !is_own_pid(pid)) {
        return Ok(None);
    }
    match text.to_str().and_then(|text| text.parse().ok()) {
        Some(0) | None => Err(format!(
            "WATCHDOG_USEC is `{}`, not a number of microseconds",
            text.display()
        )),
        Some(microseconds) => Ok(Some(Duration::from_micros(microseconds))),
    }
}

/// Replaces line ends, because a line end would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer.get(..length).unwrap().to_vec()).unwrap()
    }

    /// CASES I18.
    #[test]
    fn notifications_reach_a_path_and_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("hookgate-test-{}", std::process::id());
        let abstractly = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, name) in [
            (by_path, path.to_str().unwrap().to_owned()),
            (abstractly, format!("@{name}")),
        ] {
            let manager = ServiceManager::from_environment(&environment(&[("NOTIFY_SOCKET", &name)])).unwrap();
            manager.ready("Serving\nMAINPID=1");
            assert_eq!(received(&socket), "READY=1\nSTATUS=Serving MAINPID=1");
            manager.ping_watchdog();
            assert_eq!(received(&socket), "WATCHDOG=1");
            manager.stopping(Duration::from_millis(1500));
            assert!(received(&socket).ends_with("\nEXTEND_TIMEOUT_USEC=1500000"));
            manager.reloading();
            let message = received(&socket);
            let stamp = message
                .lines()
                .find_map(|line| line.strip_prefix("MONOTONIC_USEC="))
                .unwrap();
            let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
            let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
            // Unlike the monotonic clock, the uptime includes suspension; machines that run tests are not suspended.
            let stamp = stamp.parse::<f64>().unwrap() / 1e6;
            assert!((uptime - stamp).abs() < 120.0, "{stamp} of {uptime}");
        }
    }

    #[test]
    fn a_missing_or_dead_service_manager_is_no_error() {
        let manager = ServiceManager::from_environment(&environment(&[("WATCHDOG_USEC", "1000")])).unwrap();
        assert!(manager.socket.is_none() && manager.watchdog().is_none());
        manager.ready("not sent");
        let dead = ServiceManager::from_environment(&environment(&[("NOTIFY_SOCKET", "/nonexistent/notify")])).unwrap();
        dead.ready("not received");
    }

    #[test]
    fn the_watchdog_applies_to_this_process_and_needs_a_number() {
        let find = |usec: &str, pid: &str| {
            ServiceManager::from_environment(&environment(&[
                ("NOTIFY_SOCKET", "/nonexistent/notify"),
                ("WATCHDOG_USEC", usec),
                ("WATCHDOG_PID", pid),
            ]))
            .map(|manager| manager.watchdog())
        };
        let us = std::process::id().to_string();
        assert_eq!(find("30000000", &us), Ok(Some(Duration::from_secs(30))));
        assert_eq!(find("30000000", ""), Ok(Some(Duration::from_secs(30))));
        assert_eq!(find("30000000", "1"), Ok(None));
        for wrong in ["0", "-1", "soon"] {
            assert!(find(wrong, &us).unwrap_err().contains("WATCHDOG_USEC"));
        }
        assert!(ServiceManager::from_environment(&environment(&[("NOTIFY_SOCKET", "notify")])).is_err());
    }
}
