//! A certificate chain with its private key: reads both files, checks that TLS can use them together, and finds what a
//! sender would not accept.

use super::names::CertificateNames;
use super::pem_file::{self, FileFault, USABLE_KEYS};
use super::provider;
use crate::settings::CertificateFiles;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;

/// A certificate chain with its private key, and properties of the leaf certificate.
#[derive(Debug)]
pub struct LoadedCertificate {
    /// The chain and the key in the form that rustls uses.
    pub key: Arc<CertifiedKey>,
    /// The names of the leaf.
    pub names: CertificateNames,
    /// `notBefore` of the leaf, Unix seconds.
    pub starts_unix: i64,
    /// `notAfter` of the leaf, Unix seconds.
    pub expires_unix: i64,
}

impl LoadedCertificate {
    /// A chain that an authority issued, and its key.
    ///
    /// # Errors
    /// One sentence when TLS cannot use them together.
    pub fn issued(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, String> {
        let leaf = chain.first().map(|leaf| X509Certificate::from_der(leaf));
        let (names, starts_unix, expires_unix) = match leaf {
            Some(Ok((_, leaf))) => (
                CertificateNames::new(&leaf),
                leaf.validity().not_before.timestamp(),
                leaf.validity().not_after.timestamp(),
            ),
            Some(Err(_)) | None => return Err(String::from("the certificate is not valid X.509")),
        };
        let key = certified(chain, key)?;
        let matching = key.keys_match();
        matching.map_err(|_| "the certificate does not belong to the private key, or TLS cannot use it")?;
        Ok(Self {
            key,
            names,
            starts_unix,
            expires_unix,
        })
    }
}

/// A chain and its key in the form that rustls uses. Whether they belong together is not checked: rustls cannot read the
/// certificate that answers a challenge.
///
/// # Errors
/// One sentence when the key is of a kind that TLS cannot use.
pub fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, String> {
    let key = provider().key_provider.load_private_key(key);
    let key = key.map_err(|_| String::from("the private key is of a kind that TLS cannot use"))?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// Reads a PEM certificate chain and its PEM key and checks that they belong together.
///
/// # Errors
/// The file, the fault and what to do.
pub fn certificate(files: &CertificateFiles) -> Result<LoadedCertificate, FileFault> {
    let path = files.certificate.display();
    let chain = pem_file::certificates(&files.certificate).map_err(|fault| of_both(fault, files))?;
    let parsed = parse(&files.certificate, &chain)?;
    let Some(leaf) = parsed.first() else {
        return Err(unusable(&files.certificate));
    };
    check_leaf(leaf, &files.certificate)?;
    let key = pem_file::private_key(&files.key)?;
    let key = provider().key_provider.load_private_key(key).map_err(|_| {
        FileFault::new(
            format!(
                "the private key {} is of a kind that TLS cannot use",
                files.key.display()
            ),
            USABLE_KEYS,
        )
    })?;
    let own = key.public_key();
    let own = own.as_ref().map(AsRef::as_ref);
    let fits = |certificate: &X509Certificate<'_>| own.is_none_or(|own: &[u8]| own == certificate.public_key().raw);
    if !fits(leaf) {
        let fix = match parsed.iter().position(fits) {
            Some(at) => format!(
                "the key belongs to certificate {} of {path}: move it to the beginning of the file, because the leaf is first",
                at + 1
            ),
            None => format!(
                "write the key that {path} was made with; the outputs of `openssl x509 -noout -pubkey -in {path}` and `openssl pkey -pubout -in {}` are then the same",
                files.key.display()
            ),
        };
        return Err(FileFault::new(
            format!("{path} and {} do not belong together", files.key.display()),
            fix,
        ));
    }
    let names = CertificateNames::new(leaf);
    let validity = leaf.validity();
    let (starts_unix, expires_unix) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let key = CertifiedKey::new(chain.clone(), key);
    // What is not checked above, such as an extension that is critical and unknown.
    let accepted = match key.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(_)) => Ok(()),
        Err(_) => Err(unusable(&files.certificate)),
    };
    accepted.map(|()| LoadedCertificate {
        key: Arc::new(key),
        names,
        starts_unix,
        expires_unix,
    })
}

/// The fault of a file without a certificate, or one of both files: neither exists yet, or the other file has no key but a
/// certificate, so that the two paths were exchanged.
fn of_both(fault: FileFault, files: &CertificateFiles) -> FileFault {
    let (certificate, key) = (&files.certificate, &files.key);
    let is_missing = |path: &Path| path.try_exists().is_ok_and(|exists| !exists);
    if certificate != key && is_missing(certificate) && is_missing(key) {
        return FileFault::new(
            format!("the files {} and {} do not exist", certificate.display(), key.display()),
            "copy the certificate chain and its key there, or write the paths of existing files; a relative path starts at the directory of the configuration file",
        );
    }
    if certificate != key
        && pem_file::has_private_key(certificate)
        && !pem_file::has_private_key(key)
        && pem_file::certificates(key).is_ok()
    {
        return FileFault::new(
            "`certificate` and `key` are exchanged",
            format!(
                "write `certificate = \"{}\"` and `key = \"{}\"`",
                key.display(),
                certificate.display()
            ),
        );
    }
    fault
}

/// The certificates of a chain, each parsed.
pub(super) fn parse<'a>(path: &Path, chain: &'a [CertificateDer<'_>]) -> Result<Vec<X509Certificate<'a>>, FileFault> {
    let parse = |(at, certificate): (usize, &'a CertificateDer<'_>)| {
        X509Certificate::from_der(certificate)
            .map(|(_, parsed)| parsed)
            .map_err(|_| {
                FileFault::new(
                    format!("certificate {} of {} is not valid X.509", at + 1, path.display()),
                    "copy the file again, or let the authority issue it again",
                )
            })
    };
    chain.iter().enumerate().map(parse).collect()
}

fn unusable(path: &Path) -> FileFault {
    FileFault::new(
        format!(
            "the certificate {} is not one that a TLS server can use",
            path.display()
        ),
        "let the authority issue it again as a certificate for a TLS server",
    )
}

/// Checks the version of the certificate and the size of its key.
fn check_leaf(leaf: &X509Certificate<'_>, path: &Path) -> Result<(), FileFault> {
    let path = path.display();
    if leaf.version() != X509Version::V3 {
        return Err(FileFault::new(
            format!(
                "the certificate {path} has X.509 version {}, and TLS needs version 3",
                leaf.version().0.saturating_add(1)
            ),
            "issue it again with the names of the host; for a self-signed one `openssl req -x509 -newkey rsa:2048 -nodes -addext subjectAltName=DNS:hooks.example.com` makes version 3, for an own authority `openssl x509 -req -copy_extensions copy`",
        ));
    }
    if let Ok(PublicKey::RSA(key)) = leaf.public_key().parsed() {
        let bits = key.key_size();
        if !(2_048..=8_192).contains(&bits) {
            return Err(FileFault::new(
                format!("the certificate {path} has an RSA key of {bits} bits, and 2048 to 8192 bits are accepted"),
                USABLE_KEYS,
            ));
        }
    }
    Ok(())
}

impl LoadedCertificate {
    /// Whether a sender that asks for `host` accepts a name of the certificate.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.names.covers(host)
    }

    /// What senders would not accept at `now_unix`, one sentence each: an incomplete chain, a certificate out of its time.
    /// `path` is the file of the chain.
    #[must_use]
    pub fn warnings(&self, path: &Path, now_unix: u64) -> Vec<String> {
        let Ok(chain) = parse(path, &self.key.cert) else {
            return Vec::new();
        };
        let mut warnings = Vec::new();
        for (at, certificate) in chain.iter().enumerate() {
            warnings.extend(out_of_its_time(
                certificate,
                at,
                path,
                "senders will not trust it",
                now_unix,
            ));
        }
        if let Some((leaf, others)) = chain.split_first()
            && leaf.issuer().as_raw() != leaf.subject().as_raw()
            && !others.iter().any(|other| is_issuer(other, leaf))
        {
            warnings.push(format!(
                "the chain in {} is incomplete: the certificate's issuer (\"{}\") is not in the file, so senders that do not know this issuer will not trust it; write the path of the full chain, such as fullchain.pem, or append the authority's intermediate certificates to the file",
                path.display(),
                printable(&leaf.issuer().to_string()),
            ));
        }
        warnings
    }
}

fn is_issuer(other: &X509Certificate<'_>, leaf: &X509Certificate<'_>) -> bool {
    let wanted = leaf.extensions().iter().find_map(|extension| {
        if let ParsedExtension::AuthorityKeyIdentifier(id) = extension.parsed_extension() {
            id.key_identifier.as_ref().map(|id| id.0)
        } else {
            None
        }
    });
    let own = other.extensions().iter().find_map(|extension| {
        if let ParsedExtension::SubjectKeyIdentifier(id) = extension.parsed_extension() {
            Some(id.0)
        } else {
            None
        }
    });
    // An authority with a new key keeps its name; the identifiers of the keys are optional.
    let same_key = wanted.is_none() || own.is_none() || wanted == own;
    same_key && other.subject().as_raw() == leaf.issuer().as_raw()
}

/// One sentence for each certificate of the file that is out of its time at `now_unix`; `consequence` says what that
/// means, such as "senders will not trust it". Empty for a file that cannot be read.
#[must_use]
pub fn out_of_time(path: &Path, consequence: &str, now_unix: u64) -> Vec<String> {
    let Ok(certificates) = pem_file::certificates(path) else {
        return Vec::new();
    };
    let certificates = parse(path, &certificates).unwrap_or_default();
    let warning = |(at, certificate)| out_of_its_time(certificate, at, path, consequence, now_unix);
    certificates.iter().enumerate().filter_map(warning).collect()
}

fn out_of_its_time(
    certificate: &X509Certificate<'_>,
    at: usize,
    path: &Path,
    consequence: &str,
    now_unix: u64,
) -> Option<String> {
    let which = match at {
        0 => format!("the certificate {}", path.display()),
        _ => format!("certificate {} of {}", at + 1, path.display()),
    };
    let validity = certificate.validity();
    let now = now_unix.cast_signed();
    if validity.not_after.timestamp() < now {
        let date = date(validity.not_after.timestamp());
        Some(format!(
            "{which} expired at {date}, so {consequence}; renew it and write the new file"
        ))
    } else if validity.not_before.timestamp() > now {
        let date = date(validity.not_before.timestamp());
        Some(format!(
            "{which} is not valid before {date}, so {consequence} yet; use one that is valid now, and check this machine's clock with `date`"
        ))
    } else {
        None
    }
}

/// Unix seconds as RFC 3339 text.
fn date(unix: i64) -> String {
    /// The end of the year 9999, after which certificates have no date.
    const LATEST: u64 = 253_402_300_799;
    let unix = u64::try_from(unix).unwrap_or(0).min(LATEST);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(unix)).to_string()
}

/// A name of an authority for one line of text, of at most 100 characters.
fn printable(name: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    name.chars().map(plain).take(100).collect()
}
