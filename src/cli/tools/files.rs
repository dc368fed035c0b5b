//! Files that only the current user can read: a temporary directory, a self-signed certificate, generated secrets.

use crate::cli::inputs;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};
use std::fs::{DirBuilder, OpenOptions, remove_dir_all};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// A temporary directory. Dropping the value removes it with its files.
#[derive(Debug)]
pub(super) struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// Creates a directory whose name begins with `hookgate-` and `purpose`.
    ///
    /// # Errors
    /// A sentence that names the step that failed.
    pub(super) fn create(purpose: &str) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("hookgate-{purpose}-{}", random_hex::<8>()?));
        let created = DirBuilder::new().mode(0o700).create(&path);
        created.map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// The path of a file in the directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Creates a file with mode 0600.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<(), String> {
        let path = self.file(name);
        let created = write(&path, content);
        created.map_err(|error| inputs::unwritable(&path, &error))
    }

    /// Creates `tls.crt` and `tls.key`: a self-signed certificate for `localhost` that is valid from one hour before
    /// `now_unix` (Unix seconds), for 25 hours.
    ///
    /// # Errors
    /// A sentence that names the step that failed.
    pub(super) fn write_certificate(&self, now_unix: u64) -> Result<(), String> {
        let made = certificate(now_unix);
        let (certificate, key) = made.map_err(|error| format!("cannot make a certificate: {error}"))?;
        self.write("tls.crt", certificate.as_bytes())?;
        self.write("tls.key", key.as_bytes())
    }

    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // An error is ignored: what remains is in the system's directory for temporary files.
        let _ = remove_dir_all(&self.0);
    }
}

/// The given port on loopback if it is free, otherwise port 0, for which the kernel chooses a free one.
pub(super) fn preferred_address(port: u16) -> SocketAddr {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}

/// A P-256 certificate for `localhost`, and its private key, both in PEM.
fn certificate(now_unix: u64) -> Result<(String, String), rcgen::Error> {
    let mut parameters = CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(String::from))?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "hookgate demo");
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(now_unix);
    parameters.not_before = now - HOUR;
    parameters.not_after = now + 24 * HOUR;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Creates a file that only its owner can read (mode 0600).
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file?.write_all(content)
}

/// `BYTES` random bytes.
pub(super) fn random_bytes<const BYTES: usize>() -> Result<[u8; BYTES], String> {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "the system's random number generator failed")?;
    Ok(bytes)
}

/// `BYTES` random bytes as lower-case hexadecimal digits.
pub(super) fn random_hex<const BYTES: usize>() -> Result<String, String> {
    random_bytes::<BYTES>().map(hex::encode)
}
