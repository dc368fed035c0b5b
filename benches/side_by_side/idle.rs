//! Memory of idle connections: the increase in a new process after 5,000 connections.

use crate::Result;
use crate::comparison::{Workload, connections};
use crate::contender::Contender;
use crate::generator::{Protocol, Reuse};
use crate::upstream::Upstream;
use crate::webhook::RequestKind;

/// Number of connections that stay open.
pub const CONNECTIONS: usize = 5_000;

/// Memory of one idle connection, in KiB of proportional set size.
pub struct Idle {
    /// The contender.
    pub name: String,
    /// After the TLS handshake, before any request, in KiB.
    pub fresh: f64,
    /// After one answered request, in KiB.
    pub used: f64,
}

/// Opens the connections to a newly started contender and measures its memory before, after the handshakes, and after one request
/// on each.
pub fn measure(contender: &Contender, upstream: &mut Upstream) -> Result<Idle> {
    let work = Workload {
        request_kind: RequestKind::Signed,
        body_bytes: 2048,
        connections: CONNECTIONS,
        reuse: Reuse::KeepAlive,
        protocol: Protocol::Http1,
    };
    let before = contender.tree.memory_kib()?;
    let each = |now: u64| (now as f64 - before as f64) / CONNECTIONS as f64;
    let mut connections = connections(contender, work)?;
    connections.connect_all(upstream)?;
    contender.tree.cpu_times_when_idle()?;
    let fresh = each(contender.tree.memory_kib()?);
    connections.request_each(upstream)?;
    contender.tree.cpu_times_when_idle()?;
    let used = each(contender.tree.memory_kib()?);
    Ok(Idle {
        name: contender.name.clone(),
        fresh,
        used,
    })
}
