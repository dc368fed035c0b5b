//! The rows of the table: what work, for whom, and what the ratio is meant to be.

use crate::generator::Reuse;
use crate::race::Work;
use crate::webhook::Claim;

/// How a row is measured.
pub enum Measure {
    /// CPU per request, in turns.
    Race(Work),
    /// Memory of idle connections.
    Idle,
    /// System calls per request under this work.
    Calls(Work),
}

/// One row.
pub struct Row {
    /// Given on the command line.
    pub name: &'static str,
    /// Heading of its table.
    pub title: &'static str,
    /// What is done.
    pub measure: Measure,
    /// Who takes part beside hookgate.
    pub against: &'static [&'static str],
    /// Least ratio of their CPU over ours that is wanted.
    pub goals: &'static [(&'static str, f64)],
}

const SIGNED_2K: Work = keep_alive(Claim::Signed, 2 * 1024, 64);

/// All rows, in the order of the report.
pub const ROWS: &[Row] = &[
    Row {
        name: "2k",
        title: "2 KiB bodies, 64 keep-alive connections",
        measure: Measure::Race(SIGNED_2K),
        against: &["nginx", "nginx-lua", "haproxy"],
        goals: &[("nginx", 1.2), ("nginx-lua", 1.6), ("haproxy", 1.6)],
    },
    Row {
        name: "16k",
        title: "16 KiB bodies, 64 keep-alive connections",
        measure: Measure::Race(keep_alive(Claim::Signed, 16 * 1024, 64)),
        against: &["nginx", "nginx-lua"],
        goals: &[("nginx", 0.95), ("nginx-lua", 1.4)],
    },
    Row {
        name: "64k",
        title: "64 KiB bodies, 64 keep-alive connections",
        measure: Measure::Race(keep_alive(Claim::Signed, 64 * 1024, 64)),
        against: &["nginx", "nginx-lua"],
        goals: &[("nginx", 0.95), ("nginx-lua", 1.5)],
    },
    Row {
        name: "1m",
        title: "1 MiB bodies, 16 keep-alive connections",
        measure: Measure::Race(keep_alive(Claim::Signed, 1024 * 1024, 16)),
        against: &["nginx", "nginx-lua"],
        goals: &[("nginx-lua", 1.9)],
    },
    Row {
        name: "connect",
        title: "A new TLS connection for every 2 KiB request, full handshakes, tickets matched",
        measure: Measure::Race(Work {
            claim: Claim::Signed,
            body_bytes: 2 * 1024,
            connections: 64,
            reuse: Reuse::PerRequest,
        }),
        against: &["nginx", "nginx-lua", "haproxy"],
        goals: &[("nginx-lua", 2.0), ("haproxy", 2.2)],
    },
    Row {
        name: "tampered",
        title: "A flood of tampered 2 KiB requests, 64 connections",
        measure: Measure::Race(keep_alive(Claim::Tampered, 2 * 1024, 64)),
        against: &["nginx-lua", "haproxy"],
        goals: &[("nginx-lua", 2.0)],
    },
    Row {
        name: "unsigned",
        title: "A flood of unsigned 2 KiB requests, 64 connections",
        measure: Measure::Race(keep_alive(Claim::Unsigned, 2 * 1024, 64)),
        against: &["nginx-lua", "haproxy"],
        goals: &[("nginx-lua", 2.0)],
    },
    Row {
        name: "store",
        title: "The replay guard in memory and in a redis-server on the same core, 2 KiB bodies, 64 keep-alive connections",
        measure: Measure::Race(SIGNED_2K),
        against: &["redis"],
        goals: &[],
    },
    Row {
        name: "idle",
        title: "5,000 idle TLS connections (goal: at most 1.2 of nginx's)",
        measure: Measure::Idle,
        against: &["nginx", "nginx-lua", "haproxy"],
        goals: &[],
    },
    Row {
        name: "calls",
        title: "System calls per request, 2 KiB bodies, 64 keep-alive connections (goal: at most 4.6)",
        measure: Measure::Calls(SIGNED_2K),
        against: &["nginx", "nginx-lua", "haproxy"],
        goals: &[],
    },
];

const fn keep_alive(claim: Claim, body_bytes: usize, connections: usize) -> Work {
    Work {
        claim,
        body_bytes,
        connections,
        reuse: Reuse::KeepAlive,
    }
}
