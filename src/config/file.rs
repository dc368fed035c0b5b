//! The file's shape: what can be written, each key once. Everything may be absent; `resolve` knows the defaults and what is
//! needed. The meaning, unit and default of every key are in `docs/configuration.md`, and a test compares the two.

use super::fault::LITERAL_SECRET;
use super::value::{Count, FileMode, Flag, List, Size, Tolerance, Wait, Word, Words};
use super::{Audit, LogFormat, ReadyWhen, TlsVersion};
use crate::scheme;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor, value};
use std::collections::BTreeMap;
use std::fmt;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) workers: Option<Count>,
    pub(super) listen: List<Listen>,
    pub(super) admin: Admin,
    pub(super) limits: Limits,
    pub(super) drain: Drain,
    pub(super) replay: ReplayStore,
    pub(super) log: Log,
    pub(super) upstreams: BTreeMap<String, Upstream>,
    pub(super) route: List<Route>,
}

/// `[listen]` or `[[listen]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listen {
    pub(super) name: Option<String>,
    pub(super) address: Option<String>,
    pub(super) unix: Option<String>,
    pub(super) mode: Option<FileMode>,
    pub(super) tls: List<Certificate>,
    pub(super) tls_minimum: Option<Word<TlsVersion>>,
    pub(super) client_auth: Option<ClientAuth>,
    pub(super) plaintext: Option<Flag>,
    pub(super) trusted_proxies: List<String>,
    pub(super) proxy_protocol: Option<Flag>,
}

/// A certificate chain and its key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Certificate {
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
}

/// `client_auth` of a listener.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClientAuth {
    pub(super) ca: Option<String>,
    pub(super) mode: Option<Word<ClientMode>>,
    pub(super) forward_subject: Option<Flag>,
}

/// `mode` of `client_auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientMode {
    Required,
    Optional,
}

/// `[admin]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) address: Option<String>,
    pub(super) readiness: Option<Word<ReadyWhen>>,
}

/// `[limits]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) connections: Option<Count>,
    pub(super) in_flight_bytes: Option<Size>,
    pub(super) head_bytes: Option<Size>,
    pub(super) headers: Option<Count>,
    pub(super) handshake_timeout: Option<Wait>,
    pub(super) head_timeout: Option<Wait>,
    pub(super) idle_timeout: Option<Wait>,
    pub(super) write_timeout: Option<Wait>,
    pub(super) http2_streams: Option<Count>,
}

/// `[drain]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Drain {
    pub(super) delay: Option<Wait>,
    pub(super) grace: Option<Wait>,
}

/// `[replay]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReplayStore {
    pub(super) capacity: Option<Count>,
    pub(super) store: List<String>,
    pub(super) sentinel: Option<String>,
    pub(super) user: Option<HeaderText>,
    pub(super) password: Option<Key>,
    pub(super) ca: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) timeout: Option<Wait>,
    pub(super) on_store_failure: Option<Word<OnStoreFailure>>,
}

/// `[log]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: Option<Word<LogFormat>>,
    pub(super) filter: Option<String>,
    pub(super) audit: Option<Word<Audit>>,
}

/// `[[route]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Route {
    pub(super) name: Option<String>,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
    pub(super) methods: List<String>,
    pub(super) allow: List<String>,
    pub(super) provider: Option<String>,
    pub(super) secrets: List<Key>,
    pub(super) public_keys: List<Key>,
    pub(super) public_url: Option<String>,
    pub(super) custom: Option<scheme::SchemeDescription>,
    pub(super) tolerance: Option<Tolerance>,
    pub(super) replay: Replay,
    pub(super) dedupe: Option<Dedupe>,
    pub(super) mode: Option<Word<Mode>>,
    pub(super) body_limit: Option<Size>,
    pub(super) body_timeout: Option<Wait>,
    pub(super) reject_status: Option<Count>,
    pub(super) refusal_detail: Option<Word<Detail>>,
    pub(super) handshake: Option<Flag>,
    pub(super) verify_token: Option<Key>,
    pub(super) upstream: Option<UpstreamRef>,
}

/// `replay` of a route.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Replay {
    pub(super) enabled: Option<Flag>,
    pub(super) window: Option<Wait>,
    pub(super) on_replay: Option<Word<OnReplay>>,
}

/// `dedupe` of a route; there, even empty, it is on.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dedupe {
    pub(super) header: Option<String>,
    pub(super) pointer: Option<String>,
    pub(super) form: Option<String>,
    pub(super) window: Option<Wait>,
    pub(super) on_duplicate: Option<Word<OnReplay>>,
    pub(super) on_missing_id: Option<Word<OnMissingId>>,
}

/// A secret or public key: where it is, never what it is.
#[derive(Debug, Default)]
pub(super) struct Key(pub(super) KeyTable);

/// A [`Key`] as a table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeyTable {
    pub(super) name: Option<String>,
    pub(super) env: Option<String>,
    pub(super) file: Option<String>,
    pub(super) retired: Option<Flag>,
}

/// A URL, the name of an `[upstreams.NAME]` table, several URLs, or a table.
#[derive(Debug)]
pub(super) enum UpstreamRef {
    /// URL or name.
    Text(String),
    /// Several servers, and every setting at its default.
    List(List<Server>),
    /// A table of its own.
    Table(Box<Upstream>),
}

/// `[upstreams.NAME]`, or `upstream` of a route as a table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Upstream {
    pub(super) url: List<Server>,
    pub(super) ca: Option<String>,
    pub(super) client: Option<Certificate>,
    pub(super) connect_timeout: Option<Wait>,
    pub(super) timeout: Option<Wait>,
    pub(super) idle_connections: Option<Count>,
    pub(super) idle_timeout: Option<Wait>,
    pub(super) max_connections: Option<Count>,
    pub(super) resolve_interval: Option<Wait>,
    pub(super) ejection: Ejection,
    pub(super) health_check: Option<HealthCheck>,
    pub(super) headers: BTreeMap<String, HeaderText>,
}

/// One of an upstream's servers: a URL, or a table with one.
#[derive(Debug, Default)]
pub(super) struct Server(pub(super) ServerTable);

/// A [`Server`] as a table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerTable {
    pub(super) url: Option<String>,
    pub(super) weight: Option<Count>,
    /// Whether `url` is the whole item, and has no key of its own.
    #[serde(skip)]
    pub(super) is_text: bool,
}

/// `ejection` of an upstream.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ejection {
    pub(super) failures: Option<Count>,
    pub(super) backoff: Option<Wait>,
    pub(super) backoff_limit: Option<Wait>,
    pub(super) panic_below: Option<Count>,
}

/// `health_check` of an upstream.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HealthCheck {
    pub(super) path: Option<String>,
    pub(super) interval: Option<Wait>,
    pub(super) timeout: Option<Wait>,
    pub(super) unhealthy_after: Option<Count>,
    pub(super) healthy_after: Option<Count>,
}

/// The value of a static header: a literal, or where it is.
#[derive(Debug)]
pub(super) enum HeaderText {
    /// As written.
    Literal(String),
    /// From a variable or a file.
    Key(KeyTable),
}

/// `mode` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Verify,
    Report,
}

/// `refusal_detail` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    Reason,
    None,
}

/// `on_replay` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnReplay {
    Reject,
    Acknowledge,
}

/// `on_store_failure` of `[replay]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnStoreFailure {
    Reject,
    Accept,
}

impl Words for OnStoreFailure {
    const WORDS: &'static [(&'static str, Self)] = &[("reject", Self::Reject), ("accept", Self::Accept)];
}

/// `on_missing_id` of a route's `dedupe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnMissingId {
    Forward,
    Reject,
}

impl Words for OnMissingId {
    const WORDS: &'static [(&'static str, Self)] = &[("forward", Self::Forward), ("reject", Self::Reject)];
}

impl Words for Mode {
    const WORDS: &'static [(&'static str, Self)] = &[("verify", Self::Verify), ("report", Self::Report)];
}

impl Words for Detail {
    const WORDS: &'static [(&'static str, Self)] = &[("reason", Self::Reason), ("none", Self::None)];
}

impl Words for OnReplay {
    const WORDS: &'static [(&'static str, Self)] = &[("reject", Self::Reject), ("acknowledge", Self::Acknowledge)];
}

impl Words for TlsVersion {
    const WORDS: &'static [(&'static str, Self)] = &[("1.2", Self::Tls12), ("1.3", Self::Tls13)];
}

impl Words for ReadyWhen {
    const WORDS: &'static [(&'static str, Self)] = &[("serving", Self::Serving), ("upstream", Self::Upstream)];
}

impl Words for ClientMode {
    const WORDS: &'static [(&'static str, Self)] = &[("required", Self::Required), ("optional", Self::Optional)];
}

impl Words for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("json", Self::Json), ("human", Self::Human)];
}

impl Words for Audit {
    const WORDS: &'static [(&'static str, Self)] =
        &[("all", Self::All), ("refused", Self::Refused), ("off", Self::Off)];
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ env = \"NAME_OF_A_VARIABLE\" } or { file = \"/path\" }")
    }

    fn visit_str<E: Error>(self, _literal: &str) -> Result<Key, E> {
        Err(E::custom(format_args!(
            "{LITERAL_SECRET}\nwrite {{ env = \"NAME_OF_A_VARIABLE\" }} or {{ file = \"/path\" }}"
        )))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Key, A::Error> {
        KeyTable::deserialize(value::MapAccessDeserializer::new(map)).map(Key)
    }
}

impl<'de> Deserialize<'de> for UpstreamRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UpstreamVisitor)
    }
}

struct UpstreamVisitor;

impl<'de> Visitor<'de> for UpstreamVisitor {
    type Value = UpstreamRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL such as \"http://127.0.0.1:8000\", a list of them, or a table with `url`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<UpstreamRef, E> {
        Ok(UpstreamRef::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UpstreamRef, A::Error> {
        Upstream::deserialize(value::MapAccessDeserializer::new(map)).map(|table| UpstreamRef::Table(Box::new(table)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<UpstreamRef, A::Error> {
        List::deserialize(value::SeqAccessDeserializer::new(seq)).map(UpstreamRef::List)
    }
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ServerVisitor)
    }
}

struct ServerVisitor;

impl<'de> Visitor<'de> for ServerVisitor {
    type Value = Server;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL such as \"http://127.0.0.1:8000\", or { url = \"…\", weight = 2 }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Server, E> {
        Ok(Server(ServerTable {
            url: Some(text.to_owned()),
            is_text: true,
            ..ServerTable::default()
        }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Server, A::Error> {
        ServerTable::deserialize(value::MapAccessDeserializer::new(map)).map(Server)
    }
}

impl<'de> Deserialize<'de> for HeaderText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = HeaderText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, { env = \"NAME_OF_A_VARIABLE\" } or { file = \"/path\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HeaderText, E> {
        Ok(HeaderText::Literal(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HeaderText, A::Error> {
        KeyTable::deserialize(value::MapAccessDeserializer::new(map)).map(HeaderText::Key)
    }
}
