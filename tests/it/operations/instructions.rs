//! The processor work of one forwarded webhook, counted in instructions by callgrind (Debian's `valgrind`), for each kind
//! of webhook and both versions of HTTP.
//!
//! A count of instructions does not depend on what else the machine does, so that a test can hold it to a few percent.
//! It depends on the compiler, on the build profile, and on the processor features that libraries choose their code by;
//! `tests/instructions.json` records the figures together with all three, one entry for each build profile.
//! `UPDATE_INSTRUCTIONS=1` writes the figures of this build into the file.
//!
//! To compare builds with each other, name their binaries in `HOOKGATE_BINARY`, separated by colons; the test then only
//! prints their figures and ratios. A single name is compared with the binary under test:
//! `HOOKGATE_BINARY=/tmp/earlier:target/release/hookgate cargo test --test it -- --nocapture operations::instructions`

use super::workload::{self, Kind};
use crate::support::gateway::binary_path;
use crate::support::http2::{self, Http2};
use crate::support::tools::repository;
use crate::support::{Client, Gateway, Setup, Upstream, Webhook};
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Requests of each kind that are counted, after some that are not: the first ones make what later ones find.
const COUNTED: usize = 300;
const BEFORE: usize = 20;
/// Bytes of each webhook's body.
const BODY_BYTES: usize = 2048;
/// Presets beside Paddle, one for each way to sign: in hex and in base64, with an id, with the URL, a value of the body, a
/// token, without a time.
const PROVIDERS: [&str; 8] = [
    "stripe",
    "github",
    "shopify",
    "slack",
    "standard-webhooks",
    "gitlab-token",
    "square",
    "zoom",
];
/// How far above the recorded figure a count may be when it was recorded in the same environment.
const SAME_ENVIRONMENT: f64 = 1.03;
/// The same when compiler, valgrind or processor differ from the recorded ones.
const OTHER_ENVIRONMENT: f64 = 1.25;

/// Instructions for one webhook of each kind.
type Figures = BTreeMap<String, u64>;

/// The processor features by which aws-lc, memchr, sha2 and the C library choose their code.
const FEATURES: [&str; 12] = [
    "adx",
    "aes",
    "avx",
    "avx2",
    "avx512f",
    "bmi1",
    "bmi2",
    "erms",
    "fsrm",
    "pclmulqdq",
    "sha_ni",
    "ssse3",
];

/// A webhook of 2 KiB over a kept-alive TLS connection costs at most 3 % more instructions than recorded, or 25 % more
/// where the environment is not the recorded one.
#[test]
fn a_webhook_of_each_kind_stays_within_its_instructions() {
    let binary = PathBuf::from(binary_path());
    let environment = environment(&binary);
    if let Some(names) = std::env::var_os("HOOKGATE_BINARY") {
        return compare(&binary, std::env::split_paths(&names).collect());
    }
    let measured = instructions(&binary);
    let file = repository("tests/instructions.json");
    let mut recorded: Map<String, Value> = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    if std::env::var_os("UPDATE_INSTRUCTIONS").is_some() {
        let mut entry = environment;
        entry.insert("instructions".to_owned(), json!(measured));
        recorded.insert(profile.to_owned(), Value::Object(entry));
        let text = serde_json::to_string_pretty(&recorded).unwrap();
        std::fs::write(&file, format!("{text}\n")).unwrap();
        return;
    }
    let entry = recorded
        .get(profile)
        .unwrap_or_else(|| panic!("{} has no entry for {profile} builds", file.display()));
    let differences: Vec<String> = environment
        .iter()
        .filter(|(key, value)| entry.get(key.as_str()) != Some(value))
        .map(|(key, value)| format!("{key} is {value}, recorded was {}", entry[key.as_str()]))
        .collect();
    let bound = if differences.is_empty() {
        SAME_ENVIRONMENT
    } else {
        println!("compared with the looser bound: {}", differences.join("; "));
        OTHER_ENVIRONMENT
    };
    let mut above = Vec::new();
    for (kind, count) in &measured {
        let figure = entry["instructions"][kind]
            .as_u64()
            .unwrap_or_else(|| panic!("{kind} is not recorded"));
        let ratio = *count as f64 / figure as f64;
        println!("{kind}: {count}, recorded {figure}, ratio {ratio:.4}, at most {bound}");
        if ratio > bound {
            above.push(format!(
                "{kind} costs {count} instructions, {ratio:.4} of the recorded {figure}"
            ));
        }
    }
    assert!(
        above.is_empty(),
        "{} (at most {bound}). {}\n\
         Find the added work with callgrind_annotate, or record the new figures with UPDATE_INSTRUCTIONS=1 and give the \
         reason in the commit message.",
        above.join("\n"),
        differences.join("; ")
    );
}

/// Measures several binaries and prints each figure with its ratio to the first one.
fn compare(under_test: &Path, mut binaries: Vec<PathBuf>) {
    if binaries.len() == 1 {
        binaries.push(under_test.to_owned());
    }
    let figures: Vec<Figures> = binaries.iter().map(|binary| instructions(binary)).collect();
    for (kind, first) in &figures[0] {
        for (binary, figures) in binaries.iter().zip(&figures) {
            let ratio = figures[kind] as f64 / *first as f64;
            println!("{kind}: {}: {}, ratio {ratio:.4}", binary.display(), figures[kind]);
        }
    }
}

/// What a count depends on besides the source: compiler, valgrind, processor features.
fn environment(binary: &Path) -> Map<String, Value> {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags = information.lines().find(|line| line.starts_with("flags")).unwrap_or("");
    let features: Vec<&str> = FEATURES
        .into_iter()
        .filter(|feature| flags.split_whitespace().any(|flag| flag == *feature))
        .collect();
    let valgrind = Command::new("valgrind").arg("--version").output();
    let valgrind = valgrind.expect("valgrind is missing: run `make test-apps` once").stdout;
    let valgrind = String::from_utf8(valgrind).unwrap();
    Map::from_iter([
        ("rustc".to_owned(), json!(compiler(binary))),
        ("valgrind".to_owned(), json!(valgrind.trim())),
        ("processor".to_owned(), json!(features.join(" "))),
    ])
}

/// The version of rustc that compiled `binary`; the compiler writes it into the section `.comment`.
fn compiler(binary: &Path) -> String {
    const MARK: &[u8] = b"rustc version ";
    let bytes = std::fs::read(binary).unwrap();
    let start = memchr::memmem::find(&bytes, MARK).expect("the binary names its compiler") + MARK.len();
    let version: Vec<u8> = bytes[start..].iter().copied().take_while(|byte| *byte != 0).collect();
    String::from_utf8(version).unwrap()
}

/// The instructions of one webhook of each kind.
fn instructions(binary: &Path) -> Figures {
    let upstream = Upstream::ok();
    let kinds = workload::kinds();
    let kinds: Vec<Kind> = kinds
        .into_iter()
        .filter(|kind| PROVIDERS.contains(&kind.provider))
        .collect();
    assert_eq!(kinds.len(), PROVIDERS.len());
    let setup = workload::with_routes(Setup::new(&upstream.url()), &kinds, &upstream.url()).top("workers = 1");
    let (mut gateway, mut count) = counting(setup, binary);
    let mut number = 0;
    let mut body = || {
        number += 1;
        workload::body(number, BODY_BYTES)
    };
    for kind in &kinds {
        let mut client = gateway.connect_tls();
        count.of(kind.provider, || {
            let webhook = kind.webhook(&body()).unwrap();
            assert_eq!(client.exchange(&webhook.bytes()).status, 200);
        });
    }
    let mut client = gateway.connect_tls();
    count.of("paddle", || {
        assert_eq!(client.exchange(&Webhook::new(body()).bytes()).status, 200);
    });
    count.of("unsigned", || {
        refused(&mut client, &Webhook::new(body()).signature(None));
    });
    count.of("tampered", || {
        let mut webhook = Webhook::new(body());
        webhook.body[10] ^= 1;
        refused(&mut client, &webhook);
    });
    drop(client);
    http2::run(async {
        let mut client = Http2::connect(&gateway).await;
        for counted in [false, true] {
            count.begin(counted);
            for _ in 0..if counted { COUNTED } else { BEFORE } {
                let answer = client.exchange(&Webhook::new(body())).await.unwrap();
                assert_eq!(answer.status, 200);
            }
        }
        count.end("paddle over HTTP/2");
    });
    gateway.signal(Signal::TERM);
    assert!(gateway.wait_for_exit().success());
    count.figures
}

/// `failover` costs next to nothing while the application answers: at most 4 % more instructions than the same route with
/// `direct` (1.012 measured in a release build; the longer it takes, the more of the store's regular work is
/// counted).
#[test]
fn failover_costs_next_to_nothing_while_the_application_answers() {
    let binary = PathBuf::from(binary_path());
    let [direct, failover] = ["direct", "failover"].map(|delivery| {
        let upstream = Upstream::ok();
        let directory = tempfile::tempdir().unwrap();
        let inbox = format!(
            "[inbox]\nstore = \"{}\"\nany_filesystem = true\nmin_free_disk = \"1MiB\"\n",
            directory.path().join("inbox.db").display()
        );
        let route = format!("delivery = \"{delivery}\"\ndedupe = {{}}");
        let setup = Setup::new(&upstream.url())
            .route(&route)
            .more(&inbox)
            .top("workers = 1");
        let (mut gateway, mut count) = counting(setup, &binary);
        gateway.wait_for_metric("hookgate_inbox_up", &[], 1.0);
        let mut client = gateway.connect_tls();
        let mut number = 0;
        count.of(delivery, || {
            number += 1;
            let body = format!("{{\"event_id\":\"evt_{number}\",\"x\":\"{:2048}\"}}", "");
            assert_eq!(client.exchange(&Webhook::new(body).bytes()).status, 200);
        });
        drop(client);
        gateway.signal(Signal::TERM);
        assert!(gateway.wait_for_exit().success());
        count.figures[delivery]
    });
    let ratio = failover as f64 / direct as f64;
    println!("direct: {direct}, failover: {failover} instructions, ratio {ratio:.4}");
    assert!(ratio <= 1.04, "{ratio:.4}");
}

/// A gateway in valgrind, and its counts.
fn counting(setup: Setup, binary: &Path) -> (Gateway, Count) {
    let profile = setup.directory().join("callgrind.out");
    // The first argument is the binary under test, which another one may replace.
    let script = format!(
        "shift; exec valgrind --tool=callgrind --callgrind-out-file='{}' '{}' \"$@\"",
        profile.display(),
        binary.display()
    );
    let gateway = Gateway::start_through(setup, &["/bin/sh", "-c", &script, "sh"], None);
    let count = Count {
        pid: gateway.pid(),
        profile,
        figures: Figures::new(),
    };
    (gateway, count)
}

fn refused(client: &mut Client, webhook: &Webhook) {
    assert_eq!(client.exchange(&webhook.bytes()).status, 401);
}

/// The counts of a running valgrind.
struct Count {
    pid: u32,
    /// The beginning of the names of callgrind's files.
    profile: PathBuf,
    figures: Figures,
}

impl Count {
    /// Counts the instructions of one `request`.
    fn of(&mut self, kind: &str, mut request: impl FnMut()) {
        (0..BEFORE).for_each(|_| request());
        self.begin(true);
        (0..COUNTED).for_each(|_| request());
        self.end(kind);
    }

    /// The count begins at zero.
    fn begin(&self, is_counted: bool) {
        if is_counted {
            self.command("zero");
        }
    }

    /// Reads the count since [`Count::begin`].
    fn end(&mut self, kind: &str) {
        self.command("dump");
        let number = self.figures.len() + 1;
        let dumped = PathBuf::from(format!("{}.{number}", self.profile.display()));
        let text = std::fs::read_to_string(&dumped).unwrap_or_else(|error| panic!("{}: {error}", dumped.display()));
        let total = text
            .lines()
            .find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
        let total: u64 = total.expect("a line with the total").trim().parse().unwrap();
        self.figures.insert(kind.to_owned(), total / COUNTED as u64);
    }

    /// Gives valgrind a command.
    fn command(&self, command: &str) {
        let done = Command::new("vgdb")
            .args([&format!("--pid={}", self.pid), command])
            .output()
            .expect("valgrind is missing: run `make test-apps` once");
        assert!(done.status.success(), "{done:?}");
    }
}
