//! What the writer is asked, and its answers.

use super::changes::Changes;
use super::types::{AttemptEnd, NewDelivery, OrderKey, Stored, Taken, Wanted};
use crate::inbox::known::Id;
use crate::inbox::model::delivery::{Millis, State};
use crate::settings::Retry;
use rusqlite::Connection;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Why the store did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A bound is reached: bytes, items, free disk, write-ahead log.
    Full,
    /// The store is not open yet, has failed, or is busy for too long.
    Down,
}

/// An answer that comes after the commit.
pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// Any other work inside a transaction, for operators.
pub type Work = Box<dyn FnMut(&Connection, &mut Changes, Millis) -> rusqlite::Result<()> + Send>;

/// One thing that the writer is asked to do.
pub enum Command {
    /// Store a webhook. With `only_behind`, store it only if its order key is busy; the answer is `None` if it is not.
    Store {
        /// The webhook.
        new: Box<NewDelivery>,
        /// Whether it is stored only behind another one.
        only_behind: bool,
        /// What was found.
        reply: Reply<Option<Stored>>,
    },
    /// The state of the webhook with this id.
    LookUp {
        /// Name of the route.
        route: Arc<str>,
        /// The id.
        id: Id,
        /// Its state; `None` when it was never stored.
        reply: Reply<Option<State>>,
    },
    /// Begin attempts of deliveries that are due.
    Take {
        /// Name of the route.
        route: Arc<str>,
        /// Which of its deliveries.
        wanted: Wanted,
        /// The deliveries.
        reply: Reply<Taken>,
    },
    /// Record the end of an attempt. It is kept until it is committed.
    Settle {
        /// The end.
        end: Box<AttemptEnd>,
        /// The route's retry policy.
        retry: Arc<Retry>,
        /// Told after the commit.
        reply: Option<Reply<Option<State>>>,
    },
    /// The direct attempt with this order key has ended without being stored. It is kept until it is committed.
    Release {
        /// Name of the route.
        route: Arc<str>,
        /// The key.
        key: OrderKey,
    },
    /// The configuration of a route has changed: what is blocked is tried again.
    Unblock {
        /// Name of the route.
        route: Arc<str>,
    },
    /// Remember the id of a webhook that was delivered directly.
    Remember {
        /// Name of the route.
        route: Arc<str>,
        /// The id.
        id: Id,
        /// How long.
        window: Duration,
        /// Told after the commit.
        reply: Reply<()>,
    },
    /// Work for an operator.
    Work {
        /// The work.
        work: Work,
        /// Told after the commit.
        reply: Reply<()>,
    },
}

/// What a command has done in a transaction that is not committed yet.
pub(super) enum Effect {
    Stored(Option<Stored>),
    Found(Option<State>),
    Taken(Taken),
    Settled(Option<State>),
    Done,
    Refused(Refusal),
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store { .. } => "Store",
            Self::LookUp { .. } => "LookUp",
            Self::Take { .. } => "Take",
            Self::Settle { .. } => "Settle",
            Self::Release { .. } => "Release",
            Self::Unblock { .. } => "Unblock",
            Self::Remember { .. } => "Remember",
            Self::Work { .. } => "Work",
        })
    }
}

impl Command {
    /// Bytes that it writes, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Store { new, .. } => new.head.len() + new.body.iter().map(bytes::Bytes::len).sum::<usize>(),
            Self::LookUp { .. }
            | Self::Take { .. }
            | Self::Settle { .. }
            | Self::Release { .. }
            | Self::Unblock { .. }
            | Self::Remember { .. }
            | Self::Work { .. } => 0,
        }
    }

    /// Whether it must be done in the end, so that it is tried again after a transaction that failed.
    pub(super) const fn is_kept(&self) -> bool {
        match self {
            Self::Settle { .. } | Self::Release { .. } | Self::Unblock { .. } => true,
            Self::Store { .. }
            | Self::LookUp { .. }
            | Self::Take { .. }
            | Self::Remember { .. }
            | Self::Work { .. } => false,
        }
    }

    /// Tells whoever waits. Nobody may wait any more.
    pub(super) fn answer(self, result: Result<Effect, Refusal>) {
        let result = match result {
            Ok(Effect::Refused(refusal)) => Err(refusal),
            result => result,
        };
        match self {
            Self::Store { reply, .. } => {
                let _ = reply.send(result.map(|effect| match effect {
                    Effect::Stored(stored) => stored,
                    Effect::Found(_) | Effect::Taken(_) | Effect::Settled(_) | Effect::Done | Effect::Refused(_) => {
                        None
                    }
                }));
            }
            Self::LookUp { reply, .. } => {
                let _ = reply.send(result.map(|effect| match effect {
                    Effect::Found(state) => state,
                    Effect::Stored(_) | Effect::Taken(_) | Effect::Settled(_) | Effect::Done | Effect::Refused(_) => {
                        None
                    }
                }));
            }
            Self::Take { reply, .. } => {
                let _ = reply.send(result.map(|effect| match effect {
                    Effect::Taken(taken) => taken,
                    Effect::Stored(_) | Effect::Found(_) | Effect::Settled(_) | Effect::Done | Effect::Refused(_) => {
                        Taken::default()
                    }
                }));
            }
            Self::Settle { reply, .. } => {
                if let Some(reply) = reply {
                    let _ = reply.send(result.map(|effect| match effect {
                        Effect::Settled(state) => state,
                        Effect::Stored(_) | Effect::Found(_) | Effect::Taken(_) | Effect::Done | Effect::Refused(_) => {
                            None
                        }
                    }));
                }
            }
            Self::Release { .. } | Self::Unblock { .. } => {}
            Self::Remember { reply, .. } | Self::Work { reply, .. } => drop(reply.send(result.map(drop))),
        }
    }
}
