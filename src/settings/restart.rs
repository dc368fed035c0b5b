//! Which changes of a reload need a restart: sockets, sizes and threads that exist from the start.
//!
//! [`Config::restart_needed`] names every field of [`Config`], so that a new field does not compile until
//! this module decides whether a reload applies it. Inside a table the serialized keys are compared: a new key needs a restart
//! unless it is listed below.

use super::listener::Listener;
use super::process::Config;
use serde::Serialize;
use serde_json::{Map, Value};

/// Keys of tables that a reload applies.
const APPLIED: [&str; 2] = ["limits.in_flight_bytes", "log.filter"];

/// Keys of a listener that a reload applies.
const APPLIED_TO_LISTENERS: [&str; 3] = ["tls", "tls_minimum", "client_auth"];

impl Config {
    /// One sentence for each difference between this configuration, which is in force, and `new` that needs a restart.
    /// The rest of `new` can be applied. Empty if everything can.
    #[must_use]
    pub fn restart_needed(&self, new: &Self) -> Vec<String> {
        let Self {
            workers,
            listeners,
            admin,
            api,
            capture,
            console,
            limits,
            drain,
            replay,
            inbox,
            keys: fetching,
            log,
            // A reload applies both.
            routes: _,
            warnings: _,
        } = self;
        let mut needed = listener_changes(listeners, &new.listeners);
        let mut keys = Vec::new();
        keys.extend((*workers != new.workers).then(|| String::from("workers")));
        keys.extend(table_changes("admin", admin, &new.admin));
        keys.extend(table_changes("limits", limits, &new.limits));
        keys.extend(table_changes("drain", drain, &new.drain));
        keys.extend(table_changes("replay", replay, &new.replay));
        keys.extend(table_changes("capture", capture, &new.capture));
        keys.extend((*api != new.api).then(|| String::from("api")));
        match (console, &new.console) {
            (Some(old), Some(new)) => keys.extend(table_changes("console", old, new)),
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => keys.push(String::from("console")),
        }
        match (inbox, &new.inbox) {
            (Some(old), Some(new)) => keys.extend(table_changes("inbox", old, new)),
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => keys.push(String::from("inbox")),
        }
        keys.extend(table_changes("keys", fetching, &new.keys));
        keys.extend(table_changes("log", log, &new.log));
        keys.retain(|key| !APPLIED.contains(&key.as_str()));
        needed.extend(keys.into_iter().map(|key| format!("`{key}` has changed")));
        needed
    }
}

/// Differences between two sets of listeners. Listeners with the same name are compared.
fn listener_changes(old: &[Listener], new: &[Listener]) -> Vec<String> {
    let mut needed = Vec::new();
    for listener in old {
        let name = &listener.name;
        match new.iter().find(|other| other.name == *name) {
            None => needed.push(format!("listener `{name}` was removed")),
            Some(other) => {
                let mut keys = changed_keys(listener, other);
                keys.retain(|key| !APPLIED_TO_LISTENERS.contains(&key.as_str()));
                needed.extend(
                    keys.into_iter()
                        .map(|key| format!("`{key}` of listener `{name}` has changed")),
                );
            }
        }
    }
    let is_new = |listener: &&Listener| !old.iter().any(|other| other.name == listener.name);
    needed.extend(
        new.iter()
            .filter(is_new)
            .map(|listener| format!("listener `{}` was added", listener.name)),
    );
    needed
}

/// The changed keys of a table, as `table.key`.
fn table_changes<T: Serialize>(table: &str, old: &T, new: &T) -> impl Iterator<Item = String> {
    changed_keys(old, new)
        .into_iter()
        .map(move |key| format!("{table}.{key}"))
}

/// Keys that only one of the tables has, or whose values differ.
fn changed_keys<T: Serialize>(old: &T, new: &T) -> Vec<String> {
    let (old, new) = (table(old), table(new));
    let added = new.keys().filter(|key| !old.contains_key(*key));
    old.keys()
        .filter(|key| old.get(*key) != new.get(*key))
        .chain(added)
        .cloned()
        .collect()
}

/// The serialized form of a settings type, which is always a table.
fn table<T: Serialize>(settings: &T) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(table)) => table,
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | Err(_) => Map::new(),
    }
}
