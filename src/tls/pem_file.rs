//! Reads PEM files, and explains a file that has something else than what belongs there: what it has, and the command
//! that makes the right file of it.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Largest file that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// Why a file cannot be used, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// What is wrong; it names the file.
    pub problem: String,
    /// What to write or do.
    pub fix: String,
}

impl FileFault {
    pub(super) fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.fix)
    }
}

/// The certificates of a file, at least one, in their order.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileFault> {
    items(path, &read(path)?, "CERTIFICATE", explain_no_certificate)
}

/// The revocation lists of a file, at least one.
pub(super) fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, FileFault> {
    items(path, &read(path)?, "X509 CRL", |path, _| {
        FileFault::new(
            format!("{path} has no revocation list"),
            format!(
                "write the path of a PEM file with the authorities' revocation lists; `openssl crl -inform der -in {path} -out FILE` converts a binary one"
            ),
        )
    })
}

/// The first private key of a file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileFault> {
    let content = read(path)?;
    let shown = path.display();
    let found = labels(&content);
    // "ENCRYPTED PRIVATE KEY" is PKCS #8; the older form has a header after the label of an ordinary key.
    if found.iter().any(|label| label == "ENCRYPTED PRIVATE KEY") || contains(&content, b"Proc-Type: 4,ENCRYPTED") {
        return Err(FileFault::new(
            format!("the private key {shown} is encrypted with a passphrase, and hookgate asks for none"),
            format!(
                "decrypt it with `openssl pkey -in {shown} -out FILE`, let only the user that runs hookgate read FILE, and write its path as `key`"
            ),
        ));
    }
    match PrivateKeyDer::pem_slice_iter(&content).next() {
        Some(Ok(key)) => Ok(key),
        _ if found.iter().any(|label| is_key(label)) => Err(damaged("private key", path)),
        Some(Err(_)) | None => Err(explain_no_key(path, &content, &found)),
    }
}

/// Whether the file has a private key, which tells that two paths were exchanged.
pub(super) fn has_private_key(path: &Path) -> bool {
    read(path).is_ok_and(|content| labels(&content).iter().any(|label| label.ends_with("PRIVATE KEY")))
}

fn items<T: PemObject>(
    path: &Path,
    content: &[u8],
    label: &str,
    explain: impl FnOnce(&str, &[u8]) -> FileFault,
) -> Result<Vec<T>, FileFault> {
    let found: Result<Vec<T>, _> = T::pem_slice_iter(content).collect();
    let expected = labels(content).iter().filter(|found| *found == label).count();
    match found {
        Ok(items) if !items.is_empty() && items.len() >= expected => Ok(items),
        Ok(_) | Err(_) if expected > 0 => Err(damaged(
            &label.to_ascii_lowercase().replace("x509 crl", "revocation list"),
            path,
        )),
        Ok(_) | Err(_) => Err(explain(&path.display().to_string(), content)),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileFault> {
    let mut content = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(LARGEST).read_to_end(&mut content))
        .map_err(|error| unreadable(path, &error))?;
    Ok(content)
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the standard library's enum is not exhaustive"
)]
fn unreadable(path: &Path, error: &io::Error) -> FileFault {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileFault::new(
            format!("the file {path} does not exist"),
            "write the path of an existing file; a relative path starts at the directory of the configuration file",
        ),
        io::ErrorKind::PermissionDenied => FileFault::new(
            format!("the user that runs hookgate may not read the file {path}"),
            format!(
                "run `chgrp hookgate {path}` and `chmod 0640 {path}`, with the group of that user, and let the group enter its directories (`chmod g+x`)"
            ),
        ),
        io::ErrorKind::IsADirectory => {
            FileFault::new(format!("{path} is a directory"), "write the path of a file in it")
        }
        _ => FileFault::new(
            format!("the file {path} cannot be read"),
            format!("try `cat {path}` as the user that runs hookgate, and write the path of a readable file"),
        ),
    }
}

fn damaged(what: &str, path: &Path) -> FileFault {
    FileFault::new(
        format!("a {what} in {} is damaged or cut off", path.display()),
        "copy the file again, with every character from the line BEGIN to the line END",
    )
}

fn explain_no_certificate(path: &str, content: &[u8]) -> FileFault {
    let found = labels(content);
    let has = |wanted: &str| found.iter().any(|label| label.contains(wanted));
    let (problem, fix) = if has("TRUSTED CERTIFICATE") {
        (
            "has certificates in a form that only openssl reads",
            format!("convert each with `openssl x509 -in {path} -out FILE`"),
        )
    } else if has("CERTIFICATE REQUEST") {
        (
            "has a certificate request, not a certificate",
            String::from("write the path of the certificate that the authority issued for it"),
        )
    } else if has("PKCS7") {
        (
            "has certificates in the form PKCS #7",
            format!("convert them with `openssl pkcs7 -print_certs -in {path} -out FILE`"),
        )
    } else if has("PRIVATE KEY") {
        (
            "has a private key and no certificate",
            String::from("write the path of the certificate chain here, and this path as `key`"),
        )
    } else {
        return not_pem(path, content, "certificate", "x509");
    };
    FileFault::new(format!("{path} {problem}"), fix)
}

fn explain_no_key(path: &Path, content: &[u8], found: &[String]) -> FileFault {
    let path = &path.display().to_string();
    let has = |wanted: &str| found.iter().any(|label| label.contains(wanted));
    let (problem, fix) = if has("OPENSSH PRIVATE KEY") {
        (
            "has a key of SSH",
            "write the path of the key that the certificate was made with",
        )
    } else if has("DSA PRIVATE KEY") {
        ("has a DSA key, which TLS does not use", USABLE_KEYS)
    } else if has("PUBLIC KEY") {
        (
            "has a public key, not a private key",
            "write the path of the private key that belongs to the certificate",
        )
    } else if has("CERTIFICATE") {
        (
            "has a certificate and no private key",
            "write the path of the private key as `key`, such as privkey.pem, and the path of the chain as `certificate`",
        )
    } else {
        return not_pem(path, content, "private key", "pkey");
    };
    FileFault::new(format!("{path} {problem}"), fix)
}

/// What to do about a key of a kind that cannot be used.
pub(super) const USABLE_KEYS: &str = "create a key with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out FILE`, or RSA with 2048 to 8192 bits, and let the authority issue a certificate for it";

/// A file without any item of PEM that is known here.
fn not_pem(path: &str, content: &[u8], what: &str, command: &str) -> FileFault {
    if content.is_empty() {
        return FileFault::new(
            format!("the file {path} is empty"),
            format!("write the path of a PEM file with the {what}"),
        );
    }
    if matches!(content, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return FileFault::new(
            format!("{path} is text in UTF-16, and PEM is ASCII"),
            "save it again as ASCII or UTF-8",
        );
    }
    if std::str::from_utf8(content).is_err() {
        return FileFault::new(
            format!("{path} is binary (DER or PKCS #12), not PEM"),
            format!(
                "convert it with `openssl {command} -inform der -in {path} -out FILE`, or a .pfx or .p12 file with `openssl pkcs12 -nodes -in {path} -out FILE`"
            ),
        );
    }
    FileFault::new(
        format!("{path} has no {what} in PEM"),
        format!(
            "write the path of a PEM file with the {what}, which has a line `-----BEGIN {}-----`",
            what.to_ascii_uppercase()
        ),
    )
}

/// The labels of PEM in the file: `CERTIFICATE` of `-----BEGIN CERTIFICATE-----`.
fn labels(content: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(content);
    let label = |line: &str| {
        let (_, rest) = line.split_once("-----BEGIN ")?;
        rest.split_once("-----").map(|(label, _)| label.to_owned())
    };
    text.lines().filter_map(label).collect()
}

fn is_key(label: &str) -> bool {
    matches!(label, "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY")
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests may run as root, who may read every file.
    #[test]
    fn a_file_without_permission_names_the_right_that_is_missing() {
        let fault = unreadable(Path::new("/a/tls.key"), &io::ErrorKind::PermissionDenied.into()).to_string();
        for words in ["may not read", "chmod 0640 /a/tls.key"] {
            assert!(fault.contains(words), "{fault}");
        }
    }
}
