//! The endpoints that one request has tried.

/// Number of endpoints to which one request is sent at most, if no byte of it could be sent to the earlier ones.
const MAX_ATTEMPTS: usize = 8;

/// The endpoints that one request has tried.
#[derive(Default)]
pub(super) struct TriedEndpoints {
    ids: [u64; MAX_ATTEMPTS],
    count: usize,
}

impl TriedEndpoints {
    pub(super) fn contains(&self, id: u64) -> bool {
        self.ids.iter().take(self.count).any(|tried| *tried == id)
    }

    /// Adds an endpoint.
    pub(super) fn add(&mut self, id: u64) {
        if let Some(slot) = self.ids.get_mut(self.count) {
            *slot = id;
            self.count += 1;
        }
    }

    /// Whether no other attempt may follow the next one.
    pub(super) fn is_last(&self) -> bool {
        self.count + 1 >= MAX_ATTEMPTS
    }
}
