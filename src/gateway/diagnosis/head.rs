//! Signature headers that were renamed or rewritten on their way, undone.

use super::case::Case;
use super::finding::Change;
use super::slip;
use crate::http::percent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

const FIX: &str = "forward the header's value unchanged, as one string";

/// The header fields before one change.
pub(super) fn variants(case: &Case) -> Vec<(Change, HeaderMap)> {
    let mut found = renamed(case);
    let all: Vec<(Option<Change>, HeaderMap)> = std::iter::once((None, case.headers.clone()))
        .chain(
            found
                .iter()
                .map(|(change, headers)| (Some(change.clone()), headers.clone())),
        )
        .collect();
    for (before, headers) in all {
        for (change, headers) in rewritten(case, &headers) {
            let change = match &before {
                None => change,
                // A header that was renamed and rewritten has one finding that says both.
                Some(before) => Change::new(change.cause, format!("{} {}", before.what, change.what), change.fix),
            };
            found.push((change, headers));
        }
    }
    found
}

/// A signature header under another name, as some servers write it (`HTTP_PADDLE_SIGNATURE`, `X-Original-…`).
fn renamed(case: &Case) -> Vec<(Change, HeaderMap)> {
    let own = case.verifier.signature_headers();
    let absent: Vec<&HeaderName> = own.iter().filter(|name| !case.headers.contains_key(*name)).collect();
    if absent.is_empty() {
        return Vec::new();
    }
    let mut headers = case.headers.clone();
    let mut names = Vec::new();
    for name in absent {
        let Some((other, value)) = case
            .headers
            .iter()
            .find(|(other, _)| normalized(other.as_str()) == name.as_str())
        else {
            return Vec::new();
        };
        headers.insert(name, value.clone());
        names.push(format!("`{name}` became `{other}`"));
    }
    let fix = "find the proxy or the code that renames it (WSGI and CGI write names with underscores), and forward the original";
    let what = format!("A header was renamed: {}.", names.join(", "));
    vec![(Change::new("header_renamed", what, fix), headers)]
}

/// The name without what servers and gateways put before it.
pub(super) fn normalized(name: &str) -> String {
    let mut name = name.to_ascii_lowercase().replace('_', "-");
    for prefix in [
        "http-",
        "x-original-",
        "x-forwarded-",
        "x-amzn-remapped-",
        "x-hookdeck-original-",
        "original-",
        "ce-",
        "x-http-",
    ] {
        if let Some(rest) = name.strip_prefix(prefix) {
            name = rest.to_owned();
            break;
        }
    }
    name
}

/// The value of the signature header in other forms.
fn rewritten(case: &Case, headers: &HeaderMap) -> Vec<(Change, HeaderMap)> {
    const CAUSE: &str = "header_rewritten";
    let Some(name) = case.verifier.signature_headers().first() else {
        return Vec::new();
    };
    let Some(value) = headers.get(name) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if headers.get_all(name).iter().count() > 1 {
        let is_same = headers.get_all(name).iter().all(|other| other == value);
        let same = if is_same { ", with the same value" } else { "" };
        let what = format!("The header `{name}` occurs more than once{same}.");
        for value in headers.get_all(name) {
            let mut headers = headers.clone();
            headers.insert(name, value.clone());
            let fix = "find the proxy that adds it again: two servers could read different values";
            found.push((Change::new(CAUSE, what.clone(), fix), headers));
        }
    }
    let Ok(text) = std::str::from_utf8(value.as_bytes()) else {
        return found;
    };
    let description = case.verifier.description().signature.clone().unwrap_or_default();
    let separator = description.separator.or(description.field.is_some().then_some(','));
    for (what, variant) in values(
        text.trim(),
        separator,
        description.field.as_deref(),
        description.prefix.as_deref(),
    ) {
        if variant != text
            && let Ok(value) = HeaderValue::from_str(&variant)
        {
            let mut headers = headers.clone();
            headers.insert(name, value);
            found.push((
                Change::new(CAUSE, format!("The value of `{name}` {what}."), FIX),
                headers,
            ));
        }
    }
    found
}

/// The values that a rewritten value may have been.
fn values(text: &str, separator: Option<char>, field: Option<&str>, prefix: Option<&str>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut add = |what: &str, value: String| found.push((what.to_owned(), value));
    let quotes = ['"', '\'', ' ', '\u{201c}', '\u{201d}', '`'];
    add("is in quotes", text.trim_matches(quotes).to_owned());
    let listed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(listed) = listed {
        add("was written as a list", listed.trim_matches(quotes).to_owned());
    }
    if let Some((_, value)) = text.split_once(": ") {
        add("begins with its own name", value.to_owned());
    }
    add("was converted to capitals", text.to_ascii_lowercase());
    if text.contains('%') {
        add(
            "was percent-encoded",
            String::from_utf8(percent::decode(text.as_bytes())).unwrap_or_default(),
        );
    }
    add("has spaces instead of plus signs", text.replace(' ', "+"));
    if let Some(prefix) = prefix {
        add("has lost its prefix", format!("{prefix}{text}"));
        let capital = text
            .get(..prefix.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
        if capital {
            add(
                "has its prefix in capitals",
                format!("{prefix}{}", text.get(prefix.len()..).unwrap_or_default()),
            );
        }
    }
    add(
        "has white space in it",
        text.chars().filter(|c| !c.is_whitespace()).collect(),
    );
    if text.contains(['-', '_']) && separator.is_none() {
        add("is in Base64 for URLs", text.replace('-', "+").replace('_', "/"));
    }
    // A common mistake of senders of one's own: the digits are encoded, not the bytes.
    let digits = STANDARD
        .decode(text.trim_start_matches(prefix.unwrap_or_default()))
        .ok();
    if let Some(bytes) = digits.and_then(|digits| hex::decode(digits).ok()) {
        let written = prefix.unwrap_or_default();
        add(
            "is the Base64 of hexadecimal digits",
            format!("{written}{}", STANDARD.encode(&bytes)),
        );
        add(
            "is the Base64 of hexadecimal digits",
            format!("{written}{}", hex::encode(&bytes)),
        );
    }
    let unpadded = text.trim_end_matches('=');
    for count in 0..3 {
        add(
            "has another number of `=` at its end",
            format!("{unpadded}{}", "=".repeat(count)),
        );
    }
    if let Some((first, rest)) = text.split_once(", ").or_else(|| text.split_once(','))
        && separator != Some(',')
        && (first == rest || field.is_none())
    {
        add("is the value twice, joined with a comma", first.to_owned());
        add("is two values, joined with a comma", rest.trim().to_owned());
    }
    if let Some(separator) = separator {
        for other in [";", ",", "&", "|", "; ", ", ", " ", "\n"] {
            if other.trim() != separator.to_string() && text.contains(other) {
                add(
                    &format!(
                        "has `{}` between its parts where the provider writes `{separator}` (the separator)",
                        other.trim()
                    ),
                    text.replace(other, &separator.to_string()),
                );
            }
        }
        if field.is_some() {
            // `TS=…;H1=…`: the names of the parts in capitals.
            let parts: Vec<String> = text
                .split(separator)
                .map(|part| match part.trim().split_once(['=', ':']) {
                    Some((name, value)) => format!(
                        "{}={}",
                        name.trim().to_ascii_lowercase(),
                        value.trim().trim_matches('"')
                    ),
                    None => part.trim().to_owned(),
                })
                .collect();
            add(
                "has the names of its parts, or the signs after them, in another form",
                parts.join(&separator.to_string()),
            );
            let twice = text.split(", ").collect::<Vec<_>>();
            if let [first, second] = twice.as_slice()
                && first == second
            {
                add("is the value twice, joined with a comma", (*first).to_owned());
            }
        }
    }
    found
}

/// Every signature that differs from the header's in one character, or by one that is missing, added or exchanged with
/// its neighbour.
pub(super) fn one_character(case: &Case) -> Vec<(Change, HeaderMap)> {
    let Some(name) = case.verifier.signature_headers().first() else {
        return Vec::new();
    };
    let text = case
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::trim);
    let Some(text) = text.filter(|text| text.is_ascii() && text.len() <= 512) else {
        return Vec::new();
    };
    let is_hex = text.bytes().filter(|byte| byte.is_ascii_hexdigit()).count() * 10 > text.len() * 8;
    let alphabet: &[u8] = if is_hex {
        b"0123456789abcdef"
    } else {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
    };
    let mut found = Vec::new();
    let mut add = |what: &str, value: Vec<u8>| {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut headers = case.headers.clone();
            headers.insert(name, value);
            let what = format!("The value of `{name}` {what}.");
            found.push((
                Change::new("header_rewritten", what, "copy the header's value again, as a whole"),
                headers,
            ));
        }
    };
    let bytes = text.as_bytes();
    for at in 0..=bytes.len() {
        let (before, after) = bytes.split_at(at);
        for sign in alphabet {
            if let [first, rest @ ..] = after
                && first != sign
            {
                add("has one wrong character", [before, &[*sign], rest].concat());
            }
            add("lacks one character", [before, &[*sign], after].concat());
        }
        slip::at_position(bytes, at).for_each(|(what, value)| add(what, value));
    }
    found
}
