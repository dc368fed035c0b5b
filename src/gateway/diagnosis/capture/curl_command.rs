//! "Copy as cURL" of browsers and inspectors, for POSIX shells and for Windows.

use super::shell::{posix_words, windows_words};
use super::{Capture, raw};
use crate::http::percent;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method};

/// Programs that send a request, with what may follow their name.
const PROGRAMS: [&str; 12] = [
    "curl ",
    "curl.exe ",
    "curl\t",
    "curl\\\n",
    "curl\\\r\n",
    "curl^",
    "wget ",
    "http ",
    "https ",
    "xh ",
    "xhs ",
    "wget\\\n",
];

/// What may stand before the program: prompts, and commands that run it.
const BEFORE: [&str; 7] = ["sudo ", "time ", "$ ", "# ", "% ", "> ", "& "];

/// A command, and what stands before it in a pipe.
pub(super) struct Command<'t> {
    /// The command from the name of the program.
    text: &'t str,
    /// The command whose output it reads.
    piped: Option<&'t str>,
}

/// The command in the text; `None` if it does not begin with one.
pub(super) fn find(text: &str) -> Option<Command<'_>> {
    if let Some(text) = program(text) {
        return Some(Command { text, piped: None });
    }
    ["echo ", "printf ", "cat "]
        .iter()
        .find(|word| text.starts_with(**word))?;
    let pipes = text.match_indices('|');
    pipes
        .filter_map(|(at, _)| Some((text.get(..at)?, text.get(at + 1..)?)))
        .find_map(|(before, after)| {
            let text = program(after.trim_start())?;
            Some(Command {
                text,
                piped: Some(before),
            })
        })
}

/// The text from the name of the program, which may stand behind a prompt.
fn program(text: &str) -> Option<&str> {
    let is_program = |text: &str| PROGRAMS.iter().any(|begin| text.starts_with(begin));
    let line = text.lines().next()?;
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        if is_program(rest) {
            return Some(rest);
        }
        // The prompt ends with one of these, and has no quotes.
        let next = BEFORE
            .iter()
            .filter_map(|word| Some(line.get(at..)?.find(word)? + word.len()))
            .min()?;
        if at + next > 80 || rest.get(..next)?.contains(['"', '\'', '{']) {
            return None;
        }
        at += next;
    }
}

/// What `echo`, `printf` or a here document writes.
fn written(piped: Option<&str>, command: &str) -> Option<String> {
    if let Some(piped) = piped {
        let words = posix_words(piped);
        let is_bare = words.iter().any(|word| word == "-n") || words.first().is_some_and(|word| word == "printf");
        let mut text = words.into_iter().skip(1).rfind(|word| word != "-n")?;
        text.push_str(if is_bare { "" } else { "\n" });
        return Some(text);
    }
    if let Some((_, text)) = command.split_once("<<<") {
        return posix_words(text.trim_start())
            .into_iter()
            .next()
            .map(|text| format!("{text}\n"));
    }
    let (_, document) = command.split_once("<<")?;
    let (end, text) = document.split_once('\n')?;
    let end = end
        .split_whitespace()
        .next()?
        .trim_start_matches('-')
        .trim_matches(['\'', '"']);
    let end = text.lines().position(|line| line.trim() == end)?;
    Some(text.split_inclusive('\n').take(end).collect())
}

/// Reads the options that make the request.
///
/// # Errors
/// The command has no URL, or sends a form of parts, whose bytes are not in the command.
pub(super) fn parse(command: &Command<'_>) -> Result<Capture, String> {
    let input = written(command.piped, command.text);
    let command = command.text;
    let is_windows = command.contains(" ^\n") || command.contains(" ^\r\n") || command.contains("^\"");
    let words = if is_windows {
        windows_words(command)
    } else {
        posix_words(command)
    };
    let is_curl = command.starts_with("curl");
    let is_httpie = !is_curl && !command.starts_with("wget");
    let mut capture = Capture::new("curl command", HeaderMap::new());
    let mut data: Vec<String> = Vec::new();
    let mut has_file = false;
    let mut url = None;
    let mut reads_input = is_httpie && input.is_some();
    let mut is_exact = is_httpie;
    let mut words = words.into_iter().skip(1);
    while let Some(word) = words.next() {
        let (option, attached) = split_option(&word);
        let mut value = || attached.clone().or_else(|| words.next()).unwrap_or_default();
        match option.as_str() {
            "-X" | "--request" | "--method" => capture.method = Method::from_bytes(value().as_bytes()).ok(),
            "-H" | "--header" => {
                let text = value();
                let text = text
                    .strip_suffix(';')
                    .filter(|name| !name.contains(':'))
                    .map_or(text.clone(), |name| format!("{name}:"));
                let (name, field) =
                    raw::field(text.as_bytes()).ok_or("a header of the curl command is not `Name: value`")?;
                capture.headers.append(name, field);
            }
            "--json" | "-j" | "-f" | "-v" | "-p" if is_httpie => {}
            "-d" | "--data" | "--data-ascii" | "--data-raw" | "--data-binary" | "--json" | "--raw" | "--post-data"
            | "--body-data" => {
                let text = value();
                if option != "--data-raw" && text.starts_with("@-") && input.is_some() {
                    reads_input = true;
                    is_exact = option == "--data-binary";
                } else if option != "--data-raw" && text.starts_with('@') {
                    has_file = true;
                } else {
                    data.push(text);
                }
                if option == "--json" && !capture.headers.contains_key(CONTENT_TYPE) {
                    capture
                        .headers
                        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                }
            }
            "--post-file" | "--body-file" => has_file = !value().is_empty(),
            "--data-urlencode" => data.push(url_encoded(&value())),
            "-F" | "--form" => {
                return Err("the curl command sends a form of parts, whose exact bytes it does not contain: save the request with `curl --trace-ascii FILE`".into());
            }
            "--url" => url = Some(value()),
            "-A" | "--user-agent" | "-e" | "--referer" | "-b" | "--cookie" | "-u" | "--user" | "-o" | "--output"
            | "-m" | "--max-time" | "--connect-timeout" | "-x" | "--proxy" | "--cacert" | "-E" | "--cert" | "--key"
            | "--resolve" | "--connect-to" | "-w" | "--write-out" | "-D" | "--dump-header" | "-T" => drop(value()),
            option if option.starts_with('-') => {}
            option if option.starts_with("<<") => break,
            _ if is_httpie && word.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                capture.method = Method::from_bytes(word.as_bytes()).ok();
            }
            _ if is_httpie && url.is_some() => capture.headers.extend(raw::field(word.as_bytes())),
            _ => url = url.or(Some(word)),
        }
    }
    let url = url.ok_or("the curl command has no URL")?;
    let url = if url.contains("://") {
        url
    } else {
        format!("http://{url}")
    };
    raw::set_url(&mut capture, &url);
    if let Some(input) = input.filter(|_| reads_input) {
        // curl leaves out line ends except with --data-binary.
        let text = if is_exact {
            input
        } else {
            input.replace(['\r', '\n'], "")
        };
        capture.body = Some(text.into_bytes());
    } else if !has_file {
        capture.body = Some(data.join("&").into_bytes());
    }
    if capture.method.is_none() {
        capture.method = Some(if data.is_empty() && !has_file && !reads_input {
            Method::GET
        } else {
            Method::POST
        });
    }
    Ok(capture)
}

/// The option of a word, with a value that is attached to it: `-XPOST`, `--request=POST`.
fn split_option(word: &str) -> (String, Option<String>) {
    if let Some((option, value)) = word.split_once('=').filter(|_| word.starts_with("--")) {
        return (option.to_owned(), Some(value.to_owned()));
    }
    match word.split_at_checked(2) {
        Some((option @ ("-X" | "-H" | "-d" | "-A" | "-b" | "-o" | "-u"), value)) if !value.is_empty() => {
            (option.to_owned(), Some(value.to_owned()))
        }
        // Options without a value may stand before one that has one: `-sSXPOST`.
        Some((flag @ ("-s" | "-S" | "-k" | "-i" | "-v" | "-L" | "-f" | "-g"), rest)) if !rest.is_empty() => {
            let (option, value) = split_option(&format!("-{rest}"));
            if option.len() == 2 {
                (option, value)
            } else {
                (flag.to_owned(), None)
            }
        }
        _ => (word.to_owned(), None),
    }
}

/// The value of `--data-urlencode`: `content`, `=content` or `name=content`.
fn url_encoded(text: &str) -> String {
    let encode = |text: &str| percent::encode(text);
    match text.split_once('=') {
        Some(("", content)) => encode(content),
        Some((name, content)) => format!("{name}={}", encode(content)),
        None => encode(text),
    }
}
