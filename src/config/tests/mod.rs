//! Tests of the configuration with real files, real certificates and an environment that is passed in.

mod acme;
mod documentation;
mod exposure;
mod faults;
mod inbox;
mod layers;
mod mistakes;
mod restart_needed;
#[cfg(feature = "tools")]
mod schema;
mod secrets;
mod service_credentials;
mod settings;
mod slips;
mod upstream_faults;
mod warnings;

use super::{Faults, Loaded, Sources, inspect};
use crate::settings::Config;
use std::ffi::OsString;
use std::path::PathBuf;
use tempfile::TempDir;

/// A secret in the format of Paddle. It contains the word "canary": no output may contain it.
pub(crate) const SECRET: &str = "pdl_ntfset_01hv8x29kz0t586xy6zn1a62ny_canary+of/the0tests";

/// A directory with `tls.crt`, `tls.key` and `gateway.toml`, and an environment with [`SECRET`] in
/// `PADDLE_WEBHOOK_SECRET`.
pub(crate) struct Fixture {
    directory: TempDir,
    environment: Vec<(OsString, OsString)>,
    overrides: Vec<(String, String)>,
}

impl Fixture {
    /// Writes `text` as `gateway.toml`; `DIR` in it is replaced by the path of the directory.
    pub(crate) fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec![String::from("localhost")]).unwrap();
        let text = text.replace("DIR", &directory.path().display().to_string());
        std::fs::write(directory.path().join("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(directory.path().join("gateway.toml"), text).unwrap();
        let fixture = Self {
            directory,
            environment: Vec::new(),
            overrides: Vec::new(),
        };
        fixture.write_private("tls.key", made.signing_key.serialize_pem().as_bytes());
        fixture.variable("PADDLE_WEBHOOK_SECRET", SECRET)
    }

    /// The smallest useful file, with `top` before its tables and `route` as further keys of its only route.
    pub(crate) fn minimal(top: &str, route: &str) -> Self {
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

    /// Sets an environment variable.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Sets a key as the command line does.
    pub(crate) fn option(mut self, key: &str, value: &str) -> Self {
        self.overrides.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn write_private(&self, name: &str, bytes: &[u8]) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.path(name), bytes).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn sources(&self) -> Sources {
        Sources {
            file: Some(self.path("gateway.toml")),
            environment: self.environment.clone(),
            overrides: self.overrides.clone(),
        }
    }

    /// Loads the configuration.
    pub(crate) fn inspect(&self) -> Result<Loaded, Faults> {
        inspect(&self.sources())
    }

    /// The settings of a valid configuration.
    #[track_caller]
    pub(crate) fn config(&self) -> Config {
        match self.inspect() {
            Ok(loaded) => loaded.config,
            Err(faults) => panic!("{faults}"),
        }
    }

    /// The settings as `check` prints them.
    #[track_caller]
    fn printed(&self) -> serde_json::Value {
        serde_json::to_value(self.config()).unwrap()
    }

    /// The faults of an invalid configuration.
    #[track_caller]
    pub(crate) fn faults(&self) -> Faults {
        match self.inspect() {
            Ok(_) => panic!("the configuration is valid"),
            Err(faults) => faults,
        }
    }
}
