//! Real applications as upstreams: processes in Python, Node and Ruby, installed by `make test-apps`.

use super::logs::{self, Logs};
use rustix::process::{Pid, Signal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// Servers that [`App::parsing`] can run under: five of WSGI, two of Rack.
pub(crate) const SERVERS: [&str; 7] = [
    "gunicorn", "uwsgi", "waitress", "werkzeug", "wsgiref", "puma", "webrick",
];

/// A running application; killed on drop.
pub(crate) struct App {
    child: Child,
    pub(crate) logs: Logs,
    pub(crate) address: SocketAddr,
}

impl App {
    /// `tests/apps/python/MODULE.py` under gunicorn, with one worker.
    pub(crate) fn python(module: &str, secret: &str) -> Self {
        let mut command = Command::new(installed("venv/bin/gunicorn"));
        command.args([
            "--bind",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--worker-tmp-dir",
            "/dev/shm",
            "--chdir",
        ]);
        command
            .arg(apps().join("python"))
            .arg(format!("{module}:app"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Self::start(command, secret)
    }

    /// `tests/apps/node/SCRIPT`.
    pub(crate) fn node(script: &str, secret: &str) -> Self {
        Self::node_on(script, secret, 0)
    }

    /// The same on a given port, to replace one that was killed.
    pub(crate) fn node_on(script: &str, secret: &str, port: u16) -> Self {
        let mut command = Command::new("node");
        command
            .arg(apps().join("node").join(script))
            .env("NODE_PATH", installed("node/node_modules"));
        command.env("PORT", port.to_string());
        Self::start(command, secret)
    }

    /// `tests/apps/node/deliveries.cjs`, which logs into a file; on a given port, or 0 for any.
    pub(crate) fn deliveries(log: &Path, port: u16) -> Self {
        let mut command = Command::new("node");
        command
            .arg(apps().join("node").join("deliveries.cjs"))
            .env("DELIVERIES", log)
            .env("PORT", port.to_string());
        Self::start(command, "")
    }

    /// The application that returns what a server parsed, under one of [`SERVERS`].
    pub(crate) fn parsing(server: &str) -> Self {
        let python = apps().join("python");
        let ruby = apps().join("ruby");
        let mut command = match server {
            "gunicorn" => return Self::python("parsed", ""),
            "uwsgi" => {
                let mut command = Command::new(installed("venv/bin/pyuwsgi"));
                command.args([
                    "--http-socket",
                    "127.0.0.1:0",
                    "--need-app",
                    "--die-on-term",
                    "--wsgi-file",
                ]);
                command.arg(python.join("parsed.py")).args(["--callable", "app"]);
                // Without it a request on one connection waits for the end of another connection.
                command.args(["--threads", "4", "--virtualenv"]).arg(installed("venv"));
                command
            }
            "waitress" | "werkzeug" | "wsgiref" => {
                let mut command = Command::new(installed("venv/bin/python"));
                command.arg(python.join("parsed.py")).arg(server);
                command
            }
            "puma" => {
                let mut command = Command::new("puma");
                command
                    .args(["-b", "tcp://127.0.0.1:0", "-t", "1:4"])
                    .arg(ruby.join("parsed.ru"));
                command
            }
            "webrick" => {
                let mut command = Command::new("ruby");
                command.arg(ruby.join("webrick.rb"));
                command
            }
            other => panic!("{other} is not a server"),
        };
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        Self::start(command, "")
    }

    fn start(mut command: Command, secret: &str) -> Self {
        let (child, logs) = logs::spawn(command.env("APP_SECRET", secret));
        // The process is owned before anything can fail, so that it is killed in every case.
        let mut app = Self {
            child,
            logs,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        app.address = app.logs.wait_for("the application's address", |line| {
            // The lines of gunicorn and our own scripts, of puma, and of uWSGI.
            ["Listening at: http://", "Listening on http://", "bound to TCP address "]
                .iter()
                .find_map(|words| line.split(words).nth(1)?.split_whitespace().next()?.parse().ok())
        });
        app
    }

    /// Stops its process with SIGSTOP: it accepts and reads no more, and its sockets stay open.
    pub(crate) fn stop(&self) {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    /// Kills its process.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // gunicorn's master ends its worker on SIGTERM; a kill would leave the worker running.
        let _ = rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- the application's lines ---\n{}", self.logs.text());
        }
    }
}

fn apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps")
}

/// A file below the `apps` folder of the target directory, which `make test-apps` fills.
pub(crate) fn installed(path: &str) -> PathBuf {
    let found = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("apps").join(path);
    assert!(
        found.exists(),
        "{} is missing: run `make test-apps` once",
        found.display()
    );
    found
}
