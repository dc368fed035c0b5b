//! `acme` of an entry of `tls`: a certificate that is ordered from an ACME server.

use super::Resolver;
use super::host::is_host;
use super::redis::RedisKeys;
use crate::config::acme_keys;
use crate::config::file::SecretReference;
use crate::config::value::{Keyword, OneOrMany};
use crate::remote::acme;
use crate::settings::{
    Acme, AcmeChallenge, AcmeStorage, Address, ExternalAccount, Listener, RedisServers, SecretInfo, StorageKey,
    defaults,
};
use crate::tls;
use std::net::IpAddr;

/// Largest number of names of one certificate; that of Let's Encrypt.
const MAX_NAMES: usize = 100;
/// How to write a Redis in `storage`.
const STORAGE_FIX: &str =
    "write a directory, \"redis://host:6379/0\", \"rediss://host:6379/0\" or \"redis+unix:///run/redis.sock\"";
/// Ports to which servers connect.
const HTTPS_PORT: u16 = 443;

impl Resolver<'_> {
    /// The certificate that is ordered; `None` after a fault.
    pub(super) fn acme(&mut self, key: &str, written: acme_keys::Acme) -> Option<Acme> {
        let domains = self.acme_domains(key, written.domains);
        let contact = self.contacts(&format!("{key}.contact"), written.contact);
        let directory = written
            .directory
            .unwrap_or_else(|| String::from(defaults::ACME_DIRECTORY));
        self.check_directory_url(&format!("{key}.directory"), &directory);
        let ca = written.ca.map(|ca| self.path(&ca));
        if let Some(ca) = &ca {
            self.files.push(ca.clone());
            if let Err(fault) = tls::roots(Some(ca)) {
                self.report.fault(format!("{key}.ca"), fault.problem, fault.fix);
            }
        }
        let storage = self.acme_storage(&format!("{key}.storage"), written.storage);
        let keys = self.storage_keys(&format!("{key}.keys"), written.keys);
        if keys.is_empty() && matches!(storage, AcmeStorage::Redis(_)) {
            self.report.missing(
                format!("{key}.keys"),
                "private keys are not stored in Redis without encryption",
                "write `keys = [{ env = \"ACME_KEY\" }]`, the same on all replicas; make one with `openssl rand -hex 32`",
            );
        } else if keys.is_empty() {
            self.report.note(
                key,
                "without `keys` the private keys are stored unencrypted, readable by the user that runs hookgate only",
            );
        }
        let challenge = written
            .challenge
            .map_or(AcmeChallenge::TlsAlpn01, |Keyword(challenge)| challenge);
        let http = written
            .http
            .and_then(|text| self.socket_address(&format!("{key}.http"), &text));
        if http.is_some() && challenge == AcmeChallenge::TlsAlpn01 {
            self.report.fault(
                format!("{key}.http"),
                "this address is for the challenge `http-01` only",
                "write `challenge = \"http-01\"`, or remove `http`",
            );
        }
        let account = written.external_account;
        let external_account =
            account.and_then(|account| self.external_account(&format!("{key}.external_account"), account));
        let acme = Acme {
            domains,
            contact,
            directory,
            ca,
            storage,
            keys,
            challenge,
            http,
            external_account,
        };
        self.check_acme_directory(key, &acme);
        (!acme.domains.is_empty()).then_some(acme)
    }

    fn acme_storage(&mut self, key: &str, written: Option<acme_keys::AcmeStorage>) -> AcmeStorage {
        let table = match written {
            None => return AcmeStorage::Directory(self.path(defaults::ACME_STORAGE)),
            Some(acme_keys::AcmeStorage::Text(text)) if !text.contains("://") => {
                return AcmeStorage::Directory(self.path(&text));
            }
            Some(acme_keys::AcmeStorage::Text(url)) => acme_keys::AcmeStorageTable {
                redis: OneOrMany(vec![(None, url)]),
                ..acme_keys::AcmeStorageTable::default()
            },
            Some(acme_keys::AcmeStorage::Table(table)) => {
                if table.redis.is_empty() {
                    self.report
                        .missing(format!("{key}.redis"), "the table has no URL", STORAGE_FIX);
                }
                let redis = self.redis_keys(key, format!("{key}.redis"), *table);
                return AcmeStorage::Redis(Box::new(redis));
            }
        };
        AcmeStorage::Redis(Box::new(self.redis_keys(key, key.to_owned(), table)))
    }

    fn redis_keys(&mut self, key: &str, url_key: String, table: acme_keys::AcmeStorageTable) -> RedisServers {
        self.redis_servers(RedisKeys {
            table: key.to_owned(),
            url_key,
            fix: STORAGE_FIX,
            urls: table.redis,
            sentinel: table.sentinel,
            cluster: table.cluster,
            user: table.user,
            password: table.password,
            ca: table.ca,
            prefix: table.prefix,
        })
    }

    /// The names of the certificate.
    fn acme_domains(&mut self, key: &str, written: OneOrMany<String>) -> Vec<String> {
        let list = format!("{key}.domains");
        let mut domains: Vec<String> = Vec::new();
        for (key, name) in written.into_paths(&list) {
            let name = name.to_ascii_lowercase();
            let problem = if name.starts_with("*.") {
                Some("a wildcard needs the challenge `dns-01`, which hookgate does not answer")
            } else if name.parse::<IpAddr>().is_ok() || !is_host(&name) || name.contains('_') {
                Some("this is not the name of a host")
            } else if domains.contains(&name) {
                Some("the list contains this name twice")
            } else {
                None
            };
            match problem {
                Some(problem) => self.report.fault(
                    key,
                    format!("`{name}`: {problem}"),
                    "write each name once, such as \"hooks.example.com\"; for other certificates write `certificate` and `key`",
                ),
                None => domains.push(name),
            }
        }
        if domains.is_empty() {
            self.report.missing(
                list,
                "the certificate has no name",
                "write `domains = [\"hooks.example.com\"]`",
            );
        } else if domains.len() > MAX_NAMES {
            self.report.fault(
                list,
                format!("a certificate has at most {MAX_NAMES} names"),
                "write several entries of `tls`",
            );
        }
        domains
    }

    fn contacts(&mut self, key: &str, written: OneOrMany<String>) -> Vec<String> {
        let mut contacts = Vec::new();
        for (key, text) in written.into_paths(key) {
            let address = text.strip_prefix("mailto:").unwrap_or(&text);
            let is_mail = address
                .split_once('@')
                .is_some_and(|(user, host)| !user.is_empty() && is_host(host));
            if is_mail && address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
                contacts.push(format!("mailto:{address}"));
            } else {
                let fix = "write an address such as `contact = \"ops@example.com\"`";
                self.report.fault(key, "this is not the address of a mailbox", fix);
            }
        }
        contacts
    }

    fn check_directory_url(&mut self, key: &str, url: &str) {
        let uri = url.parse::<hyper::Uri>().ok();
        let is_https = uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some());
        if !is_https {
            self.report.fault(
                key,
                "this is not an HTTPS URL",
                "write the URL of the server's directory, such as \"https://acme-v02.api.letsencrypt.org/directory\"",
            );
        }
    }

    fn external_account(&mut self, key: &str, written: acme_keys::ExternalAccount) -> Option<ExternalAccount> {
        let (Some(id), Some(SecretReference(table))) = (written.id.filter(|id| !id.is_empty()), written.key) else {
            self.report.missing(
                key.to_owned(),
                "`id` or `key` is missing",
                "write both as the provider shows them: `{ id = \"…\", key = { env = \"ACME_EAB_KEY\" } }`",
            );
            return None;
        };
        let place = format!("{key}.key");
        let name = table.name.clone();
        let (source, secret) = self.secret(&place, table, true)?;
        let info = SecretInfo {
            name: name.unwrap_or_else(|| String::from("key")),
            source,
            retired: false,
        };
        Some(ExternalAccount {
            id,
            key: StorageKey { info, secret },
        })
    }

    /// Reports a directory that cannot be used, and says when there is no certificate yet. What is in Redis is read at the
    /// start: a configuration may be checked where no Redis is.
    fn check_acme_directory(&mut self, key: &str, acme: &Acme) {
        let storage = format!("{key}.storage");
        let AcmeStorage::Directory(directory) = &acme.storage else {
            return;
        };
        if !std::fs::metadata(directory).is_ok_and(|found| found.is_dir()) {
            self.report.fault(
                storage,
                format!("{} is not a directory", directory.display()),
                "create it, and let the user that runs hookgate write to it; replicas share it, or a Redis: `storage = \"rediss://host:6379\"`",
            );
            return;
        }
        match acme::inspect(acme) {
            Ok(true) => {}
            Ok(false) => self.report.note(
                key,
                "there is no certificate in the storage yet; it is ordered at the start, and until then every TLS handshake for these names fails",
            ),
            Err(fault) => {
                let (problem, fix) = fault.split_once(": ").unwrap_or((&fault, "restore it"));
                self.report.fault(storage, problem.to_owned(), fix.to_owned());
            }
        }
    }

    /// Reports what keeps the server from checking the challenges of a listener.
    pub(super) fn check_challenge(&mut self, key: &str, acme: &Acme, address: &Address, requires_certificate: bool) {
        if acme.challenge != AcmeChallenge::TlsAlpn01 {
            return;
        }
        if requires_certificate {
            self.report.fault(
                format!("{key}.client_auth"),
                "an ACME server presents no client certificate, so that the challenge `tls-alpn-01` always fails on this listener",
                "write `challenge = \"http-01\"`, or `mode = \"optional\"`",
            );
        }
        let is_other_port =
            matches!(address, Address::Tcp(address) if address.port() != HTTPS_PORT && address.port() != 0);
        if is_other_port {
            self.report.note(
                format_args!("{key}.tls"),
                "an ACME server checks the challenge `tls-alpn-01` on port 443 of each name, which must lead to this listener without another TLS server between",
            );
        }
    }

    /// Reports a certificate for whose challenge nothing answers.
    pub(super) fn check_http_challenges(&mut self, listeners: &[Listener]) {
        let has_plaintext = listeners.iter().any(|listener| listener.tls.is_none());
        for (listener, acme) in listeners
            .iter()
            .flat_map(|listener| listener.acme().map(move |acme| (listener, acme)))
        {
            if acme.challenge == AcmeChallenge::Http01 && acme.http.is_none() && !has_plaintext {
                self.report.fault(
                    "listen.tls",
                    format!(
                        "no listener answers the challenge `http-01` of the listener `{}`",
                        listener.name
                    ),
                    "write `http = \"0.0.0.0:80\"` beside it",
                );
            }
            let is_taken = |other: &Listener| matches!((other.address.clone(), acme.http), (Address::Tcp(own), Some(http)) if own == http && own.port() != 0);
            if listeners.iter().any(is_taken) {
                self.report.fault(
                    "listen.tls",
                    "a listener has the same address as `http` of `acme`",
                    "remove `http`: a listener without TLS answers the challenge too",
                );
            }
        }
    }
}
