//! How keys are fetched.

use crate::secret::Secret;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How keys are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Where fetched keys are kept, so that a restart needs no fetch; `None` keeps them in memory only.
    pub directory: Option<PathBuf>,
    /// Authorities for the servers that are asked; `None` takes those of the platform.
    pub ca: Option<PathBuf>,
    /// The proxy through which they are asked.
    pub proxy: Option<Proxy>,
    /// The time for one fetch.
    pub timeout: Duration,
    /// The longest time between two fetches of a set. A server may ask for a shorter one.
    pub refresh: Duration,
    /// How long keys are used when they cannot be fetched again.
    pub max_age: Duration,
    /// Other URLs of the lists of addresses, by the name of the list: mirrors.
    pub addresses: BTreeMap<String, String>,
}

/// An HTTP proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `user:password`.
    pub credentials: Option<Secret>,
    /// Names of hosts, and of their domains, that are asked directly.
    pub except: Vec<String>,
}

impl Proxy {
    /// Whether this host is asked through the proxy.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let is_excepted = |name: &String| {
            name == "*"
                || host
                    .strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        !self.except.iter().any(is_excepted)
    }
}

impl Serialize for Keys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        if let Some(directory) = &self.directory {
            table.serialize_entry("directory", &directory.display().to_string())?;
        }
        if let Some(ca) = &self.ca {
            table.serialize_entry("ca", &ca.display().to_string())?;
        }
        let proxy = self.proxy.as_ref().map_or_else(
            || "off".to_owned(),
            |proxy| format!("http://{}:{}", proxy.host, proxy.port),
        );
        table.serialize_entry("proxy", &proxy)?;
        for (key, value) in [
            ("timeout", &self.timeout),
            ("refresh", &self.refresh),
            ("max_age", &self.max_age),
        ] {
            table.serialize_entry(key, &super::duration_text(*value))?;
        }
        if !self.addresses.is_empty() {
            table.serialize_entry("addresses", &self.addresses)?;
        }
        table.end()
    }
}
