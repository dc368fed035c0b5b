//! Listeners and the admin address.

use super::super::file::{self, Certificate, ClientMode};
use super::super::value::{FileMode, Flag, List, Word};
use super::super::{Address, CertificateFiles, ClientAuth, Listener, Tls, TlsVersion};
use super::Resolver;
use crate::tls;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Group may connect: the front proxy usually runs as another user of the same group.
const SOCKET_MODE: u32 = 0o660;

impl Resolver<'_> {
    pub(super) fn listeners(&mut self, list: List<file::Listen>) -> Vec<Listener> {
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
                "without `tls` nobody shows a certificate",
                "remove it",
            );
        }
        let tls = tls.map(|tls| Tls {
            client_auth: clients.flatten(),
            ..tls
        });
        let names_no_proxies = listen.trusted_proxies.is_empty();
        let trusted_proxies = self.networks(&format!("{key}.trusted_proxies"), listen.trusted_proxies);
        if trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
            self.report.warn(
                &format!("{key}.trusted_proxies"),
                "believes anyone about where a webhook comes from, so allow lists are no protection here",
            );
        }
        let address = match (listen.address, listen.unix) {
            (Some(text), None) => Address::Tcp(self.socket_address(&format!("{key}.address"), &text)?),
            (None, Some(path)) => {
                let FileMode(mode) = listen.mode.unwrap_or(FileMode(SOCKET_MODE));
                Address::Unix(self.path(&path), mode)
            }
            (Some(_), Some(_)) => {
                self.report
                    .fault(key, "both `address` and `unix`", "write a `[[listen]]` for each");
                return None;
            }
            (None, None) => {
                let fix = "write `address = \"0.0.0.0:8443\"` or `unix = \"/run/hookgate/hookgate.sock\"`";
                self.report
                    .missing(format!("{key}.address"), "this listener has no address", fix);
                return None;
            }
        };
        if listen.mode.is_some() && matches!(address, Address::Tcp(_)) {
            self.report.fault(
                format!("{key}.mode"),
                "a TCP address has no file mode",
                "remove it, or listen on `unix`",
            );
        }
        let proxy_protocol = listen.proxy_protocol.is_some_and(|Flag(flag)| flag);
        // Who may connect to a Unix socket is what its mode says.
        if proxy_protocol && names_no_proxies && matches!(address, Address::Tcp(_)) {
            self.report.fault(
                format!("{key}.proxy_protocol"),
                "without `trusted_proxies` anyone could claim any address, so everyone would be turned away",
                "write `trusted_proxies = [\"10.0.0.0/8\"]` with the balancer's addresses",
            );
        }
        let name = listen.name.unwrap_or_else(|| match &address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(path, _) => path.display().to_string(),
        });
        self.label(&format!("{key}.name"), &name);
        Some(Listener {
            name,
            address,
            tls,
            trusted_proxies,
            proxy_protocol,
        })
    }

    fn tls(
        &mut self,
        key: &str,
        list: List<Certificate>,
        minimum: Option<Word<TlsVersion>>,
        plaintext: Option<Flag>,
    ) -> Option<Tls> {
        let is_plaintext = plaintext.is_some_and(|Flag(flag)| flag);
        let tls_key = format!("{key}.tls");
        if list.is_empty() {
            if !is_plaintext {
                self.report.missing(
                    tls_key,
                    "this listener has no certificate, so webhooks would arrive unencrypted",
                    "write `tls = { certificate = \"…\", key = \"…\" }`, or `plaintext = true` behind something that terminates TLS",
                );
            }
            if minimum.is_some() {
                self.report.fault(
                    format!("{key}.tls_minimum"),
                    "without `tls` there is no version",
                    "remove it",
                );
            }
            return None;
        }
        if is_plaintext {
            self.report.fault(
                format!("{key}.plaintext"),
                "both `tls` and `plaintext = true`",
                "remove one of them",
            );
        }
        let mut certificates = Vec::new();
        for (key, pair) in list.into_paths(&tls_key) {
            let Some(files) = self.certificate(&key, pair) else {
                continue;
            };
            if certificates.contains(&files) {
                self.report
                    .fault(&key, "the same certificate twice", "remove one of them");
            }
            certificates.push(files);
        }
        Some(Tls {
            certificates,
            minimum: minimum.map_or(TlsVersion::Tls12, |Word(version)| version),
            client_auth: None,
        })
    }

    /// Authorities of senders' certificates, which are read once to see that they load.
    fn client_auth(&mut self, key: &str, written: file::ClientAuth) -> Option<ClientAuth> {
        let key = format!("{key}.client_auth.ca");
        let Some(ca) = written.ca.filter(|path| !path.is_empty()) else {
            self.report.missing(
                key,
                "the authorities of the senders' certificates are missing",
                "write `ca = \"/path/to/ca.pem\"`",
            );
            return None;
        };
        let ca = self.path(&ca);
        self.files.push(ca.clone());
        if let Err(problem) = tls::roots(Some(&ca)) {
            self.report
                .fault(key, problem, "write the path of a PEM file with certificates");
            return None;
        }
        Some(ClientAuth {
            ca,
            required: written.mode.is_none_or(|Word(mode)| mode == ClientMode::Required),
            forward_subject: written.forward_subject.is_some_and(|Flag(flag)| flag),
        })
    }

    /// Paths of a chain and its key, which are read once to see that they load and belong together.
    fn certificate(&mut self, key: &str, pair: Certificate) -> Option<CertificateFiles> {
        let files = self.certificate_files(key, pair)?;
        match tls::certificate(&files) {
            Ok(_) => Some(files),
            Err(problem) => {
                self.report.fault(
                    key,
                    problem,
                    "write paths of a PEM chain, leaf first, and of its PEM key",
                );
                None
            }
        }
    }

    /// Paths of a chain and its key, unread.
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
        Some(files)
    }

    pub(super) fn admin(&mut self, admin: &file::Admin, listeners: &[Listener]) -> Option<SocketAddr> {
        let address = match admin.address.as_deref() {
            None => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464),
            Some("off") => return None,
            Some(text) => self.socket_address("admin.address", text)?,
        };
        if address.port() != 0
            && listeners
                .iter()
                .any(|listener| listener.address == Address::Tcp(address))
        {
            self.report.fault(
                "admin.address",
                "a listener has the same address",
                "give the admin listener a port of its own",
            );
        }
        Some(address)
    }

    fn socket_address(&mut self, key: &str, text: &str) -> Option<SocketAddr> {
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

    /// Names go into labels and headers: visible ASCII, bounded.
    pub(super) fn label(&mut self, key: &str, name: &str) {
        let is_plain = (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain {
            self.report.fault(
                key,
                "a name goes into metrics and headers",
                "write 1 to 128 visible ASCII characters without spaces",
            );
        }
    }
}
