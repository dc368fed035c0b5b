//! The list of cases in `docs/security.md`: each case with the tests that show it, or the reason why no test does. The
//! tests are found by the ids in their doc comments.

use super::{Document, repository};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Where tests are, and whether a whole file counts as one test (fuzz targets and benchmarks).
const FOLDERS: [(&str, bool); 4] = [
    ("src", false),
    ("tests/it", false),
    ("benches", true),
    ("fuzz/fuzz_targets", true),
];

/// `docs/security.md` with the list.
pub(crate) fn document() -> Document {
    Document::with_parts("docs/security.md", &[("cases", list())])
}

/// Names of tests, fuzz targets and benchmarks by the id of a case.
pub(crate) type Tests = BTreeMap<String, BTreeSet<String>>;

/// Finds all tests by the ids in the comments above them. Names are as nextest prints them.
pub(crate) fn tests() -> Tests {
    let root = repository("");
    let mut found = Tests::new();
    for (folder, whole_files) in FOLDERS {
        for path in sources(&root.join(folder)) {
            let base = if whole_files {
                root.to_owned()
            } else {
                root.join(folder)
            };
            let module = path.strip_prefix(base).unwrap().with_extension("");
            let module = module.to_str().unwrap().replace('/', "::");
            let module = module.trim_end_matches("::mod");
            read(
                &std::fs::read_to_string(&path).unwrap(),
                module,
                whole_files,
                &mut found,
            );
        }
    }
    found
}

/// Adds the tests of one source file, whose module path is `module`.
pub(crate) fn read(text: &str, module: &str, whole_file: bool, found: &mut Tests) {
    let mut comment = String::new();
    // The `mod name {` whose functions follow; such modules are indented in this repository.
    let mut inner = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {")) {
            inner = name;
        } else if line == "}" {
            inner = "";
        }
        let line = line.trim();
        if let Some(more) = line.strip_prefix("///") {
            comment.push_str(more);
            continue;
        }
        if let Some(more) = line.strip_prefix("//!") {
            if whole_file {
                for id in ids(more) {
                    found.entry(id).or_default().insert(module.to_owned());
                }
            }
            continue;
        }
        // Attributes may be between the comment and the function.
        if line.starts_with("#[") || line.ends_with(")]") {
            continue;
        }
        let function = line
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("async ")
            .strip_prefix("fn ");
        if let Some(name) = function.and_then(|rest| rest.split(['(', '<']).next()) {
            let path: Vec<&str> = [module, inner, name]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect();
            for id in ids(&comment) {
                found.entry(id).or_default().insert(path.join("::"));
            }
        }
        comment.clear();
    }
}

/// All Rust sources below `folder` except this file, whose titles contain no tests.
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
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("operations/cases.rs")
        {
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

/// Faults of the list: ids without a row, rows with neither or both of test and reason, and reasons that refer to a case
/// without a test.
pub(crate) fn faults(rows: &[(&str, &str)], reasons: &[(&str, &str)], tests: &Tests) -> Vec<String> {
    let has_row = |id: &str| rows.iter().any(|row| row.0 == id);
    let mut faults = Vec::new();
    for id in tests.keys().filter(|id| !has_row(id)) {
        faults.push(format!("{id}: a test names this case, but the list has no such row"));
    }
    for (id, title) in rows {
        let reason = reasons.iter().any(|reason| reason.0 == *id);
        match (tests.contains_key(*id), reason) {
            (true, false) | (false, true) => {}
            (true, true) => faults.push(format!("{id} ({title}) has a test and a reason why it has none")),
            (false, false) => faults.push(format!("{id} ({title}) has neither a test nor a reason")),
        }
    }
    for (id, reason) in reasons {
        if !has_row(id) {
            faults.push(format!("{id}: a reason for a case that is not in the list"));
        }
        for other in ids(reason).iter().filter(|other| !tests.contains_key(*other)) {
            faults.push(format!("{id}: its reason refers to {other}, which no test shows"));
        }
    }
    faults
}

fn list() -> String {
    let tests = tests();
    let faults = faults(&ROWS, &WITHOUT_TEST, &tests);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let mut list = String::from("| case | what | shown by, or why not |\n| --- | --- | --- |\n");
    for (id, title) in ROWS {
        let shown = match tests.get(id) {
            Some(found) => {
                let names: Vec<String> = found.iter().map(|name| format!("`{name}`")).collect();
                names.join(", ")
            }
            None => {
                let reason = WITHOUT_TEST
                    .iter()
                    .find(|reason| reason.0 == id)
                    .map_or("", |reason| reason.1);
                format!("no test: {reason}")
            }
        };
        writeln!(list, "| {id} | {title} | {shown} |").unwrap();
    }
    list
}

/// Why a case has no test.
const WITHOUT_TEST: [(&str, &str); 1] = [(
    "D11",
    "the time of a refusal shows whether it was decided on the head or after the body, which the sender knows already; \
     the comparison with the secret takes constant time (D10).",
)];

/// Every case: its id and what it is about.
const ROWS: [(&str, &str); 131] = [
    ("A01", "chunked together with a length"),
    ("A02", "two different lengths"),
    ("A03", "the same length twice"),
    ("A04", "lengths that are not numbers"),
    ("A05", "a length with leading zeros"),
    ("A06", "unknown transfer codings"),
    ("A07", "transfer codings before chunked"),
    ("A08", "framing headers with underscores"),
    ("A09", "malformed chunks"),
    ("A10", "chunk extensions"),
    ("A11", "trailers"),
    ("A12", "bare line feeds"),
    ("A13", "folded and malformed lines"),
    ("A14", "bytes above ASCII"),
    ("A15", "authorities"),
    ("A16", "forms of the request target"),
    ("A17", "request lines with small faults"),
    ("A18", "pipelining"),
    ("A19", "a request inside a body"),
    ("A20", "bodies shorter and longer than announced"),
    ("A21", "`Expect: 100-continue`, refused"),
    ("A22", "`Expect: 100-continue`, accepted"),
    ("A23", "upgrades"),
    ("A24", "real servers parse the same requests as hookgate"),
    ("B01", "underscores in names"),
    ("B02", "several signature headers"),
    ("B03", "hookgate's own header names, sent by others"),
    ("B04", "protected names in `Connection`"),
    ("B05", "hop-by-hop fields"),
    ("B06", "forwarding headers"),
    ("B07", "method overrides"),
    ("B08", "`Proxy` and fields of the application"),
    ("B09", "large heads"),
    ("B10", "log injection"),
    ("B11", "compressed bodies"),
    ("B12", "bodies of any kind"),
    ("C01", "paths that resemble the configured one"),
    ("C02", "no route"),
    ("C03", "other methods"),
    ("C04", "another route's secret"),
    ("C05", "an unsigned query"),
    ("D01", "malformed signature headers"),
    ("D02", "malformed digests"),
    ("D03", "several signatures"),
    ("D04", "very many signatures"),
    ("D05", "malformed timestamps"),
    ("D06", "the timestamp is signed as sent"),
    ("D07", "the exact limits of the tolerance"),
    ("D08", "one changed bit"),
    ("D09", "weak and empty secrets"),
    ("D10", "constant-time comparison"),
    ("D11", "the time that a refusal takes"),
    ("D12", "differential against the official SDKs"),
    ("D13", "fuzzing"),
    ("E01", "the same request twice"),
    ("E02", "the same request in another form"),
    ("E03", "many copies at the same time"),
    ("E04", "two replicas"),
    ("E05", "a retry after a failure"),
    ("E06", "a sender that hangs up"),
    ("E07", "forged requests leave the store unchanged"),
    ("E08", "a full store"),
    ("E09", "steps of the wall clock"),
    ("E10", "a restart within the tolerance"),
    ("E11", "a shared store that fails"),
    ("E12", "a shared store that evicts"),
    ("E13", "a shared store that loses writes"),
    ("E14", "a retry with a fresh signature"),
    ("F01", "silent connections"),
    ("F02", "half of a protocol preface"),
    ("F03", "half a TLS handshake"),
    ("F04", "slow heads"),
    ("F05", "slow bodies"),
    ("F06", "idle connections"),
    ("F07", "peers that do not read"),
    ("F08", "bodies over the limit"),
    ("F09", "many large bodies"),
    ("F10", "no free file descriptors"),
    ("F11", "HTTP/2 resets and floods"),
    ("F12", "HTTP/2 control floods, bombs and windows"),
    ("F13", "malformed HTTP/2"),
    ("F14", "a scrape under load"),
    ("F15", "a soak"),
    ("G01", "an upstream that cannot be reached"),
    ("G02", "an upstream that closes too early"),
    ("G03", "a slow upstream"),
    ("G04", "informational answers"),
    ("G05", "answers that are not HTTP"),
    ("G06", "stale pooled connections"),
    ("G07", "answers before the request was read"),
    ("G08", "answers of every status"),
    ("G09", "DNS changes"),
    ("G10", "Unix sockets that are removed and created again"),
    ("G11", "hookgate's own header names in an answer"),
    ("G12", "an upstream that others can reach"),
    ("G13", "an upstream that is hookgate itself"),
    ("H01", "Mozilla's intermediate profile"),
    ("H02", "old versions and ciphers"),
    ("H03", "early data"),
    ("H04", "certificates replaced under load"),
    ("H05", "expired certificates"),
    ("H06", "unusual ClientHellos"),
    ("H07", "session tickets"),
    ("H08", "the wrong protocol on a port"),
    ("H09", "key logs"),
    ("H10", "client certificates"),
    ("I01", "secrets that look like other types"),
    ("I02", "secrets with quotes and spaces"),
    ("I03", "error messages without values of secrets"),
    ("I04", "faults at the start"),
    ("I05", "secret files"),
    ("I06", "rotation of secrets"),
    ("I07", "a bad reload"),
    ("I08", "SIGTERM"),
    ("I09", "the end of the grace period"),
    ("I10", "SIGKILL"),
    ("I11", "the application ends first"),
    ("I12", "the application starts later"),
    ("I13", "a panic"),
    ("I14", "signals and closed outputs"),
    ("I15", "secrets in outputs"),
    ("I16", "containers without privileges"),
    ("I17", "sockets"),
    ("I18", "systemd"),
    ("I19", "PROXY protocol"),
    ("J01", "admin paths"),
    ("J02", "label sets"),
    ("J03", "Prometheus"),
    ("J04", "very many refusals"),
    ("J05", "senders' request ids"),
    ("J06", "alert rules"),
];
