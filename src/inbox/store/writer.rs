//! The writer: the thread that owns the store.

use super::changes::Changes;
use super::checkpoints::Checkpoints;
use super::command::{Command, Effect, Refusal};
use super::measure;
use super::rows;
use super::schema::{self, Checkpoint};
use super::shared::Shared;
use super::status::{Bound, Phase};
use super::syncs::{Committed, Syncs};
use super::types::Keep;
use super::upkeep;
use crate::inbox::model::delivery::{Ending, State};
use crate::inbox::place::StoreLock;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of one transaction, or one body if that is larger.
const TRANSACTION_BYTES: usize = 4 << 20;
/// Commands of one transaction.
const TRANSACTION_COMMANDS: usize = 2_048;
/// How often bounds are measured and expired contents erased.
const MAINTENANCE: Duration = Duration::from_secs(1);
/// How often the lock of the store is tried while another process has it, and an open that failed is repeated.
const RETRY_OPEN: Duration = Duration::from_millis(100);
/// How often a row is committed, so that a bad disk is noticed before the outage that needs it.
const PROBE: Duration = Duration::from_secs(30);
/// Rows that are erased in one transaction.
const EXPIRED_ROWS: u32 = 500;

/// Starts the writer. It opens the store in the background, because another process may still have its lock.
///
/// # Errors
/// When the system cannot create a thread.
pub fn start(shared: Arc<Shared>, commands: mpsc::Receiver<Option<Command>>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("inbox-writer".into()).spawn(move || {
        let mut writer = Writer {
            shared,
            commands,
            kept: Vec::new(),
            random: RandomState::new(),
            last_maintenance: 0,
            last_probe: 0,
        };
        if let Some((lock, connection, syncs)) = writer.open() {
            writer.run(connection, syncs);
            drop(lock);
        }
    })
}

struct Writer {
    shared: Arc<Shared>,
    /// `None` ends the writer.
    commands: mpsc::Receiver<Option<Command>>,
    /// Commands of failed transactions that must be done in the end.
    kept: Vec<Command>,
    random: RandomState,
    last_maintenance: i64,
    last_probe: i64,
}

/// What the writer does at once.
struct Batch {
    commands: Vec<Command>,
    /// Whether nothing comes after it: the process ends.
    is_last: bool,
}

impl Writer {
    /// Waits for the lock and opens the store. `None` when the process ends first.
    fn open(&mut self) -> Option<(StoreLock, Connection, Syncs)> {
        let shared = self.shared.clone();
        let path = &shared.settings.store;
        let mut told = String::new();
        loop {
            let opened = match StoreLock::take(path) {
                Ok(Some(lock)) => match self.load() {
                    Ok((connection, syncs)) => Ok((lock, connection, syncs)),
                    Err(error) => Err(format!("the inbox cannot be opened: {error}")),
                },
                Ok(None) => Err(String::from("another process uses the inbox; waiting for its end")),
                Err(error) => Err(format!("the lock of the inbox cannot be taken: {error}")),
            };
            match opened {
                Ok(opened) => {
                    shared.status.set_phase(Phase::Open);
                    shared.work.notify_one();
                    let (items, bytes) = (shared.tallies.items(), shared.tallies.bytes());
                    tracing::info!(store = %path.display(), items, bytes, "the inbox is open");
                    return Some(opened);
                }
                Err(problem) if problem != told => {
                    tracing::warn!(store = %path.display(), "{problem}");
                    told = problem;
                }
                Err(_) => {}
            }
            match self.commands.recv_timeout(RETRY_OPEN) {
                Ok(Some(command)) => command.answer(Err(Refusal::Down)),
                Ok(None) | Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Opens the file and loads what is kept in memory.
    fn load(&self) -> Result<(Connection, Syncs), Box<dyn std::error::Error>> {
        let shared = &self.shared;
        let mut connection = schema::open(&shared.settings.store)?;
        // Commits are synced by threads of their own.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let now = shared.clock.now();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let cut_off = upkeep::load(&transaction, now)?;
        transaction.commit()?;
        if cut_off > 0 {
            tracing::warn!(
                deliveries = cut_off,
                "attempts were cut off by the end of the last process: their outcome is unknown"
            );
        }
        {
            let mut statement =
                connection.prepare("SELECT route, state, count(*), sum(bytes) FROM delivery GROUP BY route, state")?;
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                if let Some(state) = State::from_number(row.get(1)?) {
                    let route: String = row.get(0)?;
                    shared.tallies.load(&route, state, row.get(2)?, row.get(3)?);
                }
            }
            let mut statement = connection.prepare("SELECT id FROM known_id UNION ALL SELECT id FROM delivery")?;
            let mut ids = statement.query([])?;
            while let Some(row) = ids.next()? {
                shared.known.add(&row.get(0)?);
            }
            let mut statement = connection.prepare("SELECT name, is_paused FROM route")?;
            let mut routes = statement.query([])?;
            while let Some(row) = routes.next()? {
                let name: String = row.get(0)?;
                shared
                    .tallies
                    .route(&name)
                    .is_paused
                    .store(row.get(1)?, Ordering::Relaxed);
            }
        }
        let last: Option<i64> = connection.query_row(
            "SELECT max(position) FROM delivery INDEXED BY delivery_order WHERE order_key IS NOT NULL AND state < 4",
            [],
            |row| row.get(0),
        )?;
        shared
            .position
            .fetch_max(last.unwrap_or(0).saturating_add(1), Ordering::Relaxed);
        let syncs = Syncs::start(shared)?;
        Ok((connection, syncs))
    }

    fn run(&mut self, mut connection: Connection, syncs: Syncs) {
        let mut checkpoints = Checkpoints::start(&self.shared.settings.store, self.shared.settings.max_log);
        loop {
            let Batch { commands, is_last } = self.wait();
            if self.shared.status.phase() == Phase::Failed {
                commands
                    .into_iter()
                    .for_each(|command| command.answer(Err(Refusal::Down)));
            } else {
                let has_written = !commands.is_empty() || !self.kept.is_empty();
                self.transact(&mut connection, &syncs, commands);
                let has_written = self.maintain(&mut connection, &syncs) || has_written;
                checkpoints.after_transaction(&connection, has_written);
            }
            if is_last {
                break;
            }
        }
        // The last settlements of a full disk have another chance.
        if self.shared.status.phase() != Phase::Failed {
            self.transact(&mut connection, &syncs, Vec::new());
        }
        drop(syncs);
        checkpoints.end();
        self.shared.status.set_phase(Phase::Closed);
        // An error is ignored: the next start does the same.
        let _ = schema::checkpoint(&connection, Checkpoint::Truncate);
    }

    /// Waits for commands and collects those that are waiting, up to the size of a transaction.
    fn wait(&self) -> Batch {
        let mut batch = Batch {
            commands: Vec::new(),
            is_last: false,
        };
        let first = match self.commands.recv_timeout(MAINTENANCE) {
            Ok(first) => first,
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => return batch,
        };
        let (mut next, mut bytes) = (first, 0);
        loop {
            let Some(command) = next else {
                batch.is_last = true;
                break;
            };
            bytes += command.bytes();
            batch.commands.push(command);
            if bytes >= TRANSACTION_BYTES || batch.commands.len() >= TRANSACTION_COMMANDS {
                break;
            }
            match self.commands.try_recv() {
                Ok(further) => next = further,
                Err(_) => break,
            }
        }
        batch
    }

    /// Does everything in one transaction; it is answered once the commit is durable.
    fn transact(&mut self, connection: &mut Connection, syncs: &Syncs, batch: Vec<Command>) {
        let mut batch: Vec<Command> = self.kept.drain(..).chain(batch).collect();
        if batch.is_empty() {
            return;
        }
        let since = tokio::time::Instant::now();
        let changed_before = connection.total_changes();
        let mut changes = Changes::default();
        match self.attempt(connection, &mut batch, &mut changes) {
            Ok(effects) => {
                self.shared.tallies.apply(&changes);
                syncs.answer(Committed {
                    done: batch.into_iter().zip(effects).collect(),
                    since,
                    has_written: connection.total_changes() != changed_before,
                });
            }
            Err(error) => {
                let refusal = self.failed(&error);
                for command in batch {
                    if command.is_kept() && self.shared.status.phase() == Phase::Open {
                        self.kept.push(command);
                    } else {
                        command.answer(Err(refusal));
                    }
                }
            }
        }
    }

    fn attempt(
        &self,
        connection: &mut Connection,
        batch: &mut [Command],
        changes: &mut Changes,
    ) -> rusqlite::Result<Vec<Effect>> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut effects = Vec::with_capacity(batch.len());
        for command in batch {
            effects.push(self.apply(&transaction, command, changes)?);
        }
        transaction.commit()?;
        Ok(effects)
    }

    fn apply(&self, db: &Connection, command: &mut Command, changes: &mut Changes) -> rusqlite::Result<Effect> {
        let shared = &self.shared;
        let now = shared.clock.now();
        Ok(match command {
            Command::Store { new, only_behind, .. } => {
                let is_held = new
                    .order_key
                    .is_some_and(|key| shared.tallies.route(&new.route).is_held(&key));
                if *only_behind {
                    let is_busy = match &new.order_key {
                        Some(key) => is_held || rows::is_key_busy(db, &new.route, key)?,
                        None => false,
                    };
                    if !is_busy {
                        return Ok(Effect::Stored(None));
                    }
                }
                if self.is_full(&new.route) {
                    return Ok(Effect::Refused(Refusal::Full));
                }
                let is_held = is_held && *only_behind;
                let stored = rows::store(db, &shared.vault, &shared.known, new, is_held, now, changes)?;
                Effect::Stored(Some(stored))
            }
            Command::LookUp { route, id, .. } => Effect::Found(rows::look_up(db, route, id, now)?),
            Command::Take { route, wanted, .. } => Effect::Taken(rows::take(db, route, *wanted, now, changes)?),
            Command::Settle { end, retry, .. } => {
                let ending = Ending {
                    outcome: end.outcome,
                    took: end.took,
                    in_outage: end.in_outage,
                    retry,
                    random: self.random(end.seq, now),
                };
                let keep = Keep {
                    delivered: shared.settings.keep,
                    dead: shared.settings.dead.keep,
                };
                Effect::Settled(rows::settle(db, end, &ending, keep, now, changes)?)
            }
            Command::Release { route, key } => {
                rows::release_key(db, route, key, now, changes)?;
                Effect::Done
            }
            Command::Unblock { route } => {
                upkeep::unblock(db, route, now, changes)?;
                Effect::Done
            }
            Command::Remember { route, id, window, .. } => {
                rows::remember(db, route, id, now, *window)?;
                shared.known.add(id);
                Effect::Done
            }
            Command::Work { work, .. } => {
                work(db, changes, now)?;
                Effect::Done
            }
        })
    }

    /// Whether a bound of the process is reached, or half of it by this route alone: one route cannot fill the inbox for
    /// all others.
    fn is_full(&self, route: &str) -> bool {
        let Shared {
            settings,
            tallies,
            status,
            ..
        } = &*self.shared;
        let exceeds = |count: i64, limit: usize| count >= i64::try_from(limit).unwrap_or(i64::MAX);
        let tally = tallies.route(route);
        let items = tally.open().saturating_add(tally.count(State::Dead));
        status.bound() != Bound::None
            || exceeds(tally.bytes(), settings.max_bytes.div_ceil(2))
            || exceeds(items, settings.max_items.div_ceil(2))
    }

    /// A number for the length of a wait. It only has to differ between deliveries.
    fn random(&self, seq: i64, now: i64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half of a hash")]
        let random = self.random.hash_one((seq, now)) as u32;
        random
    }

    /// A transaction has failed and was undone. A failed write or sync closes the store for good.
    fn failed(&self, error: &rusqlite::Error) -> Refusal {
        let status = &self.shared.status;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                if status.bound() != Bound::Disk {
                    tracing::error!("the file system of the inbox is full: nothing is stored until there is space");
                }
                status.set_bound(Bound::Disk);
                Refusal::Full
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                tracing::warn!("another process has locked the inbox; what waits for it is refused");
                Refusal::Down
            }
            Some(_) | None => {
                if status.phase() != Phase::Failed {
                    tracing::error!(%error, "the inbox cannot be written and is closed until a restart; direct deliveries go on");
                }
                status.set_phase(Phase::Failed);
                Refusal::Down
            }
        }
    }

    /// Measures the bounds, erases what has expired, and commits a row now and then. Returns whether it has written.
    fn maintain(&mut self, connection: &mut Connection, syncs: &Syncs) -> bool {
        let shared = self.shared.clone();
        let now = shared.clock.now();
        let elapsed =
            |since: i64, every: Duration| now.saturating_sub(since) >= i64::try_from(every.as_millis()).unwrap_or(0);
        if !elapsed(self.last_maintenance, MAINTENANCE) || shared.status.phase() != Phase::Open {
            return false;
        }
        self.last_maintenance = now;
        measure::measure(&shared, connection);
        let is_probe_due = elapsed(self.last_probe, PROBE);
        let may_expire = shared.clock.is_consistent();
        let mut changes = Changes::default();
        let mut work = || -> rusqlite::Result<bool> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let more = may_expire && upkeep::expire(&transaction, now, EXPIRED_ROWS, &mut changes)?;
            if is_probe_due {
                transaction.execute("INSERT OR REPLACE INTO probe (one, written_at) VALUES (1, ?1)", [now])?;
            }
            transaction.commit()?;
            Ok(more)
        };
        match work() {
            Ok(more) => {
                shared.tallies.apply(&changes);
                if is_probe_due {
                    self.last_probe = now;
                }
                if more {
                    self.last_maintenance = 0;
                }
                let has_written = is_probe_due || !changes.is_empty();
                if has_written {
                    syncs.answer(Committed {
                        done: Vec::new(),
                        since: tokio::time::Instant::now(),
                        has_written,
                    });
                }
                has_written
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }
}
