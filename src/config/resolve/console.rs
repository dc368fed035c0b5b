//! `[console]`: the web console. Access needs a credential in any case, and TLS unless the address is loopback.

use super::Resolver;
use crate::config::file::SecretTable;
use crate::config::operator_keys;
use crate::config::value::{Flag, Keyword, OneOrMany};
use crate::settings::{
    Address, CertificateSource, ClientAuth, Console, ConsoleRole, ConsoleToken, Listener, ListenerTls, SecretInfo,
    Variables, defaults,
};
use crate::tls;
use std::net::SocketAddr;

/// Shortest token, in bytes.
const TOKEN_BYTES: usize = 16;

impl Resolver<'_> {
    /// The console; `None` without an address.
    pub(super) fn console(&mut self, written: operator_keys::Console, listeners: &[Listener]) -> Option<Console> {
        let Some(address) = &written.address else {
            let keys = [
                ("tokens", !written.tokens.is_empty()),
                ("tls", !written.tls.is_empty()),
                ("trusted_proxies", !written.trusted_proxies.is_empty()),
            ];
            if let Some((key, _)) = keys.iter().find(|(_, is_set)| *is_set) {
                self.report.fault(
                    format!("console.{key}"),
                    "without an address there is no console",
                    "write `address = \"127.0.0.1:9465\"`",
                );
            }
            return None;
        };
        let address = self.socket_address("console.address", address)?;
        self.check_console_address(address, listeners);
        let has_tls = !written.tls.is_empty();
        let behind_tls = written.behind_tls.is_some_and(|Flag(flag)| flag);
        let tls = self.console_tls(written.tls, written.client_ca);
        if !has_tls && !address.ip().is_loopback() && !behind_tls {
            self.report.fault(
                "console.tls",
                "this address is reachable from other machines, and tokens would be sent in plaintext",
                "write `tls = { certificate = \"…\", key = \"…\" }`, listen on 127.0.0.1, or write `behind_tls = true` if a proxy in front of it terminates TLS",
            );
        }
        let tokens = self.console_tokens(written.tokens);
        let trusted_proxies = self.networks("console.trusted_proxies", written.trusted_proxies);
        let user_header = written.user_header.map(|name| name.to_ascii_lowercase());
        if let Some(name) = &user_header
            && (hyper::header::HeaderName::from_bytes(name.as_bytes()).is_err() || trusted_proxies.is_empty())
        {
            self.report.fault(
                "console.user_header",
                "a proxy names the user in this header, and none is trusted, or this is not the name of a header",
                "write the name of the header, such as \"X-Forwarded-User\", and the proxy's network in `trusted_proxies`",
            );
        }
        let has_clients = tls.as_ref().is_some_and(|tls| tls.client_auth.is_some());
        if tokens.is_empty() && user_header.is_none() && !has_clients {
            self.report.missing(
                String::from("console.tokens"),
                "nobody could use the console",
                "write `tokens = [{ name = \"anna\", role = \"operate\", env = \"HOOKGATE_TOKEN\" }]`, `client_ca`, or `user_header`",
            );
        }
        let texts = |list: OneOrMany<String>| list.0.into_iter().map(|(_, text)| text);
        Some(Console {
            address,
            tls,
            hosts: texts(written.hosts).map(|host| host.to_ascii_lowercase()).collect(),
            tokens,
            trusted_proxies,
            user_header,
            operators: texts(written.operators).collect(),
            is_behind_tls: behind_tls,
            variables: Variables(self.environment.into()),
        })
    }

    fn check_console_address(&mut self, address: SocketAddr, listeners: &[Listener]) {
        let is_taken = |listener: &Listener| address.port() != 0 && listener.address == Address::Tcp(address);
        if listeners.iter().any(is_taken) {
            self.report.fault(
                "console.address",
                "a listener has the same address",
                "write another port: senders must not reach the console",
            );
        }
    }

    fn console_tls(
        &mut self,
        certificates: OneOrMany<crate::config::file::Certificate>,
        client_ca: Option<String>,
    ) -> Option<ListenerTls> {
        if certificates.is_empty() {
            if client_ca.is_some() {
                self.report.fault(
                    "console.client_ca",
                    "without `tls` nobody sends a certificate",
                    "add `tls`, or remove it",
                );
            }
            return None;
        }
        let pairs: Vec<_> = certificates.into_paths("console.tls").collect();
        let certificates = pairs.into_iter().filter_map(|(key, pair)| {
            self.certificate(&key, pair)
                .map(|(files, _)| CertificateSource::Files(files))
        });
        let certificates: Vec<_> = certificates.collect();
        let client_auth = client_ca.and_then(|written| {
            let ca = self.path(&written);
            self.files.push(ca.clone());
            match tls::roots(Some(&ca)) {
                Ok(_) => Some(ClientAuth {
                    ca,
                    crl: None,
                    required: false,
                    forward_subject: true,
                }),
                Err(fault) => {
                    self.report.fault("console.client_ca", fault.problem, fault.fix);
                    None
                }
            }
        });
        Some(ListenerTls {
            certificates,
            minimum: defaults::TLS_MINIMUM,
            client_auth,
        })
    }

    fn console_tokens(&mut self, list: OneOrMany<operator_keys::ConsoleToken>) -> Vec<ConsoleToken> {
        let mut tokens: Vec<ConsoleToken> = Vec::new();
        for (key, written) in list.into_paths("console.tokens") {
            let Some(name) = written.name.filter(|name| !name.is_empty()) else {
                self.report.missing(
                    format!("{key}.name"),
                    "a token has a name, which stands in the audit line of what its holder does",
                    "write `name = \"anna\"`",
                );
                continue;
            };
            let table = SecretTable {
                env: written.env,
                file: written.file,
                ..SecretTable::default()
            };
            let Some((source, secret)) = self.secret(&key, table, true) else {
                continue;
            };
            if secret.expose().len() < TOKEN_BYTES {
                let problem = format!("the token `{name}` is shorter than {TOKEN_BYTES} bytes");
                self.report.fault(&key, problem, "make one with `openssl rand -hex 32`");
            }
            if tokens
                .iter()
                .any(|other| other.info.name == name || other.secret == secret)
            {
                let problem = format!("two tokens have the name `{name}`, or the same bytes");
                self.report.fault(&key, problem, "remove one of them");
            }
            tokens.push(ConsoleToken {
                info: SecretInfo {
                    name,
                    source,
                    retired: false,
                },
                role: written.role.map_or(ConsoleRole::View, |Keyword(role)| role),
                secret,
            });
        }
        tokens
    }
}
