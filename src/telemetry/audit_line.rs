//! One audit line: its fields in their order, as JSON in plain ASCII or as text for people. It is written by hand: a
//! serializer would cost more than all the rest of an exchange's record.

use super::ascii::{self, DateText, number, seconds, signed, string};
use super::asked::Asked;
use crate::http::unread_head::UnreadHead;
use crate::outcome::Outcome;
use hyper::StatusCode;
use std::io::Write as _;
use std::net::IpAddr;

/// What a line says that its outcome does not: where the request arrived, what it asked for, and the configured names of
/// what the outcome holds as an index.
#[derive(Clone, Copy, Debug)]
pub struct AuditNames<'a> {
    /// The route; empty if none matched.
    pub route: &'a str,
    /// The name of the listener.
    pub listener: &'a str,
    /// The version of HTTP.
    pub protocol: &'static str,
    /// Method, host and path.
    pub asked: &'a Asked,
    /// The active secret that matched.
    pub secret: Option<&'a str>,
    /// The tenant whose secret matched, on a route with tenants.
    pub tenant: Option<&'a str>,
    /// The upstream's server, as its URL.
    pub upstream: Option<&'a str>,
}

/// A request whose head could not be read.
#[derive(Clone, Copy, Debug)]
pub struct UnreadRequest<'a> {
    /// When it was refused, in Unix milliseconds.
    pub refused_unix_ms: u64,
    /// The peer of the connection.
    pub peer: Option<IpAddr>,
    /// The name of the listener.
    pub listener: &'a str,
    /// The version of HTTP, if it is known.
    pub protocol: Option<&'static str>,
    /// The status that the sender was given; `None` when the connection was ended without one.
    pub status: Option<StatusCode>,
    /// Why it could not be read.
    pub failure: UnreadHead,
}

/// What an operator did.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// When, in Unix milliseconds.
    pub unix_ms: u64,
    /// Who: `uid 1000`, or a name that the configuration knows.
    pub actor: &'a str,
    /// What: a fixed word such as `redeliver`.
    pub action: &'a str,
    /// The route, delivery or secret that it concerns; empty if none.
    pub target: &'a str,
    /// What more there is to say; may be empty.
    pub detail: &'a str,
}

/// Appends the line of an action as JSON.
pub(super) fn json_action(out: &mut Vec<u8>, date: &mut DateText, action: &Action<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    date.write(out, action.unix_ms);
    out.extend_from_slice(b"\",\"kind\":\"action\"");
    for (key, text) in [
        (&b",\"actor\":"[..], action.actor),
        (b",\"action\":", action.action),
        (b",\"target\":", action.target),
        (b",\"detail\":", action.detail),
    ] {
        if !text.is_empty() {
            out.extend_from_slice(key);
            string(out, text);
        }
    }
    out.extend_from_slice(b"}\n");
}

/// Appends the line of an action for people.
pub(super) fn human_action(out: &mut Vec<u8>, date: &mut DateText, action: &Action<'_>) {
    date.write(out, action.unix_ms);
    out.extend_from_slice(b" action");
    field(out, " ", action.action);
    field(out, " target=", action.target);
    field(out, " actor=", action.actor);
    field(out, " detail=", action.detail);
    out.push(b'\n');
}

/// Appends the line of an exchange as JSON. Absent fields are left out.
pub(super) fn json(out: &mut Vec<u8>, date: &mut DateText, names: AuditNames<'_>, outcome: &Outcome) {
    begin(out, date, outcome.received_unix_ms);
    out.extend_from_slice(b",\"request_id\":");
    string(out, &outcome.request_id);
    out.extend_from_slice(b",\"route\":");
    string(out, names.route);
    origin(out, outcome.peer, names.listener, Some(names.protocol));
    for (key, text) in [
        (&b",\"method\":\""[..], names.asked.method()),
        (b"\",\"host\":\"", names.asked.host()),
        (b"\",\"path\":\"", names.asked.path()),
    ] {
        out.extend_from_slice(key);
        out.extend_from_slice(text);
    }
    out.push(b'"');
    if let Some(status) = outcome.status {
        out.extend_from_slice(b",\"status\":");
        number(out, status.as_u16().into());
    }
    decision(out, outcome.verdict.label(), outcome.verdict.reason());
    if let Some(secret) = names.secret {
        out.extend_from_slice(b",\"secret\":");
        string(out, secret);
    }
    if let Some(tenant) = names.tenant {
        out.extend_from_slice(b",\"tenant\":");
        string(out, tenant);
    }
    if outcome.without_shared_store {
        out.extend_from_slice(b",\"replay_store\":\"failed\"");
    }
    if let Some(age) = outcome.signature_age_seconds {
        out.extend_from_slice(b",\"signature_age_seconds\":");
        signed(out, age);
    }
    out.extend_from_slice(b",\"body_bytes\":");
    number(out, outcome.body_bytes);
    if let Some(upstream) = names.upstream {
        out.extend_from_slice(b",\"upstream\":");
        string(out, upstream);
    }
    if let Some(status) = outcome.upstream_status {
        out.extend_from_slice(b",\"upstream_status\":");
        number(out, status.as_u16().into());
    }
    for (key, duration) in [
        (&b",\"upstream_seconds\":"[..], outcome.upstream_duration),
        (b",\"verification_seconds\":", outcome.verification_duration),
        (b",\"seconds\":", Some(outcome.duration)),
    ] {
        if let Some(duration) = duration {
            out.extend_from_slice(key);
            seconds(out, duration);
        }
    }
    out.extend_from_slice(b"}\n");
}

/// Appends the line of a request whose head could not be read, as JSON.
pub(super) fn json_unread(out: &mut Vec<u8>, date: &mut DateText, unread: &UnreadRequest<'_>) {
    begin(out, date, unread.refused_unix_ms);
    out.extend_from_slice(b",\"route\":\"\"");
    origin(out, unread.peer, unread.listener, unread.protocol);
    if let Some(status) = unread.status {
        out.extend_from_slice(b",\"status\":");
        number(out, status.as_u16().into());
    }
    decision(out, "rejected", unread.failure.reason());
    out.extend_from_slice(b"}\n");
}

fn begin(out: &mut Vec<u8>, date: &mut DateText, unix_ms: u64) {
    out.extend_from_slice(b"{\"time\":\"");
    date.write(out, unix_ms);
    out.extend_from_slice(b"\",\"kind\":\"request\"");
}

fn origin(out: &mut Vec<u8>, peer: Option<IpAddr>, listener: &str, protocol: Option<&str>) {
    if let Some(peer) = peer {
        out.extend_from_slice(b",\"peer\":\"");
        address(out, peer);
        out.push(b'"');
    }
    out.extend_from_slice(b",\"listener\":");
    string(out, listener);
    if let Some(protocol) = protocol {
        out.extend_from_slice(b",\"protocol\":");
        string(out, protocol);
    }
}

fn decision(out: &mut Vec<u8>, verdict: &str, reason: &str) {
    for part in [",\"verdict\":\"", verdict, "\",\"reason\":\"", reason, "\""] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn address(out: &mut Vec<u8>, peer: IpAddr) {
    // Writing to a growing buffer cannot fail.
    let _ = write!(out, "{peer}");
}

/// Appends the line of an exchange for people: what was asked and answered first, then what explains it.
pub(super) fn human(out: &mut Vec<u8>, date: &mut DateText, names: AuditNames<'_>, outcome: &Outcome) {
    date.write(out, outcome.received_unix_ms);
    status(out, outcome.status);
    for part in [
        &b" "[..],
        names.asked.method(),
        b" ",
        names.asked.host(),
        names.asked.path(),
    ] {
        out.extend_from_slice(part);
    }
    words(out, &[" ", outcome.verdict.label()]);
    if outcome.verdict.reason() != "none" {
        words(out, &[" ", outcome.verdict.reason()]);
    }
    field(out, " route=", names.route);
    peer_and_listener(out, outcome.peer, names.listener);
    words(out, &[" protocol=", names.protocol]);
    if let Some(secret) = names.secret {
        field(out, " secret=", secret);
    }
    if let Some(tenant) = names.tenant {
        field(out, " tenant=", tenant);
    }
    if outcome.without_shared_store {
        words(out, &[" replay_store=failed"]);
    }
    if let Some(age) = outcome.signature_age_seconds {
        words(out, &[" signature_age="]);
        signed(out, age);
        out.push(b's');
    }
    words(out, &[" body_bytes="]);
    number(out, outcome.body_bytes);
    if let Some(upstream) = names.upstream {
        field(out, " upstream=", upstream);
    }
    if let Some(status) = outcome.upstream_status {
        words(out, &[" upstream_status="]);
        number(out, status.as_u16().into());
    }
    words(out, &[" took="]);
    seconds(out, outcome.duration);
    words(out, &["s"]);
    field(out, " request_id=", &outcome.request_id);
    out.push(b'\n');
}

/// Appends the line of a request whose head could not be read, for people.
pub(super) fn human_unread(out: &mut Vec<u8>, date: &mut DateText, unread: &UnreadRequest<'_>) {
    date.write(out, unread.refused_unix_ms);
    status(out, unread.status);
    words(out, &[" - rejected ", unread.failure.reason()]);
    peer_and_listener(out, unread.peer, unread.listener);
    if let Some(protocol) = unread.protocol {
        words(out, &[" protocol=", protocol]);
    }
    out.push(b'\n');
}

/// Appends the status, or three hyphens for an end without one.
fn status(out: &mut Vec<u8>, status: Option<StatusCode>) {
    out.push(b' ');
    match status {
        Some(status) => number(out, status.as_u16().into()),
        None => out.extend_from_slice(b"---"),
    }
}

fn words(out: &mut Vec<u8>, words: &[&str]) {
    words.iter().for_each(|word| out.extend_from_slice(word.as_bytes()));
}

/// Appends a field whose value is escaped; nothing for an empty value.
fn field(out: &mut Vec<u8>, key: &str, value: &str) {
    if !value.is_empty() {
        out.extend_from_slice(key.as_bytes());
        ascii::escaped(out, value);
    }
}

fn peer_and_listener(out: &mut Vec<u8>, peer: Option<IpAddr>, listener: &str) {
    if let Some(peer) = peer {
        out.extend_from_slice(b" peer=");
        address(out, peer);
    }
    field(out, " listener=", listener);
}
