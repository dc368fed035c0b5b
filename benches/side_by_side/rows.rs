//! The rows of the table: the workload, the contenders, and the goal for the ratio.

use crate::comparison::Workload;
use crate::generator::{Protocol, Reuse};
use crate::webhook::RequestKind;

/// How a row is measured.
pub enum Measure {
    /// CPU time per request, in turns.
    CpuTime(Workload),
    /// Memory of idle connections.
    Idle,
    /// A process with one route and one with many.
    Growth,
    /// System calls per request under this workload.
    Calls(Workload),
    /// Durable webhooks: rate and latency beside another program, and what each mode of delivery costs.
    Inbox,
}

/// One row.
pub struct Row {
    /// Name on the command line.
    pub name: &'static str,
    /// Heading of its table.
    pub title: &'static str,
    /// What is measured, under which workload.
    pub measure: Measure,
    /// Names of the contenders beside hookgate.
    pub against: &'static [&'static str],
    /// Goal for each contender: the smallest ratio of its CPU time to that of hookgate.
    pub goals: &'static [(&'static str, f64)],
}

const SIGNED_2K: Workload = keep_alive(RequestKind::Signed, 2 * 1024, 64);

/// All rows, in the order of the report.
pub const ROWS: &[Row] = &[
    Row {
        name: "2k",
        title: "2 KiB bodies, 64 keep-alive connections",
        measure: Measure::CpuTime(SIGNED_2K),
        against: &["audit-off", "nginx", "nginx-lua", "haproxy"],
        goals: &[("nginx", 1.25), ("nginx-lua", 1.8), ("haproxy", 2.0)],
    },
    Row {
        name: "16k",
        title: "16 KiB bodies, 64 keep-alive connections",
        measure: Measure::CpuTime(keep_alive(RequestKind::Signed, 16 * 1024, 64)),
        against: &["nginx", "nginx-lua"],
        goals: &[("nginx", 0.85), ("nginx-lua", 1.4)],
    },
    Row {
        name: "64k",
        title: "64 KiB bodies, 64 keep-alive connections",
        measure: Measure::CpuTime(keep_alive(RequestKind::Signed, 64 * 1024, 64)),
        against: &["nginx", "nginx-lua"],
        goals: &[("nginx", 0.72), ("nginx-lua", 1.5)],
    },
    Row {
        name: "1m",
        title: "1 MiB bodies, 16 keep-alive connections",
        measure: Measure::CpuTime(keep_alive(RequestKind::Signed, 1024 * 1024, 16)),
        against: &["nginx", "nginx-lua"],
        goals: &[("nginx-lua", 1.9)],
    },
    Row {
        name: "connect",
        title: "A new TLS connection for every 2 KiB request, full handshakes, tickets matched",
        measure: Measure::CpuTime(Workload {
            request_kind: RequestKind::Signed,
            body_bytes: 2 * 1024,
            connections: 64,
            reuse: Reuse::PerRequest,
            protocol: Protocol::Http1,
        }),
        against: &["nginx", "nginx-lua", "haproxy"],
        goals: &[("nginx-lua", 2.1), ("haproxy", 2.2)],
    },
    Row {
        name: "http2",
        title: "2 KiB bodies over HTTP/2, 64 kept connections, each with one stream at a time",
        measure: Measure::CpuTime(Workload {
            protocol: Protocol::Http2,
            ..SIGNED_2K
        }),
        against: &["nginx", "nginx-lua", "haproxy"],
        goals: &[("nginx", 1.1), ("nginx-lua", 1.5)],
    },
    Row {
        name: "unix",
        title: "An upstream on TCP and on a Unix socket, 2 KiB bodies, 64 keep-alive connections",
        measure: Measure::CpuTime(SIGNED_2K),
        against: &["unix-socket"],
        goals: &[],
    },
    Row {
        name: "tampered",
        title: "A flood of tampered 2 KiB requests, 64 connections",
        measure: Measure::CpuTime(keep_alive(RequestKind::Tampered, 2 * 1024, 64)),
        against: &["audit-off", "nginx-lua", "haproxy"],
        goals: &[("nginx-lua", 2.2)],
    },
    Row {
        name: "unsigned",
        title: "A flood of unsigned 2 KiB requests, 64 connections",
        measure: Measure::CpuTime(keep_alive(RequestKind::Unsigned, 2 * 1024, 64)),
        against: &["audit-off", "nginx-lua", "haproxy"],
        goals: &[("nginx-lua", 2.0)],
    },
    Row {
        name: "growth",
        title: "One route, endpoint and secret, beside 10,000 routes, 100 endpoints, 1,000,000 keys in the replay guard, two secrets; \
                2 KiB bodies (goal for routes and endpoints: at most 1.03)",
        measure: Measure::CpuTime(SIGNED_2K),
        against: &["10,000-routes", "100-endpoints", "1,000,000-keys", "2-secrets"],
        goals: &[],
    },
    Row {
        name: "process",
        title: "A process with many routes, each with an upstream of its own (goals for 10,000: start 400 ms, reload 500 ms, idle 5 ms/s, \
                /livez 50 ms)",
        measure: Measure::Growth,
        against: &[],
        goals: &[],
    },
    Row {
        name: "connections",
        title: "2 KiB bodies, 1,000 keep-alive connections",
        measure: Measure::CpuTime(keep_alive(RequestKind::Signed, 2 * 1024, 1_000)),
        against: &["nginx", "haproxy"],
        goals: &[],
    },
    Row {
        name: "store",
        title: "The replay guard in memory and in a redis-server on the same core, 2 KiB bodies, 64 keep-alive connections",
        measure: Measure::CpuTime(SIGNED_2K),
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
    Row {
        name: "inbox",
        title: "durable webhooks, 64 in flight, two cores",
        measure: Measure::Inbox,
        against: &[],
        goals: &[],
    },
];

const fn keep_alive(request_kind: RequestKind, body_bytes: usize, connections: usize) -> Workload {
    Workload {
        request_kind,
        body_bytes,
        connections,
        reuse: Reuse::KeepAlive,
        protocol: Protocol::Http1,
    }
}
