//! The comparison: every contender runs during the whole test and gets many short turns of load in random order, so that other
//! activity of the machine affects all of them equally.

use crate::Result;
use crate::contender::Contender;
use crate::cpu::CONTENDER_CORE;
use crate::generator::{Connections, Protocol, Reuse, Tickets, Turn, client_config};
use crate::process::{CpuTime, core_idle};
use crate::upstream::Upstream;
use crate::webhook::{RequestKind, Webhooks};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The load on every contender.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Kind of the requests: genuine or not.
    pub request_kind: RequestKind,
    /// Size of the body of each request.
    pub body_bytes: usize,
    /// Number of connections, each with one request in flight.
    pub connections: usize,
    /// Whether a connection serves one request or many.
    pub reuse: Reuse,
    /// Version of HTTP of the requests.
    pub protocol: Protocol,
}

/// How often and how long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Number of repetitions; the report prints median and range over these.
    pub repetitions: usize,
    /// Number of turns of each contender in a repetition.
    pub turns: usize,
    /// Length of a turn.
    pub turn: Duration,
}

/// Totals of one contender over all turns of one repetition, or of all repetitions.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurnTotals {
    /// Requests answered.
    pub answers: u64,
    /// Connections opened in the turns.
    pub opened: u64,
    /// Requests that had to be sent again.
    pub lost: u64,
    /// Length of the turns.
    pub wall: Duration,
    /// CPU time of the contender, including the work after the last answer of a turn.
    pub contender: CpuTime,
    /// Time in which generator and upstream were idle.
    pub load_idle: Duration,
    /// Idle time of the contender's core.
    pub core_idle: Duration,
}

impl TurnTotals {
    /// CPU time of the contender per request, in microseconds.
    pub fn micros(&self) -> f64 {
        self.contender.run.as_secs_f64() * 1e6 / self.answers as f64
    }

    /// Part of that time in the kernel, in microseconds.
    pub fn kernel_micros(&self) -> f64 {
        self.contender.kernel.as_secs_f64() * 1e6 / self.answers as f64
    }

    /// Requests per second of its turns.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.wall.as_secs_f64()
    }

    /// Share of its turns in which the contender was running or runnable, from 0 to 1.
    pub fn contender_busy(&self) -> f64 {
        self.share(self.contender.run + self.contender.wait)
    }

    /// Share of the turns in which generator or upstream were busy, from 0 to 1.
    pub fn load_busy(&self) -> f64 {
        1.0 - self.share(self.load_idle)
    }

    /// `part` as a share of the length of the turns, from 0 to 1.
    pub fn share(&self, part: Duration) -> f64 {
        (part.as_secs_f64() / self.wall.as_secs_f64()).min(1.0)
    }

    fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.opened += other.opened;
        self.lost += other.lost;
        self.wall += other.wall;
        self.contender.add(other.contender);
        self.load_idle += other.load_idle;
        self.core_idle += other.core_idle;
    }
}

/// Results of one contender.
pub struct Measurement {
    /// The contender.
    pub name: String,
    /// Totals of each repetition.
    pub repetitions: Vec<TurnTotals>,
}

impl Measurement {
    /// All repetitions together.
    pub fn total(&self) -> TurnTotals {
        let mut total = TurnTotals::default();
        for sum in &self.repetitions {
            total.add(sum);
        }
        total
    }
}

/// A contender with its connections.
struct Runner<'a> {
    contender: &'a Contender,
    connections: Connections,
}

/// Puts the load on all contenders, as `plan` says, and returns the results in the same order.
pub fn compare(
    contenders: &[Contender],
    upstream: &mut Upstream,
    work: Workload,
    plan: Plan,
) -> Result<Vec<Measurement>> {
    let mut runners = Vec::new();
    for contender in contenders {
        runners.push(Runner {
            contender,
            connections: connections(contender, work)?,
        });
    }
    let mut scores: Vec<Measurement> = contenders
        .iter()
        .map(|c| Measurement {
            name: c.name.clone(),
            repetitions: Vec::new(),
        })
        .collect();
    for runner in &mut runners {
        runner.serve_before(upstream, work)?;
    }
    let mut shuffler = Shuffler::new()?;
    let mut order: Vec<usize> = (0..runners.len()).collect();
    for repetition in 0..=plan.repetitions {
        let mut sums = vec![TurnTotals::default(); runners.len()];
        // Repetition 0 is not counted: it opens connections, fills caches and lets Lua compile.
        for _ in 0..if repetition == 0 { 4 } else { plan.turns } {
            shuffler.shuffle(&mut order);
            for &at in &order {
                sums[at].add(&runners[at].turn(upstream, work, plan.turn)?);
            }
        }
        if repetition > 0 {
            for (score, sum) in scores.iter_mut().zip(sums) {
                score.repetitions.push(sum);
            }
        }
    }
    Ok(scores)
}

/// Prepares the connections for `work`; they open in the first turn.
pub fn connections(contender: &Contender, work: Workload) -> Result<Connections> {
    let config = client_config(work.protocol, Arc::new(Tickets::default()))?;
    let webhooks = Webhooks::new(work.body_bytes, work.request_kind)?;
    Connections::new(contender.address, config, work.connections, work.reuse, webhooks)
}

/// Fails unless the contender answered every request of this turn as expected, and the upstream received `forwarded` as expected.
pub fn check_turn(contender: &Contender, work: Workload, turn: &Turn, forwarded: u64) -> Result<()> {
    let right = if work.request_kind == RequestKind::Signed || !contender.verifies {
        turn.accepted
    } else {
        turn.refused
    };
    // A request whose connection closed may have been forwarded, and was sent again.
    let plausible = forwarded >= turn.accepted && forwarded <= turn.accepted + turn.lost;
    if turn.answers() == 0 || right != turn.answers() || !plausible {
        return Err(format!("{}: {turn:?}, but the upstream got {forwarded}", contender.name).into());
    }
    Ok(())
}

impl Runner<'_> {
    /// Serves the webhooks that this contender needs before the measurement.
    fn serve_before(&mut self, upstream: &mut Upstream, work: Workload) -> Result<()> {
        let mut served = 0;
        while served < self.contender.webhooks_before {
            served += self.turn(upstream, work, Duration::from_secs(1))?.answers;
        }
        Ok(())
    }

    fn turn(&mut self, upstream: &mut Upstream, work: Workload, length: Duration) -> Result<TurnTotals> {
        let at = self.contender.upstream;
        let forwarded = upstream.received[at].requests;
        let before = self.contender.tree.cpu_times_when_idle()?;
        let idle = core_idle(CONTENDER_CORE)?;
        let turn = self.connections.turn(upstream, length)?;
        let core_idle = core_idle(CONTENDER_CORE)?.saturating_sub(idle);
        let contender = self.contender.tree.cpu_times_when_idle()?.since(&before);
        check_turn(self.contender, work, &turn, upstream.received[at].requests - forwarded)?;
        Ok(TurnTotals {
            answers: turn.answers(),
            opened: turn.opened,
            lost: turn.lost,
            wall: turn.wall,
            contender,
            load_idle: turn.idle,
            core_idle,
        })
    }
}

/// Random order of the turns.
struct Shuffler(u64);

impl Shuffler {
    fn new() -> Result<Self> {
        Ok(Self(
            SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64 | 1,
        ))
    }

    /// Fisher-Yates shuffle with the xorshift64 generator.
    fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            order.swap(last, (self.0 % (last as u64 + 1)) as usize);
        }
    }
}
