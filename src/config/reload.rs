//! What a reload cannot apply: things that are bound, sized or started once.

use super::{Config, Limits, Listener};

impl Config {
    /// Sentences that name what differs between the configuration in force and `new` and needs a restart; the rest of
    /// `new` can be applied. Empty when everything can.
    #[must_use]
    pub fn restart_needed(&self, new: &Self) -> Vec<String> {
        let mut needed = Vec::new();
        let mut changed = |key: &str, differs: bool| {
            if differs {
                needed.push(format!("`{key}` has changed"));
            }
        };
        changed("workers", self.workers != new.workers);
        changed("replay.capacity", self.replay.capacity != new.replay.capacity);
        changed("admin.address", self.admin != new.admin);
        // The budget of bodies is the one limit that is asked for at every request.
        let limits = |config: &Self| Limits {
            in_flight_bytes: 0,
            ..config.limits.clone()
        };
        changed("limits", limits(self) != limits(new));
        for listener in &self.listeners {
            let name = &listener.name;
            match new.listeners.iter().find(|other| other.name == *name) {
                None => needed.push(format!("listener `{name}` is gone")),
                Some(other) if other.address != listener.address => {
                    needed.push(format!("listener `{name}` has another address"));
                }
                Some(other) if other.tls.is_some() != listener.tls.is_some() => {
                    needed.push(format!("listener `{name}` has gained or lost TLS"));
                }
                Some(_) => {}
            }
        }
        let is_new = |listener: &&Listener| !self.listeners.iter().any(|other| other.name == listener.name);
        needed.extend(
            new.listeners
                .iter()
                .filter(is_new)
                .map(|listener| format!("listener `{}` is new", listener.name)),
        );
        needed
    }
}
