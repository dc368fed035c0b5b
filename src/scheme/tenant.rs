//! One secret for each tenant: the keys of one tenant, chosen before verification by what the request says.
//!
//! The request's choice proves nothing: it only says with which keys the signature is compared. A request that names no
//! tenant, or an unknown one, is compared with keys that nobody knows, so that it costs the same work and gets the same
//! answer as a forged request of a known tenant.

use super::compiled::{CompiledScheme, SchemeKey};
use crate::secret::MAX_SECRETS;
use hyper::header::HeaderValue;
use std::fmt;
use std::sync::Arc;

/// The names of a tenant's secrets, by their line in its file.
pub const SECRET_NAMES: [&str; MAX_SECRETS] = ["current", "previous"];

/// The keys of one tenant.
pub struct Tenant {
    /// The tenant's name, for the audit line and `Hookgate-Tenant`.
    pub name: HeaderValue,
    /// SHA-256 of the name, which is never zero.
    pub(super) digest: [u8; 32],
    /// One to [`MAX_SECRETS`](crate::secret::MAX_SECRETS).
    pub(super) keys: Vec<SchemeKey>,
}

/// With which key a request is signed again.
#[derive(Clone, Copy, Debug)]
pub enum SigningKey<'k> {
    /// The key of the route with this name.
    OfRoute(&'k str),
    /// The key of a tenant with this name; its present one if it has no other any more.
    OfTenant(&'k Tenant, &'k str),
}

impl Tenant {
    /// The key of this name, or the present one.
    pub(super) fn key(&self, name: &str) -> Option<&SchemeKey> {
        let index = SECRET_NAMES.iter().position(|own| *own == name);
        index
            .and_then(|index| self.keys.get(index))
            .or_else(|| self.keys.first())
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The tenant with whose keys a request is verified.
#[derive(Clone, Debug)]
pub struct ChosenTenant {
    /// `None` where the request names no known tenant.
    pub tenant: Option<Arc<Tenant>>,
    /// With how many keys every request of the route is compared: the most that any tenant has.
    pub width: usize,
}

impl ChosenTenant {
    /// The keys of the tenant, followed by keys that nobody knows up to the width. Those are the keys of the scheme.
    pub(super) fn keys<'k>(&'k self, scheme: &'k CompiledScheme) -> impl Iterator<Item = &'k SchemeKey> {
        let own = self.tenant.as_ref().map_or(&[][..], |tenant| &tenant.keys);
        own.iter().chain(scheme.keys.iter().skip(own.len())).take(self.width)
    }

    /// SHA-256 of the tenant's name; zero without one.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.tenant.as_ref().map_or([0; 32], |tenant| tenant.digest)
    }
}
