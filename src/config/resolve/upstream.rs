//! Upstreams: URLs, tables, names of tables; and the loop of a gateway that forwards to itself.

use super::super::fault::closest;
use super::super::file::{self, HeaderText, UpstreamRef};
use super::super::value::List;
use super::super::{Address, Server, Target, Upstream};
use super::Resolver;
use super::url::reaches;
use crate::http::message::Role;
use crate::secret::Secret;
use crate::tls;
use hyper::header::{HeaderName, HeaderValue};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) const URL_FIX: &str = "write \"http://127.0.0.1:8000\", \"https://app.internal\" or \"unix:/run/app.sock\"";

/// The `[upstreams.NAME]` tables, and which of them a route has used.
#[derive(Default)]
pub(super) struct Named {
    tables: BTreeMap<String, Option<Arc<Upstream>>>,
    used: BTreeSet<String>,
}

impl Resolver<'_> {
    pub(super) fn named_upstreams(&mut self, tables: BTreeMap<String, file::Upstream>) -> Named {
        let mut named = Named::default();
        for (name, table) in tables {
            let key = format!("upstreams.{name}");
            if !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
            {
                self.report
                    .fault(&key, "not a name", "write letters, digits, `_` or `-`");
            }
            let upstream = self.upstream(&key, table).map(Arc::new);
            named.tables.insert(name, upstream);
        }
        named
    }

    /// The upstream of one route; equal ones are shared.
    pub(super) fn route_upstream(
        &mut self,
        key: &str,
        written: Option<UpstreamRef>,
        named: &mut Named,
        shared: &mut Vec<Arc<Upstream>>,
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
            Some(UpstreamRef::Table(table)) => Arc::new(self.upstream(key, *table)?),
            Some(UpstreamRef::List(servers)) => {
                Arc::new(self.upstream_of(key, key, servers, file::Upstream::default())?)
            }
            Some(UpstreamRef::Text(text)) if text.contains([':', '/']) => {
                let server = file::ServerTable {
                    url: Some(text),
                    is_text: true,
                    ..file::ServerTable::default()
                };
                let servers = List(vec![(None, file::Server(server))]);
                Arc::new(self.upstream_of(key, key, servers, file::Upstream::default())?)
            }
            Some(UpstreamRef::Text(name)) => match named.tables.get(&name) {
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
        match shared.iter().find(|other| **other == upstream) {
            Some(other) => Some(Arc::clone(other)),
            None => {
                shared.push(Arc::clone(&upstream));
                Some(upstream)
            }
        }
    }

    /// Warns of tables that no route uses.
    pub(super) fn unused_upstreams(&mut self, named: &Named) {
        for name in named.tables.keys().filter(|name| !named.used.contains(*name)) {
            self.report.warn(&format!("upstreams.{name}"), "no route uses it");
        }
    }

    fn upstream(&mut self, key: &str, mut table: file::Upstream) -> Option<Upstream> {
        let servers = std::mem::take(&mut table.url);
        self.upstream_of(key, &format!("{key}.url"), servers, table)
    }

    /// The upstream of `servers`, which stand at `url_key`, with the settings of the table at `key`.
    fn upstream_of(
        &mut self,
        key: &str,
        url_key: &str,
        servers: List<file::Server>,
        table: file::Upstream,
    ) -> Option<Upstream> {
        let servers = self.servers(url_key, servers);
        let ca = table.ca.map(|path| self.path(&path));
        self.files.extend(ca.clone());
        let client = table
            .client
            .and_then(|pair| self.certificate_files(&format!("{key}.client"), pair));
        let is_tls = |(servers, _): &(Vec<Server>, String)| {
            servers.iter().any(|server| matches!(server.target, Target::Tls { .. }))
        };
        if servers.as_ref().is_some_and(|servers| !is_tls(servers)) && (ca.is_some() || client.is_some()) {
            self.report.fault(
                key,
                "`ca` and `client` are for TLS, and no URL is `https://`",
                "write an `https://` URL, or remove them",
            );
        }
        let headers = self.static_headers(&format!("{key}.headers"), table.headers);
        let upstream = Upstream {
            servers: Vec::new(),
            base_path: String::new(),
            connect_timeout: self.wait(&format!("{key}.connect_timeout"), table.connect_timeout, 2),
            timeout: self.wait(&format!("{key}.timeout"), table.timeout, 30),
            idle_connections: self.count(
                &format!("{key}.idle_connections"),
                table.idle_connections,
                64,
                0,
                100_000,
            ),
            // Shorter than what application servers keep an idle connection open for (2 to 5 s for gunicorn, Node and
            // uvicorn would be best met by none at all): a dead one is noticed, this makes it rare.
            idle_timeout: self.wait(&format!("{key}.idle_timeout"), table.idle_timeout, 4),
            max_connections: self.count(
                &format!("{key}.max_connections"),
                table.max_connections,
                1_024,
                1,
                1_000_000,
            ),
            resolve_interval: self.pause(&format!("{key}.resolve_interval"), table.resolve_interval, 5),
            ejection: self.ejection(&format!("{key}.ejection"), &table.ejection),
            health_check: table
                .health_check
                .and_then(|check| self.health_check(&format!("{key}.health_check"), check)),
            headers,
        };
        let (mut servers, base_path) = servers?;
        let pair = client.iter().flat_map(|files| [&files.certificate, &files.key]);
        let read = tls::content_hash(pair.chain(&ca));
        for server in &mut servers {
            if let Target::Tls {
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
        // The very thing that will be used: roots and client certificate load here or nowhere.
        if let Err(problem) = tls::connector(&upstream) {
            self.report.fault(
                key,
                problem,
                "write paths of PEM files: `ca` with roots, `client` with a chain and its key",
            );
        }
        Some(upstream)
    }

    fn static_headers(&mut self, key: &str, written: BTreeMap<String, HeaderText>) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        let mut seen = BTreeSet::new();
        for (name, text) in written {
            let key = format!("{key}.{name}");
            if !seen.insert(name.to_ascii_lowercase()) {
                self.report.fault(&key, "the same header twice", "remove one of them");
                continue;
            }
            let secret = match text {
                HeaderText::Literal(text) => Some(Secret::new(text.into_bytes())),
                HeaderText::Key(table) => self.key(&key, table, true).map(|(_, secret)| secret),
            };
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
                self.report.fault(
                    &key,
                    "not the name of a header",
                    "write letters, digits and `-`, such as `X-Gateway-Token`",
                );
                continue;
            };
            if Role::of(name.as_str().as_bytes()) != Role::Other {
                self.report.fault(
                    &key,
                    "this header is the gateway's or the sender's to set",
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
                    "the value has bytes that no header may have (a line end?)",
                    "write visible text",
                ),
            }
        }
        headers
    }

    /// Refuses a gateway that would forward to itself. `key` is that of the route's upstream.
    pub(super) fn no_loop(&mut self, key: &str, upstream: &Upstream, own: &[Address]) {
        let is_own = |server: &Server| own.iter().any(|address| reaches(&server.target, address));
        if upstream.servers.iter().any(is_own) {
            self.report.fault(
                key,
                "this is one of the gateway's own addresses",
                "write the application's address",
            );
        }
    }

    /// Refuses static headers that would stand beside the sender's signature.
    pub(super) fn no_signature(&mut self, key: &str, upstream: &Upstream, signature: &[HeaderName]) {
        for (name, _) in upstream.headers.iter().filter(|(name, _)| signature.contains(name)) {
            self.report.fault(
                key,
                format!("the static header `{name}` would stand beside the sender's signature"),
                "remove it: the signature is passed on as it came",
            );
        }
    }
}
