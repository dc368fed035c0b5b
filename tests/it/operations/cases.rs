//! The list "case → tests, or why there is none" in `docs/security.md`, made from the ids in the doc comments of the tests.
//! With `UPDATE_LISTS=1` the test writes the list instead of comparing it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- cases: made by tests/it/operations/cases.rs, do not edit -->\n";
const END: &str = "<!-- end of cases -->";

/// Tests, fuzz targets and benchmarks, by the ids in the comments above them.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for folder in ["src", "tests/it", "benches", "fuzz/fuzz_targets"] {
        for path in sources(&root.join(folder)) {
            let text = std::fs::read_to_string(&path).unwrap();
            let place = path.strip_prefix(root).unwrap().with_extension("");
            let place = place
                .to_str()
                .unwrap()
                .replace("src/", "")
                .replace("tests/it/", "")
                .replace('/', "::");
            let place = place.trim_end_matches("::mod").to_owned();
            let mut comment = String::new();
            for line in text.lines().map(str::trim) {
                if let Some(more) = line.strip_prefix("///") {
                    comment.push_str(more);
                    continue;
                }
                // A whole file may be one test: a fuzz target, a benchmark.
                if let Some(whole) = line.strip_prefix("//!") {
                    if folder != "src" && folder != "tests/it" {
                        for id in ids(whole) {
                            found.entry(id).or_default().insert(place.clone());
                        }
                    }
                    continue;
                }
                if line.starts_with("#[") || line.ends_with(")]") {
                    continue;
                }
                let function = line
                    .trim_start_matches("pub(crate) ")
                    .trim_start_matches("async ")
                    .strip_prefix("fn ");
                if let Some(name) = function.and_then(|rest| rest.split(['(', '<']).next()) {
                    for id in ids(&comment) {
                        found.entry(id).or_default().insert(format!("{place}::{name}"));
                    }
                }
                comment.clear();
            }
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("cases.rs") {
            files.push(path);
        }
    }
    files
}

/// The ids in a comment: a letter from A to J and two digits, as a word.
fn ids(comment: &str) -> Vec<String> {
    comment
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| {
            let bytes = word.as_bytes();
            bytes.len() == 3 && (b'A'..=b'J').contains(&bytes[0]) && bytes[1..].iter().all(u8::is_ascii_digit)
        })
        .map(str::to_owned)
        .collect()
}

fn list() -> String {
    let tests = tests();
    let known: BTreeSet<&str> = ROWS.iter().map(|row| row.0).collect();
    let unknown: Vec<_> = tests.keys().filter(|id| !known.contains(id.as_str())).collect();
    assert!(unknown.is_empty(), "ids that the list does not have: {unknown:?}");
    let mut list = String::from("| case | what | shown by, or why not |\n| --- | --- | --- |\n");
    for (id, title, reason) in ROWS {
        let shown = match tests.get(id) {
            Some(found) => found
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", "),
            None => {
                assert!(!reason.is_empty(), "{id} ({title}) has neither a test nor a reason");
                format!("not shown: {reason}")
            }
        };
        writeln!(list, "| {id} | {title} | {shown} |").unwrap();
    }
    list
}

#[test]
fn the_list_of_cases_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the begin of the list");
    let (written, after) = rest.split_once(END).expect("the end of the list");
    let list = list();
    if std::env::var_os("UPDATE_LISTS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{list}{END}{after}")).unwrap();
    } else {
        assert!(
            written == list,
            "docs/security.md is out of date: run `UPDATE_LISTS=1 cargo test --test it the_list_of_cases`"
        );
    }
}

/// Every case: its id, what it is about, and where no test shows it, why not.
const ROWS: [(&str, &str, &str); 131] = [
    ("A01", "chunked and a length", ""),
    ("A02", "two lengths", ""),
    ("A03", "the same length twice", ""),
    ("A04", "lengths that are no number", ""),
    ("A05", "a length with leading zeros", ""),
    ("A06", "unknown transfer codings", ""),
    ("A07", "codings below chunked", ""),
    ("A08", "aliased framing fields", ""),
    ("A09", "broken chunks", ""),
    ("A10", "chunk extensions", ""),
    ("A11", "trailers", ""),
    ("A12", "bare line feeds", ""),
    ("A13", "folded and malformed lines", ""),
    ("A14", "bytes above ASCII", ""),
    ("A15", "authorities", ""),
    ("A16", "forms of the request target", ""),
    ("A17", "request lines that are almost right", ""),
    ("A18", "pipelining", ""),
    ("A19", "a request inside a body", ""),
    ("A20", "bodies shorter and longer than announced", ""),
    ("A21", "asking before sending, refused", ""),
    ("A22", "asking before sending, accepted", ""),
    ("A23", "upgrades", ""),
    ("A24", "real servers read what we read", ""),
    ("B01", "underscores in names", ""),
    ("B02", "several signature headers", ""),
    ("B03", "our own names, sent by others", ""),
    ("B04", "protected names nominated by `Connection`", ""),
    ("B05", "hop-by-hop fields", ""),
    ("B06", "forwarding headers", ""),
    ("B07", "method overrides", ""),
    ("B08", "`Proxy` and fields of the application", ""),
    ("B09", "large heads", ""),
    ("B10", "log injection", ""),
    ("B11", "compressed bodies", ""),
    ("B12", "bodies of any kind", ""),
    ("C01", "paths that are almost the configured one", ""),
    ("C02", "no route", ""),
    ("C03", "other methods", ""),
    ("C04", "another route's secret", ""),
    (
        "C05",
        "an unsigned query",
        "The signature of most schemes does not cover the query; the table of limits above says what to do about it.",
    ),
    ("D01", "signature headers that are none", ""),
    ("D02", "digits that are none", ""),
    ("D03", "several signatures", ""),
    ("D04", "very many signatures", ""),
    ("D05", "timestamps that are none", ""),
    ("D06", "digits are signed as sent", ""),
    ("D07", "edges of the tolerance", ""),
    ("D08", "one changed bit", ""),
    ("D09", "weak and empty secrets", ""),
    ("D10", "constant-time comparison", ""),
    (
        "D11",
        "what the time of a refusal tells",
        "No claim is made: a refusal on the headers is faster than one that needs the body, which tells nothing that the answer does not tell.",
    ),
    ("D12", "differential against the official SDKs", ""),
    (
        "D13",
        "fuzzing",
        "A run, not a test: `make fuzz` over `fuzz/fuzz_targets`, with the seeds kept beside them.",
    ),
    ("E01", "the same request twice", ""),
    ("E02", "the same, written differently", ""),
    ("E03", "many copies at once", ""),
    ("E04", "two replicas", ""),
    ("E05", "a retry after a failure", ""),
    ("E06", "a sender that hangs up", ""),
    ("E07", "forgeries and the store", ""),
    ("E08", "a full store", ""),
    ("E09", "a wall clock that steps", ""),
    ("E10", "a restart within the tolerance", ""),
    ("E11", "a shared store that fails", ""),
    ("E12", "a shared store that evicts", ""),
    ("E13", "a shared store that loses writes", ""),
    ("E14", "a retry with a fresh signature", ""),
    ("F01", "silent connections", ""),
    ("F02", "half a protocol sniff", ""),
    ("F03", "half a TLS handshake", ""),
    ("F04", "slow heads", ""),
    ("F05", "slow bodies", ""),
    ("F06", "idle connections", ""),
    ("F07", "peers that do not read", ""),
    ("F08", "bodies over the limit", ""),
    ("F09", "many large bodies", ""),
    ("F10", "no descriptors left", ""),
    ("F11", "HTTP/2 resets and floods", ""),
    ("F12", "HTTP/2 control floods, bombs and windows", ""),
    ("F13", "malformed HTTP/2", ""),
    (
        "F14",
        "a scrape under load",
        "The admin listener has a runtime of its own, apart from the workers (`bounds::connections` asks it at the bound).",
    ),
    ("F15", "a soak", "`make soak` is a run of minutes, not a test."),
    ("G01", "an upstream that cannot be reached", ""),
    ("G02", "an upstream that breaks off", ""),
    ("G03", "an upstream that dawdles", ""),
    ("G04", "answers before the answer", ""),
    ("G05", "answers that are not HTTP", ""),
    ("G06", "stale pooled connections", ""),
    ("G07", "early answers", ""),
    ("G08", "answers of every status", ""),
    (
        "G09",
        "DNS changes",
        "The name is resolved for every new connection, by the system; idle connections end after `idle_timeout`. Two addresses of one name are tried in turn, within `connect_timeout`.",
    ),
    ("G10", "Unix sockets that come and go", ""),
    ("G11", "our names in an answer", ""),
    (
        "G12",
        "an upstream that others can reach",
        "A matter of deployment: bind the application to loopback or a Unix socket; a static header per upstream lets it refuse others.",
    ),
    ("G13", "an upstream that is the gateway", ""),
    ("H01", "Mozilla's intermediate profile", ""),
    ("H02", "old versions and ciphers", ""),
    ("H03", "early data", ""),
    ("H04", "certificates replaced under load", ""),
    ("H05", "expired certificates", ""),
    ("H06", "odd ClientHellos", ""),
    ("H07", "session tickets", ""),
    ("H08", "the wrong protocol on a port", ""),
    (
        "H09",
        "key logs",
        "No key log is ever configured; rustls writes none without one.",
    ),
    ("H10", "client certificates", ""),
    ("I01", "secrets that look like other types", ""),
    ("I02", "secrets with quotes and spaces", ""),
    ("I03", "errors without values", ""),
    ("I04", "faults at the start", ""),
    ("I05", "secret files", ""),
    ("I06", "rotation of secrets", ""),
    ("I07", "a bad reload", ""),
    ("I08", "SIGTERM", ""),
    ("I09", "the end of the grace period", ""),
    ("I10", "SIGKILL", ""),
    ("I11", "the application ends first", ""),
    ("I12", "the application starts later", ""),
    ("I13", "a panic", ""),
    (
        "I14",
        "signals and closed outputs",
        "Audit lines that cannot be written are dropped and counted; the unit tests of `telemetry::audit` show it.",
    ),
    ("I15", "secrets in outputs", ""),
    (
        "I16",
        "containers without privileges",
        "Belongs to the packaging, not to the program.",
    ),
    (
        "I17",
        "sockets",
        "A socket that cannot be bound ends the start with a message; addresses are made canonical before they are compared.",
    ),
    ("I18", "systemd", ""),
    ("I19", "PROXY protocol", ""),
    ("J01", "admin paths", ""),
    ("J02", "label sets", ""),
    ("J03", "Prometheus", ""),
    (
        "J04",
        "a storm of refusals",
        "Audit lines are dropped and counted when their reader is slower; the counters stay exact.",
    ),
    ("J05", "senders' request ids", ""),
    ("J06", "alert rules", ""),
];
