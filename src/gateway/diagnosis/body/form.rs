//! Forms that were parsed and written again: the same fields in the spellings of languages.

use super::form_values::{CAUSE, Fields};
use super::{Variants, form_values};
use crate::gateway::diagnosis::capture::printed_as_json;
use crate::gateway::diagnosis::case::Case;
use crate::gateway::diagnosis::finding::Change;
use crate::gateway::diagnosis::frameworks::RAW_BODY;
use crate::http::percent;

/// Largest form whose values are varied, in bytes.
const MAX_VARIED_BYTES: usize = 64 << 10;

/// How a language writes a form.
#[derive(Clone, Copy)]
struct Style {
    /// Characters besides letters and digits that stay unescaped.
    kept: &'static str,
    /// Whether a space is written as `+`; otherwise as `%20`.
    plus: bool,
    /// Whether escapes have lower-case digits.
    lower: bool,
    name: &'static str,
}

const fn style(kept: &'static str, plus: bool, lower: bool, name: &'static str) -> Style {
    Style {
        kept,
        plus,
        lower,
        name,
    }
}

const STYLES: [Style; 14] = [
    style(
        "-._*",
        true,
        false,
        "with `+` for a space and `*` kept (browsers, URLSearchParams, Java, Ruby)",
    ),
    style("-._~", true, false, "with `+` for a space and `~` kept (Python, Go)"),
    style("-._", true, false, "with `+` for a space (PHP)"),
    style("-._~", false, false, "with `%20` for a space (RFC 3986)"),
    style(
        "-_.!~*'()",
        false,
        false,
        "with `%20` for a space and `!~*'()` kept (encodeURIComponent of JavaScript)",
    ),
    style(
        "-_.!~*'()",
        true,
        false,
        "with `+` for a space and `!~*'()` kept (JavaScript)",
    ),
    style("-_.!*()", true, true, "with lower-case escapes (.NET)"),
    style("-._~", true, true, "with `+` for a space and lower-case escapes"),
    style("-._*", true, true, "with `*` kept and lower-case escapes"),
    style("-._~", false, true, "with `%20` for a space and lower-case escapes"),
    style("-._~*", true, false, "with `*` and `~` kept"),
    style("-._~*", false, false, "with `%20` for a space, `*` and `~` kept"),
    style("-._~@:/", true, false, "with `@`, `:` and `/` kept"),
    style("-._*[]", true, false, "with brackets kept"),
];

/// Adds the forms that the body may have been.
pub(super) fn add(case: &Case, body: &[u8], variants: &mut Variants) {
    for (what, fields) in sources(body) {
        variants.tries(CAUSE);
        if !what.is_empty() {
            spellings(&fields, what, "form_saved_as", variants);
        } else {
            spellings(&fields, "The form was parsed and written again", CAUSE, variants);
        }
        if body.len() > MAX_VARIED_BYTES {
            continue;
        }
        for (cause, changed, fields) in form_values::variants(&case.provider, &fields) {
            variants.tries(cause);
            let text = if what.is_empty() {
                changed
            } else {
                format!("{what}; {}", lower_first(&changed))
            };
            if case.signs_fields {
                // The scheme signs the decoded fields, so that one spelling is enough.
                let made = written(&fields, STYLES.first());
                variants.add(|| Change::new(cause, format!("{text}."), form_values::FIX), made);
            } else {
                spellings(&fields, &text, cause, variants);
            }
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().to_string() + chars.as_str())
}

/// The fields in all spellings.
fn spellings(fields: &Fields, what: &str, cause: &'static str, variants: &mut Variants) {
    let cause = if cause == "form_saved_as" { CAUSE } else { cause };
    for style in STYLES {
        let made = written(fields, Some(&style));
        variants.add(
            || {
                Change::new(
                    cause,
                    format!("{what}: the signature fits the same fields {}.", style.name),
                    RAW_BODY,
                )
            },
            made,
        );
    }
}

fn written(fields: &Fields, style: Option<&Style>) -> Vec<u8> {
    let Some(style) = style else {
        return Vec::new();
    };
    let mut out = Vec::new();
    let encode = |text: &[u8], out: &mut Vec<u8>| {
        for byte in text {
            match byte {
                b' ' if style.plus => out.push(b'+'),
                byte if byte.is_ascii_alphanumeric() || style.kept.as_bytes().contains(byte) => out.push(*byte),
                byte if style.lower => out.extend_from_slice(format!("%{byte:02x}").as_bytes()),
                byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            }
        }
    };
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        encode(name, &mut out);
        out.push(b'=');
        encode(value, &mut out);
    }
    out
}

/// The fields of the body, read as a form, as JSON or as parts; with what the report says where it is not a form.
fn sources(body: &[u8]) -> Vec<(&'static str, Fields)> {
    let mut found = Vec::new();
    let trimmed = body.trim_ascii();
    let printed = || printed_as_json(str::from_utf8(trimmed).ok()?);
    if (trimmed.starts_with(b"{") || trimmed.starts_with(b"[["))
        && let Some(fields) = from_json(trimmed)
    {
        found.push(("The fields of the form were saved as JSON", fields));
    } else if !trimmed.starts_with(b"--")
        && let Some(fields) = printed().and_then(|json| from_json(json.as_bytes()))
    {
        found.push(("The fields of the form were saved as a language prints them", fields));
    } else if trimmed.starts_with(b"--") {
        if let Some(fields) = from_parts(trimmed) {
            found.push(("The form was written again as multipart/form-data", fields));
        }
    } else if let Some(fields) = decoded(trimmed) {
        found.push(("", fields));
    }
    found
}

/// The fields of `a=b&c=d`; `None` if the text has no field.
pub(super) fn decoded(body: &[u8]) -> Option<Fields> {
    if !body.contains(&b'=') || body.starts_with(b"[") || body.starts_with(b"<") {
        return None;
    }
    let fields = body.split(|byte| *byte == b'&').filter(|field| !field.is_empty());
    let fields: Fields = fields
        .map(|field| {
            let mut halves = field.splitn(2, |byte| *byte == b'=');
            let mut half = || percent::decode_form(halves.next().unwrap_or_default());
            (half(), half())
        })
        .collect();
    (!fields.is_empty() && fields.len() <= 1000).then_some(fields)
}

/// The members of a flat JSON object. Numbers and flags become their text, null becomes empty.
fn from_json(body: &[u8]) -> Option<Fields> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let pair = |pair: &serde_json::Value| match pair.as_array()?.as_slice() {
        [name, value] => Some((name.as_str()?.to_owned(), value.clone())),
        _ => None,
    };
    let members: Vec<(String, serde_json::Value)> = match value {
        serde_json::Value::Array(pairs) => pairs.iter().map(pair).collect::<Option<_>>()?,
        serde_json::Value::Object(members) => members.into_iter().collect(),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => return None,
    };
    let mut fields = Fields::new();
    for (name, value) in &members {
        let values = match value {
            serde_json::Value::Array(values) => values.iter().collect(),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_)
            | serde_json::Value::Object(_) => vec![value],
        };
        for value in values {
            let text = match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Number(number) => number.to_string(),
                serde_json::Value::Bool(flag) => flag.to_string(),
                serde_json::Value::Array(_) | serde_json::Value::Object(_) => return None,
            };
            fields.push((name.clone().into_bytes(), text.into_bytes()));
        }
    }
    (!fields.is_empty()).then_some(fields)
}

/// The fields of multipart/form-data without files.
fn from_parts(body: &[u8]) -> Option<Fields> {
    let text = std::str::from_utf8(body).ok()?;
    let boundary = text.lines().next()?.trim_end();
    let mut fields = Fields::new();
    for part in text.split(boundary).skip(1) {
        let Some((head, value)) = part.split_once("\r\n\r\n").or_else(|| part.split_once("\n\n")) else {
            continue;
        };
        let name = head.split("name=\"").nth(1)?.split('"').next()?;
        let value = value.strip_suffix("\r\n").or(value.strip_suffix('\n')).unwrap_or(value);
        fields.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    }
    (!fields.is_empty()).then_some(fields)
}
