//! Decodes the merged values into [`File`] and records every fault.
//!
//! serde stops at the first error. Therefore a faulty value is recorded and removed, and the rest is decoded again until
//! no error is left. So [`File`] can be an ordinary derive with `deny_unknown_fields`. The loop ends, because each pass
//! removes a value. Faults never quote a value; figment's own messages do.

use super::fault::{LITERAL_SECRET, Report, alternatives, closest};
use super::file::File;
use figment::error::{Actual, Kind};
use figment::value::{Dict, Empty, Value};
use serde::Deserialize;

/// Decodes `tree`, records its faults, and removes the values that are faulty.
pub(super) fn decode(tree: &mut Dict, report: &mut Report) -> File {
    let mut value = Value::from(std::mem::take(tree));
    let file = decode_value(&mut value, report);
    if let Value::Dict(_, decoded) = value {
        *tree = decoded;
    }
    file
}

fn decode_value(tree: &mut Value, report: &mut Report) -> File {
    loop {
        let error = match File::deserialize(&*tree) {
            Ok(file) => return file,
            Err(error) => error,
        };
        let mut path = error.path;
        if let Kind::UnknownField(name, _) = &error.kind
            && path.last() != Some(name)
        {
            path.push(name.clone());
        }
        let key = render(tree, &path);
        record(&key, error.kind, report);
        if report.is_full() || !remove(tree, &path) {
            return File::default();
        }
    }
}

fn record(key: &str, kind: Kind, report: &mut Report) {
    match kind {
        Kind::UnknownField(name, known) => {
            let known_here = || {
                format!(
                    "the keys of this table are {}",
                    alternatives(known.iter().copied(), "and")
                )
            };
            let closest = closest(&name, known.iter().copied());
            let meant = meant_instead(&name, known).or(closest);
            let meant = meant.map(|meant| match key.rsplit_once('.') {
                Some((table, _)) => format!("{table}.{meant}"),
                None => meant.to_owned(),
            });
            let (problem, fix) = match (explanation(key, &name, known), closest) {
                (Some(explanation), _) => (explanation, String::new()),
                (None, Some(meant)) => (format!("unknown key `{name}`, did you mean `{meant}`?"), String::new()),
                (None, None) => (format!("unknown key `{name}`"), known_here()),
            };
            report.unknown(key, meant, problem, fix);
        }
        Kind::UnknownVariant(name, known) => {
            let meant = meant_word(key, &name, known).or_else(|| closest(&name, known.iter().copied()));
            let hint = meant.map(|meant| format!(", did you mean `{meant}`?"));
            report.fault(
                key,
                format!("this key does not accept this word{}", hint.unwrap_or_default()),
                format!("write {}", alternatives(known.iter().copied(), "or")),
            );
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let (problem, fix) = wrong_type(key, &found, &expected);
            report.fault(key, problem, fix);
        }
        // The types of `value` put the problem on the first line and the fix on the second.
        Kind::Message(message) => match message.split_once('\n') {
            Some((problem, fix)) => report.fault(key, problem, fix),
            None => report.fault(key, message, ""),
        },
        Kind::MissingField(name) => {
            report.missing(format!("{key}.{name}"), "this key is missing", "");
        }
        Kind::InvalidLength(_, expected) => {
            report.fault(key, format!("the number of items is wrong, expected {expected}"), "");
        }
        Kind::DuplicateField(_)
        | Kind::ISizeOutOfRange(_)
        | Kind::USizeOutOfRange(_)
        | Kind::Unsupported(_)
        | Kind::UnsupportedKey(..) => report.fault(key, "this key does not accept this value", ""),
    }
}

/// The problem and the fix of a value of another type than its key has.
fn wrong_type(key: &str, found: &Actual, expected: &str) -> (String, String) {
    let name = key.rsplit('.').next().unwrap_or(key);
    let name = name.split('[').next().unwrap_or(name);
    let is = kind_of(found);
    let number = if let Actual::Unsigned(number) = found {
        Some(*number)
    } else if let Actual::Signed(number) = found {
        u128::try_from(*number).ok()
    } else {
        None
    };
    if let ("address", Some(port)) = (name, number) {
        return (
            String::from("this is a number, and an address is a text with an IP address and a port"),
            format!("write \"0.0.0.0:{port}\", or \"127.0.0.1:{port}\" for this machine only"),
        );
    }
    match (name, found) {
        ("host" | "path" | "provider", Actual::Seq) => (
            format!("this is a list, and a route has one `{name}`"),
            String::from("write a `[[route]]` for each"),
        ),
        ("dedupe" | "health_check", Actual::Bool(_)) => (
            format!("this is a boolean, and `{name}` is a table"),
            format!("write `{name} = {{}}` to turn it on, or remove the line"),
        ),
        ("replay" | "ejection", Actual::Bool(_)) => (
            format!("this is a boolean, and `{name}` is a table"),
            match name {
                "replay" => String::from("write `replay = { enabled = false }` to turn it off"),
                _ => String::from("write `ejection = { failures = 0 }` to turn it off"),
            },
        ),
        ("tls", Actual::Bool(_)) => (
            String::from("this is a boolean, and `tls` is a certificate with its key"),
            String::from("write `tls = { certificate = \"…\", key = \"…\" }`, or `plaintext = true` in place of it"),
        ),
        _ if expected.starts_with("struct ") || expected == "a map" => (
            format!("this is {is}, and `{name}` is a table"),
            format!("write `{name} = {{ … }}`"),
        ),
        _ if expected == "a string" && (number.is_some() || matches!(found, Actual::Bool(_) | Actual::Float(_))) => (
            format!("this is {is}, expected a string"),
            String::from("write it in quotation marks"),
        ),
        _ => (format!("this is {is}, expected {expected}"), String::new()),
    }
}

/// The word that is often written like this where `key` accepts the words of `known`: a hash in another spelling usually
/// stands for the HMAC with it, and a plain digest is named exactly.
fn meant_word(key: &str, name: &str, known: &[&'static str]) -> Option<&'static str> {
    let is_hash = key.ends_with(".algorithm") && name.to_ascii_lowercase().starts_with("sha");
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    known
        .iter()
        .copied()
        .find(|word| is_hash && *word == format!("hmac-sha{digits}"))
}

/// The key of the same table that is often written under this name.
fn meant_instead(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let meant = match name {
        "secret" | "key" | "signing_secret" => "secrets",
        "public_key" => "public_keys",
        "routes" => "route",
        "url" | "target" | "backend" | "proxy_pass" | "forward_to" => "upstream",
        "listeners" | "server" | "address" | "port" => "listen",
        "listen" | "bind" | "addr" => "address",
        "endpoint" | "uri" => "path",
        "scheme" | "type" => "provider",
        _ => return None,
    };
    known.iter().copied().find(|known| *known == meant)
}

/// Why a key does not exist that people often try.
fn explanation(key: &str, name: &str, known: &[&str]) -> Option<String> {
    // `HOOKGATE_LIMITS_CONNECTIONS` sets the key `limits_connections`.
    let table = known.iter().find(|table| {
        let rest = name.strip_prefix(**table).and_then(|rest| rest.strip_prefix('_'));
        rest.is_some_and(|rest| !rest.is_empty())
    });
    if let (Some(table), false) = (table, key.contains('.')) {
        let rest = name.get(table.len() + 1..).unwrap_or_default();
        return Some(format!(
            "unknown key `{name}`: `{rest}` is part of `[{table}]`, so a variable has two underscores between them, `HOOKGATE_{}__{}`",
            table.to_ascii_uppercase(),
            rest.to_ascii_uppercase(),
        ));
    }
    let in_secret = key.contains("secrets") || key.contains("public_keys") || key.contains("headers.");
    match name {
        "value" | "secret" | "literal" | "plain" if in_secret => Some(LITERAL_SECRET),
        "secret" => {
            Some("unknown key `secret`: a route can have several secrets, so write `secrets = [{ env = \"…\" }]`")
        }
        "address" | "port" if !key.contains('.') => Some("unknown key at the top level: write it under `[listen]`"),
        "ports" | "port" => Some("unknown key: the port is part of the address, such as \"0.0.0.0:8443\""),
        "dedupe" => Some("unknown key: `dedupe` belongs to a route, so write it as `[route.dedupe]`"),
        "url" if key.starts_with("route") => {
            Some("unknown key `url`: the application's URL is `upstream = \"http://127.0.0.1:8000\"`")
        }
        "algorithm" | "encoding" | "payload" | "key" | "timestamp" | "tolerance" | "delivery_id"
            if key.contains(".custom.") =>
        {
            return Some(format!(
                "unknown key `{name}` in this table: it belongs to `[route.custom]`, one level higher"
            ));
        }
        "routes" => Some("unknown key `routes`: write each route as `[[route]]`"),
        "listeners" | "server" => Some("unknown key: write the listener as `[listen]`"),
        _ => None,
    }
    .map(str::to_owned)
}

const fn kind_of(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) => "an integer",
        Actual::Float(_) => "a number with a fraction",
        Actual::Char(_) | Actual::Str(_) => "a string",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        Actual::Bytes(_)
        | Actual::Unit
        | Actual::Option
        | Actual::NewtypeStruct
        | Actual::Enum
        | Actual::UnitVariant
        | Actual::NewtypeVariant
        | Actual::TupleVariant
        | Actual::StructVariant
        | Actual::Other(_) => "something else",
    }
}

/// The path in the form of the faults: `route[0].path`.
fn render(tree: &Value, path: &[String]) -> String {
    let mut current = Some(tree);
    let mut text = String::new();
    for segment in path {
        let is_item = matches!(current, Some(Value::Array(..)));
        match is_item {
            true => text = format!("{text}[{segment}]"),
            false if text.is_empty() => text.clone_from(segment),
            false => text = format!("{text}.{segment}"),
        }
        current = current.and_then(|value| match value {
            Value::Dict(_, dict) => dict.get(segment),
            Value::Array(_, items) => segment.parse::<usize>().ok().and_then(|index| items.get(index)),
            Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) => None,
        });
    }
    text
}

/// Removes the value at `path`. An item of a list is replaced by `Empty`, so that the others keep their indices. If there
/// is no value at `path`, the nearest value above it is removed. `false` if nothing could be removed.
fn remove(tree: &mut Value, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return false;
    };
    if let Some(below) = child(tree, first)
        && remove(below, rest)
    {
        return true;
    }
    match tree {
        Value::Dict(_, dict) => dict.remove(first).is_some(),
        Value::Array(..) => match child(tree, first) {
            Some(item) if !matches!(item, Value::Empty(..)) => {
                *item = Value::from(Empty::None);
                true
            }
            Some(_) | None => false,
        },
        Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) => false,
    }
}

fn child<'t>(tree: &'t mut Value, segment: &str) -> Option<&'t mut Value> {
    match tree {
        Value::Dict(_, dict) => dict.get_mut(segment),
        Value::Array(_, items) => segment.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
        Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) => None,
    }
}
