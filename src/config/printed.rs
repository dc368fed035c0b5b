//! The configuration in force as a file again: every setting with its default, and the sources of secrets as they were
//! written. Loading it gives the same settings.

use crate::settings::Config;
use figment::value::{Dict, Value as Written};
use toml::{Table, Value};

/// The settings as TOML tables. `written` are the merged values of file, variables and options: they have the sources of
/// header values and of the store's password, and the description of `custom`, of which the settings keep the result only.
///
/// # Errors
/// A value has no form in TOML.
pub(super) fn printed(config: &Config, written: Dict) -> Result<Table, toml::ser::Error> {
    let mut tree = Table::try_from(config)?;
    let written = Table::try_from(Written::from(written))?;
    tree.iter_mut().for_each(|(_, value)| remove_redacted(value));
    if let (Some(store), Some(own)) = (table(&mut tree, "replay"), written.get("replay")) {
        for key in ["user", "password"] {
            if own.get(key).is_some_and(Value::is_table) {
                copy(store, own, key);
            }
        }
    }
    let routes = tree.get_mut("route").and_then(Value::as_array_mut);
    for (index, route) in routes.into_iter().flatten().enumerate() {
        let (Some(route), Some(own)) = (route.as_table_mut(), item(&written, "route", index)) else {
            continue;
        };
        if route.get("provider").and_then(Value::as_str) == Some("custom") {
            copy(route, own, "custom");
        }
        let upstream = own.get("upstream").and_then(|upstream| match upstream.as_str() {
            Some(name) => written.get("upstreams")?.get(name),
            None => Some(upstream),
        });
        if let (Some(shown), Some(own)) = (table(route, "upstream"), upstream) {
            copy_sources(shown, own, "headers");
        }
    }
    Ok(tree)
}

/// Removes `value = "[redacted]"` beside the source of a secret.
fn remove_redacted(value: &mut Value) {
    if let Value::Table(table) = value {
        if table.contains_key("env") || table.contains_key("file") {
            table.remove("value");
        }
        table.iter_mut().for_each(|(_, value)| remove_redacted(value));
    } else if let Value::Array(items) = value {
        items.iter_mut().for_each(remove_redacted);
    }
}

fn table<'t>(tree: &'t mut Table, key: &str) -> Option<&'t mut Table> {
    tree.get_mut(key)?.as_table_mut()
}

/// The item of a list, which may be written as one item.
fn item<'t>(tree: &'t Table, key: &str, index: usize) -> Option<&'t Value> {
    let list = tree.get(key)?;
    match list.as_array() {
        Some(items) => items.get(index),
        None => Some(list),
    }
}

/// Copies the sources of header values. A literal value stays redacted, because it may be a token.
fn copy_sources(into: &mut Table, from: &Value, key: &str) {
    let Some(shown) = table(into, key) else {
        return;
    };
    let own = from.get(key).and_then(Value::as_table);
    for (name, value) in own.into_iter().flatten().filter(|(_, value)| value.is_table()) {
        // The settings have names in lower case.
        shown.insert(name.to_ascii_lowercase(), value.clone());
    }
}

fn copy(into: &mut Table, from: &Value, key: &str) {
    if let Some(value) = from.get(key) {
        into.insert(key.to_owned(), value.clone());
    }
}
