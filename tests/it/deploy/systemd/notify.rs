//! The messages to the service manager, read from a real notification socket.

use crate::support::wait::WAIT_TIMEOUT;
use crate::support::{Gateway, Setup, Upstream, Webhook, eventually};
use rustix::process::Signal;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

/// The manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self {
            socket,
            path,
            _directory: directory,
        }
    }

    fn start(&self, setup: Setup) -> Gateway {
        setup.variable("NOTIFY_SOCKET", self.path.to_str().unwrap()).start()
    }

    /// The next message within `timeout`.
    fn next(&self, timeout: Duration) -> Option<String> {
        let mut buffer = [0; 4096];
        self.socket.set_read_timeout(Some(timeout)).unwrap();
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// The next message that is not a watchdog message.
    #[track_caller]
    fn next_message(&self) -> String {
        loop {
            let message = self.next(WAIT_TIMEOUT).expect("a message");
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }
}

fn assignment<'a>(message: &'a str, name: &str) -> &'a str {
    let found = message
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("{name} is not in {message:?}"))
}

/// I18: ready when it serves, reloading with a time that is not before the signal, ready again, stopping.
#[test]
fn start_reload_and_stop_are_notified() {
    let upstream = Upstream::ok();
    let manager = Manager::new();
    let drain = "delay = \"1s\"\ngrace = \"600s\"";
    let mut gateway = manager.start(Setup::new(&upstream.url()).drain(drain));
    let ready = manager.next_message();
    assert_eq!(assignment(&ready, "READY"), "1");
    let plain = gateway.plain().to_string();
    assert!(assignment(&ready, "STATUS").contains(&plain), "{ready} without {plain}");
    assert_eq!(gateway.exchange(&Webhook::new("1").bytes()).status, 200);

    let before = monotonic();
    gateway.signal(Signal::HUP);
    let reloading = manager.next_message();
    assert_eq!(assignment(&reloading, "RELOADING"), "1");
    let at: u64 = assignment(&reloading, "MONOTONIC_USEC").parse().unwrap();
    assert!((before..=monotonic()).contains(&at), "{at} is not after {before}");
    let again = manager.next_message();
    assert_eq!((assignment(&again, "READY"), again.contains("failed")), ("1", false));

    let good = std::fs::read_to_string(gateway.setup.file()).unwrap();
    std::fs::write(gateway.setup.file(), "nonsense").unwrap();
    gateway.signal(Signal::HUP);
    assert_eq!(assignment(&manager.next_message(), "RELOADING"), "1");
    let failed = manager.next_message();
    assert_eq!(
        assignment(&failed, "READY"),
        "1",
        "it is ready with the old configuration"
    );
    assert!(assignment(&failed, "STATUS").contains("failed"), "{failed}");
    std::fs::write(gateway.setup.file(), good).unwrap();

    gateway.signal(Signal::TERM);
    // The file watcher may have noticed the changed file first.
    let stopping = loop {
        let message = manager.next_message();
        if message.contains("STOPPING") {
            break message;
        }
    };
    assert_eq!(assignment(&stopping, "STOPPING"), "1");
    let granted: u64 = assignment(&stopping, "EXTEND_TIMEOUT_USEC").parse().unwrap();
    assert!(granted >= 601_000_000, "{granted} does not cover the drain");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

/// I18: watchdog messages are sent twice per period by a running process, and not by a stopped one.
#[test]
fn watchdog_messages_come_from_a_running_process_only() {
    const PERIOD: Duration = Duration::from_millis(500);
    let upstream = Upstream::ok();
    let manager = Manager::new();
    let setup = Setup::new(&upstream.url()).top("workers = 3");
    let gateway = manager.start(setup.variable("WATCHDOG_USEC", &PERIOD.as_micros().to_string()));
    assert!(manager.next_message().starts_with("READY=1"));
    let alive = || assert_eq!(manager.next(WAIT_TIMEOUT).as_deref(), Some("WATCHDOG=1"));
    (0..4).for_each(|_| alive());

    gateway.signal(Signal::STOP);
    // Messages from before the stop are read first; then none arrives for as long as a manager would wait.
    eventually("silence", || manager.next(PERIOD * 2).is_none().then_some(()));
    gateway.signal(Signal::CONT);
    alive();
    assert_eq!(gateway.exchange(&Webhook::new("1").bytes()).status, 200);
}

/// Microseconds of the clock that systemd compares with.
fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}
