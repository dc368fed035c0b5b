//! Compares the manual page (`deploy/man/hookgate.1`) with the commands. Its list of options is generated from the
//! arguments, and its exit codes, variables and signals have the sentences of `--help`. With `UPDATE_LISTS=1` the test
//! writes the list.

use crate::cli::{AFTER_HELP, Arguments};
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = ".\\\" options: made by src/cli/tests/manual.rs, do not edit\n";
const END: &str = ".\\\" end of options\n";

/// The sections OPTIONS and COMMANDS.
fn options() -> String {
    let mut root = Arguments::command();
    root.build();
    let mut page = String::from(".SH OPTIONS\n");
    root.get_arguments().for_each(|argument| option(&mut page, argument));
    page.push_str(".SH COMMANDS\n");
    for command in root.get_subcommands() {
        let _ = writeln!(page, ".SS {}", escaped(&usage(command)));
        let _ = writeln!(page, "{}.", escaped(&command.get_about().unwrap().to_string()));
        let own = command.get_arguments().filter(|argument| !argument.is_global_set());
        own.filter(|argument| argument.get_id() != "help")
            .for_each(|argument| option(&mut page, argument));
    }
    page
}

/// The synopsis of a command: `hookgate sign [OPTIONS] BODY`.
fn usage(command: &Command) -> String {
    let positional = command.get_positionals().map(|argument| {
        let name = argument.get_id().as_str().to_ascii_uppercase();
        let name = argument
            .get_value_names()
            .and_then(|names| names.first())
            .map_or(name, ToString::to_string);
        match argument.is_required_set() {
            true => format!(" {name}"),
            false => format!(" [{name}]"),
        }
    });
    let options = command
        .get_opts()
        .any(|argument| !argument.is_global_set())
        .then_some(" [OPTIONS]");
    format!(
        "hookgate {}{}{}",
        command.get_name(),
        options.unwrap_or_default(),
        positional.collect::<String>()
    )
}

/// Appends the entry of one option or positional argument.
fn option(page: &mut String, argument: &Arg) {
    if argument.is_hide_set() {
        return;
    }
    let value = argument
        .get_value_names()
        .and_then(|names| names.first())
        .map(ToString::to_string);
    let value = value.unwrap_or_else(|| argument.get_id().as_str().to_ascii_uppercase());
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let mut tag = match flags.is_empty() {
        true => format!("\\fI{}\\fR", escaped(&value)),
        false => format!("\\fB{}\\fR", escaped(&flags.join(", "))),
    };
    if takes_value && !flags.is_empty() {
        let _ = write!(tag, " \\fI{}\\fR", escaped(&value));
    }
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("{help}.");
    let words: Vec<_> = argument
        .get_possible_values()
        .iter()
        .map(|word| word.get_name().to_owned())
        .collect();
    if takes_value && !words.is_empty() {
        let _ = write!(text, " One of {}.", words.join(", "));
    }
    let defaults: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| value.display().to_string())
        .collect();
    if takes_value && !defaults.is_empty() {
        let _ = write!(text, " Default: {}.", defaults.join(" "));
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(text, " Environment: {}.", variable.display());
    }
    let _ = writeln!(page, ".TP\n{tag}\n{}", escaped(&text));
}

/// Escapes what roff interprets: backslashes, hyphens (it may break a line there), and a dot or quote at the beginning of
/// a line.
fn escaped(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('…', "...")
        .replace('’', "'");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

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
fn the_manual_page_lists_exactly_the_options_of_the_commands() {
    let page = std::fs::read_to_string(manual_page()).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (listed, after) = rest.split_once(END).unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "this variable controls the test, not the program"
    )]
    let is_update = std::env::var_os("UPDATE_LISTS").is_some();
    if is_update {
        std::fs::write(manual_page(), format!("{before}{BEGIN}{}{END}{after}", options())).unwrap();
        return;
    }
    assert!(listed == options(), "run the tests once with UPDATE_LISTS=1");
    assert!(
        listed.contains("\\-\\-secret\\-env") && listed.matches(".SS ").count() > 5,
        "{listed}"
    );
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
