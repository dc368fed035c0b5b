//! System calls per request, by name, counted under full load.
//!
//! `perf trace` counts in the kernel and hardly slows the contender. strace stops the contender at every call, so that more data is
//! ready at each wake-up and the count is too low. perf is preferred; the report names the tracer.

use crate::Result;
use crate::comparison::{Workload, connections};
use crate::contender::Contender;
use crate::upstream::Upstream;
use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Duration of the count.
const SPAN: Duration = Duration::from_secs(2);
/// Time for the tracer to attach.
const ATTACH: Duration = Duration::from_millis(700);

/// System calls of one contender.
pub struct Calls {
    /// The contender.
    pub name: String,
    /// Name of the tracer that counted.
    pub tracer: &'static str,
    /// Calls per request by name, most frequent first.
    pub each: Vec<(String, f64)>,
}

impl Calls {
    /// Calls per request, over all names.
    pub fn total(&self) -> f64 {
        self.each.iter().map(|(_, calls)| calls).sum()
    }
}

/// Puts the load `work` on the contender while a tracer counts.
pub fn measure(contender: &Contender, upstream: &mut Upstream, work: Workload) -> Result<Calls> {
    let perf = Command::new("perf")
        .args(["trace", "-s", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let pids: Vec<String> = contender.tree.0.iter().map(u32::to_string).collect();
    let mut command;
    if perf {
        command = Command::new("perf");
        command.args(["trace", "-s", "-p", &pids.join(",")]);
    } else {
        command = Command::new("strace");
        command.args(["-c", "-f"]);
        for pid in &pids {
            command.args(["-p", pid]);
        }
    }
    let mut connections = connections(contender, work)?;
    connections.turn(upstream, Duration::from_millis(300))?;
    let mut tracer = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    // There is no load while the tracer attaches and detaches, so that it counts whole turns only.
    sleep(ATTACH);
    let turn = connections.turn(upstream, SPAN)?;
    contender.tree.cpu_times_when_idle()?;
    let pid = rustix::process::Pid::from_raw(tracer.id().cast_signed()).ok_or("the tracer has no process id")?;
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    let mut output = String::new();
    tracer
        .stderr
        .take()
        .ok_or("the tracer has no output")?
        .read_to_string(&mut output)?;
    tracer.wait()?;
    let mut calls: BTreeMap<String, u64> = BTreeMap::new();
    for line in output.lines() {
        if let Some((name, count)) = if perf { perf_row(line) } else { strace_row(line) } {
            *calls.entry(name).or_default() += count;
        }
    }
    if calls.is_empty() {
        return Err(format!("the tracer counted nothing:\n{output}").into());
    }
    let mut each: Vec<_> = calls
        .into_iter()
        .map(|(name, n)| (name, n as f64 / turn.answers() as f64))
        .collect();
    each.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(Calls {
        name: contender.name.clone(),
        tracer: if perf { "perf trace" } else { "strace" },
        each,
    })
}

/// `   read    1234    5    0.1 …`: name, calls, errors, times.
fn perf_row(line: &str) -> Option<(String, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if fields.len() != 8 || !fields[7].ends_with('%') {
        return None;
    }
    Some((fields[0].to_owned(), fields[1].parse().ok()?))
}

/// ` 24.10    0.012    3    4321    12 read`: share, seconds, microseconds a call, calls, errors if any, name.
fn strace_row(line: &str) -> Option<(String, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let name = *fields.last()?;
    if fields.len() < 5 || name == "total" {
        return None;
    }
    Some((name.to_owned(), fields[3].parse().ok()?))
}
