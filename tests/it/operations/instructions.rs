//! The processor work of one forwarded webhook, counted in instructions by callgrind (Debian's `valgrind`).
//!
//! A count of instructions does not depend on what else the machine does, so that a test can hold it to a few percent.
//! It depends on the compiler, on the build profile, and on the processor features that libraries choose their code by;
//! `tests/instructions.json` records the figure together with all three, one entry for each build profile.
//! `UPDATE_INSTRUCTIONS=1` writes the figure of this build into the file.
//!
//! To compare builds with each other, name their binaries in `HOOKGATE_BINARY`, separated by colons; the test then only
//! prints their figures and ratios. A single name is compared with the binary under test:
//! `HOOKGATE_BINARY=/tmp/earlier:target/release/hookgate cargo test --test it -- --nocapture operations::instructions`

use crate::support::tools::repository;
use crate::support::{Gateway, Setup, Upstream, Webhook};
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of each webhook's body.
const BODY_BYTES: usize = 2048;
/// Requests of the two runs. The difference of their counts contains no start, no TLS handshake and no shutdown. The count
/// of a start varies by two million instructions, which 3,000 requests reduce to half a percent of a release build's
/// figure and a quarter of a percent of a debug build's (three runs each).
const FEW: u64 = 200;
const MANY: u64 = 3200;
/// How far above the recorded figure a count may be when it was recorded in the same environment.
const SAME_ENVIRONMENT: f64 = 1.03;
/// The same when compiler, valgrind or processor differ from the recorded ones.
const OTHER_ENVIRONMENT: f64 = 1.25;

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

/// Forwarding one webhook of 2 KiB over a kept-alive TLS connection costs at most 3 % more instructions than recorded,
/// or 25 % more where the environment is not the recorded one.
#[test]
fn a_forwarded_webhook_stays_within_its_instructions() {
    let binary = Path::new(env!("CARGO_BIN_EXE_hookgate"));
    let environment = environment(binary);
    if let Some(names) = std::env::var_os("HOOKGATE_BINARY") {
        return compare(binary, std::env::split_paths(&names).collect());
    }
    let measured = instructions_per_webhook(binary);
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
    let figure = entry["instructions"].as_u64().unwrap();
    let ratio = measured as f64 / figure as f64;
    println!("recorded: {figure}; ratio {ratio:.4}, at most {bound}");
    assert!(
        ratio <= bound,
        "a forwarded webhook costs {measured} instructions, {ratio:.4} of the recorded {figure} (at most {bound}). {}\n\
         Find the added work with callgrind_annotate, or record the new figure with UPDATE_INSTRUCTIONS=1 and give the \
         reason in the commit message.",
        differences.join("; ")
    );
}

/// Measures several binaries and prints each figure with its ratio to the first one.
fn compare(under_test: &Path, mut binaries: Vec<PathBuf>) {
    if binaries.len() == 1 {
        binaries.push(under_test.to_owned());
    }
    let figures: Vec<u64> = binaries.iter().map(|binary| instructions_per_webhook(binary)).collect();
    for (binary, figure) in binaries.iter().zip(&figures) {
        let ratio = *figure as f64 / figures[0] as f64;
        println!(
            "{}: {figure} instructions per forwarded webhook, ratio {ratio:.4}",
            binary.display()
        );
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

fn instructions_per_webhook(binary: &Path) -> u64 {
    let few = instructions(binary, FEW);
    let many = instructions(binary, MANY);
    (many - few) / (MANY - FEW)
}

/// Instructions of a whole process that forwards `requests` webhooks over one TLS connection.
fn instructions(binary: &Path, requests: u64) -> u64 {
    let upstream = Upstream::ok();
    let setup = Setup::new(&upstream.url()).top("workers = 1");
    let profile = setup.directory().join("callgrind.out");
    // The first argument is the binary under test, which another one may replace.
    let script = format!(
        "shift; exec valgrind --tool=callgrind --callgrind-out-file='{}' '{}' \"$@\"",
        profile.display(),
        binary.display()
    );
    let mut gateway = Gateway::start_through(setup, &["/bin/sh", "-c", &script, "sh"], None);
    let mut client = gateway.connect_tls();
    for number in 0..requests {
        let webhook = Webhook::new(format!("{number:0BODY_BYTES$}"));
        assert_eq!(client.exchange(&webhook.bytes()).status, 200);
    }
    drop(client);
    gateway.signal(Signal::TERM);
    assert!(gateway.wait_for_exit().success());
    assert_eq!(upstream.requests().len() as u64, requests);
    let profile = std::fs::read_to_string(profile).unwrap();
    let total = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .expect("a line with the total");
    total.trim().parse().unwrap()
}
