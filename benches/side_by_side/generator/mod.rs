//! The load generator: a closed loop over many TLS connections. It runs for one turn at a time and then waits for all answers.
//!
//! Between turns no request is in flight, so the contender's CPU time of a turn belongs to the requests of that turn. Stopping and
//! continuing a generator process would leave half-sent requests in the pause. Generator and upstream run alternately on one thread that
//! never sleeps; `upstream.rs` says why.

mod http2;
mod session;
mod tls;

pub use session::{Agreed, Progress, Session};
pub use tls::{Protocol, Tickets, client_config};

use crate::Result;
use crate::upstream::Upstream;
use crate::webhook::Webhooks;
use mio::{Events, Poll};
use rustls::ClientConfig;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// If a request gets no answer within this time after the end of the turn, the contender has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Spin-loop hints between two polls without events, so that polling does not slow down the contender.
const SPINS_WHEN_IDLE: usize = 32;

/// How long a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// As long as the contender keeps it open.
    KeepAlive,
    /// For one request.
    PerRequest,
}

/// Results of one turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    /// Answers with a 2xx.
    pub accepted: u64,
    /// Answers with a 401.
    pub refused: u64,
    /// Answers with anything else.
    pub other: u64,
    /// Connections opened.
    pub opened: u64,
    /// Requests whose connection ended before the answer; they were sent again.
    pub lost: u64,
    /// From the first request to the last answer.
    pub wall: Duration,
    /// The part of that time in which generator and upstream were idle.
    pub idle: Duration,
}

impl Turn {
    /// Requests answered.
    pub fn answers(&self) -> u64 {
        self.accepted + self.refused + self.other
    }
}

/// The connections to one contender.
pub struct Connections {
    poll: Poll,
    events: Events,
    address: SocketAddr,
    config: Arc<ClientConfig>,
    reuse: Reuse,
    sessions: Vec<Option<Session>>,
    webhooks: Webhooks,
}

impl Connections {
    /// `connections` slots, all closed until the first turn.
    pub fn new(
        address: SocketAddr,
        config: Arc<ClientConfig>,
        connections: usize,
        reuse: Reuse,
        webhooks: Webhooks,
    ) -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            address,
            config,
            reuse,
            sessions: (0..connections).map(|_| None).collect(),
            webhooks,
        })
    }

    /// Keeps every connection busy for `length`, then waits for the requests in flight.
    pub fn turn(&mut self, upstream: &mut Upstream, length: Duration) -> Result<Turn> {
        let mut turn = Turn::default();
        let start = Instant::now();
        let end = start + length;
        self.webhooks.refresh()?;
        // Slots that wait for an answer or for the end of a handshake.
        let mut busy = 0;
        for slot in 0..self.sessions.len() {
            match &mut self.sessions[slot] {
                Some(session) => session.send(&self.webhooks.next()?)?,
                None => self.open(slot, &mut turn)?,
            }
            busy += 1;
        }
        while busy > 0 {
            turn.idle += self.wait(upstream, end)?;
            self.webhooks.refresh()?;
            let more = Instant::now() < end;
            let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
            for event in &events {
                let slot = event.token().0;
                if !self.react(slot, more, &mut turn)? {
                    busy -= 1;
                }
            }
            std::mem::swap(&mut self.events, &mut events);
        }
        turn.wall = start.elapsed();
        Ok(turn)
    }

    /// Opens every closed slot and returns when all handshakes are complete; sends no request.
    pub fn connect_all(&mut self, upstream: &mut Upstream) -> Result<()> {
        // In batches that fit into the listen backlog, so that no connection waits for a retransmitted SYN.
        let slots: Vec<usize> = (0..self.sessions.len())
            .filter(|&slot| self.sessions[slot].is_none())
            .collect();
        for batch in slots.chunks(128) {
            for &slot in batch {
                self.open(slot, &mut Turn::default())?;
            }
            let end = Instant::now();
            let mut ready = 0;
            while ready < batch.len() {
                self.wait(upstream, end)?;
                for event in &self.events {
                    let Some(session) = &mut self.sessions[event.token().0] else {
                        continue;
                    };
                    match session.advance()? {
                        Progress::Ready => ready += 1,
                        Progress::Pending => {}
                        Progress::Answered(_) | Progress::Closed => return Err("an idle connection ended".into()),
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends one request on every connection, one batch after the other, and waits for the answers.
    pub fn request_each(&mut self, upstream: &mut Upstream) -> Result<()> {
        for batch in (0..self.sessions.len()).collect::<Vec<_>>().chunks(64) {
            self.webhooks.refresh()?;
            for &slot in batch {
                let session = self.sessions[slot].as_mut().ok_or("a connection is closed")?;
                session.send(&self.webhooks.next()?)?;
            }
            let end = Instant::now();
            let mut answered = 0;
            while answered < batch.len() {
                self.wait(upstream, end)?;
                for event in &self.events {
                    let Some(session) = &mut self.sessions[event.token().0] else {
                        continue;
                    };
                    match session.advance()? {
                        Progress::Answered(200) => answered += 1,
                        Progress::Pending => {}
                        Progress::Ready | Progress::Answered(_) | Progress::Closed => {
                            return Err("an idle connection ended".into());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Handles one event; returns `false` when the slot is idle.
    fn react(&mut self, slot: usize, more: bool, turn: &mut Turn) -> Result<bool> {
        let Some(session) = &mut self.sessions[slot] else {
            return Ok(true);
        };
        let is_waiting = session.waiting || !session.is_ready();
        match session.advance()? {
            Progress::Pending => Ok(true),
            Progress::Ready => {
                session.send(&self.webhooks.next()?)?;
                Ok(true)
            }
            Progress::Answered(status) => {
                match status {
                    200..=299 => turn.accepted += 1,
                    401 => turn.refused += 1,
                    _ => turn.other += 1,
                }
                let over = self.reuse == Reuse::PerRequest || session.is_closing();
                if over && let Some(session) = self.sessions[slot].take() {
                    session.close();
                    if more {
                        self.open(slot, turn)?;
                    }
                    return Ok(more);
                }
                if let (true, Some(session)) = (more, &mut self.sessions[slot]) {
                    session.send(&self.webhooks.next()?)?;
                }
                Ok(more)
            }
            Progress::Closed => {
                self.sessions[slot] = None;
                if is_waiting {
                    turn.lost += 1;
                    self.open(slot, turn)?;
                }
                // An idle connection has already been removed from the count.
                Ok(true)
            }
        }
    }

    fn open(&mut self, slot: usize, turn: &mut Turn) -> Result<()> {
        turn.opened += 1;
        self.sessions[slot] = Some(Session::open(&self.poll, slot, self.address, &self.config)?);
        Ok(())
    }

    /// Serves the upstream until there are events for the generator; returns the idle time.
    fn wait(&mut self, upstream: &mut Upstream, end: Instant) -> Result<Duration> {
        let mut idle = Duration::ZERO;
        loop {
            let looked = Instant::now();
            let worked = upstream.pump()?;
            match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => other?,
            }
            if !self.events.is_empty() {
                return Ok(idle);
            }
            if !worked {
                (0..SPINS_WHEN_IDLE).for_each(|_| std::hint::spin_loop());
                idle += looked.elapsed();
            }
            if looked.saturating_duration_since(end) > ANSWER_TIMEOUT {
                return Err(format!("{} left requests unanswered", self.address).into());
            }
        }
    }
}
