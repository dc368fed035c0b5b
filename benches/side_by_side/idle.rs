//! Memory of connections that nobody uses: what 5,000 of them add to a fresh process.

use crate::Result;
use crate::contender::Contender;
use crate::generator::Reuse;
use crate::race::{Work, fleet};
use crate::upstream::Upstream;
use crate::webhook::Claim;

/// Connections that stay open.
pub const CONNECTIONS: usize = 5_000;

/// KiB of proportional set size that one idle connection adds.
pub struct Idle {
    /// The contender.
    pub name: String,
    /// After the handshake, before any request.
    pub fresh: f64,
    /// After one request was answered.
    pub used: f64,
}

/// Opens the connections to a contender that has served next to nothing yet.
pub fn measure(contender: &Contender, upstream: &mut Upstream) -> Result<Idle> {
    let work = Work {
        claim: Claim::Signed,
        body_bytes: 2048,
        connections: CONNECTIONS,
        reuse: Reuse::KeepAlive,
    };
    let before = contender.tree.memory_kib()?;
    let each = |now: u64| (now as f64 - before as f64) / CONNECTIONS as f64;
    let mut fleet = fleet(contender, work)?;
    fleet.connect_all(upstream)?;
    contender.tree.settled()?;
    let fresh = each(contender.tree.memory_kib()?);
    fleet.request_each(upstream)?;
    contender.tree.settled()?;
    let used = each(contender.tree.memory_kib()?);
    Ok(Idle {
        name: contender.name.clone(),
        fresh,
        used,
    })
}
