//! Reads from /proc: CPU time of a contender in nanoseconds, its time waiting for a core, its memory, and the idle time of a core.

use crate::Result;
use std::collections::HashMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The ids of a process and its descendants at the time of the call to `of`.
#[derive(Clone, Debug)]
pub struct ProcessTree(pub Vec<u32>);

/// CPU time of every thread of a process tree since its start, by process id and thread id.
pub struct CpuTimes(HashMap<(u32, u32), CpuTime>);

/// CPU time of a thread or a process tree, since its start or between two readings.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// Time on a core, exact to the nanosecond.
    pub run: Duration,
    /// Time in which it was runnable while another thread had the core.
    pub wait: Duration,
    /// The part of `run` in the kernel. The kernel counts it in hundredths of a second, so only a sum over many turns is meaningful.
    pub kernel: Duration,
}

impl CpuTime {
    /// Adds another CPU time.
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

impl ProcessTree {
    /// `root` and every process below it.
    pub fn of(root: u32) -> Result<Self> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process may end during this loop.
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

    /// Waits until no thread of the tree runs, at most 500 ms, and then reads the CPU times. The counter of a running thread can be
    /// one tick late, and work after the last answer belongs to the turn.
    pub fn cpu_times_when_idle(&self) -> Result<CpuTimes> {
        let deadline = Instant::now() + Duration::from_millis(500);
        let mut idle_checks = 0;
        while idle_checks < 2 && Instant::now() < deadline {
            sleep(Duration::from_micros(500));
            idle_checks = if self.threads()?.iter().any(|&(pid, tid)| is_running(pid, tid)) {
                0
            } else {
                idle_checks + 1
            };
        }
        self.cpu_times()
    }

    /// Reads the CPU times of all threads at this moment.
    pub fn cpu_times(&self) -> Result<CpuTimes> {
        let mut cpu_times = HashMap::new();
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
            let used = CpuTime {
                run: Duration::from_nanos(run?),
                wait: Duration::from_nanos(wait?),
                kernel: Duration::from_millis(10 * hundredths),
            };
            cpu_times.insert((pid, tid), used);
        }
        Ok(CpuTimes(cpu_times))
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
                threads.push((pid, name.to_str().ok_or("a thread id that is not a number")?.parse()?));
            }
        }
        Ok(threads)
    }
}

impl CpuTimes {
    /// CPU time since `earlier`. Threads that ended in between are not included.
    pub fn since(&self, earlier: &Self) -> CpuTime {
        let mut sum = CpuTime::default();
        for (thread, used) in &self.0 {
            sum.add(used.since(earlier.0.get(thread).copied().unwrap_or_default()));
        }
        sum
    }
}

/// Idle time of a core since boot. The kernel counts it in hundredths of a second.
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

/// Fields of a `stat` file after the name of the process (state, parent, …). The name may contain any character.
fn after_name(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_ascii_whitespace()
}
