//! What operators do: to the inbox of the running process, and to the file of a process that does not run.

use super::Inbox;
use super::crypt::Vault;
use super::model::delivery::Millis;
use super::place::StoreLock;
use super::store::changes::Changes;
use super::store::command::Refusal;
use super::store::operations::{self, Operation, Selection, Step};
use super::store::{self, Connection};
use crate::settings;
use serde::Serialize;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Deliveries that one transaction changes.
pub const STEP: usize = 200;
/// How long a reading transaction may take: it keeps the write-ahead log from being emptied.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self(format!("the file of the inbox cannot be used: {error}"))
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self(String::from(match refusal {
            Refusal::Full => "the inbox is full",
            Refusal::Down => "the inbox does not work at this moment",
        }))
    }
}

/// An operation on many deliveries. One runs at a time, in steps, behind what waits already.
#[derive(Debug)]
pub struct Job {
    operation: Operation,
    matched: i64,
    changed: AtomicI64,
    has_ended: AtomicBool,
    problem: Mutex<Option<Problem>>,
}

/// How far a job is.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// What is done.
    pub action: &'static str,
    /// Deliveries that were meant when it began.
    pub matched: i64,
    /// Deliveries to which it was done.
    pub changed: i64,
    /// Whether it has ended.
    pub ended: bool,
    /// Why it has ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Job {
    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        Progress {
            action: self.operation.label(),
            matched: self.matched,
            changed: self.changed.load(Ordering::Acquire),
            ended: self.has_ended.load(Ordering::Acquire),
            problem: problem.as_ref().map(ToString::to_string),
        }
    }
}

impl Inbox {
    /// Reads the file on a thread of its own, for a second at most.
    ///
    /// # Errors
    /// When the file cannot be read, or not in time.
    pub async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &Vault) -> rusqlite::Result<T> + Send + 'static,
    {
        let connection = store::reader(&self.settings().store)?;
        let interrupt = connection.get_interrupt_handle();
        let shared = self.shared.clone();
        let mut task = tokio::task::spawn_blocking(move || work(&connection, &shared.vault));
        let ended = tokio::select! {
            ended = &mut task => ended,
            () = tokio::time::sleep(READ_TIMEOUT) => {
                interrupt.interrupt();
                return Err(Problem(String::from("reading took too long; select fewer deliveries")));
            }
        };
        Ok(ended.map_err(|_| Problem(String::from("reading has failed")))??)
    }

    /// Begins an operation on many deliveries. `None` while another one runs.
    #[must_use]
    pub fn begin_job(
        self: &Arc<Self>,
        operation: Operation,
        selection: Selection,
        matched: i64,
        actor: String,
    ) -> Option<Arc<Job>> {
        let job = Arc::new(Job {
            operation,
            matched,
            changed: AtomicI64::new(0),
            has_ended: AtomicBool::new(false),
            problem: Mutex::default(),
        });
        {
            let mut current = self.job.lock().unwrap_or_else(PoisonError::into_inner);
            let runs = |job: &Arc<Job>| !job.has_ended.load(Ordering::Acquire);
            if current.as_ref().is_some_and(runs) {
                return None;
            }
            *current = Some(job.clone());
        }
        let (inbox, running) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let ended = inbox.run_job(&running, &selection, &actor).await;
            *running.problem.lock().unwrap_or_else(PoisonError::into_inner) = ended.err();
            running.has_ended.store(true, Ordering::Release);
        });
        Some(job)
    }

    /// The job that was begun last.
    #[must_use]
    pub fn job(&self) -> Option<Arc<Job>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn run_job(self: &Arc<Self>, job: &Arc<Job>, selection: &Selection, actor: &str) -> Result<(), Problem> {
        let until = self.in_transaction(|db, _, _| operations::last_number(db)).await?;
        let mut after = 0;
        while !self.is_closing() {
            let (operation, selection, actor) = (job.operation, selection.clone(), actor.to_owned());
            let step = self.in_transaction(move |db, changes, now| {
                operations::step(db, operation, &selection, (after, until), STEP, &actor, now, changes)
            });
            let Step { last, changed } = step.await?;
            job.changed.fetch_add(changed, Ordering::AcqRel);
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
        Err(Problem(String::from("the process ends")))
    }

    /// Pauses a route, or resumes it. The pause is stored and survives a restart.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn set_paused(self: &Arc<Self>, route: &str, is_paused: bool) -> Result<(), Problem> {
        let name = route.to_owned();
        self.in_transaction(move |db, _, _| operations::set_paused(db, &name, is_paused))
            .await?;
        let tally = self.shared.tallies.route(route);
        tally.is_paused.store(is_paused, Ordering::Relaxed);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Writes into the history of a delivery that an operator brought it here.
    pub async fn note_import(self: &Arc<Self>, seq: i64, actor: &str) -> Result<(), Problem> {
        let actor = actor.to_owned();
        self.in_transaction(move |db, _, now| operations::note(db, seq, "import", &actor, now))
            .await
    }

    /// Does work in a transaction of the writer.
    async fn in_transaction<T, F>(&self, mut work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnMut(&Connection, &mut Changes, Millis) -> rusqlite::Result<T> + Send + 'static,
    {
        let result = Arc::new(Mutex::new(None));
        let found = result.clone();
        self.work(Box::new(move |db, changes, now| {
            let value = work(db, changes, now)?;
            *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        }))
        .await?;
        let found = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        found.ok_or_else(|| Refusal::Down.into())
    }
}

/// The file of a process that does not run. Its lock is held until the value is dropped.
pub struct ClosedStore {
    /// The open file.
    pub connection: Connection,
    /// The keys.
    pub vault: Vault,
    _lock: StoreLock,
}

impl fmt::Debug for ClosedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClosedStore").finish_non_exhaustive()
    }
}

impl ClosedStore {
    /// Opens the file. `None` while a process uses it.
    ///
    /// # Errors
    /// When there is no file, or it cannot be used.
    pub fn open(settings: &settings::Inbox) -> Result<Option<Self>, Problem> {
        if !settings.store.exists() {
            let store = settings.store.display();
            return Err(Problem(format!("there is no file {store}: nothing was stored yet")));
        }
        let Some(lock) = StoreLock::take(&settings.store)? else {
            return Ok(None);
        };
        let vault = Vault::new(settings.keys.iter().map(|key| &key.secret));
        Ok(Some(Self {
            connection: store::open_closed(&settings.store)?,
            vault: vault.ok_or_else(|| Problem(String::from("a key of the inbox cannot be used")))?,
            _lock: lock,
        }))
    }

    /// Does an operation to all deliveries that are meant. `progress` is told how many were changed so far.
    ///
    /// # Errors
    /// Those of the file.
    pub fn run(
        &mut self,
        operation: Operation,
        selection: &Selection,
        actor: &str,
        now: Millis,
        mut progress: impl FnMut(i64),
    ) -> Result<i64, Problem> {
        let until = operations::last_number(&self.connection)?;
        let (mut after, mut total) = (0, 0);
        loop {
            let transaction = self.connection.transaction()?;
            let mut changes = Changes::default();
            let step = operations::step(
                &transaction,
                operation,
                selection,
                (after, until),
                STEP,
                actor,
                now,
                &mut changes,
            )?;
            transaction.commit()?;
            total += step.changed;
            progress(total);
            match step.last {
                Some(last) => after = last,
                None => return Ok(total),
            }
        }
    }
}

/// Writes a copy of the file, which only its owner may read. Every route of it is paused, because what the copy still has to
/// deliver may have been delivered since.
///
/// # Errors
/// When the copy exists already or cannot be written.
pub fn back_up(db: &Connection, to: &Path) -> Result<(), Problem> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    created.map_err(|error| Problem(format!("{} cannot be created: {error}", to.display())))?;
    let written = db
        .execute("VACUUM INTO ?1", [to.to_string_lossy()])
        .and_then(|_| store::pause_all(to));
    written.map_err(|error| {
        let _ = std::fs::remove_file(to);
        Problem(format!("the copy cannot be written: {error}"))
    })
}
