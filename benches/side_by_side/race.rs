//! The race: every contender stays up and gets many short turns in random order, so that whatever else the machine does
//! falls on all of them alike.

use crate::Result;
use crate::contender::Contender;
use crate::generator::{Fleet, Reuse, Tickets, Turn, client_config};
use crate::place::CONTENDER_CORE;
use crate::process::{Used, core_idle};
use crate::upstream::Upstream;
use crate::webhook::{Claim, Webhooks};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is asked of every contender.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Genuine or not.
    pub claim: Claim,
    /// Body of each request.
    pub body_bytes: usize,
    /// Requests in flight at once.
    pub connections: usize,
    /// One connection each, or kept.
    pub reuse: Reuse,
}

/// How long it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Independent figures; the median and the spread are over these.
    pub repetitions: usize,
    /// Turns of each contender in a repetition.
    pub turns: usize,
    /// Length of a turn.
    pub turn: Duration,
}

/// All turns of one contender in one repetition, or in all of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Requests answered.
    pub answers: u64,
    /// Connections opened in the turns.
    pub opened: u64,
    /// Requests that had to be sent again.
    pub lost: u64,
    /// Length of the turns.
    pub wall: Duration,
    /// CPU of the contender, draining included.
    pub contender: Used,
    /// Time in which generator and upstream had nothing to do.
    pub load_idle: Duration,
    /// Idle time of the contender's core.
    pub core_idle: Duration,
}

impl Sum {
    /// CPU of the contender per request, in microseconds.
    pub fn micros(&self) -> f64 {
        self.contender.run.as_secs_f64() * 1e6 / self.answers as f64
    }

    /// The kernel's part of it.
    pub fn kernel_micros(&self) -> f64 {
        self.contender.kernel.as_secs_f64() * 1e6 / self.answers as f64
    }

    /// Requests per second of its turns.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.wall.as_secs_f64()
    }

    /// Share of its turns in which the contender had work to do, whether or not a stranger had the core meanwhile.
    pub fn contender_busy(&self) -> f64 {
        self.share(self.contender.run + self.contender.wait)
    }

    /// Share of its turns in which generator or upstream had work to do.
    pub fn load_busy(&self) -> f64 {
        1.0 - self.share(self.load_idle)
    }

    /// `part` of the turns.
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

/// What one contender did in a race.
pub struct Score {
    /// The contender.
    pub name: String,
    /// One for each repetition.
    pub repetitions: Vec<Sum>,
}

impl Score {
    /// All repetitions together.
    pub fn total(&self) -> Sum {
        let mut total = Sum::default();
        for sum in &self.repetitions {
            total.add(sum);
        }
        total
    }
}

/// One contender at the start, with its connections.
struct Runner<'a> {
    contender: &'a Contender,
    fleet: Fleet,
}

/// Runs the work on all contenders.
pub fn race(contenders: &[Contender], upstream: &mut Upstream, work: Work, effort: Effort) -> Result<Vec<Score>> {
    let mut runners = Vec::new();
    for contender in contenders {
        runners.push(Runner {
            contender,
            fleet: fleet(contender, work)?,
        });
    }
    let mut scores: Vec<Score> = contenders
        .iter()
        .map(|c| Score {
            name: c.name.clone(),
            repetitions: Vec::new(),
        })
        .collect();
    let mut dice = Dice::new()?;
    let mut order: Vec<usize> = (0..runners.len()).collect();
    for repetition in 0..=effort.repetitions {
        let mut sums = vec![Sum::default(); runners.len()];
        // Repetition 0 warms up: connections, caches, Lua's compiler.
        for _ in 0..if repetition == 0 { 4 } else { effort.turns } {
            dice.shuffle(&mut order);
            for &at in &order {
                sums[at].add(&runners[at].turn(upstream, work, effort.turn)?);
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

/// The connections that `work` asks for.
pub fn fleet(contender: &Contender, work: Work) -> Result<Fleet> {
    let config = client_config(Arc::new(Tickets::default()))?;
    let webhooks = Webhooks::new(work.body_bytes, work.claim)?;
    Fleet::new(contender.address, config, work.connections, work.reuse, webhooks)
}

/// Fails unless the contender did in this turn what the work calls for, and the upstream knows of it.
pub fn believe(contender: &Contender, work: Work, turn: &Turn, forwarded: u64) -> Result<()> {
    let right = if work.claim == Claim::Signed || !contender.verifies {
        turn.accepted
    } else {
        turn.refused
    };
    // A request whose connection broke may have been forwarded and was sent again.
    let plausible = forwarded >= turn.accepted && forwarded <= turn.accepted + turn.lost;
    if turn.answers() == 0 || right != turn.answers() || !plausible {
        return Err(format!("{}: {turn:?}, but the upstream got {forwarded}", contender.name).into());
    }
    Ok(())
}

impl Runner<'_> {
    fn turn(&mut self, upstream: &mut Upstream, work: Work, length: Duration) -> Result<Sum> {
        let at = self.contender.upstream;
        let forwarded = upstream.seen[at].requests;
        let before = self.contender.tree.settled()?;
        let idle = core_idle(CONTENDER_CORE)?;
        let turn = self.fleet.turn(upstream, length)?;
        let core_idle = core_idle(CONTENDER_CORE)?.saturating_sub(idle);
        let contender = self.contender.tree.settled()?.since(&before);
        believe(self.contender, work, &turn, upstream.seen[at].requests - forwarded)?;
        Ok(Sum {
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

/// Randomness for the order of turns.
struct Dice(u64);

impl Dice {
    fn new() -> Result<Self> {
        Ok(Self(
            SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64 | 1,
        ))
    }

    /// Fisher and Yates, over xorshift64.
    fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            order.swap(last, (self.0 % (last as u64 + 1)) as usize);
        }
    }
}
