//! What the demonstration needs on disk: a self-signed certificate, two secrets and a configuration, in a directory of
//! their own that goes with it.

use crate::config::Sources;
use crate::scheme::{NamedSecret, Verifier};
use crate::secret::Secret;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};
use std::fs::{DirBuilder, OpenOptions, remove_dir_all};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The directory; removed on drop.
#[derive(Debug)]
pub(super) struct Stage {
    directory: PathBuf,
    /// Signs as the provider (keys [`CURRENT`] and [`PREVIOUS`]) and as a stranger ([`STRANGER`]).
    pub(super) signer: Verifier,
}

/// Names of the keys that sign; the gateway knows the first two.
pub(super) const KEYS: [&str; 3] = ["current", "previous", "stranger"];
/// Index of the secret in use.
pub(super) const CURRENT: usize = 0;
/// Index of the secret that is being rotated out.
pub(super) const PREVIOUS: usize = 1;
/// Index of a secret that the gateway does not know.
pub(super) const STRANGER: usize = 2;

/// The route's path.
pub(super) const PATH: &str = "/webhooks/paddle";
/// The route's body limit in bytes.
pub(super) const BODY_LIMIT: usize = 64 << 10;

impl Stage {
    /// Makes everything; `now` in Unix seconds dates the certificate.
    ///
    /// # Errors
    /// One sentence.
    pub(super) fn set(application: SocketAddr, now: u64) -> Result<Self, String> {
        let directory = std::env::temp_dir().join(format!("hookgate-demo-{}", random_hex::<8>()?));
        let failed = |error: io::Error| format!("cannot write into {}: {error}", directory.display());
        DirBuilder::new().mode(0o700).create(&directory).map_err(failed)?;
        let mut secrets = Vec::new();
        for name in KEYS {
            let secret = format!("pdl_ntfset_{}_{}", random_hex::<13>()?, random_hex::<16>()?);
            secrets.push(NamedSecret {
                name: name.into(),
                secret: Secret::new(secret.into_bytes()),
            });
        }
        let known: Vec<_> = secrets.iter().take(STRANGER).cloned().collect();
        let signer = Verifier::new("paddle", None, secrets, None).map_err(|faults| faults.join("\n"))?;
        // From here on the directory is removed, whatever happens.
        let stage = Self {
            directory: directory.clone(),
            signer,
        };
        for NamedSecret { name, secret } in &known {
            write(&stage.file(name), secret.expose()).map_err(failed)?;
        }
        let (certificate, key) = certificate(now).map_err(|error| format!("cannot make a certificate: {error}"))?;
        write(&stage.certificate(), certificate.as_bytes()).map_err(failed)?;
        write(&stage.file("tls.key"), key.as_bytes()).map_err(failed)?;
        write(&stage.file("gateway.toml"), stage.configuration(application).as_bytes()).map_err(failed)?;
        Ok(stage)
    }

    /// The configuration, as a user would give it; the environment is left out so that it cannot change the play.
    pub(super) fn sources(&self) -> Sources {
        Sources {
            file: Some(self.file("gateway.toml")),
            environment: Vec::new(),
            overrides: Vec::new(),
        }
    }

    /// The PEM certificate, which is also its own root.
    pub(super) fn certificate(&self) -> PathBuf {
        self.file("tls.crt")
    }

    /// The file with the secret in use.
    pub(super) fn secret(&self) -> PathBuf {
        self.file("current")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn configuration(&self, application: SocketAddr) -> String {
        let quoted = |path: PathBuf| toml::Value::String(path.to_string_lossy().into_owned());
        let (certificate, key) = (quoted(self.certificate()), quoted(self.file("tls.key")));
        let (current, previous) = (quoted(self.secret()), quoted(self.file("previous")));
        format!(
            r#"workers = 2

[listen]
name = "demo"
address = "{webhooks}"
tls = {{ certificate = {certificate}, key = {key} }}

[admin]
address = "{admin}"

[drain]
grace = "2s"

[log]
format = "human"
filter = "error"
audit = "all"

[[route]]
name = "paddle"
path = "{PATH}"
provider = "paddle"
secrets = [{{ name = "current", file = {current} }}, {{ name = "previous", file = {previous} }}]
body_limit = {BODY_LIMIT}
upstream = "http://{application}"
"#,
            webhooks = preferred(8443),
            admin = preferred(9464),
        )
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's directory for temporary files.
        let _ = remove_dir_all(&self.directory);
    }
}

/// The port that documentation names when it is free, otherwise one that the system chooses.
fn preferred(port: u16) -> SocketAddr {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}

/// A P-256 certificate for this machine, valid for a day, with its key.
fn certificate(now: u64) -> Result<(String, String), rcgen::Error> {
    let mut parameters = CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(String::from))?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "hookgate demo");
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(now);
    parameters.not_before = now - HOUR;
    parameters.not_after = now + 24 * HOUR;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Readable by its owner only.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(content)
}

fn random_hex<const BYTES: usize>() -> Result<String, String> {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "the system gives no randomness")?;
    Ok(hex::encode(bytes))
}

const HOUR: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::config;
    use crate::time::clock;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_stage_is_a_valid_configuration_readable_by_its_owner_only_and_leaves_nothing() {
        let stage = Stage::set("127.0.0.1:1".parse().unwrap(), clock::unix_now()).unwrap();
        let config = config::load(&stage.sources()).unwrap();
        assert_eq!(config.warnings, Vec::<String>::new());
        assert_eq!(
            config.routes.first().unwrap().verifier.key_names(),
            ["current", "previous"]
        );
        let directory = stage.directory.clone();
        let files: Vec<_> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 5);
        for path in files.iter().chain([&directory]) {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", path.display());
        }
        drop(stage);
        assert!(!directory.exists());
    }
}
