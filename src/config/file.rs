//! The keys of the file, one field for each. Every field may be missing: `resolve` fills in the defaults and knows which
//! keys are required. `docs/configuration.md` has the meaning, unit and default of each key; a test compares the two.

use super::acme_keys::ListenerCertificate;
use super::challenge_reference::ChallengeReference;
use super::inbox_keys::{AnswerUse, DeliveryKind, Inbox, Order, Retry, SignatureKind};
use super::keys_keys::{Keys, RouteKeys};
pub(super) use super::operator_keys::Certificate;
use super::operator_keys::{Api, Capture, Console};
pub(super) use super::secret_reference::{
    RouteSecret, RouteSecretTable, SecretReference, SecretTable, TenantBy, TenantPlaceTable, TextOrSecret,
};
use super::value::{
    Count, DurationValue, FileMode, Flag, Keyword, Keywords, OneOrMany, RequestRate, Size, TextOrTable, Tolerance,
};
use crate::scheme;
use crate::settings::{Audit, LogFormat, ReadyWhen, RouteMode, TlsVersion};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor, value};
use std::collections::BTreeMap;
use std::fmt;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) workers: Option<Count>,
    pub(super) listen: OneOrMany<Listen>,
    pub(super) admin: Admin,
    pub(super) api: Api,
    pub(super) capture: Capture,
    pub(super) console: Console,
    pub(super) limits: Limits,
    pub(super) drain: Drain,
    pub(super) replay: ReplayStore,
    pub(super) inbox: Option<Inbox>,
    pub(super) keys: Keys,
    pub(super) log: Log,
    pub(super) upstreams: BTreeMap<String, Upstream>,
    pub(super) route: OneOrMany<Route>,
}

/// `[listen]` or `[[listen]]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listen {
    pub(super) name: Option<String>,
    pub(super) address: Option<String>,
    pub(super) unix: Option<String>,
    pub(super) mode: Option<FileMode>,
    pub(super) tls: OneOrMany<ListenerCertificate>,
    pub(super) tls_minimum: Option<Keyword<TlsVersion>>,
    pub(super) client_auth: Option<ClientAuth>,
    pub(super) plaintext: Option<Flag>,
    pub(super) trusted_proxies: OneOrMany<String>,
    pub(super) proxy_protocol: Option<Flag>,
    pub(super) health: Option<String>,
}

/// `client_auth` of a listener.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClientAuth {
    pub(super) ca: Option<String>,
    pub(super) mode: Option<Keyword<ClientAuthMode>>,
    pub(super) forward_subject: Option<Flag>,
    pub(super) crl: Option<String>,
}

/// `mode` of `client_auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuthMode {
    Required,
    Optional,
}

/// `[admin]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) address: Option<String>,
    pub(super) readiness: Option<Keyword<ReadyWhen>>,
    pub(super) hosts: OneOrMany<String>,
}

/// `[limits]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) connections: Option<Count>,
    pub(super) in_flight_bytes: Option<Size>,
    pub(super) head_bytes: Option<Size>,
    pub(super) headers: Option<Count>,
    pub(super) handshake_timeout: Option<DurationValue>,
    pub(super) head_timeout: Option<DurationValue>,
    pub(super) idle_timeout: Option<DurationValue>,
    pub(super) write_timeout: Option<DurationValue>,
    pub(super) http2_streams: Option<Count>,
    pub(super) min_body_rate: Option<Size>,
    pub(super) per_source: Option<RequestRate>,
}

/// `[drain]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Drain {
    pub(super) delay: Option<DurationValue>,
    pub(super) grace: Option<DurationValue>,
}

/// `[replay]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReplayStore {
    pub(super) capacity: Option<Count>,
    pub(super) store: OneOrMany<String>,
    pub(super) sentinel: Option<String>,
    pub(super) cluster: Option<Flag>,
    pub(super) user: Option<TextOrSecret>,
    pub(super) password: Option<SecretReference>,
    pub(super) ca: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) timeout: Option<DurationValue>,
    pub(super) on_store_failure: Option<Keyword<OnStoreFailure>>,
}

/// `[log]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: Option<Keyword<LogFormat>>,
    pub(super) filter: Option<String>,
    pub(super) audit: Option<Keyword<Audit>>,
}

/// `[[route]]`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Route {
    pub(super) name: Option<String>,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
    pub(super) methods: OneOrMany<String>,
    pub(super) allow: OneOrMany<String>,
    pub(super) provider: Option<String>,
    pub(super) secrets: OneOrMany<RouteSecret>,
    pub(super) public_keys: OneOrMany<SecretReference>,
    pub(super) public_url: Option<String>,
    pub(super) public_url_credentials: Option<SecretReference>,
    pub(super) expect: BTreeMap<String, OneOrMany<String>>,
    pub(super) keys: Option<RouteKeys>,
    pub(super) custom: Option<scheme::SchemeDescription>,
    pub(super) tolerance: Option<Tolerance>,
    pub(super) replay: Replay,
    pub(super) dedupe: Option<Dedupe>,
    pub(super) delivery: Option<Keyword<DeliveryKind>>,
    pub(super) sender_deadline: Option<DurationValue>,
    pub(super) store_on: OneOrMany<Count>,
    pub(super) retry: Option<Retry>,
    pub(super) concurrency: Option<Count>,
    pub(super) order: Option<Order>,
    pub(super) answer: Option<Keyword<AnswerUse>>,
    pub(super) formerly: OneOrMany<String>,
    pub(super) signature: Option<Keyword<SignatureKind>>,
    pub(super) gateway_keys: OneOrMany<SecretReference>,
    pub(super) capture: OneOrMany<String>,
    pub(super) expect_every: Option<DurationValue>,
    pub(super) mode: Option<Keyword<RouteMode>>,
    pub(super) rate: Option<RequestRate>,
    pub(super) body_limit: Option<Size>,
    pub(super) body_timeout: Option<DurationValue>,
    pub(super) reject_status: Option<Count>,
    pub(super) refusal_detail: Option<Keyword<RefusalDetail>>,
    pub(super) challenge: Option<ChallengeReference>,
    pub(super) handshake: Option<Flag>,
    pub(super) verify_token: Option<SecretReference>,
    pub(super) upstream: Option<UpstreamReference>,
}

/// `replay` of a route.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Replay {
    pub(super) enabled: Option<Flag>,
    pub(super) window: Option<DurationValue>,
    pub(super) on_replay: Option<Keyword<OnReplay>>,
}

/// `dedupe` of a route. The table enables deduplication, even if it is empty.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dedupe {
    pub(super) header: Option<String>,
    pub(super) pointer: Option<String>,
    pub(super) pointers: OneOrMany<String>,
    pub(super) form: Option<String>,
    pub(super) window: Option<DurationValue>,
    pub(super) on_duplicate: Option<Keyword<OnReplay>>,
    pub(super) on_missing_id: Option<Keyword<OnMissingId>>,
    pub(super) durable: Option<Flag>,
}

/// A URL, the name of an `[upstreams.NAME]` table, several URLs, or a table.
#[derive(Debug)]
pub(super) enum UpstreamReference {
    /// A URL, or the name of a table.
    Text(String),
    /// URLs of several servers; every setting has its default.
    Servers(OneOrMany<ServerEntry>),
    /// A table of this route alone.
    Table(Box<Upstream>),
}

/// `[upstreams.NAME]`, or `upstream` of a route as a table.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Upstream {
    pub(super) url: OneOrMany<ServerEntry>,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) client: Option<Certificate>,
    pub(super) connect_timeout: Option<DurationValue>,
    pub(super) timeout: Option<DurationValue>,
    pub(super) idle_connections: Option<Count>,
    pub(super) idle_timeout: Option<DurationValue>,
    pub(super) max_connections: Option<Count>,
    pub(super) queue_limit: Option<Count>,
    pub(super) queue_timeout: Option<DurationValue>,
    pub(super) resolve_interval: Option<DurationValue>,
    pub(super) ejection: Ejection,
    pub(super) health_check: Option<HealthCheck>,
    pub(super) headers: BTreeMap<String, TextOrSecret>,
}

/// One of an upstream's servers: a URL, or a table with one.
#[derive(Debug, Default)]
pub(super) struct ServerEntry(pub(super) ServerTable);

/// A [`ServerEntry`] as a table.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerTable {
    pub(super) url: Option<String>,
    pub(super) weight: Option<Count>,
    /// Whether the item is only the text of the URL, so that the URL has no key.
    #[serde(skip)]
    pub(super) is_text: bool,
}

/// `ejection` of an upstream.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ejection {
    pub(super) failures: Option<Count>,
    pub(super) backoff: Option<DurationValue>,
    pub(super) backoff_limit: Option<DurationValue>,
    pub(super) panic_below: Option<Count>,
}

/// `health_check` of an upstream.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct HealthCheck {
    pub(super) path: Option<String>,
    pub(super) interval: Option<DurationValue>,
    pub(super) timeout: Option<DurationValue>,
    pub(super) unhealthy_after: Option<Count>,
    pub(super) healthy_after: Option<Count>,
}

/// `refusal_detail` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalDetail {
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

impl Keywords for OnStoreFailure {
    const KEYWORDS: &'static [(&'static str, Self)] = &[("reject", Self::Reject), ("accept", Self::Accept)];
}

/// `on_missing_id` of a route's `dedupe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnMissingId {
    Forward,
    Reject,
}

impl Keywords for OnMissingId {
    const KEYWORDS: &'static [(&'static str, Self)] = &[("forward", Self::Forward), ("reject", Self::Reject)];
}

impl Keywords for RouteMode {
    const KEYWORDS: &'static [(&'static str, Self)] = &[
        ("verify", Self::Verify),
        ("report", Self::Report),
        ("authorize", Self::Authorize),
    ];
}

impl Keywords for RefusalDetail {
    const KEYWORDS: &'static [(&'static str, Self)] = &[("reason", Self::Reason), ("none", Self::None)];
}

impl Keywords for OnReplay {
    const KEYWORDS: &'static [(&'static str, Self)] = &[("reject", Self::Reject), ("acknowledge", Self::Acknowledge)];
}

impl Keywords for ClientAuthMode {
    const KEYWORDS: &'static [(&'static str, Self)] = &[("required", Self::Required), ("optional", Self::Optional)];
}

impl<'de> Deserialize<'de> for UpstreamReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UpstreamVisitor)
    }
}

struct UpstreamVisitor;

impl<'de> Visitor<'de> for UpstreamVisitor {
    type Value = UpstreamReference;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL such as \"http://127.0.0.1:8000\", a list of them, or a table with `url`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<UpstreamReference, E> {
        Ok(UpstreamReference::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UpstreamReference, A::Error> {
        Upstream::deserialize(value::MapAccessDeserializer::new(map))
            .map(|table| UpstreamReference::Table(Box::new(table)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<UpstreamReference, A::Error> {
        OneOrMany::deserialize(value::SeqAccessDeserializer::new(seq)).map(UpstreamReference::Servers)
    }
}

impl<'de> Deserialize<'de> for ServerEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a URL such as \"http://127.0.0.1:8000\", or { url = \"…\", weight = 2 }";
        Ok(match TextOrTable::read(deserializer, expected)? {
            TextOrTable::Text(url) => Self(ServerTable {
                url: Some(url),
                is_text: true,
                ..ServerTable::default()
            }),
            TextOrTable::Table(table) => Self(table),
        })
    }
}
