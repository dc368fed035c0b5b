//! The files of the demonstration: a self-signed certificate, two secrets and a configuration, in a temporary directory
//! that is removed at the end.

use crate::cli::tools::files::{PrivateDirectory, preferred_address, random_hex};
use crate::config::Sources;
use crate::scheme::{NamedSecret, Verifier};
use crate::secret::Secret;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

/// The temporary directory and its files. Dropping the value removes them.
#[derive(Debug)]
pub(super) struct Fixture {
    directory: PrivateDirectory,
    /// The address of an application that is stopped: nothing listens there yet.
    stopped_application: SocketAddr,
    /// Signs with the provider's secrets (keys [`CURRENT`] and [`PREVIOUS`]) and with an unknown one ([`UNKNOWN`]).
    pub(super) signer: Verifier,
}

/// Names of the signing keys. The gateway is configured with the first two.
pub(super) const KEYS: [&str; 3] = ["current", "previous", "unknown"];
/// Index of the current secret.
pub(super) const CURRENT: usize = 0;
/// Index of the previous secret, which is still accepted during a rotation.
pub(super) const PREVIOUS: usize = 1;
/// Index of a secret that the gateway is not configured with.
pub(super) const UNKNOWN: usize = 2;

/// The route's path.
pub(super) const PATH: &str = "/webhooks/paddle";
/// The path of the route to the application that is stopped.
pub(super) const STOPPED_PATH: &str = "/webhooks/orders";
/// The route's body limit in bytes.
pub(super) const BODY_LIMIT_BYTES: usize = 64 << 10;

impl Fixture {
    /// Creates the directory and its files. `application` is the upstream's address; the certificate is valid from one
    /// hour before `now_unix` (Unix seconds).
    ///
    /// # Errors
    /// A sentence that names the file or the step that failed.
    pub(super) fn create(application: SocketAddr, now_unix: u64) -> Result<Self, String> {
        let directory = PrivateDirectory::create("demo")?;
        let mut secrets = Vec::new();
        for name in KEYS {
            let secret = format!("pdl_ntfset_{}_{}", random_hex::<13>()?, random_hex::<16>()?);
            secrets.push(NamedSecret {
                name: name.into(),
                secret: Secret::new(secret.into_bytes()),
            });
        }
        let known: Vec<_> = secrets.iter().take(UNKNOWN).cloned().collect();
        let signer = Verifier::new("paddle", None, secrets, None).map_err(|faults| faults.join("\n"))?;
        let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let fixture = Self {
            directory,
            stopped_application: unused.map_err(|error| format!("there is no free port: {error}"))?,
            signer,
        };
        for NamedSecret { name, secret } in &known {
            fixture.directory.write(name, secret.expose())?;
        }
        fixture
            .directory
            .write("console-token", random_hex::<16>()?.as_bytes())?;
        fixture.directory.write_certificate(now_unix)?;
        fixture.directory.write("inbox.key", random_hex::<32>()?.as_bytes())?;
        let configuration = fixture.configuration(application);
        fixture.directory.write("gateway.toml", configuration.as_bytes())?;
        Ok(fixture)
    }

    /// The configuration as a user would pass it. The environment is left out, so that the user's variables cannot
    /// change the demonstration.
    pub(super) fn sources(&self) -> Sources {
        Sources {
            file: Some(self.file("gateway.toml")),
            environment: Vec::new(),
            overrides: Vec::new(),
        }
    }

    /// Path of the PEM certificate. It is self-signed, so it is also the root to trust.
    pub(super) fn certificate(&self) -> PathBuf {
        self.file("tls.crt")
    }

    /// The address on which the stopped application will listen.
    pub(super) const fn stopped_application(&self) -> SocketAddr {
        self.stopped_application
    }

    /// Path of the file with the current secret.
    pub(super) fn secret(&self) -> PathBuf {
        self.file("current")
    }

    /// Path of the file with the token of the console.
    pub(super) fn console_token(&self) -> PathBuf {
        self.file("console-token")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.file(name)
    }

    fn configuration(&self, application: SocketAddr) -> String {
        let quoted = |path: PathBuf| toml::Value::String(path.to_string_lossy().into_owned());
        let (certificate, key) = (quoted(self.certificate()), quoted(self.file("tls.key")));
        let token = quoted(self.console_token());
        let (current, previous) = (quoted(self.secret()), quoted(self.file("previous")));
        format!(
            r#"workers = 2

[listen]
name = "demo"
address = "{webhooks}"
tls = {{ certificate = {certificate}, key = {key} }}

[admin]
address = "{admin}"

[console]
address = "{console}"
tokens = [{{ name = "demo", role = "operate", file = {token} }}]

[drain]
grace = "3s"

[log]
format = "human"
filter = "error"
audit = "all"

[[route]]
name = "paddle"
path = "{PATH}"
provider = "paddle"
secrets = [{{ name = "current", file = {current} }}, {{ name = "previous", file = {previous} }}]
body_limit = {BODY_LIMIT_BYTES}
capture = "full"
upstream = "http://{application}"

# The file is temporary: it ends with the demonstration.
[inbox]
store = {store}
keys = [{{ file = {inbox_key} }}]
any_filesystem = true
min_free_disk = "1MiB"
probe = {{ backoff = "50ms", backoff_limit = "200ms" }}

[[route]]
name = "orders"
path = "{STOPPED_PATH}"
provider = "paddle"
secrets = [{{ name = "current", file = {current} }}, {{ name = "previous", file = {previous} }}]
delivery = "failover"
order = "route"
upstream = "http://{stopped}"
"#,
            store = quoted(self.file("inbox.db")),
            inbox_key = quoted(self.file("inbox.key")),
            stopped = self.stopped_application,
            webhooks = preferred_address(8443),
            admin = preferred_address(9464),
            console = preferred_address(9465),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::config;
    use crate::time::clock;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_fixture_is_valid_readable_by_its_owner_only_and_removed_on_drop() {
        let fixture = Fixture::create("127.0.0.1:1".parse().unwrap(), clock::unix_now()).unwrap();
        let config = config::load(&fixture.sources()).unwrap();
        // The directory for temporary files may be on any file system, and the two routes have the same secrets. The
        // console shows why a request of the table was refused, so whole requests are captured.
        let expected = |warning: &&String| {
            warning.contains("inbox.store") || warning.contains("same secret") || warning.contains("capture")
        };
        let others: Vec<_> = config.warnings.iter().filter(|warning| !expected(warning)).collect();
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(
            config.routes.first().unwrap().verifier.key_names(),
            ["current", "previous"]
        );
        let directory = fixture.directory.path().to_path_buf();
        let files: Vec<_> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 7);
        for path in files.iter().chain([&directory]) {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", path.display());
        }
        drop(fixture);
        assert!(!directory.exists());
    }
}
