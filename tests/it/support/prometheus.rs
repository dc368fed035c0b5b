//! A real Prometheus (Debian's package) that scrapes a gateway every second and evaluates the shipped rules, with
//! shorter windows and waits.

use super::client::Client;
use super::logs::Logs;
use super::wait::eventually;
use serde_json::Value;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running server; killed on drop.
pub(crate) struct Prometheus {
    child: Child,
    pub(crate) logs: Logs,
    address: SocketAddr,
    _directory: TempDir,
}

/// One of the files that are shipped in `deploy/prometheus`.
pub(crate) fn rules(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/prometheus")
        .join(name)
}

/// Runs `promtool` with these arguments and this input; returns whether it succeeded, and its output.
pub(crate) fn promtool(arguments: &[&str], input: &[u8]) -> (bool, String) {
    use std::io::Write as _;
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: run `make test-apps` once");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), printed)
}

/// The rules with windows of seconds and no wait before an alert fires; nothing else is changed.
fn shortened(text: &str) -> String {
    let mut short = String::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("for: ")) {
        let mut line = line.replace("[1d] offset 15m", "[30s] offset 10s");
        for window in ["[5m]", "[15m]", "[1h]"] {
            line = line.replace(window, "[10s]");
        }
        short.push_str(&line);
        short.push('\n');
    }
    short
}

impl Prometheus {
    /// Scrapes `targets` as the job `hookgate`.
    pub(crate) fn start(targets: &[SocketAddr]) -> Self {
        let targets: Vec<String> = targets.iter().map(SocketAddr::to_string).collect();
        let directory = tempfile::tempdir().unwrap();
        for name in ["alerts.yml", "recording.yml"] {
            let text = std::fs::read_to_string(rules(name)).unwrap();
            std::fs::write(directory.path().join(name), shortened(&text)).unwrap();
        }
        let file = directory.path().join("prometheus.yml");
        let settings = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: [alerts.yml, recording.yml]\n\
             scrape_configs:\n  - job_name: hookgate\n    static_configs: [{{ targets: {targets:?} }}]\n"
        );
        std::fs::write(&file, settings).unwrap();
        // Prometheus does not report the port it chose for port 0, so a free port is found for it, and another one when
        // a different process has taken it meanwhile.
        eventually("a Prometheus that is ready", || {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let child = Command::new("prometheus")
                .arg(format!("--config.file={}", file.display()))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    directory.path().join("data").display()
                ))
                .arg(format!("--web.listen-address={address}"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("prometheus is missing: run `make test-apps` once");
            let mut server = Self {
                child,
                logs: Logs::default(),
                address,
                _directory: tempfile::tempdir().unwrap(),
            };
            server.logs.follow(server.child.stderr.take().unwrap());
            server.is_ready().then_some(server)
        })
        .keep(directory)
    }

    fn keep(mut self, directory: TempDir) -> Self {
        self._directory = directory;
        self
    }

    /// Polls until it is ready, or has ended because its port was in use.
    fn is_ready(&mut self) -> bool {
        eventually("Prometheus to start or to end", || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            std::net::TcpStream::connect(self.address).ok()?;
            (self.get("/-/ready").0 == 200).then_some(true)
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: prometheus\r\nConnection: close\r\n\r\n");
        let response = Client::tcp(self.address).exchange(request.as_bytes());
        (response.status, response.body.clone())
    }

    fn api(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (status, &answer["status"]),
            (200, &Value::from("success")),
            "{path}: {answer}"
        );
        answer["data"].clone()
    }

    /// The samples of an instant query: each with its `metric` (labels) and its `value`.
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        let mut path = String::from("/api/v1/query?query=");
        for byte in expression.bytes() {
            let _ = write!(path, "%{byte:02X}");
        }
        self.api(&path)["result"].as_array().unwrap().clone()
    }

    /// Every rule as the server has it: `name`, `type`, `labels`, `annotations`, `health`.
    pub(crate) fn rules(&self) -> Vec<Value> {
        let groups = self.api("/api/v1/rules")["groups"].as_array().unwrap().clone();
        groups
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap().clone())
            .collect()
    }

    /// The names of the alerts that fire now, sorted, without duplicates.
    pub(crate) fn firing(&self) -> Vec<String> {
        let alerts = self.api("/api/v1/alerts")["alerts"].as_array().unwrap().clone();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        let mut names: Vec<String> = firing
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- Prometheus ---\n{}", self.logs.text());
        }
    }
}
