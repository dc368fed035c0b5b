//! Certificates of signers (AWS SNS, PayPal): which URLs may be fetched, and whether a certificate that was fetched is the
//! provider's. Its chain must end at one of the pinned authorities, and it must have one of the provider's names.

use super::fetched::FetchedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

/// Longest URL of a certificate, in bytes.
const MAX_URL_BYTES: usize = 512;
/// Longest URL of a confirmation, in bytes. Those of AWS SNS have about 400.
const MAX_CONFIRMATION_BYTES: usize = 1024;
/// Maximum number of certificates of one answer.
const MAX_CERTIFICATES: usize = 8;

/// The access method for the certificate of an issuer (RFC 5280, 4.2.2.1).
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

/// Whose certificates are accepted, and where they are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSource {
    /// The hosts, with a port where it is not 443; `*` stands for letters, digits and hyphens.
    pub hosts: Vec<String>,
    /// The path, with `*` as in `hosts`.
    pub path: String,
    /// The names of which a certificate must have one; `{host}` is the host of its URL.
    pub names: Vec<String>,
    /// The hosts that have the certificates between a signer's and its authority's.
    pub issuers: Vec<String>,
    /// The authorities.
    pub roots: Vec<TrustAnchor<'static>>,
}

/// Host and port of a URL.
pub(super) fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split('/').next()
}

impl CertificateSource {
    /// The authorities with these common names, of those that Mozilla trusts.
    ///
    /// # Errors
    /// The name that no authority has.
    pub fn pinned(names: &[String]) -> Result<Vec<TrustAnchor<'static>>, String> {
        let mut anchors = Vec::new();
        for name in names {
            let has_name =
                |anchor: &&TrustAnchor<'static>| common_name(&anchor.subject).as_deref() == Some(name.as_str());
            let anchor = webpki_roots::TLS_SERVER_ROOTS.iter().find(has_name);
            anchors.push(anchor.cloned().ok_or_else(|| name.clone())?);
        }
        Ok(anchors)
    }

    /// The authorities of a PEM file; `None` if it has none.
    #[must_use]
    pub fn anchors(pem: &[u8]) -> Option<Vec<TrustAnchor<'static>>> {
        let certificates: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = certificates.ok()?;
        let anchors: Result<Vec<_>, _> = certificates
            .iter()
            .map(|certificate| webpki::anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned()))
            .collect();
        anchors.ok().filter(|anchors| !anchors.is_empty())
    }

    /// Whether this is the URL of one of the provider's certificates: `https`, a host and a path of this source, and
    /// nothing else.
    #[must_use]
    pub fn accepts(&self, url: &str) -> bool {
        let Some(rest) = url.strip_prefix("https://").filter(|_| url.len() <= MAX_URL_BYTES) else {
            return false;
        };
        let Some((host, path)) = rest.split_once('/') else {
            return false;
        };
        self.hosts.iter().any(|pattern| fits(pattern, host))
            && self.path.strip_prefix('/').is_some_and(|pattern| fits(pattern, path))
    }

    /// Whether this is a URL at which a subscription is confirmed: `https`, one of the hosts, no path, and a query that begins
    /// with the action.
    pub(super) fn confirms(&self, url: &str) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%&=:".contains(&byte);
        let rest = url
            .strip_prefix("https://")
            .filter(|_| url.len() <= MAX_CONFIRMATION_BYTES);
        let parts = rest.and_then(|rest| rest.split_once("/?Action=ConfirmSubscription&"));
        parts.is_some_and(|(host, query)| {
            self.hosts.iter().any(|pattern| fits(pattern, host)) && query.bytes().all(is_plain)
        })
    }

    /// The URL of the certificate that issued the last one of `answer`, as that one states it (RFC 5280, 4.2.2.1). Providers
    /// publish their certificate without those between it and its authority. `None` unless a pinned host has it; whoever
    /// answers there can only complete a chain, not make one.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's lists of extensions and names are open"
    )]
    pub(super) fn issuer_url(&self, answer: &[u8]) -> Option<String> {
        let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(answer).flatten().collect();
        let last = certificates.last().filter(|_| certificates.len() < MAX_CERTIFICATES)?;
        let (_, parsed) = X509Certificate::from_der(last).ok()?;
        let accesses = parsed
            .extensions()
            .iter()
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::AuthorityInfoAccess(access) => Some(&access.accessdescs),
                _ => None,
            });
        let issuers = accesses
            .flatten()
            .filter(|access| access.access_method.to_id_string() == CA_ISSUERS);
        let urls = issuers.filter_map(|access| match &access.access_location {
            GeneralName::URI(url) => Some(*url),
            _ => None,
        });
        let is_pinned = |url: &&str| {
            let rest = url
                .strip_prefix("http://")
                .or(url.strip_prefix("https://"))
                .unwrap_or_default();
            let (host, path) = rest.split_once('/').unwrap_or_default();
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
            url.len() <= MAX_URL_BYTES
                && path.bytes().all(is_plain)
                && self.issuers.iter().any(|pattern| fits(pattern, host))
        };
        urls.map(|url| url as &str).find(is_pinned).map(str::to_owned)
    }

    /// The key of a certificate in PEM, the signer's first, then those between it and its authority.
    ///
    /// # Errors
    /// What is wrong with it, as a phrase.
    pub(super) fn parse(&self, url: &str, answer: &[u8], now_unix: u64) -> Result<FetchedKey, String> {
        let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(answer)
            .take(MAX_CERTIFICATES)
            .collect::<Result<_, _>>()
            .map_err(|_| "the answer is not a certificate in PEM".to_owned())?;
        let (first, others) = certificates
            .split_first()
            .ok_or_else(|| "the answer has no certificate".to_owned())?;
        let unusable = |_| "the answer is not a certificate that can be used".to_owned();
        let signer = EndEntityCert::try_from(first).map_err(unusable)?;
        signer
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &self.roots,
                others,
                UnixTime::since_unix_epoch(Duration::from_secs(now_unix)),
                KeyUsage::server_auth(),
                None,
                None,
            )
            .map_err(|error| format!("its chain is not accepted ({})", reason(&error)))?;
        let host = host(url).unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        let has_name = |name: &String| {
            let name = name.replace("{host}", host);
            ServerName::try_from(name.as_str()).is_ok_and(|name| signer.verify_is_valid_for_subject_name(&name).is_ok())
        };
        if !self.names.iter().any(has_name) {
            return Err("it is the certificate of another name".to_owned());
        }
        let (_, parsed) = X509Certificate::from_der(first).map_err(|_| "it cannot be read".to_owned())?;
        FetchedKey::of_certificate(url, &parsed).ok_or_else(|| "it has no RSA key of 2048 to 8192 bits".to_owned())
    }
}

/// Why a chain is refused, in words.
fn reason(error: &webpki::Error) -> &'static str {
    if matches!(error, webpki::Error::CertExpired { .. }) {
        "it has expired"
    } else if matches!(error, webpki::Error::CertNotValidYet { .. }) {
        "it is not valid yet"
    } else if matches!(error, webpki::Error::UnknownIssuer) {
        "no pinned authority issued it"
    } else {
        "it breaks a rule of X.509"
    }
}

/// Whether a text has the form of the pattern, in which `*` stands for one or more letters, digits and hyphens.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let free = rest
                .bytes()
                .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
                .count();
            (1..=free).any(|length| rest.get(length..).is_some_and(|rest| fits(after, rest)))
        }),
    }
}

/// The common name in the content of a distinguished name.
fn common_name(subject: &[u8]) -> Option<String> {
    // An anchor has the content of the sequence without its tag and length.
    let length = u16::try_from(subject.len()).ok()?.to_be_bytes();
    let whole = [&[0x30, 0x82], length.as_slice(), subject].concat();
    let (_, name) = x509_parser::x509::X509Name::from_der(&whole).ok()?;
    let found = name.iter_common_name().next()?;
    found.as_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sns() -> CertificateSource {
        CertificateSource {
            hosts: vec!["sns.*.amazonaws.com".into(), "sns.*.amazonaws.com.cn".into()],
            path: "/SimpleNotificationService-*.pem".into(),
            issuers: vec!["crt.*.amazontrust.com".into()],
            names: vec!["{host}".into(), "sns.amazonaws.com".into()],
            roots: CertificateSource::pinned(&["Amazon Root CA 1".into()]).unwrap(),
        }
    }

    #[test]
    fn only_urls_of_the_provider_are_fetched() {
        let source = sns();
        for url in [
            "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem",
            "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0a.pem",
        ] {
            assert!(source.accepts(url), "{url}");
        }
        for url in [
            "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a.pem",
            "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-0a.pem",
            "https://sns.evil.example/SimpleNotificationService-0a.pem#.amazonaws.com",
            "https://sns.us-east-1.amazonaws.com@evil.example/SimpleNotificationService-0a.pem",
            "https://evil.example/sns.us-east-1.amazonaws.com/SimpleNotificationService-0a.pem",
            "https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-0a.pem",
            "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a.pem?x=1",
            "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a.pem#f",
            "https://sns.us-east-1.amazonaws.com/../bucket/SimpleNotificationService-0a.pem",
            "https://sns.us-east-1.amazonaws.com/a/SimpleNotificationService-0a.pem",
            "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-%2e.pem",
            "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-.pem",
            "https://sns.us-east-1.s3.amazonaws.com/SimpleNotificationService-0a.pem",
            "https://sns..amazonaws.com/SimpleNotificationService-0a.pem",
            "https://SNS.us-east-1.amazonaws.com/SimpleNotificationService-0a.pem",
            "HTTPS://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a.pem",
            "file:///etc/passwd",
            "https://169.254.169.254/latest/meta-data",
            "https://sns.us-east-1.amazonaws.com\\@evil.example/SimpleNotificationService-0a.pem",
            " https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a.pem",
            "",
        ] {
            assert!(!source.accepts(url), "{url}");
        }
    }

    #[test]
    fn only_urls_of_the_provider_confirm() {
        let source = sns();
        let query = "Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-west-2:123456789012:MyTopic&Token=2336412f37";
        assert!(source.confirms(&format!("https://sns.us-west-2.amazonaws.com/?{query}")));
        for url in [
            format!("http://sns.us-west-2.amazonaws.com/?{query}"),
            format!("https://sns.us-west-2.amazonaws.com.evil.example/?{query}"),
            format!("https://evil.example/?{query}"),
            format!("https://sns.us-west-2.amazonaws.com@evil.example/?{query}"),
            format!("https://sns.us-west-2.amazonaws.com:8443/?{query}"),
            format!("https://sns.us-west-2.amazonaws.com/x?{query}"),
            format!("https://sns.us-west-2.amazonaws.com/?{query}#f"),
            format!("https://sns.us-west-2.amazonaws.com/?{query}\r\nHost: evil.example"),
            format!("https://sns.us-west-2.amazonaws.com/?{query}&x={}", "a".repeat(1024)),
            "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=arn".to_owned(),
            "https://169.254.169.254/?Action=ConfirmSubscription&Token=a".to_owned(),
            String::new(),
        ] {
            assert!(!source.confirms(&url), "{url}");
        }
    }

    #[test]
    fn authorities_are_found_by_their_names() {
        assert_eq!(sns().roots.len(), 1);
        let missing = CertificateSource::pinned(&["No Such Authority".into()]);
        assert_eq!(missing, Err("No Such Authority".to_owned()));
    }
}
