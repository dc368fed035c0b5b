//! The exit codes, variables and signals of the manual page (`deploy/man/hookgate.1`) have the sentences of `--help`. Its
//! options are generated.

use crate::cli::AFTER_HELP;
use std::path::Path;

fn manual_page() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/man/hookgate.1")
}

/// The lower-case words of the page or of `--help`, without roff requests and punctuation.
fn words(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = ["BR", "B", "I", "BI", "RB", "RI"]
            .iter()
            .find_map(|request| line.strip_prefix(&format!(".{request} ")));
        line.unwrap_or_default().to_owned()
    });
    let marked: Vec<String> = text
        .lines()
        .zip(lines)
        .map(|(line, plain)| if plain.is_empty() { line.to_owned() } else { plain })
        .collect();
    let text: String = marked.join(" ").to_lowercase();
    let kept = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { ' ' });
    kept.collect::<String>()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn the_manual_page_contains_the_sentences_of_help() {
    let page = words(&std::fs::read_to_string(manual_page()).unwrap());
    let mut lines = 0;
    for line in AFTER_HELP.lines().filter(|line| line.starts_with("  ")) {
        lines += 1;
        let (name, meaning) = line.trim().split_once("  ").unwrap();
        let meaning = words(meaning.split(" (").next().unwrap());
        let found = page.contains(&format!("{} {meaning}", words(name)));
        assert!(found, "`{name}: {meaning}` is not in the manual page");
    }
    assert!(lines >= 6, "{lines} lines");
}

#[test]
fn help_names_every_variable_of_the_manual_page() {
    let page = std::fs::read_to_string(manual_page()).unwrap();
    let section = page
        .split(".SH ENVIRONMENT")
        .nth(1)
        .unwrap()
        .split("\n.SH")
        .next()
        .unwrap();
    let is_name =
        |word: &&str| word.len() > 6 && word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let mut names = 0;
    for name in section
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(is_name)
    {
        if name.starts_with("HOOKGATE_LIMITS") {
            continue;
        }
        names += 1;
        assert!(AFTER_HELP.contains(name), "{name} is not in --help");
    }
    assert!(names >= 8, "{names} names");
}
