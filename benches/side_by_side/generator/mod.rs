//! The load: a closed loop over many TLS connections that runs for one turn at a time and then drains.
//!
//! Between turns nothing is in flight, so a contender's CPU of a turn belongs to that turn's requests. This gate does
//! what stopping and continuing a generator process would, without half-sent requests in the pause. Generator and
//! upstream take turns on one thread that never sleeps; see `upstream.rs` for why.

mod session;
mod tls;

pub use session::{Agreed, Progress, Session};
pub use tls::{Tickets, client_config};

use crate::Result;
use crate::upstream::Upstream;
use crate::webhook::Webhooks;
use mio::{Events, Poll};
use rustls::ClientConfig;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A contender that leaves a request unanswered for this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pauses between two looks that found nothing, so that looking does not slow down whoever is to bring something.
const PAUSES: usize = 32;

/// How long connections live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// As long as the contender keeps them.
    KeepAlive,
    /// One request each.
    PerRequest,
}

/// What one turn did.
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
    /// Share of that in which neither generator nor upstream had anything to do.
    pub idle: Duration,
}

impl Turn {
    /// Requests answered.
    pub fn answers(&self) -> u64 {
        self.accepted + self.refused + self.other
    }
}

/// The connections to one contender.
pub struct Fleet {
    poll: Poll,
    events: Events,
    address: SocketAddr,
    config: Arc<ClientConfig>,
    reuse: Reuse,
    sessions: Vec<Option<Session>>,
    webhooks: Webhooks,
}

impl Fleet {
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

    /// Keeps every connection busy for `length`, then waits for what is in flight.
    pub fn turn(&mut self, upstream: &mut Upstream, length: Duration) -> Result<Turn> {
        let mut turn = Turn::default();
        let start = Instant::now();
        let end = start + length;
        self.webhooks.refresh()?;
        // Slots that still owe an answer or a handshake.
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

    /// Opens every closed slot and returns when all handshakes are over; sends nothing.
    pub fn connect_all(&mut self, upstream: &mut Upstream) -> Result<()> {
        // A backlog's worth at a time, so that no connection waits for a retransmitted SYN.
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

    /// One request on every connection, one batch after the other.
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

    /// Handles one event; `false` when the slot has come to rest.
    fn react(&mut self, slot: usize, more: bool, turn: &mut Turn) -> Result<bool> {
        let Some(session) = &mut self.sessions[slot] else {
            return Ok(true);
        };
        let owed = session.waiting || !session.is_ready();
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
                if owed {
                    turn.lost += 1;
                    self.open(slot, turn)?;
                }
                // A connection that came to rest before had been taken off the count already.
                Ok(true)
            }
        }
    }

    fn open(&mut self, slot: usize, turn: &mut Turn) -> Result<()> {
        turn.opened += 1;
        self.sessions[slot] = Some(Session::open(&self.poll, slot, self.address, &self.config)?);
        Ok(())
    }

    /// Serves the upstream until there are events here; returns how long there was nothing to do.
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
                (0..PAUSES).for_each(|_| std::hint::spin_loop());
                idle += looked.elapsed();
            }
            if looked.saturating_duration_since(end) > PATIENCE {
                return Err(format!("{} left requests unanswered", self.address).into());
            }
        }
    }
}
