//! What the service manager is told: datagrams to the socket that it names (`sd_notify(3)`).
//!
//! A message that cannot be delivered is logged and nothing else: serving does not depend on being believed.

use super::{is_us, variable};
use rustix::time::{ClockId, clock_gettime};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A manager that does not read must not hold up the gateway.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whom to tell; by default nobody.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The manager that `NOTIFY_SOCKET` names, with the watchdog of `WATCHDOG_USEC` if it is for this process.
    ///
    /// # Errors
    /// When a variable does not say what it should: the manager would wait in vain.
    pub fn find(environment: &[(OsString, OsString)]) -> Result<Self, String> {
        let Some(name) = variable(environment, "NOTIFY_SOCKET") else {
            return Ok(Self::default());
        };
        let socket = address(name)
            .and_then(|address| {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Ok((socket, address))
            })
            .map_err(|error| format!("NOTIFY_SOCKET is `{}`: {error}", name.display()))?;
        Ok(Self {
            socket: Some(socket),
            watchdog: watchdog(environment)?,
        })
    }

    /// How often the manager wants to hear [`alive`](Self::alive) at least; `None` without a watchdog.
    #[must_use]
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Serving, after the start or a reload. `status` is for `systemctl status`, one line.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The configuration is being read again; [`ready`](Self::ready) says when that is over. The time lets the manager tell
    /// this reload from an earlier one (`Type=notify-reload`).
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=Reloading the configuration"
        ));
    }

    /// Draining, for `limit` at most: the manager must not kill before.
    pub fn stopping(&self, limit: Duration) {
        let mut message = String::from("STOPPING=1\nSTATUS=Draining: what is in flight is finished");
        let _ = write!(message, "\nEXTEND_TIMEOUT_USEC={}", limit.as_micros());
        self.tell(&message);
    }

    /// The watchdog's sign of life.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, message: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }
}

/// A path, or a name in the abstract namespace after `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [..] => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "neither a path nor a name after `@`",
        )),
    }
}

fn watchdog(environment: &[(OsString, OsString)]) -> Result<Option<Duration>, String> {
    let Some(text) = variable(environment, "WATCHDOG_USEC") else {
        return Ok(None);
    };
    if variable(environment, "WATCHDOG_PID").is_some_and(|pid| !is_us(pid)) {
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

/// A line end would begin another assignment.
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
    fn a_path_and_an_abstract_name_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("hookgate-test-{}", std::process::id());
        let abstractly = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, name) in [
            (by_path, path.to_str().unwrap().to_owned()),
            (abstractly, format!("@{name}")),
        ] {
            let manager = Manager::find(&environment(&[("NOTIFY_SOCKET", &name)])).unwrap();
            manager.ready("Serving\nMAINPID=1");
            assert_eq!(received(&socket), "READY=1\nSTATUS=Serving MAINPID=1");
            manager.alive();
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
            // The time since boot counts sleep as well; machines that run tests do not sleep.
            let stamp = stamp.parse::<f64>().unwrap() / 1e6;
            assert!((uptime - stamp).abs() < 120.0, "{stamp} of {uptime}");
        }
    }

    #[test]
    fn nobody_is_told_without_a_manager_and_a_dead_one_is_no_fault() {
        let manager = Manager::find(&environment(&[("WATCHDOG_USEC", "1000")])).unwrap();
        assert!(manager.socket.is_none() && manager.watchdog().is_none());
        manager.ready("nobody hears it");
        let dead = Manager::find(&environment(&[("NOTIFY_SOCKET", "/nonexistent/notify")])).unwrap();
        dead.ready("nobody hears it");
    }

    #[test]
    fn a_watchdog_must_be_ours_and_a_number() {
        let find = |usec: &str, pid: &str| {
            Manager::find(&environment(&[
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
        assert!(Manager::find(&environment(&[("NOTIFY_SOCKET", "notify")])).is_err());
    }
}
