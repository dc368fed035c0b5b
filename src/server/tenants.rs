//! Keeps the tenants of the routes as their directories are, beside the requests.

use crate::gateway::Gateway;
use crate::secret::Changes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

/// Reads the directories of tenants in the background, one reading at a time.
#[derive(Debug, Default)]
pub(super) struct TenantWatch {
    is_reading: Arc<AtomicBool>,
}

/// Ends a reading, also after a panic.
struct Reading(Arc<AtomicBool>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl TenantWatch {
    /// Begins to read what changed at `now_unix` (seconds), unless the last reading goes on.
    pub(super) fn refresh(&self, gateway: &Gateway, now_unix: u64) {
        let routes = gateway.snapshot.load();
        let mut routes = routes
            .routes()
            .iter()
            .filter(|route| route.settings.tenants.is_some())
            .peekable();
        if routes.peek().is_none() || self.is_reading.swap(true, Ordering::Acquire) {
            return;
        }
        let reading = Reading(self.is_reading.clone());
        let routes: Vec<_> = routes.cloned().collect();
        tokio::task::spawn_blocking(move || {
            let _reading = reading;
            let now = UNIX_EPOCH + Duration::from_secs(now_unix);
            for route in routes {
                let Some(tenants) = &route.settings.tenants else {
                    continue;
                };
                let verifier = &route.settings.verifier;
                let make = |name: &str, secrets| verifier.tenant(name, secrets);
                let name = &route.settings.name;
                match tenants.directory.refresh(&make, now) {
                    Ok(changes) if changes.is_empty() => {}
                    Ok(changes) => {
                        report(name, &changes);
                        if let (Some((inbox, target)), 1..) = (&route.durable, changes.loaded) {
                            inbox.unblock(target);
                        }
                    }
                    Err(error) => {
                        tracing::error!(route = %name, %error, "the directory of tenants cannot be read; its tenants stay as they were");
                    }
                }
            }
        });
    }
}

fn report(route: &str, changes: &Changes) {
    for problem in &changes.problems {
        tracing::warn!(%route, "{problem}; this tenant is not known");
    }
    let Changes {
        loaded,
        removed,
        unusable,
        ..
    } = changes;
    tracing::info!(%route, loaded, removed, unusable, "tenants changed");
}
