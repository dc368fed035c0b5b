//! What questions to the console's API cost the worker that serves webhooks, counted in instructions of its thread by
//! callgrind (Debian's `valgrind`). A count does not depend on what else the machine does.

use super::console::{OPERATOR, get, with};
use crate::support::gateway::{Gateway, binary_path};
use crate::support::{Setup, Upstream, Webhook, eventually};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Webhooks of a count.
const COUNTED: usize = 100;
/// The pages and the paths of the API that are asked without a pause.
const ASKED: [&str; 4] = [
    "/api/v1/requests?limit=1000",
    "/",
    "/requests?route=paddle",
    "/api/v1/status",
];

/// Instructions by thread, as callgrind numbers them.
type ByThread = BTreeMap<String, u64>;

/// A gateway in valgrind, with one file of each count for each thread.
struct Counting {
    gateway: Gateway,
    profile: PathBuf,
    counts: usize,
}

impl Counting {
    fn start(setup: Setup) -> Self {
        let profile = setup.directory().join("callgrind.out");
        // The first argument is the binary under test, which another one may replace.
        let script = format!(
            "shift; exec valgrind --tool=callgrind --separate-threads=yes --callgrind-out-file='{}' '{}' \"$@\"",
            profile.display(),
            Path::new(&binary_path()).display()
        );
        Self {
            gateway: Gateway::start_through(setup, &["/bin/sh", "-c", &script, "sh"], None),
            profile,
            counts: 0,
        }
    }

    /// Gives valgrind a command.
    fn command(&self, command: &str) {
        let done = Command::new("vgdb")
            .args([&format!("--pid={}", self.gateway.pid()), command])
            .output()
            .expect("valgrind is missing: run `make test-apps` once");
        assert!(done.status.success(), "{done:?}");
    }

    /// The instructions of each thread while `work` runs.
    fn of(&mut self, work: impl FnOnce(&Gateway)) -> ByThread {
        self.command("zero");
        work(&self.gateway);
        self.command("dump");
        self.counts += 1;
        let beginning = format!("{}.{}-", self.profile.file_name().unwrap().display(), self.counts);
        let folder = std::fs::read_dir(self.profile.parent().unwrap()).unwrap();
        let files = folder.map(|entry| entry.unwrap().path());
        let threads = files.filter_map(|file| {
            let thread = file.file_name()?.to_str()?.strip_prefix(&beginning)?.to_owned();
            let text = std::fs::read_to_string(&file).unwrap();
            let total = text
                .lines()
                .find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")))?;
            Some((thread, total.trim().parse().unwrap()))
        });
        threads.collect()
    }
}

/// A reader of the stream of requests.
fn live_reader(address: SocketAddr) -> TcpStream {
    let mut reader = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET /api/v1/requests/stream HTTP/1.1\r\nHost: {address}\r\n{}\r\n",
        with(OPERATOR)
    );
    reader.write_all(request.as_bytes()).unwrap();
    reader
}

/// Somebody who asks the console without a pause costs the worker less than two percent of its instructions for a webhook,
/// and so do fifty live readers: the answers are made on other threads, from copies, and no lock of the request's way is
/// held for them.
#[test]
fn questions_and_readers_cost_the_worker_no_instructions() {
    let upstream = Upstream::ok();
    let table = "[console]\naddress = \"127.0.0.1:0\"\ntokens = [{ name = \"anna\", role = \"operate\", env = \"OPERATOR\" }]\n";
    let setup = Setup::new(&upstream.url()).top("workers = 1").more(table);
    let mut counting = Counting::start(setup.variable("OPERATOR", OPERATOR));
    let mut client = counting.gateway.connect();
    let mut number = 0;
    let mut webhooks = || {
        for _ in 0..COUNTED {
            number += 1;
            // Bodies of one length, so that each costs the same.
            let body = format!("{{\"number\":{number:06}}}");
            assert_eq!(client.exchange(&Webhook::new(body).bytes()).status, 200);
        }
    };
    webhooks();
    let alone = counting.of(|_| webhooks());
    // The one that has nearly all the work.
    let (worker, alone) = alone.into_iter().max_by_key(|(_, instructions)| *instructions).unwrap();
    let (ends, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let beside = counting.of(|gateway| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    for path in ASKED {
                        get(gateway, path);
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            eventually("questions", || (asked.load(Ordering::Relaxed) > 0).then_some(()));
            webhooks();
            eventually("a round of questions", || {
                (asked.load(Ordering::Relaxed) > 8).then_some(())
            });
            ends.store(true, Ordering::Relaxed);
        });
    });
    let (asked, others) = (
        asked.load(Ordering::Relaxed),
        beside.values().sum::<u64>() - beside[&worker],
    );
    let beside = beside[&worker];
    println!(
        "{COUNTED} webhooks: {alone} instructions of the worker alone, {beside} beside {asked} questions, {others} of other threads"
    );
    assert!(
        beside as f64 <= alone as f64 * 1.02,
        "{beside} beside {asked} questions, {alone} alone"
    );
    assert!(
        others > alone,
        "the questions were not answered by other threads: {others}"
    );
    let address = counting.gateway.address("console");
    let readers: Vec<TcpStream> = (0..50).map(|_| live_reader(address)).collect();
    eventually("fifty streams", || {
        let begun = |reader: &TcpStream| reader.peek(&mut [0; 1]).is_ok_and(|length| length > 0);
        readers.iter().all(begun).then_some(())
    });
    let read = counting.of(|_| webhooks())[&worker];
    println!(
        "{COUNTED} webhooks: {read} instructions of the worker with {} live readers",
        readers.len()
    );
    assert!(
        read as f64 <= alone as f64 * 1.02,
        "{read} with live readers, {alone} alone"
    );
    counting.gateway.signal(Signal::TERM);
    assert!(counting.gateway.wait_for_exit().success());
}
