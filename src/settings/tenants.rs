//! One secret for each tenant of a route.

use super::serialize::REDACTED;
use crate::scheme::{ChosenTenant, NamedSecret, SECRET_NAMES, Tenant, TenantPlace};
use crate::secret::SecretDirectory;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::sync::Arc;

/// One secret for each tenant.
#[derive(Clone, Debug)]
pub struct Tenants {
    /// Where a request names its tenant.
    pub place: TenantPlace,
    /// `place` as the file writes it.
    pub by: String,
    /// The tenants, and the directory from which they are read.
    pub directory: Arc<SecretDirectory<Tenant>>,
}

impl Tenants {
    /// The keys for a request that names this tenant, known or not.
    #[must_use]
    pub fn choose(&self, name: &str) -> ChosenTenant {
        let (tenant, width) = self.directory.table().choose(name);
        ChosenTenant { tenant, width }
    }

    /// The secrets of a tenant, read again from its file; `None` for an unknown one.
    #[must_use]
    pub fn read_again(&self, name: &str) -> Option<Vec<NamedSecret>> {
        let secrets = self.directory.read_again(name)?;
        let named = SECRET_NAMES.iter().zip(secrets).map(|(name, secret)| NamedSecret {
            name: (*name).to_owned(),
            secret,
        });
        Some(named.collect())
    }
}

impl Serialize for Tenants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("directory", &self.directory.path().display().to_string())?;
        table.serialize_entry("by", &self.by)?;
        table.serialize_entry("value", REDACTED)?;
        table.end()
    }
}
