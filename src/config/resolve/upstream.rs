//! `[upstreams.NAME]` and `upstream` of a route, and the check that the gateway does not forward to itself.

use super::Resolver;
use super::upstream_url::{URL_FIX, reaches};
use crate::config::fault::closest;
use crate::config::file::{self, TextOrSecret, UpstreamReference};
use crate::config::value::OneOrMany;
use crate::http::message::{Role, is_regular};
use crate::secret::Secret;
use crate::settings::{Address, ServerSettings, Upstream, UpstreamTarget, defaults};
use crate::tls;
use hyper::header::{HeaderName, HeaderValue};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// The `[upstreams.NAME]` tables.
#[derive(Default)]
pub(super) struct NamedUpstreams {
    /// By name; `None` if the table has a fault.
    tables: BTreeMap<String, Option<Arc<Upstream>>>,
    /// Names that a route has used.
    used: BTreeSet<String>,
}

impl Resolver<'_> {
    /// The `[upstreams.NAME]` tables.
    pub(super) fn named_upstreams(&mut self, tables: BTreeMap<String, file::Upstream>) -> NamedUpstreams {
        let mut named = NamedUpstreams::default();
        for (name, table) in tables {
            let key = format!("upstreams.{name}");
            if !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
            {
                self.report.fault(
                    &key,
                    "this is not a name of an upstream",
                    "write letters, digits, `_` or `-`",
                );
            }
            let upstream = self.upstream(&key, table).map(Arc::new);
            named.tables.insert(name, upstream);
        }
        named
    }

    /// The upstream of one route. `shared` holds the upstreams of the routes before it: routes with equal upstreams share
    /// one, with its connections.
    pub(super) fn route_upstream(
        &mut self,
        key: &str,
        written: Option<UpstreamReference>,
        named: &mut NamedUpstreams,
        shared: &mut HashSet<Arc<Upstream>>,
    ) -> Option<Arc<Upstream>> {
        let upstream = match written {
            None => {
                self.report.missing(
                    key.to_owned(),
                    "this route has no upstream",
                    "write `upstream = \"http://127.0.0.1:8000\"`",
                );
                return None;
            }
            Some(UpstreamReference::Table(table)) => Arc::new(self.upstream(key, *table)?),
            Some(UpstreamReference::Servers(servers)) => {
                Arc::new(self.upstream_of(key, key, servers, file::Upstream::default())?)
            }
            Some(UpstreamReference::Text(text)) if text.contains([':', '/']) => {
                let server = file::ServerTable {
                    url: Some(text),
                    is_text: true,
                    ..file::ServerTable::default()
                };
                let servers = OneOrMany(vec![(None, file::ServerEntry(server))]);
                Arc::new(self.upstream_of(key, key, servers, file::Upstream::default())?)
            }
            Some(UpstreamReference::Text(name)) => match named.tables.get(&name) {
                Some(upstream) => {
                    named.used.insert(name);
                    upstream.clone()?
                }
                None => {
                    let known = named.tables.keys().map(String::as_str);
                    let problem = match closest(&name, known) {
                        Some(meant) => format!("no upstream is named `{name}`, did you mean `{meant}`?"),
                        None => format!("`{name}` is neither a URL nor the name of an `[upstreams.{name}]` table"),
                    };
                    self.report.fault(key, problem, URL_FIX);
                    return None;
                }
            },
        };
        match shared.get(&upstream) {
            Some(other) => Some(Arc::clone(other)),
            None => {
                shared.insert(Arc::clone(&upstream));
                Some(upstream)
            }
        }
    }

    /// Records a warning for each table that no route uses.
    pub(super) fn unused_upstreams(&mut self, named: &NamedUpstreams) {
        for name in named.tables.keys().filter(|name| !named.used.contains(*name)) {
            self.report
                .warn(format_args!("upstreams.{name}"), "no route uses this upstream");
        }
    }

    /// The upstream of the table at `key`.
    fn upstream(&mut self, key: &str, mut table: file::Upstream) -> Option<Upstream> {
        let servers = std::mem::take(&mut table.url);
        self.upstream_of(key, &format!("{key}.url"), servers, table)
    }

    /// The upstream of the `servers` at `url_key`, with the settings of the table at `key`. The certificates are read once,
    /// to report faults.
    fn upstream_of(
        &mut self,
        key: &str,
        url_key: &str,
        servers: OneOrMany<file::ServerEntry>,
        table: file::Upstream,
    ) -> Option<Upstream> {
        let servers = self.servers(url_key, servers);
        let ca = table.ca.map(|path| self.path(&path));
        self.files.extend(ca.clone());
        let client = table
            .client
            .and_then(|pair| self.certificate_files(&format!("{key}.client"), pair));
        if let Some(files) = &client {
            for warning in tls::out_of_time(&files.certificate, "the application will not trust it", self.now_unix) {
                self.report.warn(format_args!("{key}.client"), warning);
            }
        }
        let is_tls = |(servers, _): &(Vec<ServerSettings>, String)| {
            servers
                .iter()
                .any(|server| matches!(server.target, UpstreamTarget::Tls { .. }))
        };
        if servers.as_ref().is_some_and(|servers| !is_tls(servers)) && (ca.is_some() || client.is_some()) {
            self.report.fault(
                key,
                "`ca` and `client` need TLS, and no URL begins with `https://`",
                "write an `https://` URL, or remove them",
            );
        }
        let headers = self.static_headers(&format!("{key}.headers"), table.headers);
        let upstream = Upstream {
            servers: Vec::new(),
            base_path: String::new(),
            host: self.upstream_host(format_args!("{key}.host"), table.host.as_deref()),
            path: self.upstream_path(format_args!("{key}.path"), table.path),
            connect_timeout: self.timeout(
                format_args!("{key}.connect_timeout"),
                table.connect_timeout,
                defaults::CONNECT_TIMEOUT,
            ),
            timeout: self.timeout(format_args!("{key}.timeout"), table.timeout, defaults::UPSTREAM_TIMEOUT),
            idle_connections: self.count(
                format_args!("{key}.idle_connections"),
                table.idle_connections,
                defaults::IDLE_CONNECTIONS,
                0,
                100_000,
            ),
            idle_timeout: self.timeout(
                format_args!("{key}.idle_timeout"),
                table.idle_timeout,
                defaults::UPSTREAM_IDLE_TIMEOUT,
            ),
            max_connections: self.count(
                format_args!("{key}.max_connections"),
                table.max_connections,
                defaults::MAX_CONNECTIONS,
                1,
                1_000_000,
            ),
            queue_limit: self.count(
                format_args!("{key}.queue_limit"),
                table.queue_limit,
                defaults::QUEUE_LIMIT,
                0,
                1_000_000,
            ),
            queue_timeout: self.timeout(
                format_args!("{key}.queue_timeout"),
                table.queue_timeout,
                defaults::QUEUE_TIMEOUT,
            ),
            resolve_interval: self.interval(
                format_args!("{key}.resolve_interval"),
                table.resolve_interval,
                defaults::RESOLVE_INTERVAL,
            ),
            ejection: self.ejection(&format!("{key}.ejection"), &table.ejection),
            health_check: table
                .health_check
                .and_then(|check| self.health_check(&format!("{key}.health_check"), check)),
            headers,
        };
        let (mut servers, base_path) = servers?;
        if upstream.path.is_some() && !base_path.is_empty() {
            self.report.fault(
                format!("{key}.path"),
                format!("the URL has the path `{base_path}`, and `path` would replace it"),
                "write the whole path in `path`, and a URL without a path",
            );
        }
        let pair = client.iter().flat_map(|files| [&files.certificate, &files.key]);
        let read = tls::content_hash(pair.chain(&ca));
        for server in &mut servers {
            if let UpstreamTarget::Tls {
                ca: own_ca,
                client: own_client,
                content,
                ..
            } = &mut server.target
            {
                own_ca.clone_from(&ca);
                own_client.clone_from(&client);
                *content = read;
            }
        }
        let upstream = Upstream {
            servers,
            base_path,
            ..upstream
        };
        // The same function that `serve` uses, so that a faulty file is reported here.
        if let Err(fault) = self.connectors.connector(&upstream) {
            self.report.fault(key, fault.problem, fault.fix);
        }
        Some(upstream)
    }

    /// The static header fields. Their values are marked sensitive.
    fn static_headers(&mut self, key: &str, written: BTreeMap<String, TextOrSecret>) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        let mut seen = BTreeSet::new();
        for (name, text) in written {
            let key = format!("{key}.{name}");
            if !seen.insert(name.to_ascii_lowercase()) {
                self.report
                    .fault(&key, "this header is set twice", "remove one of them");
                continue;
            }
            let secret = match text {
                TextOrSecret::Literal(text) => Some(Secret::new(text.into_bytes())),
                TextOrSecret::Source(table) => self.secret(&key, table, true).map(|(_, secret)| secret),
            };
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
                self.report.fault(
                    &key,
                    "this is not the name of a header field",
                    "write letters, digits and `-`, such as `X-Gateway-Token`",
                );
                continue;
            };
            if Role::of(name.as_str().as_bytes()) != Role::Other {
                self.report.fault(
                    &key,
                    "only the gateway or the sender may set this header",
                    "choose another name, such as `X-Gateway-Token`",
                );
            }
            let Some(secret) = secret else { continue };
            match HeaderValue::from_bytes(secret.expose()) {
                Ok(mut value) if !value.is_empty() => {
                    value.set_sensitive(true);
                    headers.push((name, value));
                }
                Ok(_) => self
                    .report
                    .fault(&key, "the value is empty", "write a value, or remove the header"),
                Err(_) => self.report.fault(
                    &key,
                    "the value contains bytes that a header cannot contain, such as a line end",
                    "write visible text",
                ),
            }
        }
        headers
    }

    /// Records a fault if the gateway would forward to one of its `own` addresses. `key` is that of the route's upstream.
    pub(super) fn check_loop(&mut self, key: &str, upstream: &Upstream, own: &[Address]) {
        let is_own = |server: &ServerSettings| own.iter().any(|address| reaches(&server.target, address));
        if upstream.servers.iter().any(is_own) {
            self.report.fault(
                key,
                "this is an address of the gateway itself",
                "write the address of the application",
            );
        }
    }

    /// Records a fault for each static header field that has the name of a signature field of the scheme, and a warning
    /// for each signature field that is not forwarded because of its name.
    pub(super) fn check_signature_headers(&mut self, key: &str, upstream: &Upstream, signature: &[HeaderName]) {
        for name in signature.iter().filter(|name| !is_regular(name.as_str().as_bytes())) {
            self.report.warn(
                key,
                format!(
                    "the application does not get the signature header `{name}`: servers read names with other signs than \
                     letters, digits and `-` in different ways, so that such fields are not forwarded"
                ),
            );
        }
        for (name, _) in upstream.headers.iter().filter(|(name, _)| signature.contains(name)) {
            self.report.fault(
                key,
                format!("the static header `{name}` has the name of the sender's signature header"),
                "remove it: the sender's signature is forwarded unchanged",
            );
        }
    }
}
