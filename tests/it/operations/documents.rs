//! The documents against what exists: links and anchors, reasons, metrics, `make` targets, files that are named, and the
//! command lines of hookgate in code blocks.

use crate::support::gateway::{Gateway, binary};
use crate::support::setup::Setup;
use crate::support::tools::repository;
use crate::support::upstream::Upstream;
use hookgate::http::unread_head::UnreadHead;
use hookgate::outcome::{Rejection, Repeat, StoreReason, Verdict};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every Markdown file that a user or contributor reads.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    for folder in ["", "docs", "docs/decisions", "deploy", "deploy/examples"] {
        markdown(&repository(folder), &mut paths);
    }
    for entry in std::fs::read_dir(repository("deploy/examples")).unwrap() {
        markdown(&entry.unwrap().path(), &mut paths);
    }
    assert!(paths.len() > 15, "{paths:?}");
    let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).unwrap());
    paths.into_iter().map(read).collect()
}

fn markdown(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let files = entries.map(|entry| entry.unwrap().path());
    paths.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
}

/// Lines outside of code blocks, with inline code removed.
fn prose(text: &str) -> String {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            lines.push(line.split('`').step_by(2).collect::<String>());
        }
    }
    lines.join("\n")
}

/// Lines of code blocks of the given languages, with continued lines joined.
fn code(text: &str, languages: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut language: Option<&str> = None;
    let mut is_continued = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("```") {
            language = if language.is_none() { Some(name) } else { None };
            is_continued = false;
        } else if language.is_some_and(|name| languages.contains(&name)) {
            let (part, continues) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
            match lines.last_mut() {
                Some(last) if is_continued => last.push_str(&format!(" {part}")),
                _ => lines.push(part.to_owned()),
            }
            is_continued = continues;
        }
    }
    lines
}

/// The anchors of a document: its headings as code forges make them, and explicit ones.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with('#') {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            found.insert(kept.collect::<String>().replace(' ', "-"));
        }
        for part in line.split("<a id=\"").skip(1) {
            found.insert(part.split('"').next().unwrap().to_owned());
        }
    }
    found
}

#[test]
fn every_relative_link_leads_to_a_file_and_an_anchor_that_exist() {
    for (path, text) in documents() {
        for target in prose(&text)
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = target.split_whitespace().next().unwrap_or_default();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target
                .split_once('#')
                .map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let file = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            assert!(file.exists(), "{}: {target} does not exist", path.display());
            if let Some(anchor) = anchor {
                let linked = std::fs::read_to_string(&file).unwrap();
                assert!(
                    anchors(&linked).contains(anchor),
                    "{}: {target} has no such anchor",
                    path.display()
                );
            }
        }
    }
}

/// The words in backquotes in the first column of the tables of a document.
fn first_column(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split(" |").next());
    // The first quotation mark was removed with the start of the row.
    let words = cells.flat_map(|cell| cell.split('`').step_by(2).map(str::to_owned).collect::<Vec<_>>());
    words.filter(|word| !word.is_empty()).collect()
}

#[test]
fn every_reason_is_explained_and_every_explained_reason_exists() {
    let text = std::fs::read_to_string(repository("docs/operating.md")).unwrap();
    let table = text.split("| reason | status |").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    let documented = first_column(table);
    let reasons: BTreeSet<String> = Rejection::ALL
        .iter()
        .map(|rejection| rejection.reason().to_owned())
        .chain(StoreReason::ALL.map(|reason| reason.label().to_owned()))
        .chain(UnreadHead::ALL.map(|failure| failure.reason().to_owned()))
        .chain([Verdict::Acknowledged(Repeat::Stored).reason().to_owned()])
        .collect();
    let missing: Vec<_> = reasons.difference(&documented).collect();
    assert!(missing.is_empty(), "not explained in docs/operating.md: {missing:?}");
    let unknown: Vec<_> = documented.difference(&reasons).collect();
    assert!(
        unknown.is_empty(),
        "explained in docs/operating.md and unknown to the code: {unknown:?}"
    );
}

/// Metrics of hookgate's own, without the suffixes of histograms.
#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let upstream = Upstream::ok();
    // The metrics of the inbox exist only with one.
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("inbox.db");
    let inbox = format!("[inbox]\nstore = {store:?}\nany_filesystem = true");
    let setup = Setup::new(&upstream.url()).route("delivery = \"failover\"");
    let gateway: Gateway = setup.more(&inbox).start();
    let exported = String::from_utf8(gateway.ask("/metrics").body.clone()).unwrap();
    let exported: BTreeSet<String> = exported
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE hookgate_"))
        .filter_map(|line| line.split(' ').next())
        .map(|name| format!("hookgate_{name}"))
        .collect();
    let text = std::fs::read_to_string(repository("docs/monitoring.md")).unwrap();
    let (_, metrics) = text.split_once("`requests_total` | route").unwrap();
    let table = format!("| `requests_total` | {}", metrics.split("\n\n").next().unwrap());
    let documented: BTreeSet<String> = first_column(&table)
        .into_iter()
        .filter(|name| name != "process_*")
        .map(|name| format!("hookgate_{name}"))
        .collect();
    let missing: Vec<_> = exported.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/monitoring.md: {missing:?}");
    // Some series appear only with a feature or an event, so their names must stand in the source.
    let mut source = String::new();
    read_sources(&repository("src"), &mut source);
    for name in documented.difference(&exported) {
        // The registry adds the prefix.
        let registered = name.trim_start_matches("hookgate_");
        assert!(
            source.contains(&format!("\"{registered}\"")),
            "docs/monitoring.md names {name}, which does not exist"
        );
    }
}

fn read_sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_make_target_of_a_code_block_exists() {
    let makefile = std::fs::read_to_string(repository("Makefile")).unwrap();
    let mut checked = 0;
    for (path, text) in documents() {
        for line in code(&text, &["sh", "console", "bash"]) {
            let line = line.trim_start_matches("$ ");
            let Some(arguments) = line.strip_prefix("make ") else {
                continue;
            };
            let arguments = arguments.split(['#', '|', '&', ';']).next().unwrap();
            for target in arguments
                .split_whitespace()
                .filter(|word| !word.contains('=') && !word.contains('"'))
            {
                checked += 1;
                assert!(
                    makefile.contains(&format!("\n{target}:")),
                    "{}: make {target}",
                    path.display()
                );
            }
        }
    }
    assert!(checked > 3, "{checked}");
}

/// Files and folders of the repository that the documents name in backquotes.
#[test]
fn every_named_file_of_the_repository_exists() {
    for (path, text) in documents() {
        for word in text.split('`').skip(1).step_by(2) {
            let is_path = ["src/", "docs/", "deploy/", "tests/", "benches/", "fuzz/"]
                .iter()
                .any(|root| word.starts_with(root));
            let is_plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
            if is_path && is_plain {
                assert!(repository(word).exists(), "{}: {word} does not exist", path.display());
            }
        }
    }
}

/// Splits a command line at spaces, with quotation marks respected, up to a pipe, a redirection or a comment.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, '|' | '>' | '<' | ';' | '&' | '#') => break,
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Every command line of hookgate in a code block has options that exist: with `--help` behind it, the command prints its
/// help unless something before is unknown.
#[test]
fn every_command_line_of_a_code_block_is_understood() {
    let mut checked = 0;
    for (path, text) in documents() {
        for line in code(&text, &["sh", "console", "bash"]) {
            let words = words(line.trim_start_matches("$ "));
            let assigned = |word: &&String| {
                word.split_once('=').is_some_and(|(name, _)| {
                    name.bytes()
                        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
                })
            };
            let mut words = words
                .iter()
                .skip_while(assigned)
                .skip_while(|word| *word == "sudo")
                .skip_while(assigned);
            if words
                .next()
                .is_none_or(|program| program != "hookgate" && !program.ends_with("/hookgate"))
            {
                continue;
            }
            let arguments: Vec<_> = words.collect();
            let output = binary().args(&arguments).arg("--help").output().unwrap();
            checked += 1;
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{}: {line}\n{errors}", path.display());
        }
    }
    assert!(checked > 5, "{checked}");
}

/// Words that a reader whose first language is not English has to look up or may take literally, with plain ones.
const PLAIN: [(&str, &str); 14] = [
    ("nobody", "no one"),
    ("whoever", "anyone who"),
    ("anew", "again"),
    ("for ever", "forever"),
    ("for keeps", "permanently"),
    ("mend", "fix"),
    ("mending", "fixing"),
    ("mended", "fixed"),
    ("turned away", "refused"),
    ("is gone", "was removed"),
    ("was gone", "was removed"),
    ("as it must be", "as expected"),
    ("without a meaning", "leave the row out"),
    ("answered for", "answered by hookgate"),
];

#[test]
fn the_documents_are_in_plain_words() {
    let mut texts: Vec<(PathBuf, String)> = documents();
    for path in [
        "gateway.toml",
        "deploy/prometheus/alerts.yml",
        "deploy/helm/hookgate/values.yaml",
    ] {
        texts.push((repository(path), std::fs::read_to_string(repository(path)).unwrap()));
    }
    let mut found = Vec::new();
    for (path, text) in texts {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '`';
        let spaced: String = prose(&text).chars().map(|c| if is_word(c) { c } else { ' ' }).collect();
        let words = format!(
            " {} ",
            spaced.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
        );
        let words_of_it = PLAIN.iter().filter(|(word, _)| words.contains(&format!(" {word} ")));
        found.extend(words_of_it.map(|(word, plain)| format!("{}: for `{word}` write `{plain}`", path.display())));
    }
    assert!(found.is_empty(), "{found:#?}");
}
