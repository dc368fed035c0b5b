//! An example started by its own `run`: the application and hookgate in front of it, each a process of its own, so that
//! one can die while the other runs. Only addresses, the directory of its state and timeouts differ from the example's
//! own.

use super::Example;
use crate::support::gateway::binary_path;
use crate::support::logs::Logs;
use crate::support::metrics::Metrics;
use crate::support::wait::within;
use crate::support::{Client, WAIT_TIMEOUT, eventually};
use rustix::process::{Pid, Signal};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// How long a framework may take to start on a loaded machine.
pub(super) const START: Duration = Duration::from_secs(100);

/// Where the application listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Unix,
}

/// An example whose application runs.
pub(super) struct Application {
    pub(super) example: &'static Example,
    /// What the application printed, over all of its starts.
    pub(super) output: Logs,
    /// Its secrets by the name of their variable.
    pub(super) secrets: BTreeMap<String, String>,
    running: Option<Group>,
    environment: Vec<(String, String)>,
    upstream: String,
    state: TempDir,
}

/// hookgate with the example's `gateway.toml`.
pub(super) struct Proxy {
    pub(super) logs: Logs,
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    _running: Group,
}

/// A process and those that it started, which are a process group; killed on drop.
pub(super) struct Group {
    child: Child,
}

impl Application {
    /// Starts the application in production mode, as the example does.
    pub(super) fn new(example: &'static Example, transport: Transport) -> Self {
        Self::with(example, transport, &[])
    }

    /// The same with more variables in its environment.
    pub(super) fn with(example: &'static Example, transport: Transport, variables: &[(&str, &str)]) -> Self {
        let mut application = Self::prepare(example, transport);
        let more = variables
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        application.environment.extend(more);
        application.start();
        application
    }

    /// Prepares the example without starting a process.
    pub(super) fn prepare(example: &'static Example, transport: Transport) -> Self {
        let state = tempfile::tempdir().unwrap();
        let upstream = match transport {
            Transport::Tcp => format!("http://{}", free_address()),
            Transport::Unix => format!("unix:{}/app.sock", state.path().display()),
        };
        let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("apps/examples");
        let installed = installed.join(example.name);
        assert!(
            installed.exists(),
            "{} is missing: run `make test-apps` once",
            installed.display()
        );
        let binary = binary_path();
        let environment = [
            ("EXAMPLE_STATE", state.path().to_str().unwrap()),
            ("EXAMPLE_INSTALLED", installed.to_str().unwrap()),
            ("EXAMPLE_HOOKGATE", binary.to_str().unwrap()),
            ("EXAMPLE_UPSTREAM", &upstream),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("HOOKGATE_LISTEN__ADDRESS", "127.0.0.1:0"),
            ("HOOKGATE_ADMIN__ADDRESS", "127.0.0.1:0"),
        ];
        Self {
            example,
            output: Logs::default(),
            secrets: BTreeMap::new(),
            running: None,
            environment: environment.map(|(name, value)| (name.into(), value.into())).into(),
            upstream,
            state,
        }
    }

    /// The example's `run` with one of its arguments.
    pub(super) fn run(&self, argument: &str) -> Command {
        let mut command = Command::new(self.example.directory().join("run"));
        if !argument.is_empty() {
            command.arg(argument);
        }
        command
            // hookgate would take it for a key of its configuration.
            .env_remove("HOOKGATE_UNDER_TEST")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the application, and waits until it accepts connections.
    pub(super) fn start(&mut self) {
        self.running = Some(Group::start(self.run("application"), &self.output));
        within(START, "the application's listener", || {
            let group = self.running.as_mut().unwrap();
            if let Some(status) = group.child.try_wait().unwrap() {
                panic!("the application ended with {status}:\n{}", self.output.text());
            }
            self.listens().then_some(())
        });
        self.read_secrets();
    }

    /// Reads the secrets that `run` generated.
    pub(super) fn read_secrets(&mut self) {
        let text = std::fs::read_to_string(self.keys().join("secrets")).unwrap();
        let pairs = text.lines().map(|line| line.split_once('=').unwrap());
        self.secrets = pairs.map(|(name, value)| (name.into(), value.into())).collect();
        assert!(self.secrets.len() > 3, "{text}");
    }

    /// Sends a signal to the server that `run` has started, and not to the processes that it started itself.
    pub(super) fn signal(&self, signal: Signal) {
        let leader = Pid::from_child(&self.running.as_ref().unwrap().child);
        rustix::process::kill_process(leader, signal).unwrap();
    }

    /// Stops the application with SIGTERM.
    pub(super) fn stop(&mut self) {
        let mut group = self.running.take().unwrap();
        group.signal(Signal::TERM);
        let child = &mut group.child;
        within(START, "the application's end", || child.try_wait().unwrap());
        drop(group);
        self.wait_until_closed();
    }

    /// Kills all of the application's processes.
    pub(super) fn kill(&mut self) {
        drop(self.running.take());
        self.wait_until_closed();
    }

    /// Stops all of the application's processes with SIGSTOP: it accepts and answers no more, and its sockets stay
    /// open.
    pub(super) fn pause(&self) {
        self.running.as_ref().unwrap().signal(Signal::STOP);
    }

    /// Lets the stopped processes continue.
    pub(super) fn resume(&self) {
        self.running.as_ref().unwrap().signal(Signal::CONT);
    }

    /// Starts hookgate with `timeout` as the application's answer timeout.
    pub(super) fn start_proxy(&self, timeout: &str) -> Proxy {
        self.start_proxy_with(&[("HOOKGATE_UPSTREAMS__APP__TIMEOUT", timeout)])
    }

    /// The same with these variables over `gateway.toml`, and a tolerance of a minute: a loaded machine may take more
    /// than Paddle's five seconds between two lines of a test.
    pub(super) fn start_proxy_with(&self, variables: &[(&str, &str)]) -> Proxy {
        let mut command = self.run("gateway");
        command.env("HOOKGATE_ROUTE__0__TOLERANCE", "60s");
        command.envs(variables.iter().copied());
        let logs = Logs::default();
        let running = Group::start(command, &logs);
        Proxy {
            address: listening(&logs),
            certificate: self.certificate(),
            logs,
            _running: running,
        }
    }

    /// The certificate that `run` made.
    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.keys().join("tls.crt")).unwrap()
    }

    /// The directory of the certificate and the keys.
    pub(super) fn keys(&self) -> PathBuf {
        self.state.path().join("keys")
    }

    /// The application's Unix socket.
    pub(super) fn socket(&self) -> Option<&Path> {
        self.upstream.strip_prefix("unix:").map(Path::new)
    }

    /// A connection to the application that does not go through hookgate.
    pub(super) fn connect_directly(&self) -> Client {
        match self.socket() {
            Some(path) => Client::unix(path),
            None => Client::tcp(self.upstream.strip_prefix("http://").unwrap().parse().unwrap()),
        }
    }

    /// Requests that reached the application so far, by the log of its framework or server.
    pub(super) fn requests(&self) -> usize {
        let lines = self.output.lines();
        lines.iter().filter(|line| line.contains(self.example.request)).count()
    }

    /// Whether the application accepts connections.
    pub(super) fn listens(&self) -> bool {
        match self.socket() {
            Some(path) => UnixStream::connect(path).is_ok(),
            None => TcpStream::connect(self.upstream.strip_prefix("http://").unwrap()).is_ok(),
        }
    }

    /// Waits until the application accepts no connections: a killed process's sockets close a moment after it.
    fn wait_until_closed(&self) {
        eventually("the application to stop listening", || (!self.listens()).then_some(()));
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.output.lines();
            println!(
                "--- the application's last lines ---\n{}",
                lines[lines.len().saturating_sub(60)..].join("\n")
            );
        }
    }
}

impl Proxy {
    /// A sender's connection over TLS.
    pub(super) fn connect(&self) -> Client {
        let client = Client::tls(self.address, "localhost", &self.certificate);
        client.set_timeout(WAIT_TIMEOUT * 4);
        client
    }

    /// Waits until the application handles a request.
    pub(super) fn wait_for_request(&self) {
        let admin = address(&self.logs, "admin");
        eventually("a request with the application", || {
            let request = b"GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n";
            let response = Client::tcp(admin).exchange(request);
            let metrics = Metrics::parse(std::str::from_utf8(&response.body).unwrap());
            let active = metrics.sum("hookgate_upstream_connections", &[("state", "active")]);
            (active > 0.0).then_some(())
        });
    }

    /// Waits for an audit line with this reason.
    pub(super) fn wait_for_audit_lines(&self, reason: &str) {
        eventually(&format!("an audit line with reason {reason}"), || {
            let lines = self.logs.objects();
            lines.iter().any(|line| line["reason"] == reason).then_some(())
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.logs.lines();
            println!(
                "--- hookgate's last lines ---\n{}",
                lines[lines.len().saturating_sub(20)..].join("\n")
            );
        }
    }
}

impl Group {
    /// Starts `command` as the leader of a process group and collects its output.
    pub(super) fn start(mut command: Command, logs: &Logs) -> Self {
        let mut child = command.process_group(0).spawn().unwrap();
        logs.follow(child.stdout.take().unwrap());
        logs.follow(child.stderr.take().unwrap());
        Self { child }
    }

    /// Sends a signal to all processes of the group.
    fn signal(&self, signal: Signal) {
        rustix::process::kill_process_group(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends SIGTERM to the leader only, and waits for its end.
    pub(super) fn end(&mut self) -> ExitStatus {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let child = &mut self.child;
        within(START, "the end of run", || child.try_wait().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The group exists as long as one of its processes does.
        let _ = rustix::process::kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The address of the public listener.
pub(super) fn listening(logs: &Logs) -> SocketAddr {
    address(logs, "public")
}

fn address(logs: &Logs, name: &str) -> SocketAddr {
    within(START, &format!("hookgate's listener {name}"), || {
        let lines = logs.objects();
        let line = lines
            .iter()
            .find(|line| line["message"] == "listening" && line["name"] == name)?;
        line["address"].as_str()?.parse().ok()
    })
}

/// An address that no other test uses, and that the application can bind again after a restart: on the loopback
/// network, one for each process and port.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(8000);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, 0x40 | high, middle, low);
    SocketAddr::from((host, NEXT.fetch_add(1, Ordering::Relaxed)))
}
