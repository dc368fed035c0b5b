//! "Copy as cURL" of browsers and inspectors, for POSIX shells and for Windows.

use super::shell::{posix_words, windows_words};
use super::{Capture, raw};
use crate::http::percent;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method};

/// The command in the text; `None` if it does not begin with one.
pub(super) fn find(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(['$', '>', '#', ' ']);
    ["curl ", "curl.exe ", "curl\t", "curl\\\n", "curl^"]
        .iter()
        .any(|begin| text.starts_with(begin))
        .then_some(text)
}

/// Reads the options that make the request.
///
/// # Errors
/// The command has no URL, or sends a form of parts, whose bytes are not in the command.
pub(super) fn parse(command: &str) -> Result<Capture, String> {
    let is_windows = command.contains(" ^\n") || command.contains(" ^\r\n") || command.contains("^\"");
    let words = if is_windows {
        windows_words(command)
    } else {
        posix_words(command)
    };
    let mut capture = Capture::new("curl command", HeaderMap::new());
    let mut data: Vec<String> = Vec::new();
    let mut has_file = false;
    let mut url = None;
    let mut words = words.into_iter().skip(1);
    while let Some(word) = words.next() {
        let (option, attached) = split_option(&word);
        let mut value = || attached.clone().or_else(|| words.next()).unwrap_or_default();
        match option.as_str() {
            "-X" | "--request" => capture.method = Method::from_bytes(value().as_bytes()).ok(),
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
            "-d" | "--data" | "--data-ascii" | "--data-raw" | "--data-binary" | "--json" => {
                let text = value();
                if option != "--data-raw" && text.starts_with('@') {
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
            "--data-urlencode" => data.push(url_encoded(&value())),
            "-F" | "--form" => {
                return Err("the curl command sends a form of parts, whose exact bytes it does not contain: save the request with `curl --trace-ascii FILE`".into());
            }
            "--url" => url = Some(value()),
            "-A" | "--user-agent" | "-e" | "--referer" | "-b" | "--cookie" | "-u" | "--user" | "-o" | "--output"
            | "-m" | "--max-time" | "--connect-timeout" | "-x" | "--proxy" | "--cacert" | "-E" | "--cert" | "--key"
            | "--resolve" | "--connect-to" | "-w" | "--write-out" | "-D" | "--dump-header" | "-T" => drop(value()),
            option if option.starts_with('-') => {}
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
    if !has_file {
        capture.body = Some(data.join("&").into_bytes());
    }
    if capture.method.is_none() {
        capture.method = Some(if data.is_empty() && !has_file {
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
