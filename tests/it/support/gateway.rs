//! The real binary as a process of its own: started on ports that the system chooses, queried over its admin listener,
//! killed on drop.

use super::client::{Client, Response};
use super::logs::Logs;
use super::metrics::Metrics;
use super::setup::Setup;
use super::wait::{WAIT_TIMEOUT, eventually};
use rustix::process::{Pid, Signal};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running gateway.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) logs: Logs,
    pub(crate) setup: Setup,
    addresses: BTreeMap<String, SocketAddr>,
}

/// Path of the binary under test: the one that cargo built, or another build that `HOOKGATE_UNDER_TEST` names.
pub(crate) fn binary_path() -> OsString {
    std::env::var_os("HOOKGATE_UNDER_TEST").unwrap_or_else(|| env!("CARGO_BIN_EXE_hookgate").into())
}

/// The binary under test.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(binary_path());
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Gateway {
    /// Starts `serve` with the setup's file and waits for `/readyz`.
    pub(super) fn start(setup: Setup) -> Self {
        let limit = setup.descriptors.map(|limit| format!("ulimit -n {limit}; exec \"$@\""));
        let launcher: Vec<&str> = match &limit {
            Some(script) => vec!["/bin/sh", "-c", script, "sh"],
            None => Vec::new(),
        };
        let mut gateway = Self::spawn(setup, &launcher, None);
        for name in ["plain", "tls"] {
            let address = gateway.logs.lines().iter().find_map(|line| listening(line, name));
            gateway.addresses.insert(name.to_owned(), address.unwrap());
        }
        gateway
    }

    /// The same through the command `launcher`, with `stdin` as its standard input. A listener that is not on TCP has
    /// no address here.
    pub(crate) fn start_through(setup: Setup, launcher: &[&str], stdin: Option<OwnedFd>) -> Self {
        setup.write();
        let mut gateway = Self::spawn(setup, launcher, stdin);
        for name in ["plain", "tls"] {
            let address = gateway.logs.lines().iter().find_map(|line| listening(line, name));
            gateway
                .addresses
                .extend(address.map(|address| (name.to_owned(), address)));
        }
        gateway
    }

    /// `serve` with the setup's file and environment, through `launcher`.
    pub(crate) fn command(setup: &Setup, launcher: &[&str], stdin: Option<OwnedFd>) -> Command {
        let mut command = binary();
        if let Some((program, arguments)) = launcher.split_first() {
            command = Command::new(program);
            command.args(arguments).arg(binary_path());
            command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        command.stdin(stdin.map_or_else(Stdio::null, Stdio::from));
        command.arg("serve").arg("--config").arg(setup.file());
        command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn spawn(setup: Setup, launcher: &[&str], stdin: Option<OwnedFd>) -> Self {
        let mut child = Self::command(&setup, launcher, stdin).spawn().unwrap();
        let logs = Logs::default();
        logs.follow(child.stdout.take().unwrap());
        logs.follow(child.stderr.take().unwrap());
        let mut gateway = Self {
            child,
            logs,
            setup,
            addresses: BTreeMap::new(),
        };
        // The admin listener is the last one that is logged.
        let admin = eventually("the address of the admin listener", || {
            if let Some(status) = gateway.child.try_wait().unwrap() {
                panic!("hookgate ended with {status}:\n{}", gateway.logs.text());
            }
            gateway.logs.lines().iter().find_map(|line| listening(line, "admin"))
        });
        gateway.addresses.insert("admin".into(), admin);
        let status = gateway.setup.readiness;
        eventually("readiness", || (gateway.readiness() == Some(status)).then_some(()));
        gateway
    }

    /// The plaintext listener's address.
    pub(crate) fn plain(&self) -> SocketAddr {
        self.addresses["plain"]
    }

    /// The TLS listener's address.
    pub(crate) fn tls(&self) -> SocketAddr {
        self.addresses["tls"]
    }

    /// The admin listener's address.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.addresses["admin"]
    }

    /// The address of any other listener, by name.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        eventually(&format!("the address of listener {name}"), || {
            self.logs.lines().iter().find_map(|line| listening(line, name))
        })
    }

    /// A connection to the plaintext listener.
    pub(crate) fn connect(&self) -> Client {
        Client::tcp(self.plain())
    }

    /// A connection to the TLS listener.
    pub(crate) fn connect_tls(&self) -> Client {
        Client::tls(self.tls(), "localhost", &self.setup.certificate.der)
    }

    /// One request on a connection of its own.
    pub(crate) fn exchange(&self, request: &[u8]) -> Response {
        self.connect().exchange(request)
    }

    /// Sends `GET path` to the admin listener.
    pub(crate) fn ask(&self, path: &str) -> Response {
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        Client::tcp(self.admin()).exchange(request.as_bytes())
    }

    /// The status of `/readyz`; `None` when the admin listener does not answer.
    pub(crate) fn readiness(&self) -> Option<u16> {
        std::net::TcpStream::connect(self.admin()).ok()?;
        Some(self.ask("/readyz").status)
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let response = self.ask("/metrics");
        assert_eq!(response.status, 200, "{response:?}");
        Metrics::parse(std::str::from_utf8(&response.body).unwrap())
    }

    /// Waits until the sum of a metric over `labels` is `value`.
    pub(crate) fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let mut last = f64::NAN;
        let found = |last: &mut f64| {
            *last = self.metrics().sum(name, labels);
            (*last == value).then_some(())
        };
        let deadline = std::time::Instant::now() + WAIT_TIMEOUT;
        while found(&mut last).is_none() {
            assert!(
                std::time::Instant::now() < deadline,
                "{name}{labels:?} is {last}, not {value}"
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits until there are `count` audit lines with this `reason`.
    pub(crate) fn wait_for_audit_lines(&self, reason: &str, count: usize) -> Vec<serde_json::Value> {
        eventually(&format!("{count} audit lines with reason {reason}"), || {
            let lines = self.logs.objects();
            let found: Vec<_> = lines
                .into_iter()
                .filter(|line| line["reason"] == reason && line["verdict"].is_string())
                .collect();
            (found.len() >= count).then_some(found)
        })
    }

    /// Waits until there are `count` audit lines about this action of an operator.
    pub(crate) fn wait_for_actions(&self, action: &str, count: usize) -> Vec<serde_json::Value> {
        eventually(&format!("{count} actions {action}"), || {
            let lines = self.logs.objects().into_iter();
            let found: Vec<_> = lines.filter(|line| line["action"] == action).collect();
            (found.len() >= count).then_some(found)
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the process has ended.
    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the gateway's end", || child.try_wait().unwrap())
    }

    /// Whether the process still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:") * 1024
    }

    /// Largest resident memory so far, in bytes.
    pub(crate) fn peak_resident(&self) -> u64 {
        self.status("VmHWM:") * 1024
    }

    /// Resident pages of files, in bytes: mostly of the program's file, which is large in a debug build.
    pub(crate) fn resident_files(&self) -> u64 {
        self.status("RssFile:") * 1024
    }

    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().split(' ').next().unwrap().parse().unwrap()
    }

    /// Number of open descriptors.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Processor time used so far, in clock ticks (hundredths of a second on Linux).
    pub(crate) fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let lines = self.logs.lines();
            let last = lines.len().saturating_sub(60);
            // nextest shows this output with the failure.
            println!("--- the gateway's last lines ---\n{}", lines[last..].join("\n"));
        }
    }
}

/// The address in a `listening` line of the named listener, in JSON or in the format for people.
pub(crate) fn listening(line: &str, name: &str) -> Option<SocketAddr> {
    if !line.contains("listening") {
        return None;
    }
    if let Ok(object) = serde_json::from_str::<serde_json::Value>(line) {
        let fields = object.get("fields").unwrap_or(&object);
        return (fields["name"] == name)
            .then(|| fields["address"].as_str()?.parse().ok())
            .flatten();
    }
    let field = |key: &str| {
        let value = line.split(&format!("{key}=")).nth(1)?;
        Some(value.split_whitespace().next()?.trim_matches('"').to_owned())
    };
    (field("name")? == name)
        .then(|| field("address")?.parse().ok())
        .flatten()
}
