//! The inbox: webhooks that the application does not take at once are stored durably and delivered later.
//!
//! The promise: a sender sees 2xx only for what the application took, or for what is stored and will be delivered or
//! shown as dead. Every stored webhook is delivered at least once; twice only if an attempt was cut off after the
//! application had it, and both attempts carry the same `Hookgate-Delivery`.
//!
//! The gateway decides when a webhook is stored. This module stores it, and asks the application again. Read `model`
//! first: it decides everything that depends on states and times, without I/O.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`operators`] | what operators do |
//! | [`dispatch`] | the thread that delivers what is stored |
//! | [`open_attempt`] | an attempt under way, and its row |
//! | [`attempt`] | one attempt of a stored delivery |
//! | [`target`] | what the inbox knows of one route |
//! | [`health`] | the state of an upstream, shared by its routes |
//! | [`sample`] | the figures of a scrape |
//! | [`store`] | the SQLite file and its writer thread |
//! | [`record`] | the stored head of a webhook |
//! | [`place`] | lock file, file system and free space |
//! | [`crypt`] | encryption of what is stored |
//! | [`known`] | which ids may be stored, in memory |
//! | [`clock`] | the clock of the inbox |
//! | [`model`] | states, repetitions, outages, ageing: pure |

pub mod attempt;
pub mod clock;
pub mod crypt;
mod dispatch;
pub mod health;
pub mod known;
pub mod model;
pub mod open_attempt;
pub mod operators;
pub mod place;
pub mod record;
mod sample;
pub mod store;
pub mod target;
#[cfg(test)]
mod tests;

use crate::http::budget::Budget;
use crate::settings::{self, Retry};
use crate::telemetry::metrics::InboxMetrics;
use crate::time::shutdown::ShutdownSignal;
use crate::upstream::Upstream;
use arc_swap::ArcSwap;
use clock::InboxClock;
use crypt::Vault;
use health::UpstreamHealth;
use hyper::header::HeaderValue;
use known::{Id, KnownIds};
use model::delivery::State;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use store::changes::Tallies;
use store::command::{Command, Refusal, Work};
use store::shared::Shared;
use store::status::{Phase, Status};
use store::types::{AttemptEnd, NewDelivery, OrderKey, Stored};
use store::writer;
use target::{Signing, Target};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// How long before the end of the grace period everything that is being asked is stored and answered.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// The state of each upstream, by [`Upstream::address`].
type UpstreamHealths = HashMap<usize, (Weak<Upstream>, Arc<UpstreamHealth>)>;

/// The inbox of the process.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Option<Command>>,
    /// The routes whose deliveries are sent. A reload replaces them.
    targets: ArcSwap<Vec<Arc<Target>>>,
    /// The states of the upstreams; they survive a reload that does not change the upstream.
    healths: Mutex<UpstreamHealths>,
    /// Triggered when no attempt may begin any more.
    stopping: ShutdownSignal,
    /// When the last webhooks are stored instead of asking the application, in a drain.
    drain_deadline: OnceLock<Instant>,
    /// Triggered when attempts under way are abandoned.
    closing: ShutdownSignal,
    /// Counts the bytes of what is being sent.
    budget: Arc<Budget>,
    /// The operation of an operator that was begun last.
    job: Mutex<Option<Arc<operators::Job>>>,
    /// Attempts under way, and direct ones that go on after their webhook was stored.
    active: AtomicUsize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Inbox {
    /// Starts the writer, which opens the store in the background, and the thread that delivers. `worker` is the index
    /// of the upstream connections that the thread uses. `None` as an error means that a key cannot be used.
    ///
    /// # Errors
    /// When the system cannot create a thread or a runtime.
    pub fn start(
        settings: settings::Inbox,
        metrics: InboxMetrics,
        budget: Arc<Budget>,
        worker: usize,
    ) -> io::Result<Arc<Self>> {
        let vault = Vault::new(settings.keys.iter().map(|key| &key.secret));
        let shared = Arc::new(Shared {
            vault: vault.ok_or_else(|| io::Error::other("a key of the inbox cannot be used"))?,
            settings,
            tallies: Tallies::default(),
            known: KnownIds::default(),
            status: Status::default(),
            clock: InboxClock::start(),
            position: AtomicI64::new(1),
            work: Notify::new(),
            metrics,
        });
        let (commands, received) = mpsc::channel();
        let writer = writer::start(shared.clone(), received)?;
        let inbox = Arc::new(Self {
            shared,
            commands,
            targets: ArcSwap::default(),
            healths: Mutex::default(),
            stopping: ShutdownSignal::default(),
            drain_deadline: OnceLock::new(),
            closing: ShutdownSignal::default(),
            budget,
            job: Mutex::default(),
            active: AtomicUsize::new(0),
            threads: Mutex::new(vec![writer]),
        });
        let delivery = dispatch::start(inbox.clone(), worker)?;
        inbox.threads().push(delivery);
        Ok(inbox)
    }

    /// The state of the store.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.shared.status
    }

    /// The settings of the inbox.
    #[must_use]
    pub fn settings(&self) -> &settings::Inbox {
        &self.shared.settings
    }

    /// Makes the target of a route with these settings.
    #[must_use]
    pub fn target(
        &self,
        name: &str,
        delivery: &settings::Delivery,
        upstream: &Arc<Upstream>,
        signing: Signing,
    ) -> Arc<Target> {
        let names = std::iter::once(name).chain(delivery.formerly.iter().map(String::as_str));
        let sources = names.map(|name| (Arc::from(name), self.shared.tallies.route(name)));
        Arc::new(Target {
            name: name.into(),
            retry: Arc::new(delivery.retry.clone()),
            health: self.health(upstream, delivery.concurrency),
            sources: sources.collect(),
            route: HeaderValue::from_str(name).unwrap_or(HeaderValue::from_static("unnamed")),
            metrics: self.shared.metrics.route(name),
            settings: delivery.clone(),
            signing,
            upstream: upstream.clone(),
        })
    }

    /// Lets what waits for a secret or a key of a route be tried again: they have changed.
    pub fn unblock(&self, target: &Target) {
        for (route, _) in &target.sources {
            self.send(Command::Unblock { route: route.clone() });
        }
        self.shared.work.notify_one();
    }

    /// Replaces the routes whose deliveries are sent.
    pub fn set_targets(&self, targets: Vec<Arc<Target>>) {
        targets.iter().for_each(|target| self.unblock(target));
        self.healths().retain(|_, (upstream, _)| upstream.strong_count() > 0);
        self.targets.store(Arc::new(targets));
        if self.is_open() {
            self.log_names();
        }
        self.shared.work.notify_one();
    }

    /// Logs which deliveries are stored under other names than those of the routes. Called when the store has been opened,
    /// and after a reload.
    fn log_names(&self) {
        for target in &**self.targets.load() {
            for (formerly, tally) in target.sources.iter().skip(1).filter(|(_, tally)| tally.open() > 0) {
                tracing::info!(
                    route = %target.name, %formerly, deliveries = tally.open(),
                    "the route takes over what is stored under its earlier name"
                );
            }
        }
        for (route, deliveries) in self.orphans() {
            tracing::warn!(
                %route, deliveries,
                "stored deliveries belong to a route that does not exist; name it in `formerly` of another route"
            );
        }
    }

    /// Names that no route has, and how many deliveries wait under each.
    fn orphans(&self) -> Vec<(Arc<str>, i64)> {
        let targets = self.targets.load();
        let sources = targets.iter().flat_map(|target| &target.sources);
        let served: HashSet<_> = sources.map(|(name, _)| name).collect();
        let all = self.shared.tallies.all().into_iter();
        let open = all.map(|(name, tally)| (name, tally.open()));
        open.filter(|(name, open)| *open > 0 && !served.contains(name))
            .collect()
    }

    fn health(&self, upstream: &Arc<Upstream>, limit: usize) -> Arc<UpstreamHealth> {
        let new = || Arc::new(UpstreamHealth::new(self.shared.settings.probe, limit));
        let mut healths = self.healths();
        // The weak reference keeps the address from being used again.
        let (_, health) = healths
            .entry(upstream.address())
            .or_insert_with(|| (Arc::downgrade(upstream), new()));
        health.clone()
    }

    fn healths(&self) -> MutexGuard<'_, UpstreamHealths> {
        self.healths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a route of the configuration or of the file has this name.
    #[must_use]
    pub fn knows_route(&self, name: &str) -> bool {
        self.shared.tallies.all().iter().any(|(route, _)| **route == *name)
    }

    /// Whether a webhook with this id may be stored; a positive answer may be wrong.
    #[must_use]
    pub fn may_know(&self, id: &Id) -> bool {
        self.shared.known.may_contain(id)
    }

    /// The next place in the order of a key.
    #[must_use]
    pub fn next_position(&self) -> i64 {
        self.shared.position.fetch_add(1, Ordering::Relaxed)
    }

    /// Stores a webhook durably. The answer comes after its commit is synced.
    ///
    /// # Errors
    /// [`Refusal`]: it is not stored.
    pub async fn store(&self, new: NewDelivery) -> Result<Stored, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Store {
            new: Box::new(new),
            only_behind: false,
            reply,
        });
        answer.await.unwrap_or(Err(Refusal::Down))?.ok_or(Refusal::Down)
    }

    /// Stores a webhook if its order key is busy; `None` if it is not.
    ///
    /// # Errors
    /// [`Refusal`]: it is not stored.
    pub async fn store_behind(&self, new: NewDelivery) -> Result<Option<Stored>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Store {
            new: Box::new(new),
            only_behind: true,
            reply,
        });
        answer.await.unwrap_or(Err(Refusal::Down))
    }

    /// The state of the webhook with this id; `None` when it was never stored.
    ///
    /// # Errors
    /// [`Refusal`]: it is not known.
    pub async fn look_up(&self, route: &Arc<str>, id: Id) -> Result<Option<State>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::LookUp {
            route: route.clone(),
            id,
            reply,
        });
        answer.await.unwrap_or(Err(Refusal::Down))
    }

    /// Records the end of an attempt. It is not lost while the process runs, unless the store has failed.
    pub fn settle(&self, end: AttemptEnd, retry: Arc<Retry>) {
        self.send(Command::Settle {
            end: Box::new(end),
            retry,
            reply: None,
        });
    }

    /// The direct attempt with this order key has ended without being stored: what is behind it may go.
    pub fn release(&self, route: &Arc<str>, key: OrderKey) {
        self.send(Command::Release {
            route: route.clone(),
            key,
        });
    }

    /// Remembers the id of a webhook that was delivered directly, durably.
    ///
    /// # Errors
    /// [`Refusal`]: it is not remembered.
    pub async fn remember(&self, route: &Arc<str>, id: Id, window: Duration) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Remember {
            route: route.clone(),
            id,
            window,
            reply,
        });
        answer.await.unwrap_or(Err(Refusal::Down))
    }

    /// Does work for an operator in a transaction.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was changed.
    pub async fn work(&self, work: Work) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Work { work, reply });
        answer.await.unwrap_or(Err(Refusal::Down))
    }

    /// A command after the end of the writer is dropped, and with it the sender of its answer.
    fn send(&self, command: Command) {
        let _ = self.commands.send(Some(command));
    }

    /// Counts an attempt that goes on by itself, until the guard is dropped. The drain waits for it.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Ordering::AcqRel);
        Active(self.clone())
    }

    /// Attempts under way.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Acquire)
    }

    fn is_open(&self) -> bool {
        self.shared.status.phase() == Phase::Open
    }

    fn is_closing(&self) -> bool {
        self.closing.is_triggered()
    }

    /// When what is still being asked is stored, once the process is draining.
    #[must_use]
    pub fn drain_deadline(&self) -> Option<Instant> {
        self.drain_deadline.get().copied()
    }

    /// The process drains: no attempt of a stored delivery begins from now on, and what is still being asked two seconds
    /// before `end` is stored.
    pub fn drain(&self, end: Instant) {
        let deadline = end.checked_sub(DRAIN_MARGIN).unwrap_or(end);
        let _ = self.drain_deadline.set(deadline);
        self.stop();
    }

    /// No attempt begins from now on.
    pub fn stop(&self) {
        self.stopping.trigger();
        self.shared.work.notify_one();
    }

    /// Ends the threads and closes the store. What is committed stays; attempts under way have an unknown outcome.
    pub fn close(&self) {
        self.stop();
        self.closing.trigger();
        let _ = self.commands.send(None);
        for thread in std::mem::take(&mut *self.threads()) {
            let _ = thread.join();
        }
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt that goes on by itself.
#[derive(Debug)]
pub struct Active(Arc<Inbox>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::AcqRel);
    }
}
