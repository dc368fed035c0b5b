//! Upstreams: URLs, tables, names of tables; and the loop of a gateway that forwards to itself.

use super::super::describe::Shown;
use super::super::fault::closest;
use super::super::file::{self, HeaderText, UpstreamRef};
use super::super::{Address, Listener, Route, Target, Upstream};
use super::Resolver;
use super::pattern::is_host;
use crate::secret::Secret;
use crate::tls;
use hyper::Uri;
use hyper::header::{self, HeaderName, HeaderValue};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Header fields that the gateway sets or that belong to one connection; a static value would break the exchange.
const OURS: [HeaderName; 14] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::FORWARDED,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::DATE,
];

const URL_FIX: &str = "write \"http://127.0.0.1:8000\", \"https://app.internal\" or \"unix:/run/app.sock\"";

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
            Some(UpstreamRef::Text(text)) if text.contains([':', '/']) => {
                Arc::new(self.upstream_at(key, key, &text, file::Upstream::default())?)
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
        let url_key = format!("{key}.url");
        match table.url.take() {
            Some(url) => self.upstream_at(key, &url_key, &url, table),
            None => {
                self.report.missing(url_key, "this upstream has no URL", URL_FIX);
                None
            }
        }
    }

    fn upstream_at(&mut self, key: &str, url_key: &str, url: &str, table: file::Upstream) -> Option<Upstream> {
        let target = match parse_url(url) {
            Ok((target, base_path)) => Some((target, base_path)),
            Err(problem) => {
                self.report.fault(url_key, problem, URL_FIX);
                None
            }
        };
        let ca = table.ca.map(|path| self.path(&path));
        self.files.extend(ca.clone());
        let client = table
            .client
            .and_then(|pair| self.certificate_files(&format!("{key}.client"), pair));
        let is_tls = matches!(target, Some((Target::Tls { .. }, _)));
        if target.is_some() && !is_tls && (ca.is_some() || client.is_some()) {
            self.report.fault(
                key,
                "`ca` and `client` are for TLS, and the URL is not `https://`",
                "write an `https://` URL, or remove them",
            );
        }
        let headers = self.static_headers(&format!("{key}.headers"), table.headers);
        let upstream = Upstream {
            target: Target::Unix(std::path::PathBuf::new()),
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
            headers,
        };
        let (target, base_path) = target?;
        let target = match target {
            Target::Tls { host, port, .. } => Target::Tls { host, port, ca, client },
            Target::Tcp { .. } | Target::Unix(_) => target,
        };
        if let Target::Tcp { host, .. } | Target::Tls { host, .. } = &target
            && !is_loopback(host)
        {
            self.report.note(
                url_key,
                format_args!("`{host}` is not loopback: make sure that nothing else can reach it, or it can be sent webhooks past the gateway"),
            );
        }
        let upstream = Upstream {
            target,
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
            let is_ours = OURS.contains(&name)
                || ["hookgate-", "x-forwarded-", "proxy-"]
                    .iter()
                    .any(|prefix| name.as_str().starts_with(prefix))
                || matches!(name.as_str(), "x-real-ip" | "x-request-id" | "keep-alive" | "proxy");
            if is_ours || name.as_str().contains('_') {
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

    /// Refuses a gateway that would forward to itself.
    pub(super) fn loops(
        &mut self,
        routes: &[(String, Shown, Route)],
        listeners: &[Listener],
        admin: Option<SocketAddr>,
    ) {
        let own = listeners
            .iter()
            .map(|listener| listener.address.clone())
            .chain(admin.map(Address::Tcp));
        let own: Vec<Address> = own.collect();
        for (key, _, route) in routes {
            if own.iter().any(|address| reaches(&route.upstream.target, address)) {
                self.report.fault(
                    format!("{key}.upstream"),
                    "this is one of the gateway's own addresses",
                    "write the application's address",
                );
            }
        }
    }
}

/// Whether connecting to `target` ends at `address`, as far as can be known without asking DNS.
fn reaches(target: &Target, address: &Address) -> bool {
    match (target, address) {
        (Target::Unix(path), Address::Unix(own, _)) => path == own,
        (Target::Tcp { host, port } | Target::Tls { host, port, .. }, Address::Tcp(own)) => {
            let ip = host.parse::<IpAddr>().map(|ip| ip.to_canonical()).ok();
            let is_same = ip == Some(own.ip().to_canonical());
            let is_any = own.ip().is_unspecified() || ip.is_some_and(|ip| ip.is_unspecified());
            let is_local = own.ip().is_unspecified() || own.ip().to_canonical().is_loopback();
            let by_name = host == "localhost" && is_local;
            *port == own.port()
                && (is_same || by_name || (is_any && (is_loopback(host) || ip.is_some_and(|ip| ip.is_unspecified()))))
        }
        (Target::Unix(_), Address::Tcp(_)) | (Target::Tcp { .. } | Target::Tls { .. }, Address::Unix(..)) => false,
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Target and base path of a URL. The URL is not quoted in the problem: it may hold a password.
fn parse_url(url: &str) -> Result<(Target, String), String> {
    if let Some(path) = url.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return if path.len() > 1 && path.starts_with('/') {
            Ok((Target::Unix(path.into()), String::new()))
        } else {
            Err(String::from("`unix:` is followed by an absolute path"))
        };
    }
    if url.contains('#') {
        return Err(String::from("an upstream has no fragment"));
    }
    let uri: Uri = url.parse().map_err(|_| String::from("not a URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(String::from("the URL has no `http://`, `https://` or `unix:` in front"));
    };
    if authority.as_str().contains('@') {
        return Err(String::from(
            "user and password in a URL are not supported; use `headers` with `{ env = … }`",
        ));
    }
    if uri.query().is_some() {
        return Err(String::from("an upstream has no query"));
    }
    if !is_host(authority.host()) {
        return Err(String::from("the URL's host is not a name or an address"));
    }
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    let port = match (authority.port_u16(), authority.as_str().len() > authority.host().len()) {
        (Some(0), _) | (None, true) => return Err(String::from("the URL's port is not a number from 1 to 65535")),
        (port, _) => port,
    };
    let base_path = uri.path().trim_end_matches('/').to_owned();
    if base_path.contains("//") || base_path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(String::from("the URL's path has empty or dot segments"));
    }
    match scheme {
        "http" => Ok((
            Target::Tcp {
                host,
                port: port.unwrap_or(80),
            },
            base_path,
        )),
        "https" => Ok((
            Target::Tls {
                host,
                port: port.unwrap_or(443),
                ca: None,
                client: None,
            },
            base_path,
        )),
        _ => Err(String::from("the URL's scheme is not `http`, `https` or `unix`")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tcp(host: &str, port: u16) -> Target {
        Target::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn urls_become_targets() {
        assert_eq!(
            parse_url("http://127.0.0.1:8000").unwrap(),
            (tcp("127.0.0.1", 8000), String::new())
        );
        assert_eq!(
            parse_url("http://App.internal/base/").unwrap(),
            (tcp("app.internal", 80), String::from("/base"))
        );
        assert_eq!(parse_url("http://[::1]:80").unwrap(), (tcp("::1", 80), String::new()));
        let https = Target::Tls {
            host: String::from("app"),
            port: 443,
            ca: None,
            client: None,
        };
        assert_eq!(parse_url("https://app").unwrap(), (https, String::new()));
        for unix in ["unix:/run/app.sock", "unix:///run/app.sock"] {
            assert_eq!(
                parse_url(unix).unwrap(),
                (Target::Unix("/run/app.sock".into()), String::new())
            );
        }
    }

    #[test]
    fn what_is_not_an_upstream_is_refused_without_quoting_it() {
        for url in [
            "",
            "127.0.0.1:8000",
            "app",
            "/app",
            "ftp://app",
            "http://",
            "http://user:hunter2@app",
            "http://app:0",
            "http://app:99999",
            "http://app:",
            "http://app?q=hunter2",
            "http://app#hunter2",
            "http://a b",
            "unix:",
            "unix:/",
            "unix:run/app",
            "http://app/a/../b",
            "http://app//b",
            "http://-",
            "http://[::1",
        ] {
            let problem = parse_url(url).unwrap_err();
            assert!(!problem.contains("hunter2"), "{url}: {problem}");
        }
    }

    /// CASES G13.
    #[test]
    fn own_addresses_are_recognised_whatever_their_spelling() {
        let own = |text: &str| Address::Tcp(text.parse().unwrap());
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("127.0.0.1", "0.0.0.0:80"),
            ("localhost", "0.0.0.0:80"),
            ("localhost", "127.0.0.1:80"),
            ("::1", "[::]:80"),
            ("127.0.0.1", "[::]:80"),
            ("::ffff:127.0.0.1", "127.0.0.1:80"),
            ("0.0.0.0", "127.0.0.1:80"),
            ("10.0.0.1", "10.0.0.1:80"),
        ] {
            assert!(reaches(&tcp(host, 80), &own(address)), "{host} {address}");
            assert!(!reaches(&tcp(host, 81), &own(address)), "{host} {address}");
        }
        for (host, address) in [
            ("10.0.0.1", "0.0.0.0:80"),
            ("10.0.0.1", "127.0.0.1:80"),
            ("app", "127.0.0.1:80"),
            ("localhost", "10.0.0.1:80"),
        ] {
            assert!(!reaches(&tcp(host, 80), &own(address)), "{host} {address}");
        }
        assert!(reaches(&Target::Unix("/a".into()), &Address::Unix("/a".into(), 0)));
        assert!(!reaches(&Target::Unix("/b".into()), &Address::Unix("/a".into(), 0)));
    }
}
