//! `gateway.toml` and `docs/configuration.md` agree with the code.

use super::Fixture;
use crate::config::decode::decode;
use crate::config::document::Document;
use crate::config::fault::Report;
use crate::config::value::Keywords;
use crate::settings::{Audit, LogFormat, ReadyWhen, TlsVersion};
use figment::error::Kind;
use figment::value::{Dict, Value};
use serde::Deserialize;

const GATEWAY: &str = include_str!("../../../gateway.toml");
const MANUAL: &str = include_str!("../../../docs/configuration.md");

/// A key that no table has.
const PROBE: &str = "zzz";

/// The path of every key, without indices. serde lists the keys of a table in its error about an unknown key.
fn keys() -> Vec<String> {
    let mut found = Vec::new();
    explore(&[], &mut found);
    found
}

fn explore(path: &[&'static str], found: &mut Vec<String>) {
    // The operator chooses the names in this table.
    let named = matches!(path, ["upstreams"]);
    let path = if named {
        [path, &["NAME"]].concat()
    } else {
        path.to_vec()
    };
    for key in fields(&path) {
        let below = [&path[..], &[key]].concat();
        found.push(below.join("."));
        explore(&below, found);
    }
}

/// The keys of the table at `path`; empty if there is no table.
fn fields(path: &[&'static str]) -> &'static [&'static str] {
    let mut value = Value::from(Dict::from([(PROBE.to_owned(), Value::from(1))]));
    for key in path.iter().rev() {
        value = Value::from(Dict::from([((*key).to_owned(), value)]));
    }
    match crate::config::file::File::deserialize(&value).map_err(|error| error.kind) {
        Err(Kind::UnknownField(name, known)) if name == PROBE => known,
        Ok(_) | Err(_) => &[],
    }
}

#[test]
fn keys_of_all_depths_are_found() {
    let keys = keys();
    for key in [
        "workers",
        "listen.tls.certificate",
        "limits.http2_streams",
        "upstreams.NAME.client.key",
        "route.replay.on_replay",
        "route.secrets.env",
        "route.upstream.url",
        "route.custom.signature.header",
    ] {
        assert!(keys.iter().any(|found| found == key), "{key} is not among {keys:?}");
    }
}

/// The last part of every key is written as `key =` in `gateway.toml`.
#[test]
fn the_annotated_file_has_every_key() {
    let keys = keys();
    let missing: Vec<&String> = keys
        .iter()
        .filter(|key| !key.starts_with("route.custom."))
        .filter(|key| {
            let last = key.rsplit('.').next().unwrap();
            let is_written = GATEWAY.match_indices(last).any(|(at, _)| {
                let before = GATEWAY[..at].chars().next_back();
                let after = GATEWAY[at + last.len()..].trim_start_matches(' ');
                before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_')
                    && (after.starts_with('=') || after.starts_with([']', '.']))
            });
            !is_written
        })
        .collect();
    assert!(!keys.is_empty() && missing.is_empty(), "{missing:?}");
}

/// Every key has a row in the manual: `` | `key` | `` below the heading of its table.
#[test]
fn the_manual_has_every_key() {
    let keys = keys();
    let missing: Vec<&String> = keys
        .iter()
        .filter(|key| !key.starts_with("route.custom."))
        .filter(|key| {
            let (table, last) = key.rsplit_once('.').unwrap_or(("", key));
            !rows(table).contains(&last)
        })
        .collect();
    assert!(!keys.is_empty() && missing.is_empty(), "{missing:?}");
}

/// Every row of the manual is a key.
#[test]
fn the_manual_has_no_key_that_does_not_exist() {
    let keys = keys();
    for (table, row) in all_rows() {
        let key = if table.is_empty() {
            row.to_owned()
        } else {
            format!("{table}.{row}")
        };
        assert!(keys.contains(&key), "`{key}` is in the manual and not in the code");
    }
}

/// Names in the first column below the heading that names `table` in its comment: `<!-- keys: route.replay -->`.
fn rows(table: &str) -> Vec<&'static str> {
    let table = match table.strip_prefix("route.upstream") {
        Some(rest) => format!("upstreams.NAME{rest}"),
        None => table
            .replace("route.public_keys", "route.secrets")
            .replace("route.verify_token", "route.secrets")
            .replace("route.public_url_credentials", "route.secrets")
            .replace("route.keys.secret", "route.secrets")
            .replace("listen.tls.acme.keys", "route.secrets")
            .replace("listen.tls.acme.storage.user", "route.secrets")
            .replace("listen.tls.acme.storage.password", "route.secrets")
            .replace("listen.tls.acme.external_account.key", "route.secrets"),
    };
    all_rows()
        .into_iter()
        .filter(|(name, _)| *name == table)
        .map(|(_, row)| row)
        .collect()
}

fn all_rows() -> Vec<(&'static str, &'static str)> {
    let mut table = None;
    let mut rows = Vec::new();
    for line in MANUAL.lines() {
        if let Some(name) = line
            .strip_prefix("<!-- keys:")
            .and_then(|rest| rest.strip_suffix("-->"))
        {
            table = Some(name.trim());
        } else if line.starts_with('#') {
            table = None;
        } else if let (Some(table), Some(row)) = (table, line.strip_prefix("| `")) {
            rows.push((table, row.split('`').next().unwrap()));
        }
    }
    rows
}

/// Only the paths of the certificate are replaced.
#[test]
fn the_annotated_file_loads_without_warnings() {
    let text = GATEWAY.replace("/etc/hookgate/tls/", "DIR/");
    let config = Fixture::new(&text).config();
    assert_eq!(config.warnings, Vec::<String>::new());
}

/// `gateway.toml` with all lines `#key = default` uncommented gives the same settings.
#[test]
fn the_defaults_in_the_annotated_file_are_the_defaults() {
    let text = GATEWAY.replace("/etc/hookgate/tls/", "DIR/");
    // Not defaults: alternatives to keys that the file has, examples, and the upstream that no route uses.
    let (text, _) = text.split_once("# An upstream with its own settings").unwrap();
    let examples = [
        "#unix",
        "#mode = \"0660\"",
        "#name",
        "#host",
        "#public_",
        "#client_auth",
        "#custom",
        "#verify_token",
        "#replay = {",
        "#dedupe = {",
        "#workers",
        "#per_source",
        "#rate",
    ];
    let mut uncommented = String::new();
    let mut count = 0;
    for line in text.lines() {
        let is_default = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        match is_default.filter(|_| !examples.iter().any(|example| line.starts_with(example))) {
            Some(rest) => {
                count += 1;
                uncommented.push_str(rest);
            }
            None => uncommented.push_str(line),
        }
        uncommented.push('\n');
    }
    assert!(count > 25, "{count} defaults");
    let printed = |text: &str| {
        let mut printed = Fixture::new(text).printed();
        printed["listen"] = serde_json::Value::Null;
        printed
    };
    assert_eq!(printed(text), printed(&uncommented));
}

/// Every TOML example of the manual is decoded without a fault.
#[test]
fn the_examples_of_the_manual_have_no_unknown_key() {
    let mut examples = 0;
    for block in MANUAL.split("```toml\n").skip(1) {
        let text = block.split("```").next().unwrap();
        let mut report = Report::default();
        let mut document = Document::parse(text, &mut report);
        decode(&mut document.tree, &mut report);
        assert!(report.faults.is_empty(), "{text}\n{:?}", report.faults);
        examples += 1;
    }
    assert!(examples >= 3, "{examples} examples");
}

/// The keywords that the file accepts are those that `check` prints.
#[test]
fn keywords_are_printed_as_they_are_written() {
    fn check<T: Keywords + serde::Serialize>() {
        for (keyword, value) in T::KEYWORDS {
            assert_eq!(serde_json::to_value(value).unwrap(), *keyword);
        }
    }
    check::<TlsVersion>();
    check::<ReadyWhen>();
    check::<LogFormat>();
    check::<Audit>();
}
