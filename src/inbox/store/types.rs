//! What the store is given, and what it returns.

use crate::inbox::known::Id;
use crate::inbox::model::delivery::{Millis, Outcome, State};
use crate::settings::Retry;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// A hash of the value that orders deliveries.
pub type OrderKey = [u8; 16];

/// A verified webhook that is to be stored.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// Its id.
    pub id: Id,
    /// Name of the route.
    pub route: Arc<str>,
    /// The value that orders it; `None` when it waits for no other.
    pub order_key: Option<OrderKey>,
    /// Its place in the order of its key: counted at the arrival.
    pub position: i64,
    /// The encoded head.
    pub head: Bytes,
    /// The body in pieces.
    pub body: Vec<Bytes>,
    /// How long the id is remembered.
    pub window: Duration,
    /// What is known of an attempt that began before it was stored.
    pub first: FirstAttempt,
    /// The route's retry policy.
    pub retry: Arc<Retry>,
    /// Why it was stored, in one word.
    pub reason: &'static str,
}

/// An attempt that began before the webhook was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstAttempt {
    /// There was none.
    None,
    /// It is still under way; its end will be recorded.
    UnderWay,
    /// It has ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
        /// Whether it belongs to an outage.
        in_outage: bool,
    },
}

/// What storing a webhook has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored under this number.
    New(i64),
    /// It was stored or delivered before, and is now in this state. `revived` when it was dead or dropped and is tried
    /// again with the content of the repetition.
    Repeat {
        /// The state before.
        state: State,
        /// Whether it is tried again.
        revived: bool,
    },
}

/// A delivery whose attempt begins.
#[derive(Debug)]
pub struct Begun {
    /// Its number.
    pub seq: i64,
    /// Its id.
    pub id: Id,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Whether an operator asked for it.
    pub is_manual: bool,
    /// When it arrived.
    pub received_at: Millis,
    /// Head and body as sealed.
    pub head: Vec<u8>,
    /// The sealed body.
    pub body: Vec<u8>,
}

/// Which deliveries are to begin an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// How many.
    pub limit: usize,
    /// Whether those go first that have waited longest since their last attempt.
    pub rotation: bool,
    /// How many bytes they may have together.
    pub room: usize,
    /// Whether one may begin even if it does not fit, so that the requests of senders cannot stop the delivery for good.
    pub always_one: bool,
}

/// The deliveries whose attempts begin, and when to ask again.
#[derive(Debug, Default)]
pub struct Taken {
    /// In the order in which they should be sent.
    pub begun: Vec<Begun>,
    /// When the next delivery that is not due yet will be; `None` without one.
    pub next_at: Option<Millis>,
    /// Whether further ones are due for which there was no room.
    pub is_cut_short: bool,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub struct AttemptEnd {
    /// The delivery's number.
    pub seq: i64,
    /// Name of the route.
    pub route: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// Whether it belongs to an outage.
    pub in_outage: bool,
    /// The beginning of the application's answer, where it was not 2xx.
    pub answer: Vec<u8>,
}

/// How long contents are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// After the delivery.
    pub delivered: Duration,
    /// Dead letters.
    pub dead: Duration,
}
