//! `[[listen]]` and `[admin]`.

use super::Resolver;
use crate::config::acme_keys::ListenerCertificate;
use crate::config::file::{self, Certificate, ClientAuthMode};
use crate::config::value::{FileMode, Flag, Keyword, OneOrMany};
use crate::settings::{
    Address, Admin, CertificateFiles, CertificateSource, ClientAuth, Listener, ListenerTls, TlsVersion, UNIX_PEERS,
    defaults,
};
use crate::tls::{self, CertificateNames, LoadedCertificate};
use std::net::SocketAddr;

impl Resolver<'_> {
    /// The listeners, with distinct names and addresses.
    pub(super) fn listeners(&mut self, list: OneOrMany<file::Listen>) -> Vec<Listener> {
        if list.is_empty() {
            self.report.missing(
                String::from("listen"),
                "there is no listener",
                "write `[listen]` with `address = \"0.0.0.0:8443\"` and `tls = { certificate = \"…\", key = \"…\" }`",
            );
        }
        let mut listeners: Vec<Listener> = Vec::new();
        for (key, listen) in list.into_paths("listen") {
            let Some(listener) = self.listener(&key, listen) else {
                continue;
            };
            if listeners.iter().any(|other| other.name == listener.name) {
                self.report.fault(
                    &key,
                    format!("two listeners are named `{}`", listener.name),
                    "give one of them another `name`",
                );
            }
            let is_fixed = !matches!(listener.address, Address::Tcp(address) if address.port() == 0);
            if is_fixed && listeners.iter().any(|other| other.address == listener.address) {
                self.report
                    .fault(&key, "two listeners have the same address", "remove one of them");
            }
            listeners.push(listener);
        }
        listeners
    }

    fn listener(&mut self, key: &str, listen: file::Listen) -> Option<Listener> {
        let clients = listen.client_auth.map(|written| self.client_auth(key, written));
        let tls = self.tls(key, listen.tls, listen.tls_minimum, listen.plaintext);
        if tls.is_none() && clients.is_some() {
            self.report.fault(
                format!("{key}.client_auth"),
                "without `tls` no sender presents a certificate",
                "remove it",
            );
        }
        let tls = tls.map(|tls| ListenerTls {
            client_auth: clients.flatten(),
            ..tls
        });
        let has_no_trusted_proxies = listen.trusted_proxies.is_empty();
        let has_unix_socket = listen.unix.is_some();
        let (networks, trusts_unix_peers) = self.without_unix_peers(
            &format!("{key}.trusted_proxies"),
            listen.trusted_proxies,
            has_unix_socket,
        );
        let trusted_proxies = self.networks(&format!("{key}.trusted_proxies"), networks);
        if trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
            self.report.warn(
                format_args!("{key}.trusted_proxies"),
                "every sender is trusted to state its own address, so allow lists do not protect the routes of this listener",
            );
        }
        let address = match (listen.address, listen.unix) {
            (Some(text), None) => Address::Tcp(self.socket_address(&format!("{key}.address"), &text)?),
            (None, Some(path)) => {
                let FileMode(mode) = listen.mode.unwrap_or(FileMode(defaults::SOCKET_MODE));
                Address::Unix(self.path(&path), mode)
            }
            (Some(_), Some(_)) => {
                self.report.fault(
                    key,
                    "both `address` and `unix` are set",
                    "write a `[[listen]]` for each",
                );
                return None;
            }
            (None, None) => {
                let fix = "write `address = \"0.0.0.0:8443\"` or `unix = \"/run/hookgate/hookgate.sock\"`";
                self.report
                    .missing(format!("{key}.address"), "this listener has no address", fix);
                return None;
            }
        };
        if let (Address::Tcp(address), None, true) = (&address, &tls, has_no_trusted_proxies) {
            let text = "without TLS this listener must stand behind a proxy, and without `trusted_proxies` the proxy's address is taken for the sender's, in audit lines, in `X-Forwarded-For` and in `allow`; write the proxy's addresses, such as `trusted_proxies = [\"10.0.0.0/8\"]`";
            let key = format!("{key}.plaintext");
            if address.ip().is_loopback() {
                self.report.note(&key, text);
            } else {
                self.report.warn(&key, text);
            }
        }
        if listen.mode.is_some() && matches!(address, Address::Tcp(_)) {
            self.report.fault(
                format!("{key}.mode"),
                "a TCP address has no file mode",
                "remove it, or listen on `unix`",
            );
        }
        let proxy_protocol = listen.proxy_protocol.is_some_and(|Flag(flag)| flag);
        // The mode of a Unix socket decides who may connect, so that it needs no list.
        if proxy_protocol && has_no_trusted_proxies && matches!(address, Address::Tcp(_)) {
            self.report.fault(
                format!("{key}.proxy_protocol"),
                "only `trusted_proxies` may send the PROXY protocol, and there are none, so every connection would be refused",
                "write the addresses of the load balancer, such as `trusted_proxies = [\"10.0.0.0/8\"]`",
            );
        }
        for source in tls.iter().flat_map(|tls| &tls.certificates) {
            let client_auth = tls.as_ref().and_then(|tls| tls.client_auth.as_ref());
            if let CertificateSource::Acme(acme) = source {
                self.check_challenge(key, acme, &address, client_auth.is_some_and(|clients| clients.required));
            }
        }
        let name = listen.name.unwrap_or_else(|| match &address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(path, _) => path.display().to_string(),
        });
        self.check_name(&format!("{key}.name"), &name);
        Some(Listener {
            name,
            address,
            tls,
            trusted_proxies,
            trusts_unix_peers,
            proxy_protocol,
            health: self.health_path(key, listen.health),
        })
    }

    /// Takes the entry for the peers of a Unix socket out of a list of networks, and tells whether it was there.
    fn without_unix_peers(
        &mut self,
        key: &str,
        mut list: OneOrMany<String>,
        has_unix_socket: bool,
    ) -> (OneOrMany<String>, bool) {
        let before = list.0.len();
        list.0.retain(|(_, text)| text != UNIX_PEERS);
        let is_listed = list.0.len() < before;
        if is_listed && !has_unix_socket {
            self.report.fault(
                key,
                "`unix` stands for the peers of a Unix socket, and this listener has an address",
                "write the addresses of the proxies, such as `trusted_proxies = [\"10.0.0.0/8\"]`",
            );
        }
        (list, is_listed)
    }

    fn tls(
        &mut self,
        key: &str,
        list: OneOrMany<ListenerCertificate>,
        minimum: Option<Keyword<TlsVersion>>,
        plaintext: Option<Flag>,
    ) -> Option<ListenerTls> {
        let is_plaintext = plaintext.is_some_and(|Flag(flag)| flag);
        let tls_key = format!("{key}.tls");
        if list.is_empty() {
            if !is_plaintext && !self.report.is_meant(&format!("{key}.plaintext")) {
                self.report.missing(
                    tls_key,
                    "this listener has no certificate, so webhooks would arrive unencrypted",
                    "write `tls = { certificate = \"…\", key = \"…\" }`, or `plaintext = true` behind a proxy that terminates TLS",
                );
            }
            if minimum.is_some() {
                self.report.fault(
                    format!("{key}.tls_minimum"),
                    "without `tls` there is no TLS version",
                    "remove it",
                );
            }
            return None;
        }
        if is_plaintext {
            self.report.fault(
                format!("{key}.plaintext"),
                "both `tls` and `plaintext = true` are set",
                "remove one of them",
            );
        }
        let (mut certificates, mut names) = (Vec::new(), Vec::new());
        for (key, written) in list.into_paths(&tls_key) {
            let Some((source, of_it)) = self.certificate_source(&key, written) else {
                continue;
            };
            names.push(of_it);
            if certificates.contains(&source) {
                self.report
                    .fault(&key, "the list contains this certificate twice", "remove one of them");
            }
            certificates.push(source);
        }
        self.certificates.push((key.to_owned(), names));
        Some(ListenerTls {
            certificates,
            minimum: minimum.map_or(defaults::TLS_MINIMUM, |Keyword(version)| version),
            client_auth: None,
        })
    }

    /// One certificate of a listener, and its names.
    fn certificate_source(
        &mut self,
        key: &str,
        written: ListenerCertificate,
    ) -> Option<(CertificateSource, CertificateNames)> {
        let ListenerCertificate {
            certificate,
            key: key_file,
            acme,
        } = written;
        if let Some(acme) = acme {
            if certificate.is_some() || key_file.is_some() {
                self.report.fault(
                    key,
                    "`acme` stands beside the paths of files",
                    "remove one of them; `tls` may be a list of both kinds",
                );
            }
            let acme = self.acme(&format!("{key}.acme"), acme)?;
            let names = CertificateNames::of_dns(acme.domains.clone());
            return Some((CertificateSource::Acme(Box::new(acme)), names));
        }
        let pair = Certificate {
            certificate,
            key: key_file,
        };
        let (files, certificate) = self.certificate(key, pair)?;
        Some((CertificateSource::Files(files), certificate.names))
    }

    /// The authorities of senders' certificates. They are read once, to report faults and authorities out of their time.
    fn client_auth(&mut self, key: &str, written: file::ClientAuth) -> Option<ClientAuth> {
        let key = format!("{key}.client_auth.ca");
        let Some(ca) = written.ca.filter(|path| !path.is_empty()) else {
            self.report.missing(
                key,
                "the path of the senders' certificate authorities is missing",
                "write `ca = \"/path/to/ca.pem\"`",
            );
            return None;
        };
        let ca = self.path(&ca);
        self.files.push(ca.clone());
        if let Err(fault) = tls::roots(Some(&ca)) {
            self.report.fault(key, fault.problem, fault.fix);
            return None;
        }
        for warning in tls::out_of_time(&ca, "no certificate that it signed is accepted", self.now_unix) {
            self.report.warn(&key, warning);
        }
        let crl = written.crl.map(|path| self.path(&path));
        if let Some(path) = &crl {
            self.files.push(path.clone());
            if let Err(fault) = tls::revocation_lists(path) {
                self.report.fault(key.replace(".ca", ".crl"), fault.problem, fault.fix);
            }
        }
        Some(ClientAuth {
            crl,
            ca,
            required: written
                .mode
                .map_or(defaults::CLIENT_CERTIFICATE_REQUIRED, |Keyword(mode)| {
                    mode == ClientAuthMode::Required
                }),
            forward_subject: written.forward_subject.is_some_and(|Flag(flag)| flag),
        })
    }

    /// The paths of a chain and its key. The files are read once, to report faults: both load, and the key fits.
    pub(super) fn certificate(
        &mut self,
        key: &str,
        pair: Certificate,
    ) -> Option<(CertificateFiles, LoadedCertificate)> {
        let files = self.certificate_files(key, pair)?;
        match tls::certificate(&files) {
            Ok(certificate) => {
                for warning in certificate.warnings(&files.certificate, self.now_unix) {
                    self.report.warn(key, warning);
                }
                Some((files, certificate))
            }
            Err(fault) => {
                self.report.fault(key, fault.problem, fault.fix);
                None
            }
        }
    }

    /// The paths of a chain and its key. The files are not read.
    pub(super) fn certificate_files(&mut self, key: &str, pair: Certificate) -> Option<CertificateFiles> {
        let mut paths = Vec::new();
        for (name, path) in [("certificate", pair.certificate), ("key", pair.key)] {
            match path {
                Some(path) if !path.is_empty() => paths.push(self.path(&path)),
                Some(_) | None => {
                    self.report.missing(
                        format!("{key}.{name}"),
                        format!("the path of the {name} is missing"),
                        format!("write `{name} = \"/path/to/file.pem\"`"),
                    );
                }
            }
        }
        let [certificate, key_file] = <[_; 2]>::try_from(paths).ok()?;
        let files = CertificateFiles {
            certificate,
            key: key_file,
        };
        self.files.extend([files.certificate.clone(), files.key.clone()]);
        self.check_private_key(&format!("{key}.key"), &files.key);
        Some(files)
    }

    /// The admin listener, whose address is not one of `listeners`.
    pub(super) fn admin(&mut self, admin: &file::Admin, listeners: &[Listener]) -> Admin {
        let address = match admin.address.as_deref() {
            None => Some(defaults::ADMIN_ADDRESS),
            Some("off") => None,
            Some(text) => self.socket_address("admin.address", text),
        };
        if let Some(address) = address {
            self.check_admin_address(address);
        }
        let is_taken = |address: SocketAddr| {
            address.port() != 0
                && listeners
                    .iter()
                    .any(|listener| listener.address == Address::Tcp(address))
        };
        if address.is_some_and(is_taken) {
            self.report.fault(
                "admin.address",
                "a listener has the same address",
                "write another port for the admin listener",
            );
        }
        for (key, host) in admin.hosts.paths("admin.hosts") {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if host.is_empty() || !host.bytes().all(is_name) {
                self.report.fault(
                    key,
                    format!("`{host}` is not the name of a host"),
                    "write a name without a port, such as \"gate.example.com\"",
                );
            }
        }
        Admin {
            hosts: admin
                .hosts
                .0
                .iter()
                .map(|(_, host)| host.to_ascii_lowercase())
                .collect(),
            address,
            readiness: admin
                .readiness
                .map_or(defaults::READINESS, |Keyword(readiness)| readiness),
        }
    }

    /// Parses an IP address with a port.
    pub(super) fn socket_address(&mut self, key: &str, text: &str) -> Option<SocketAddr> {
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let fix = match port.parse::<u16>() {
            Ok(port) if host.is_empty() || host == "*" => {
                format!("write \"0.0.0.0:{port}\", or \"[::]:{port}\" for IPv6 as well")
            }
            Ok(port) if host == "localhost" => format!("write \"127.0.0.1:{port}\""),
            Ok(_) | Err(_) => String::from("write an IP address and a port, such as \"0.0.0.0:8443\" or \"[::]:8443\""),
        };
        self.report
            .fault(key, format!("`{text}` is not an address with a port"), fix);
        None
    }

    /// Checks a name of a listener or route, which becomes a label of metrics and a value of a header field.
    pub(super) fn check_name(&mut self, key: &str, name: &str) {
        let is_plain = (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain {
            self.report.fault(
                key,
                "this name cannot be used in metrics and header fields",
                "write 1 to 128 visible ASCII characters without spaces",
            );
        }
    }
}
