//! Sockets from the service manager: systemd's own activation tool, and restarts that senders do not notice.

use crate::support::upstream::answer;
use crate::support::{Client, Gateway, Setup, Upstream, Webhook, eventually};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// I18: `systemd-socket-activate` listens, starts hookgate at the first connection, and passes both sockets by name.
#[test]
fn systemd_socket_activate_starts_it_at_the_first_connection() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hookgate.sock");
    let setup = Setup::new(&upstream.url()).top("workers = 3");
    let listen = format!("--listen={}", path.display());
    let launcher = [
        "systemd-socket-activate",
        "--fdname=plain",
        "--setenv=PADDLE_WEBHOOK_SECRET",
        &listen,
    ];
    let gateway = std::thread::scope(|scope| {
        let gateway = scope.spawn(|| Gateway::start_through(setup, &launcher, None));
        eventually("the socket", || UnixStream::connect(&path).ok());
        assert_eq!(Client::unix(&path).exchange(&Webhook::new("first").bytes()).status, 200);
        gateway.join().unwrap()
    });
    for number in 0..12 {
        let answer = Client::unix(&path).exchange(&Webhook::new(number.to_string()).bytes());
        assert_eq!(answer.status, 200);
    }
    let at = format!("unix:{}", path.display());
    let lines = gateway.logs.objects();
    assert!(
        lines
            .iter()
            .any(|line| line["name"] == "plain" && line["address"] == at),
        "{lines:?}"
    );
    assert_eq!(upstream.requests().len(), 13);
}

/// I18: a passed socket without a listener of that name is an error at the start.
#[test]
fn a_socket_without_a_listener_ends_the_start() {
    let setup = Setup::new("http://127.0.0.1:1");
    setup.write();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let output = Gateway::command(&setup, &passing("stranger"), Some(socket.into()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    for part in ["`stranger`", &address, "`plain`", "FileDescriptorName="] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

/// I18: over four restarts under load every connection is served exactly once. The socket outlives the process, as
/// systemd keeps it; connections made between two processes wait.
#[test]
fn a_restart_refuses_no_connection() {
    const RESTARTS: usize = 4;
    const SENDERS: usize = 6;
    let upstream = Upstream::new(|request, connection| connection.send(&answer("200 OK", &[], &request.body)));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let start = || {
        let setup = Setup::new(&upstream.url()).top("workers = 3");
        Gateway::start_through(setup, &passing("plain"), Some(socket.try_clone().unwrap().into()))
    };
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    let mut gateway = start();
    assert_eq!(gateway.plain(), address, "the listener uses the passed socket");
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (done, served, failures) = (&done, &served, &failures);
            scope.spawn(move || {
                for count in 0.. {
                    if done.load(Ordering::SeqCst) {
                        return;
                    }
                    let body = format!("{sender}-{count}");
                    match send(address, &body) {
                        Ok(()) => drop(served.fetch_add(1, Ordering::SeqCst)),
                        Err(failure) => return failures.lock().unwrap().push(failure),
                    }
                }
            });
        }
        let more = |what: &str| {
            let before = served.load(Ordering::SeqCst);
            eventually(what, || {
                let is_over = !failures.lock().unwrap().is_empty();
                (is_over || served.load(Ordering::SeqCst) > before + 5 * SENDERS).then_some(())
            });
        };
        for _ in 0..RESTARTS {
            more("traffic before the restart");
            gateway.signal(Signal::TERM);
            assert_eq!(gateway.wait_for_exit().code(), Some(0), "{}", gateway.logs.text());
            gateway = start();
            more("traffic after the restart");
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(failures.into_inner().unwrap(), Vec::<String>::new());
    let mut delivered: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for request in upstream.requests() {
        *delivered.entry(request.body.clone()).or_default() += 1;
    }
    assert!(delivered.values().all(|count| *count == 1), "twice: {delivered:?}");
    assert_eq!(delivered.len(), served.load(Ordering::SeqCst));

    // A crash: connections that arrive while no process runs wait for the next process.
    gateway.signal(Signal::KILL);
    gateway.wait_for_exit();
    let waiting = std::thread::spawn(move || send(address, "after the crash"));
    let _successor = start();
    assert_eq!(waiting.join().unwrap(), Ok(()));
}

/// Sends one webhook on a new connection; the answer must be the application's.
fn send(address: SocketAddr, body: &str) -> Result<(), String> {
    let connected = std::panic::catch_unwind(|| Client::tcp(address));
    let mut client = connected.map_err(|_| format!("{body}: refused"))?;
    let sent = client.try_send(&Webhook::new(body).bytes());
    let response = sent.and_then(|()| client.try_response(false));
    match response {
        Ok(response) if response.status == 200 && response.body == body.as_bytes() => Ok(()),
        Ok(response) => Err(format!("{body}: {response:?}")),
        Err(error) => Err(format!("{body}: {error}")),
    }
}

/// Passes standard input on as systemd would: descriptor 3, with its name, for this process.
fn passing(name: &str) -> [&str; 5] {
    const SCRIPT: &str = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$0 exec \"$@\"";
    // The last argument is `$0`.
    ["/bin/sh", "-e", "-c", SCRIPT, name]
}
