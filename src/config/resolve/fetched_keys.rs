//! `[keys]`, and `keys` and `expect` of a route: where keys are fetched, and what a signed request must say.

use super::Resolver;
use crate::config::fault::alternatives;
use crate::config::keys_keys;
use crate::config::value::{DurationValue, OneOrMany};
use crate::scheme::address_list::{AddressList, LISTS};
use crate::scheme::{CertificateSource, Expected, KeySettings};
use crate::secret::Secret;
use crate::settings::{Keys, Proxy, SecretInfo, defaults};
use crate::tls;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// What a route says about fetched keys.
#[derive(Debug, Default)]
pub(super) struct RouteKeySettings {
    pub(super) settings: KeySettings,
    /// Name and source of the secret with which keys are asked for.
    pub(super) secret: Option<SecretInfo>,
}

impl Resolver<'_> {
    /// How keys are fetched.
    pub(super) fn keys(&mut self, written: keys_keys::Keys) -> Keys {
        let ca = written.ca.map(|ca| self.path(&ca));
        if let Some(ca) = &ca {
            self.files.push(ca.clone());
            if let Err(fault) = tls::roots(Some(ca)) {
                self.report.fault("keys.ca", fault.problem, fault.fix);
            }
        }
        let directory = written.directory.map(|directory| self.path(&directory));
        if let Some(directory) = directory.as_deref().filter(|directory| !is_directory(directory)) {
            self.report.fault(
                "keys.directory",
                format!("{} is not a directory", directory.display()),
                "create it, and let the user that runs hookgate write to it",
            );
        }
        let refresh = self.at_least_a_minute("keys.refresh", written.refresh, defaults::KEY_REFRESH);
        let max_age = self.at_least_a_minute("keys.max_age", written.max_age, defaults::KEY_MAX_AGE);
        if max_age < refresh {
            self.report.fault(
                "keys.max_age",
                "this is less than `keys.refresh`, so keys would expire before they are fetched again",
                "raise it, or lower `keys.refresh`",
            );
        }
        Keys {
            directory,
            ca,
            proxy: self.proxy(written.proxy),
            timeout: self.timeout(format_args!("keys.timeout"), written.timeout, defaults::KEY_TIMEOUT),
            refresh,
            max_age,
            addresses: self.mirrors(written.addresses),
        }
    }

    /// Other URLs of the lists of addresses.
    fn mirrors(&mut self, written: BTreeMap<String, String>) -> BTreeMap<String, String> {
        for (name, url) in &written {
            let key = format!("keys.addresses.{name}");
            if AddressList::named(name).is_none() {
                let names = alternatives(LISTS.iter().map(|list| list.name), "and");
                self.report
                    .fault(&key, "there is no such list", format!("the lists are {names}"));
            }
            let uri = url.parse::<hyper::Uri>().ok();
            let is_safe = uri.is_some_and(|uri| match (uri.scheme_str(), uri.host()) {
                (Some("https"), Some(_)) => true,
                (Some("http"), Some(host)) => matches!(host, "127.0.0.1" | "[::1]" | "localhost"),
                _ => false,
            });
            if !is_safe {
                self.report.fault(
                    &key,
                    "this is not an HTTPS URL",
                    "write the URL of a mirror, such as \"https://mirror.example/meta\"",
                );
            }
        }
        written
    }

    fn at_least_a_minute(&mut self, key: &str, written: Option<DurationValue>, default: Duration) -> Duration {
        let duration = written.map_or(default, |DurationValue(duration)| duration);
        if duration >= Duration::from_secs(60) {
            return duration;
        }
        let fix = "write a minute or more, such as \"1h\"";
        self.report
            .fault(key, "the provider's server would be asked too often", fix);
        default
    }

    /// The proxy of the file, else that of the variables `HTTPS_PROXY` and `NO_PROXY`.
    fn proxy(&mut self, written: Option<String>) -> Option<Proxy> {
        let variable = |names: [&str; 2]| {
            let mut named = names.iter().filter_map(|name| {
                let found = self.environment.iter().find(|(variable, _)| variable == name);
                found
                    .and_then(|(_, value)| value.to_str())
                    .filter(|value| !value.is_empty())
            });
            named.next().map(str::to_owned)
        };
        let is_written = written.is_some();
        let text = written.or_else(|| variable(["HTTPS_PROXY", "https_proxy"]))?;
        if text == "off" {
            return None;
        }
        let except = match is_written {
            true => String::new(),
            false => variable(["NO_PROXY", "no_proxy"]).unwrap_or_default(),
        };
        let proxy = parse_proxy(&text, &except);
        if proxy.is_none() {
            self.report.fault(
                "keys.proxy",
                "this is not the URL of a proxy (without the key, that of the variable HTTPS_PROXY)",
                "write \"http://proxy.example:3128\", or \"off\"",
            );
        }
        proxy
    }

    /// `keys` of a route.
    pub(super) fn route_keys(&mut self, key: &str, written: Option<keys_keys::RouteKeys>) -> RouteKeySettings {
        let Some(written) = written else {
            return RouteKeySettings::default();
        };
        let roots = written.ca.map(|ca| self.path(&ca)).and_then(|ca| {
            self.files.push(ca.clone());
            let anchors = std::fs::read(&ca).ok().and_then(|pem| CertificateSource::anchors(&pem));
            if anchors.is_none() {
                self.report.fault(
                    format!("{key}.ca"),
                    format!("{} has no certificate of an authority", ca.display()),
                    "write the path of a PEM file with certificates of authorities",
                );
            }
            anchors
        });
        let secret = written.secret.and_then(|reference| {
            let table = reference.0;
            let place = format!("{key}.secret");
            let name = table.name.clone();
            let (source, secret) = self.secret(&place, table, true)?;
            let info = SecretInfo {
                name: name.unwrap_or_else(|| "secret".to_owned()),
                source,
                retired: false,
            };
            Some((info, secret))
        });
        let (info, secret) = secret.unzip();
        RouteKeySettings {
            settings: KeySettings {
                url: written.url,
                hosts: written.hosts.into_paths("").map(|(_, host)| host).collect(),
                roots,
                client_id: written.client_id,
                secret,
            },
            secret: info,
        }
    }
}

/// `expect` of a route: each name with its values.
pub(super) fn expect(written: BTreeMap<String, OneOrMany<String>>) -> Expected {
    let values = |list: OneOrMany<String>| list.into_paths("").map(|(_, value)| value).collect();
    written.into_iter().map(|(name, list)| (name, values(list))).collect()
}

fn is_directory(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_dir())
}

/// Parses `http://user:password@host:port`; the credentials are optional.
fn parse_proxy(text: &str, except: &str) -> Option<Proxy> {
    let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let (credentials, address) = rest
        .rsplit_once('@')
        .map_or((None, rest), |(user, address)| (Some(user), address));
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    if host.is_empty() || host.contains(['/', ' ', '@']) || text.starts_with("https://") || text.starts_with("socks") {
        return None;
    }
    let names = except
        .split(',')
        .map(|name| name.trim().trim_start_matches('*').trim_start_matches('.'));
    Some(Proxy {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port,
        credentials: credentials.map(|text| Secret::new(text.as_bytes().to_vec())),
        except: names.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
    })
}
