//! What the kernel says about a contender: CPU time to the nanosecond, waiting for a core, memory, the cores' idle time.

use crate::Result;
use std::collections::HashMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A process and its descendants, as found when it was made.
#[derive(Clone, Debug)]
pub struct Tree(pub Vec<u32>);

/// What every thread of a tree has used so far.
pub struct Ledger(HashMap<(u32, u32), Used>);

/// What a thread or a tree used, since its start or between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// On a core, to the nanosecond.
    pub run: Duration,
    /// Runnable, while something else had the core.
    pub wait: Duration,
    /// The part of `run` spent in the kernel, which it samples in hundredths of a second: good for a share of many turns.
    pub kernel: Duration,
}

impl Used {
    /// Adds what something else used, or the same at another time.
    pub fn add(&mut self, other: Self) {
        self.run += other.run;
        self.wait += other.wait;
        self.kernel += other.kernel;
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            run: self.run.saturating_sub(earlier.run),
            wait: self.wait.saturating_sub(earlier.wait),
            kernel: self.kernel.saturating_sub(earlier.kernel),
        }
    }
}

impl Tree {
    /// `root` and every process below it.
    pub fn of(root: u32) -> Result<Self> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // Processes end while we look.
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
                continue;
            };
            let parent = after_name(&stat).nth(1).and_then(|field| field.parse::<u32>().ok());
            parents.push((pid, parent));
        }
        let mut found = vec![root];
        let mut at = 0;
        while let Some(&pid) = found.get(at) {
            found.extend(
                parents
                    .iter()
                    .filter(|(_, parent)| *parent == Some(pid))
                    .map(|(child, _)| *child),
            );
            at += 1;
        }
        Ok(Self(found))
    }

    /// Reads all threads' accounts, after waiting for the tree to have nothing to do: a running thread's account lags by
    /// up to a tick, and what it does after the last answer belongs to the turn.
    pub fn settled(&self) -> Result<Ledger> {
        let deadline = Instant::now() + Duration::from_millis(500);
        let mut quiet = 0;
        while quiet < 2 && Instant::now() < deadline {
            sleep(Duration::from_micros(500));
            quiet = if self.threads()?.iter().any(|&(pid, tid)| is_running(pid, tid)) {
                0
            } else {
                quiet + 1
            };
        }
        self.ledger()
    }

    /// Reads all threads' accounts as they stand.
    pub fn ledger(&self) -> Result<Ledger> {
        let mut ledger = HashMap::new();
        for (pid, tid) in self.threads()? {
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")) else {
                continue;
            };
            let mut fields = text.split_ascii_whitespace().map(str::parse::<u64>);
            let (Some(run), Some(wait)) = (fields.next(), fields.next()) else {
                continue;
            };
            let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat"))?;
            let hundredths: u64 = after_name(&stat).nth(12).ok_or("a short stat")?.parse()?;
            let used = Used {
                run: Duration::from_nanos(run?),
                wait: Duration::from_nanos(wait?),
                kernel: Duration::from_millis(10 * hundredths),
            };
            ledger.insert((pid, tid), used);
        }
        Ok(Ledger(ledger))
    }

    /// Proportional set size in KiB.
    pub fn memory_kib(&self) -> Result<u64> {
        let mut sum = 0;
        for pid in &self.0 {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("Pss:"))
                .ok_or("no Pss in smaps_rollup")?;
            sum += line.trim().trim_end_matches("kB").trim().parse::<u64>()?;
        }
        Ok(sum)
    }

    fn threads(&self) -> Result<Vec<(u32, u32)>> {
        let mut threads = Vec::new();
        for &pid in &self.0 {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|e| format!("process {pid}: {e}"))?;
            for entry in tasks {
                let name = entry?.file_name();
                threads.push((pid, name.to_str().ok_or("a strange thread id")?.parse()?));
            }
        }
        Ok(threads)
    }
}

impl Ledger {
    /// What was used since `earlier`; threads that ended in between are missing from it.
    pub fn since(&self, earlier: &Self) -> Used {
        let mut sum = Used::default();
        for (thread, used) in &self.0 {
            sum.add(used.since(earlier.0.get(thread).copied().unwrap_or_default()));
        }
        sum
    }
}

/// Time a core has idled since boot; the kernel counts in hundredths of a second.
pub fn core_idle(core: usize) -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&name))
        .ok_or("the core is missing from /proc/stat")?;
    let fields: Vec<u64> = line
        .split_ascii_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    let idle = fields.get(3).ok_or("/proc/stat is short")? + fields.get(4).ok_or("/proc/stat is short")?;
    Ok(Duration::from_millis(10 * idle))
}

fn is_running(pid: u32, tid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).is_ok_and(|stat| after_name(&stat).next() == Some("R"))
}

/// Fields of a `stat` file after the process's name, which may hold anything: state, parent, …
fn after_name(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_ascii_whitespace()
}
