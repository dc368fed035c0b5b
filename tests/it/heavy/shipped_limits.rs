//! The limits of the Helm chart, in a control group with the chart's memory limit: under every attack that we know of, at
//! once, the process is not killed, and genuine webhooks pass.

use crate::support::frames::{self, END_HEADERS, HEADERS, PING, SETTINGS, frame};
use crate::support::memory_group::{Controller, MemoryGroup, has_controller, unified_mount};
use crate::support::{Client, Gateway, Setup, Upstream, WAIT_TIMEOUT, Webhook, eventually};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const VALUES: &str = include_str!("../../../deploy/helm/hookgate/values.yaml");
const CONFIGURATIONS: [&str; 2] = [
    include_str!("../../../deploy/kustomize/base/gateway.toml"),
    include_str!("../../../deploy/kustomize/sidecar/gateway.toml"),
];
const KUSTOMIZE: [&str; 2] = [
    include_str!("../../../deploy/kustomize/base/deployment.yaml"),
    include_str!("../../../deploy/kustomize/sidecar/sidecar.yaml"),
];
const MANUAL: &str = include_str!("../../../docs/scaling.md");

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// The parts of the formula in docs/scaling.md, Capacity.
const CONNECTION: u64 = 64 * KIB;
const PROCESS: u64 = 64 * MIB;
const KEY: u64 = 230;
/// The default of `limits.in_flight_bytes`, which the chart keeps.
const IN_FLIGHT: u64 = 64 * MIB;

/// How long the attacks last.
const DURATION: Duration = Duration::from_secs(15);

/// The number after the last `key:` of the chart's values; units are in MiB.
fn value(key: &str) -> u64 {
    let line = VALUES
        .lines()
        .rfind(|line| line.trim_start().starts_with(&format!("{key}:")));
    let text = line
        .unwrap_or_else(|| panic!("values.yaml has no {key}"))
        .split(':')
        .nth(1)
        .unwrap();
    let digits: String = text.trim().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// The memory limit of chart and kustomization is the formula of the manual, rounded up to 32 MiB.
#[test]
fn the_memory_limit_of_the_chart_follows_from_the_formula() {
    let (connections, keys, limit) = (value("connections"), value("capacity"), value("memory") * MIB);
    let needed = connections * CONNECTION + IN_FLIGHT + PROCESS + keys * KEY;
    assert_eq!(
        needed.next_multiple_of(32 * MIB),
        limit,
        "{} MiB are needed",
        needed / MIB
    );
    for text in KUSTOMIZE {
        assert!(
            text.contains(&format!("limits: {{ memory: {}Mi }}", limit / MIB)),
            "{text}"
        );
    }
    for text in CONFIGURATIONS {
        for line in [format!("connections = {connections}"), format!("capacity = {keys}")] {
            assert!(text.lines().any(|written| written == line), "{line} is not in\n{text}");
        }
    }
    let formula = "`limits.connections` × 64 KiB + `limits.in_flight_bytes` + 64 MiB + `replay.capacity` × 230 bytes";
    assert!(MANUAL.contains(formula), "docs/scaling.md has another formula");
}

/// Groups of version 2 where the memory controller belongs to version 1: the same steps, with a controller that is free.
/// Where memory is in version 2, the test of the shipped limits takes them.
#[test]
fn a_delegated_group_with_processes_is_divided() {
    const HUGE_PAGES: Controller = Controller {
        name: "hugetlb",
        limit_file: "hugetlb.2MB.max",
        peak_file: "hugetlb.2MB.max",
    };
    let Some(root) = unified_mount().filter(|root| has_controller(root, HUGE_PAGES)) else {
        return;
    };
    let delegated = MemoryGroup::in_delegated(&root, HUGE_PAGES, 0).unwrap();
    let enter = |group: &MemoryGroup| {
        let script = group.script();
        let sleeper = ["-c", &script, "sh", "sleep", "60"];
        Command::new("/bin/sh").args(sleeper).spawn().unwrap()
    };
    let is_in = |process: u32, group: &std::path::Path| {
        let path = group.strip_prefix(&root).unwrap().display().to_string();
        let own = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
        own.lines().any(|line| line == format!("0::/{path}"))
    };
    let mut before = enter(&delegated);
    eventually("the process to enter", || {
        is_in(before.id(), delegated.directory()).then_some(())
    });
    let group = MemoryGroup::in_delegated(delegated.directory(), HUGE_PAGES, 2 << 20).unwrap();
    assert_eq!(group.peak(), 2 << 20, "the limit was not set");
    let others = delegated.directory().join("hookgate-test-others");
    assert!(is_in(before.id(), &others), "the group still has a process of its own");
    let mut inside = enter(&group);
    eventually("the process to enter", || {
        is_in(inside.id(), group.directory()).then_some(())
    });
    for child in [&mut before, &mut inside] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    drop(group);
    std::fs::remove_dir(others).unwrap();
}

/// A connection from another loopback address, so that the attackers are several sources.
fn connect_from(last: u8, to: SocketAddr) -> Option<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
    socket
        .bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())
        .ok()?;
    socket.connect(&to.into()).ok()?;
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(Duration::from_millis(200))).ok()?;
    Some(stream)
}

/// Opens connections, up to `count`, sends `bytes` on each and keeps them; starts again when all are open.
fn hold(to: SocketAddr, last: u8, count: usize, bytes: impl Fn(usize) -> Vec<u8>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut held = Vec::new();
        let round = Instant::now();
        for number in 0..count {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if let Some(mut stream) = connect_from(last, to) {
                let _ = stream.write_all(&bytes(number));
                held.push(stream);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        while round.elapsed() < Duration::from_secs(5) && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Sends `bytes` again and again, on a new connection when one is closed, and reads the answers.
fn flood(to: SocketAddr, last: u8, opening: &[u8], bytes: &[u8], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Some(mut stream) = connect_from(last, to) else {
            continue;
        };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
        let mut answers = [0; 16 * 1024];
        let mut result = stream.write_all(opening);
        while result.is_ok() && !stop.load(Ordering::Relaxed) {
            result = stream.write_all(bytes);
            let _ = stream.read(&mut answers);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A well-formed signature under no secret.
fn forged(length: usize) -> Webhook {
    let genuine = Webhook::new(vec![b'x'; length]);
    let signature = genuine.signature.clone().unwrap();
    let time = signature.split_once(";h1=").unwrap().0.to_owned();
    genuine.signature(Some(&format!("{time};h1={}", "0".repeat(64))))
}

/// The start of an HTTP/2 connection with 32 requests whose heads grow to 27 KiB each by the dynamic table of HPACK.
fn http2_heads() -> Vec<u8> {
    let mut bytes = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, b"")].concat();
    for stream in 0..32 {
        let mut block = frames::head(&forged(10));
        // The plaintext listener.
        let at = block.windows(5).position(|part| part == b"https").unwrap();
        block.splice(at - 1..at + 5, *b"\x04http");
        if stream == 0 {
            let rest = 900 - 127;
            block.extend([
                0x40,
                3,
                b'x',
                b'-',
                b'a',
                0x7f,
                (rest % 128) as u8 | 0x80,
                (rest / 128) as u8,
            ]);
            block.extend([b'v'; 900]);
        }
        block.extend([0xbe; 30]);
        bytes.extend(frame(HEADERS, END_HEADERS, stream * 2 + 1, &block));
    }
    bytes
}

/// Sends one genuine webhook, again when its connection gave way, and returns how long it took.
fn deliver(gateway: &Gateway, number: usize) -> Duration {
    let start = Instant::now();
    loop {
        let webhook = Webhook::new(format!("genuine {number}")).bytes();
        let answer = if number.is_multiple_of(4) {
            let config = crate::support::certificates::client(&gateway.setup.certificate.der, &["http/1.1"]);
            Client::try_tls(gateway.tls(), "localhost", config).and_then(|mut client| client.try_exchange(&webhook))
        } else {
            gateway.connect().try_exchange(&webhook)
        };
        match answer {
            Ok(response) if response.status == 200 => return start.elapsed(),
            // The first attempt was delivered, and its answer was lost with its connection.
            Ok(response) if response.status == 409 => return start.elapsed(),
            other => assert!(start.elapsed() < WAIT_TIMEOUT, "webhook {number}: {other:?}"),
        }
    }
}

/// F09, F11, F12: every attack at once within the chart's memory.
#[test]
fn the_shipped_limits_hold_in_the_shipped_memory() {
    let group = MemoryGroup::new(value("memory") * MIB);
    let upstream = Upstream::ok();
    let setup = Setup::new(&upstream.url())
        .top("workers = 2")
        .limits(&format!("connections = {}", value("connections")))
        .replay(&format!("capacity = {}", value("capacity")));
    let script = group.script();
    let mut gateway = Gateway::start_through(setup, &["/bin/sh", "-c", &script, "sh"], None);
    let (plain, tls) = (gateway.plain(), gateway.tls());
    let connections = value("connections") as usize;
    // The machine may be slow without any attack.
    let undisturbed = p99((0..200).map(|number| deliver(&gateway, number)).collect());
    let stop = AtomicBool::new(false);
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        let stop = &stop;
        // Memory: heads over HTTP/2, unfinished heads and bodies over HTTP/1.1.
        scope.spawn(move || hold(plain, 2, connections / 4, |_| http2_heads(), stop));
        scope.spawn(move || hold(plain, 3, connections / 2, |_| unfinished_head(), stop));
        scope.spawn(move || hold(plain, 4, 200, |_| unfinished_body(1 << 20), stop));
        scope.spawn(move || hold(plain, 5, connections / 4, |_| unfinished_body(8 << 10), stop));
        // Connections: silent ones, idle ones after a request, half a TLS handshake.
        scope.spawn(move || hold(plain, 6, connections, |_| Vec::new(), stop));
        scope.spawn(move || {
            hold(
                plain,
                7,
                connections / 2,
                |_| b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
                stop,
            );
        });
        scope.spawn(move || hold(tls, 8, connections / 2, |_| vec![0x16, 3, 1, 2, 0, 1, 0, 1, 252], stop));
        // Frames and refusals.
        let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, b"")].concat();
        let (settings, ping) = (
            frame(SETTINGS, 0, 0, b"").repeat(100),
            frame(PING, 0, 0, b"01234567").repeat(100),
        );
        let opening = preface.clone();
        scope.spawn(move || flood(plain, 9, &opening, &settings, stop));
        scope.spawn(move || flood(plain, 10, &preface, &ping, stop));
        let refused = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50);
        scope.spawn(move || flood(plain, 11, b"", &refused, stop));
        let start = Instant::now();
        while start.elapsed() < DURATION {
            let time = deliver(&gateway, 200 + times.len());
            times.push(time);
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(
        gateway.runs(),
        "the process was killed; the group used {} MiB",
        group.peak() / MIB
    );
    let (delivered, slowest) = (times.len(), times.iter().max().copied().unwrap());
    let attacked = p99(times);
    let metrics = gateway.metrics();
    println!(
        "{} webhooks, p99 {attacked:?} (undisturbed {undisturbed:?}), slowest {:?}; group {} MiB, process {} MiB; {} gave way, {} refused as overloaded",
        delivered,
        slowest,
        group.peak() / MIB,
        gateway.peak_resident() / MIB,
        metrics.sum("hookgate_connections_total", &[("result", "gave_way")]),
        metrics.sum("hookgate_requests_total", &[("reason", "overloaded")]),
    );
    assert!(
        attacked < Duration::from_secs(1).max(undisturbed * 20),
        "p99 of {delivered} webhooks: {attacked:?}, undisturbed {undisturbed:?}"
    );
    assert!(
        metrics.sum("hookgate_connections_total", &[("result", "gave_way")]) > 0.0,
        "the attacks reach no limit"
    );
    assert!(
        metrics.sum("hookgate_requests_total", &[("reason", "overloaded")]) > 0.0,
        "the attacks fill no budget"
    );
    // The clients are gone.
    gateway.wait_for_metric("hookgate_intake_bytes_in_flight", &[], 0.0);
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 0.0);
    drop(gateway);
}

/// Sorts the times; 99 of 100 are at most the result.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

/// Most of a head of the largest size, without its end.
fn unfinished_head() -> Vec<u8> {
    [
        &b"POST /webhooks/paddle HTTP/1.1\r\nHost: a\r\nX: "[..],
        &[b'x'; 31 << 10],
    ]
    .concat()
}

/// A request with a forged signature and all of its body but the last byte.
fn unfinished_body(length: usize) -> Vec<u8> {
    let mut request = forged(length).bytes();
    request.pop();
    request
}
