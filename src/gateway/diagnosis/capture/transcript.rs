//! What logs, mails, notes and packet dumps put around the lines of a request, removed.

use super::notation;
use super::raw;
use super::value::Value;
use std::borrow::Cow;

/// Members of a log entry that hold the line that a program wrote.
const MESSAGES: [&str; 7] = ["log", "message", "msg", "MESSAGE", "textPayload", "line", "text"];

/// Largest number of request lines from which a request is tried.
const MAX_REQUEST_LINES: usize = 8;

/// Largest part of a line that is compared with that of other lines, in characters.
const MAX_PREFIX: usize = 400;

/// The text in the forms that it may have had before it was logged, quoted or copied, the most probable first.
pub(super) fn views(text: &str) -> Vec<String> {
    let text = text.trim_matches(['\n', '\r']);
    let unfenced = without_fences(text);
    let text = unfenced.as_deref().unwrap_or(text);
    let mut bases: Vec<Cow<'_, str>> = vec![text.into()];
    let add = |view: Option<String>, from: &mut Vec<Cow<'_, str>>| {
        let view = view.filter(|view| !from.iter().any(|known| known == view));
        from.extend(view.map(Cow::Owned));
    };
    add(messages(text), &mut bases);
    for at in 0..bases.len() {
        let stripped = bases
            .get(at)
            .and_then(|base| split_prefix(base))
            .map(|(_, stripped)| stripped);
        add(stripped, &mut bases);
    }
    let mut views = Vec::new();
    for base in &bases {
        views.push(base.clone().into_owned());
        views.extend(from_request_lines(base));
        views.extend(table(base));
    }
    views
}

/// The text without the prefix of a log: one that has a number, a level or a separator. Lines of a mail and indented lines
/// are included.
pub(super) fn logged(text: &str) -> Option<String> {
    let text = text.trim_matches(['\n', '\r']);
    let (prefix, stripped) = split_prefix(text)?;
    let is_time = prefix.len() >= 6 && prefix.contains(|c: char| c.is_ascii_digit());
    let is_level = ["INFO", "DEBUG", "WARN", "ERROR", "TRACE", "info", "debug"]
        .iter()
        .any(|level| prefix.contains(level));
    let is_mark = prefix.trim_end().ends_with(['|', '>']) || prefix.trim().is_empty();
    let is_json = stripped.trim_start().starts_with(['"', '\'']);
    (is_time || is_level || (is_mark && !is_json)).then_some(stripped)
}

/// The lines of a program that a log holds in JSON, one entry in each line.
fn messages(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while !rest.trim().is_empty() {
        let (value, after) = notation::parse(rest)?;
        let message = value.member(&MESSAGES).and_then(Value::text)?;
        out.push_str(&message);
        if !message.ends_with('\n') {
            out.push('\n');
        }
        rest = after.trim_start();
    }
    (!out.is_empty()).then(|| out.trim_end_matches('\n').to_owned())
}

/// The text without the lines of Markdown's fences.
fn without_fences(text: &str) -> Option<String> {
    let is_fence = |line: &&str| line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
    text.lines().any(|line| is_fence(&line)).then(|| {
        let kept: Vec<&str> = text.lines().filter(|line| !is_fence(line)).collect();
        kept.join("\n")
    })
}

/// The prefix that all lines have (a name, a time, a level, a quotation mark, white space), and the text without it.
/// Numbers in it may differ between lines. `None` if the lines have no such prefix.
fn split_prefix(text: &str) -> Option<(String, String)> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first: Vec<char> = shape(lines.next()?).map(|(sign, _)| sign).collect();
    let mut common = first.len();
    let mut compared = 0_usize;
    for line in lines {
        let own: Vec<char> = shape(line.trim_end()).map(|(sign, _)| sign).collect();
        let same = first.iter().zip(&own).take_while(|(a, b)| a == b).count();
        // An empty line of the request has the prefix alone, sometimes without the space at its end.
        if same < own.len() || own.len() >= common {
            common = common.min(same);
            compared += 1;
        }
    }
    if compared == 0 {
        return None;
    }
    let ends_prefix = |sign: &char| sign.is_whitespace() || ":]|>".contains(*sign);
    let length = first.get(..common)?.iter().rposition(ends_prefix)? + 1;
    let stripped: Vec<&str> = text
        .lines()
        .map(|line| {
            let end = shape(line).nth(length - 1).map_or(line.len(), |(_, end)| end);
            line.get(end..).unwrap_or_default()
        })
        .collect();
    let prefix = first.get(..length)?.iter().collect();
    Some((prefix, stripped.join("\n")))
}

/// The characters of a line, each number as one `0`, with the position in bytes behind each.
fn shape(line: &str) -> impl Iterator<Item = (char, usize)> {
    let mut chars = line.char_indices().peekable();
    std::iter::from_fn(move || {
        let (at, sign) = chars.next()?;
        let mut end = at + sign.len_utf8();
        if sign.is_ascii_digit() {
            while let Some((at, _)) = chars.next_if(|(_, next)| next.is_ascii_digit()) {
                end = at + 1;
            }
            return Some(('0', end));
        }
        Some((sign, end))
    })
    .take(MAX_PREFIX)
}

/// The text from each request line, which may stand behind other text in its line.
fn from_request_lines(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let command = line.trim_start();
        if at > 0 && super::curl_command::find(command).is_some() {
            let begin = at + line.len() - command.len();
            found.extend(text.get(begin..).map(str::to_owned));
        }
        let begin = ["POST ", "PUT ", "GET ", "PATCH ", "DELETE ", "HEAD ", "OPTIONS "]
            .iter()
            .filter_map(|method| line.rfind(method))
            .max();
        if let Some(begin) = begin
            && at + begin > 0
            && let Some(request) = text.get(at + begin..)
        {
            let first = request.lines().next().unwrap_or_default();
            // ngrep shows each line end as a dot.
            let dotted = first.strip_suffix('.').filter(|line| line.ends_with("HTTP/1.1"));
            if dotted.is_some() {
                found.push(without_dots(request));
            } else if raw::request_line(first.as_bytes()).is_some() {
                found.push(request.to_owned());
            }
        }
        if found.len() >= MAX_REQUEST_LINES {
            break;
        }
        at += line.len();
    }
    found
}

/// The head without the dots that ngrep writes for carriage returns.
fn without_dots(request: &str) -> String {
    let mut is_head = true;
    let mut lines = Vec::new();
    for line in request.lines() {
        let plain = line.strip_suffix('.').filter(|_| is_head);
        is_head &= !plain.is_some_and(str::is_empty);
        lines.push(plain.unwrap_or(line));
    }
    lines.join("\n")
}

/// The rows of a table in Markdown as names and values with a tab.
fn table(text: &str) -> Option<String> {
    if !text.lines().any(|line| line.starts_with('|')) {
        return None;
    }
    let rows: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("| --") && !line.starts_with("|--") && !line.starts_with("|:-"))
        .map(|line| {
            let cells = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|'));
            match cells.and_then(|cells| cells.split_once('|')) {
                Some((name, value)) => {
                    let plain = |cell: &str| cell.trim().trim_matches('`').to_owned();
                    format!("{}\t{}", plain(name), plain(value))
                }
                None => line.to_owned(),
            }
        })
        .collect();
    Some(rows.join("\n"))
}
