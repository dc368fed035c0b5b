//! What a route does with a webhook that the application does not take at once.

use super::serialize::duration_text;
use crate::scheme::DeliveryId;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::time::Duration;

/// What a route does with a webhook that the application does not take at once.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// When a webhook is stored.
    pub mode: DeliveryMode,
    /// How long the sender waits for an answer, counted from the arrival of the head.
    pub sender_deadline: Duration,
    /// Statuses of the application at which the webhook is stored.
    pub store_on: Vec<u16>,
    /// When a stored delivery is tried again, and for how long.
    pub retry: Retry,
    /// The most attempts of stored deliveries of this route at the same time.
    pub concurrency: usize,
    /// Which deliveries wait for one another.
    pub order: Order,
    /// How long the id of a stored webhook is remembered.
    pub window: Duration,
    /// Earlier names of the route, whose stored deliveries it takes over.
    pub formerly: Vec<String>,
}

/// When a webhook is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// When the application does not take it.
    Failover,
    /// Always, before the application is asked.
    Queue,
}

impl DeliveryMode {
    /// The word in the file.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Queue => "queue",
        }
    }
}

/// When a stored delivery is tried again, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Time spent trying after which it is given up.
    pub max_age: Duration,
    /// The shortest wait between two attempts.
    pub backoff: Duration,
    /// The longest wait between two attempts.
    pub backoff_limit: Duration,
    /// Statuses of the application that end it at once.
    pub give_up_on: Vec<u16>,
}

/// Which deliveries wait for one another.
#[derive(Clone, Debug)]
pub enum Order {
    /// None.
    None,
    /// All of the route.
    Route,
    /// Those with the same value at this location.
    Key(DeliveryId),
}

impl Order {
    /// Whether deliveries wait for one another.
    #[must_use]
    pub const fn is_ordered(&self) -> bool {
        match self {
            Self::None => false,
            Self::Route | Self::Key(_) => true,
        }
    }
}

impl Delivery {
    /// Writes the keys of the route that belong to the inbox.
    pub(super) fn serialize_into<M: SerializeMap>(&self, table: &mut M) -> Result<(), M::Error> {
        table.serialize_entry("delivery", self.mode.label())?;
        table.serialize_entry("sender_deadline", &duration_text(self.sender_deadline))?;
        if self.mode == DeliveryMode::Failover {
            table.serialize_entry("store_on", &self.store_on)?;
        }
        table.serialize_entry("concurrency", &self.concurrency)?;
        match &self.order {
            Order::None => table.serialize_entry("order", "none")?,
            Order::Route => table.serialize_entry("order", "route")?,
            Order::Key(location) => {
                let (kind, value) = location.describe();
                table.serialize_entry("order", &std::collections::BTreeMap::from([(kind, value)]))?;
            }
        }
        if !self.formerly.is_empty() {
            table.serialize_entry("formerly", &self.formerly)?;
        }
        table.serialize_entry("retry", &self.retry)
    }
}

impl Serialize for Retry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("max_age", &duration_text(self.max_age))?;
        table.serialize_entry("backoff", &duration_text(self.backoff))?;
        table.serialize_entry("backoff_limit", &duration_text(self.backoff_limit))?;
        table.serialize_entry("give_up_on", &self.give_up_on)?;
        table.end()
    }
}
