//! What a reload cannot apply: things that are bound, sized or started once.
//!
//! Compares what `check` would print, so that a new key is covered the day it is described: unless it is listed here as
//! applied, a change of it is reported.

use super::Config;
use super::describe::describe;
use serde_json::{Map, Value};

/// Keys of tables that a reload applies; routes, upstreams and secrets are always applied.
const APPLIED: [&str; 2] = ["limits.in_flight_bytes", "log.filter"];

/// Keys of a listener that a reload applies.
const APPLIED_TO_LISTENERS: [&str; 3] = ["tls", "tls_minimum", "client_auth"];

impl Config {
    /// Sentences that name what differs between the configuration in force and `new` and needs a restart; the rest of
    /// `new` can be applied. Empty when everything can.
    #[must_use]
    pub fn restart_needed(&self, new: &Self) -> Vec<String> {
        let (old, new) = (describe(self), describe(new));
        let mut needed = listeners(&old, &new);
        for key in changes(&flat(&old), &flat(&new)) {
            if !APPLIED.contains(&key.as_str()) {
                needed.push(format!("`{key}` has changed"));
            }
        }
        needed
    }
}

/// `limits.connections` and the like; listeners and routes are lists and left out.
fn flat(tree: &Value) -> Map<String, Value> {
    let mut keys = Map::new();
    for (name, value) in tree.as_object().into_iter().flatten() {
        match value {
            Value::Object(table) => {
                keys.extend(
                    table
                        .iter()
                        .map(|(key, value)| (format!("{name}.{key}"), value.clone())),
                );
            }
            Value::Array(_) => {}
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                keys.insert(name.clone(), value.clone());
            }
        }
    }
    keys
}

/// Listeners are the same when their names are.
fn listeners(old: &Value, new: &Value) -> Vec<String> {
    let (old, new) = (by_name(old), by_name(new));
    let mut needed = Vec::new();
    for (name, listener) in &old {
        match new.iter().find(|(other, _)| other == name) {
            None => needed.push(format!("listener `{name}` is gone")),
            Some((_, other)) => {
                let changes = changes(listener, other).into_iter();
                let changes = changes.filter(|key| !APPLIED_TO_LISTENERS.contains(&key.as_str()));
                needed.extend(changes.map(|key| format!("`{key}` of listener `{name}` has changed")));
            }
        }
    }
    let is_new = |name: &str| !old.iter().any(|(other, _)| *other == name);
    needed.extend(
        new.iter()
            .filter(|(name, _)| is_new(name))
            .map(|(name, _)| format!("listener `{name}` is new")),
    );
    needed
}

fn by_name(tree: &Value) -> Vec<(&str, &Map<String, Value>)> {
    let listeners = tree.get("listen").and_then(Value::as_array).into_iter().flatten();
    listeners
        .filter_map(|listener| Some((listener.get("name")?.as_str()?, listener.as_object()?)))
        .collect()
}

/// Keys that are in one and not in the other, or have different values.
fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<String> {
    let added = new.keys().filter(|key| !old.contains_key(*key));
    old.keys()
        .filter(|key| old.get(*key) != new.get(*key))
        .chain(added)
        .cloned()
        .collect()
}
