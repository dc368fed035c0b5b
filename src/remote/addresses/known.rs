//! What is known of one list: pure, with the time as an argument, in Unix seconds.
//!
//! An address that leaves the list stays allowed for a week. A list that was cut by mistake, or whose document was
//! replaced, therefore keeps nobody out before an operator has seen it.

use crate::scheme::address_list;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// How long a network that left the list stays allowed, in seconds.
const GRACE: u64 = 7 * 86_400;

/// The networks of a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Known {
    /// When they were fetched; 0 for the bundled ones.
    pub(super) fetched_unix: u64,
    networks: Vec<IpNet>,
    /// Networks that left the list, and until when they stay allowed.
    leaving: Vec<(IpNet, u64)>,
}

/// What a fetch changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) added: usize,
    pub(super) left: usize,
}

impl Known {
    /// The bundled networks.
    pub(super) const fn bundled(networks: Vec<IpNet>) -> Self {
        Self {
            fetched_unix: 0,
            networks,
            leaving: Vec::new(),
        }
    }

    /// The same after `new` was fetched at `now`, which is not empty.
    pub(super) fn after(&self, new: Vec<IpNet>, now: u64) -> (Self, Change) {
        let is_new = |network: &&IpNet| !self.networks.contains(network);
        let added = new.iter().filter(is_new).count();
        let gone = self.networks.iter().filter(|network| !new.contains(network));
        let gone: Vec<_> = gone.map(|network| (*network, now.saturating_add(GRACE))).collect();
        let left = gone.len();
        // A clock that was set back must not keep a network for longer.
        let still = self
            .leaving
            .iter()
            .filter(|(network, until)| (now..=now.saturating_add(GRACE)).contains(until) && !new.contains(network));
        let leaving = still.copied().chain(gone).collect();
        let known = Self {
            fetched_unix: now,
            networks: new,
            leaving,
        };
        (known, Change { added, left })
    }

    /// The networks that are allowed at `now`.
    pub(super) fn allowed(&self, now: u64) -> Vec<IpNet> {
        let leaving = self.leaving.iter().filter(|(_, until)| *until > now);
        let networks = self.networks.iter().chain(leaving.map(|(network, _)| network));
        networks.copied().collect()
    }

    /// Whether all of it could have been published: it was read from a file that others may write.
    pub(super) fn is_plausible(&self, now: u64) -> bool {
        self.fetched_unix <= now
            && address_list::check(self.networks.clone()).is_ok()
            && (self.leaving.is_empty()
                || address_list::check(self.leaving.iter().map(|(network, _)| *network).collect()).is_ok())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_leaves_the_list_stays_allowed_for_a_week() {
        let four = networks(&["3.0.0.1/32", "3.0.0.2/32", "3.0.0.3/32", "3.0.0.4/32"]);
        let (cut, change) = Known::bundled(four.clone()).after(networks(&["3.0.0.1/32", "3.0.0.9/32"]), NOW);
        assert_eq!(change, Change { added: 1, left: 3 });
        let allowed = cut.allowed(NOW + GRACE - 1);
        assert!(four.iter().all(|network| allowed.contains(network)));
        assert_eq!(cut.allowed(NOW + GRACE), networks(&["3.0.0.1/32", "3.0.0.9/32"]));
        // One that comes back is not kept twice, and the others end a week after they left.
        let (back, _) = cut.after(networks(&["3.0.0.1/32", "3.0.0.2/32"]), NOW + 3_600);
        let allowed = back.allowed(NOW + 3_600);
        assert_eq!(allowed.len(), 5);
        assert_eq!(
            back.allowed(NOW + GRACE),
            networks(&["3.0.0.1/32", "3.0.0.2/32", "3.0.0.9/32"])
        );
    }

    #[test]
    fn a_stored_list_is_used_only_if_it_could_have_been_published() {
        let (known, _) = Known::bundled(networks(&["3.0.0.1/32"])).after(networks(&["3.0.0.2/32"]), NOW);
        assert!(known.is_plausible(NOW) && !known.is_plausible(NOW - 1));
        assert!(!Known::bundled(networks(&["0.0.0.0/0"])).is_plausible(NOW));
        assert!(!Known::bundled(Vec::new()).is_plausible(NOW));
    }
}
