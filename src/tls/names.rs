//! The names of a server's certificate, and whether they cover a host.

use std::net::IpAddr;
use x509_parser::prelude::{GeneralName, X509Certificate};

/// The names that a certificate has for TLS clients.
#[derive(Debug, Default)]
pub struct CertificateNames {
    /// DNS names in lower case; wildcards begin with `*.`.
    pub dns: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
}

impl CertificateNames {
    /// These DNS names, in lower case.
    #[must_use]
    pub const fn of_dns(dns: Vec<String>) -> Self {
        Self {
            dns,
            addresses: Vec::new(),
        }
    }

    /// The subject alternative names.
    pub(super) fn new(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let extension = certificate.subject_alternative_name().ok().flatten();
        for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
            if let GeneralName::DNSName(name) = name {
                names.dns.push(name.to_ascii_lowercase());
            } else if let GeneralName::IPAddress(bytes) = name {
                let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                names.addresses.extend(address);
            }
        }
        names
    }

    /// The same, or the common names where there is no alternative name, as `openssl req -x509` writes them by default.
    pub(super) fn or_common_names(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::new(certificate);
        if names.dns.is_empty() && names.addresses.is_empty() {
            let common = certificate.subject().iter_common_name();
            let common: Vec<&str> = common.filter_map(|name| name.as_str().ok()).collect();
            names.addresses = common.iter().filter_map(|name| name.parse().ok()).collect();
            names.dns = common.into_iter().map(str::to_ascii_lowercase).collect();
        }
        names
    }

    /// Whether a sender that asks for `host` accepts one of the names. Of a pattern (`*.example.com`) it is enough that
    /// one host matches. A wildcard of a certificate stands for one label (RFC 9525, 6.3).
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return self.addresses.contains(&address);
        }
        let covers = |name: &String| {
            let parent = |text: &str| text.split_once('.').map(|(_, parent)| parent.to_owned());
            match (host.strip_prefix("*."), name.strip_prefix("*.")) {
                (None, None) => *name == host,
                (None, Some(domain)) => parent(&host).as_deref() == Some(domain),
                (Some(pattern), Some(_) | None) => name.ends_with(&format!(".{pattern}")),
            }
        };
        self.dns.iter().any(covers)
    }
}
