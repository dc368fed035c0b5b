//! The thread that delivers what is stored. It takes deliveries that are due, as many as their upstream and their route
//! allow, and sends each as a task of its own runtime.

use super::Inbox;
use super::attempt;
use super::model::delivery::Unsendable;
use super::open_attempt::OpenAttempt;
use super::store::command::Command;
use super::store::types::{Begun, Taken, Wanted};
use super::target::Target;
use crate::http::budget::HeldBytes;
use crate::time::clock;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// The longest time between two looks at the store.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// How long the delivery waits when the memory for bodies is in use.
const NO_ROOM_WAIT: Duration = Duration::from_millis(50);
/// How often idle connections to the application are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Starts the thread. It ends with [`Inbox::stop`].
///
/// # Errors
/// When the system cannot create a runtime or a thread.
pub(super) fn start(inbox: Arc<Inbox>, worker: usize) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("inbox-delivery".into())
        .spawn(move || {
            runtime.block_on(async {
                let mut swept = Instant::now();
                let mut has_named = false;
                let mut first = 0;
                while !inbox.stopping.is_triggered() {
                    first += 1;
                    if !has_named && inbox.is_open() {
                        inbox.log_names();
                        has_named = true;
                    }
                    let next = round(&inbox, worker, first).await;
                    let wake = next.min(Instant::now() + LONGEST_SLEEP);
                    tokio::select! {
                        () = inbox.shared.work.notified() => {}
                        () = sleep_until(wake) => {}
                        () = inbox.stopping.wait() => {}
                    }
                    if swept.elapsed() >= HOUSEKEEPING {
                        swept = Instant::now();
                        for target in &**inbox.targets.load() {
                            target.upstream.sweep(worker, swept);
                        }
                    }
                }
                // Attempts under way go on until the process ends; the drain waits for them.
                while inbox.active() > 0 && !inbox.is_closing() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        })
}

/// Begins all attempts that may begin now. Returns when the next one may. `first` rotates the order of the routes.
async fn round(inbox: &Arc<Inbox>, worker: usize, first: usize) -> Instant {
    let targets = inbox.targets.load_full();
    let mut next = Instant::now() + LONGEST_SLEEP;
    for at in 0..targets.len() {
        let Some(target) = targets.get((first + at) % targets.len()) else {
            continue;
        };
        for (source, tally) in &target.sources {
            if tally.is_paused.load(Ordering::Relaxed)
                || tally.count(super::model::delivery::State::Waiting) <= 0
                || !inbox.is_open()
            {
                continue;
            }
            let own = target.settings.concurrency.saturating_sub(tally.running());
            if own == 0 {
                continue;
            }
            let (allowed, is_probe, later) = target.health.permit(Instant::now());
            if let Some(later) = later {
                next = next.min(later);
            }
            let limit = allowed.min(own);
            if limit == 0 {
                continue;
            }
            // One attempt may always begin, so that the requests of senders cannot stop the delivery for good.
            let wanted = Wanted {
                limit,
                rotation: is_probe,
                room: inbox.budget.free(),
                always_one: inbox.active() == 0,
            };
            let taken = take(inbox, source, wanted).await;
            if taken.is_cut_short {
                next = next.min(Instant::now() + NO_ROOM_WAIT);
            }
            if taken.begun.is_empty() && is_probe {
                target.health.cancel_probe();
            }
            if let Some(at) = taken.next_at {
                let wait = u64::try_from(at.saturating_sub(inbox.shared.clock.now())).unwrap_or(0);
                if wait > 0 {
                    next = next.min(Instant::now() + Duration::from_millis(wait));
                }
            }
            for begun in taken.begun {
                let bytes = begun.head.len() + begun.body.len();
                let sending = Sending::begin(inbox, target, tally.running_counter().clone(), bytes);
                let target = target.clone();
                let source = source.clone();
                tokio::spawn(async move { sending.run(&target, source, worker, begun, is_probe).await });
            }
        }
    }
    next
}

async fn take(inbox: &Inbox, source: &Arc<str>, wanted: Wanted) -> Taken {
    let (reply, answer) = oneshot::channel();
    inbox.send(Command::Take {
        route: source.clone(),
        wanted,
        reply,
    });
    answer.await.ok().and_then(Result::ok).unwrap_or_default()
}

/// One attempt under way. It counts, with its bytes, until it is dropped, even after a panic.
struct Sending {
    inbox: Arc<Inbox>,
    target: Arc<Target>,
    running: Arc<AtomicUsize>,
    _active: super::Active,
    _held: HeldBytes,
}

impl Sending {
    fn begin(inbox: &Arc<Inbox>, target: &Arc<Target>, running: Arc<AtomicUsize>, bytes: usize) -> Self {
        target.health.begin(1);
        running.fetch_add(1, Ordering::AcqRel);
        Self {
            inbox: inbox.clone(),
            target: target.clone(),
            running,
            _active: inbox.begin(),
            _held: inbox.budget.hold(bytes),
        }
    }

    async fn run(self, target: &Arc<Target>, source: Arc<str>, worker: usize, begun: Begun, is_probe: bool) {
        let (seq, received_at) = (begun.seq, begun.received_at);
        let inbox = &self.inbox;
        let row = OpenAttempt::new(inbox.clone(), target.retry.clone(), source.clone(), seq, Instant::now());
        let request = match attempt::request(target, &source, begun, &inbox.shared.vault, clock::unix_now()) {
            Ok(request) => request,
            Err(why) => {
                if is_probe {
                    target.health.cancel_probe();
                }
                let problem = match why {
                    Unsendable::KeyMissing => "its key is not among `inbox.keys`",
                    Unsendable::SecretMissing => "the secret that verified it is not among the secrets of the route",
                    Unsendable::Changed => "its row was changed",
                };
                if why != Unsendable::SecretMissing {
                    inbox.shared.status.unreadable.fetch_add(1, Ordering::Relaxed);
                }
                tracing::error!(route = %source, delivery = seq, "a stored delivery cannot be sent: {problem}");
                row.unsendable(why);
                return;
            }
        };
        let finished = attempt::send(target, worker, request).await;
        let id = u64::try_from(seq).unwrap_or(0);
        let judgement = target.health.ended(id, finished.outcome, is_probe, Instant::now());
        target.note_change(judgement.changed);
        target.metrics.attempt(finished.outcome.label());
        if finished.outcome.is_success() {
            let since = inbox.shared.clock.now().saturating_sub(received_at);
            target
                .metrics
                .delivered(Duration::from_millis(u64::try_from(since).unwrap_or(0)));
        }
        row.end(finished, judgement.in_outage);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.target.health.finish();
        self.running.fetch_sub(1, Ordering::AcqRel);
        self.inbox.shared.work.notify_one();
    }
}
