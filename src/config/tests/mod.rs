//! Configuration, from text to verdict: real files, real certificates, an environment passed in.

mod accepted;
mod checked;
mod credentials;
mod documented;
mod hostile;
mod overlaid;
mod refused;
mod refused_upstreams;
mod reloaded;
mod secrets;
mod warned;

use super::{Config, Faults, Loaded, Sources, inspect};
use std::ffi::OsString;
use std::path::PathBuf;
use tempfile::TempDir;

/// A genuine-looking secret; also the canary that must never be printed.
const SECRET: &str = "pdl_ntfset_01hv8x29kz0t586xy6zn1a62ny_canary+of/the0tests";

/// A directory with `tls.crt` and `tls.key`, an environment with [`SECRET`] in `PADDLE_WEBHOOK_SECRET`, and a file.
struct Fixture {
    directory: TempDir,
    environment: Vec<(OsString, OsString)>,
    overrides: Vec<(String, String)>,
}

impl Fixture {
    /// With `text` as `gateway.toml`; `DIR` in it stands for the directory.
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec![String::from("localhost")]).unwrap();
        let text = text.replace("DIR", &directory.path().display().to_string());
        std::fs::write(directory.path().join("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(directory.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(directory.path().join("gateway.toml"), text).unwrap();
        Self {
            directory,
            environment: Vec::new(),
            overrides: Vec::new(),
        }
        .variable("PADDLE_WEBHOOK_SECRET", SECRET)
    }

    /// The smallest useful file with `top` before its tables, and `route` in its one route.
    fn minimal(top: &str, route: &str) -> Self {
        Self::new(&format!(
            r#"{top}
[listen]
address = "0.0.0.0:8443"
tls = {{ certificate = "DIR/tls.crt", key = "DIR/tls.key" }}

[[route]]
path = "/webhooks/paddle"
provider = "paddle"
secrets = [{{ env = "PADDLE_WEBHOOK_SECRET" }}]
upstream = "http://127.0.0.1:8000"
{route}
"#
        ))
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn option(mut self, key: &str, value: &str) -> Self {
        self.overrides.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A file that only its owner can read.
    fn write_private(&self, name: &str, bytes: &[u8]) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.path(name), bytes).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn sources(&self) -> Sources {
        Sources {
            file: Some(self.path("gateway.toml")),
            environment: self.environment.clone(),
            overrides: self.overrides.clone(),
        }
    }

    fn inspect(&self) -> Result<Loaded, Faults> {
        inspect(&self.sources())
    }

    #[track_caller]
    fn config(&self) -> Config {
        match self.inspect() {
            Ok(loaded) => loaded.config,
            Err(faults) => panic!("{faults}"),
        }
    }

    #[track_caller]
    fn faults(&self) -> Faults {
        match self.inspect() {
            Ok(_) => panic!("no fault was found"),
            Err(faults) => faults,
        }
    }
}
