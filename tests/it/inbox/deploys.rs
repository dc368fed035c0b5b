//! Deploys of an application under load, by its server's own means: no sender sees another status than 2xx, and the
//! application's own log has each webhook once.

use super::{free_address, opened, setup, wait_for_the_end, webhook};
use crate::support::apps::installed;
use crate::support::{eventually, logs};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// An application server; its processes end with the value.
struct Server {
    child: Child,
    _logs: logs::Logs,
}

impl Server {
    fn start(mut command: Command, log: &Path, address: SocketAddr) -> Self {
        let (child, logs) = logs::spawn(command.env("DELIVERIES", log).env("PYTHONDONTWRITEBYTECODE", "1"));
        let server = Self { child, _logs: logs };
        eventually("the application", || TcpStream::connect(address).ok());
        server
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn end(&mut self) {
        self.signal(Signal::TERM);
        let child = &mut self.child;
        eventually("the application's end", || child.try_wait().unwrap());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

/// Sends webhooks from four threads while `deploy` runs, and for some time after. Every one is answered 200, and `log` has
/// each once.
fn under_load(address: SocketAddr, log: &Path, deploy: impl FnOnce()) {
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(setup(&format!("http://{address}"), directory.path(), "failover", "").start());
    let plain = gateway.plain();
    let (is_over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let (is_over, sent) = (is_over.clone(), sent.clone());
            std::thread::spawn(move || {
                let mut number = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let request = webhook(&format!("evt_{sender}_{number}"), 0);
                    let response = crate::support::Client::tcp(plain).exchange(&request.bytes());
                    assert_eq!(response.status, 200, "{response:?}");
                    sent.fetch_add(1, Ordering::SeqCst);
                    number += 1;
                }
            })
        })
        .collect();
    let more = |number: usize| {
        let before = sent.load(Ordering::SeqCst);
        eventually("further webhooks", || {
            (sent.load(Ordering::SeqCst) >= before + number).then_some(())
        });
    };
    more(30);
    deploy();
    more(30);
    is_over.store(true, Ordering::SeqCst);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    wait_for_the_end(&gateway);
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        *taken.entry(line.to_owned()).or_default() += 1;
    }
    assert_eq!(taken.len(), sent.load(Ordering::SeqCst));
    let doubled: Vec<_> = taken.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
}

/// gunicorn replaces its workers at SIGHUP; then it is stopped and started.
#[test]
fn gunicorn_is_deployed_without_a_failure() {
    let address = free_address();
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    let start = || {
        let mut command = Command::new(installed("venv/bin/gunicorn"));
        command.args([
            "--bind",
            &address.to_string(),
            "--workers",
            "2",
            "--worker-tmp-dir",
            "/dev/shm",
        ]);
        command
            .arg("--chdir")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/python"));
        command.arg("deliveries:app");
        Server::start(command, &log, address)
    };
    let mut server = start();
    under_load(address, &log, || {
        server.signal(Signal::HUP);
        let seen = || std::fs::read_to_string(&log).unwrap().lines().count();
        let before = seen();
        eventually("webhooks after the reload", || (seen() > before + 20).then_some(()));
        server.end();
        server = start();
    });
}

/// puma is stopped and started: for a while nothing listens.
#[test]
fn puma_is_deployed_without_a_failure() {
    let address = free_address();
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    let start = || {
        let mut command = Command::new("puma");
        command.args(["-b", &format!("tcp://{address}"), "-t", "1:4"]);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/ruby/deliveries.ru"));
        Server::start(command, &log, address)
    };
    let mut server = start();
    under_load(address, &log, || {
        for _ in 0..2 {
            server.end();
            server = start();
        }
    });
}
