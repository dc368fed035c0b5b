//! Random streams of several requests on one connection, with errors between them, judged by parsers of others: h11,
//! gunicorn, waitress and llhttp (Node), and Puma for what is forwarded. Whatever a sender writes, hookgate forwards no
//! request that none of them reads at that place, and the application reads exactly what hookgate meant.

use crate::support::apps::installed;
use crate::support::tools::{repository, succeeds};
use crate::support::{Gateway, Setup, Upstream, Webhook};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds of sending in a usual run; `FUZZ_STREAM_SECONDS` sets another number.
const SECONDS: u64 = 15;

/// What a mutation inserts: everything that one parser takes for the end of something and another does not.
const TOKENS: [&str; 30] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "0",
    "1",
    "f",
    "+",
    "-",
    "0x",
    "\u{b}",
    "\u{c}",
    "\u{7f}",
    "\u{e9}",
    "#",
    "\r\n\r\n",
    "0\r\n\r\n",
    "1\r\nx\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: identity\r\n",
    "Connection: close\r\n",
    "X: a\r\n b\r\n",
    "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
    ";a=\"b\r\n\"",
];

/// A small generator of pseudo-random numbers (xorshift), so that a run can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.below(number) == 0
    }
}

/// One request with the body `body`: genuine or not, with any framing.
fn request(random: &mut Random, body: &str) -> Vec<u8> {
    let mut webhook = Webhook::new(body);
    if random.one_in(5) {
        webhook = webhook.signature(None);
    }
    if random.one_in(8) {
        webhook = webhook.path("/nowhere");
    }
    if random.one_in(8) {
        webhook = webhook.method("PUT");
    }
    if random.one_in(6) {
        webhook = webhook.header("Content-Type", "application/json");
    }
    let size = 1 + random.below(body.len());
    match random.below(5) {
        0 | 1 => webhook.bytes(),
        2 => webhook.chunked(size),
        3 => {
            let chunked = webhook.chunked(size);
            let end = chunked.len() - 2;
            [&chunked[..end], b"X-Trailer: a\r\n\r\n"].concat()
        }
        _ => {
            let framing = "Transfer-Encoding: chunked\r\n";
            let chunk = format!("{:x};a=b\r\n{body}\r\n0\r\n\r\n", body.len());
            webhook.framed(framing, chunk.as_bytes())
        }
    }
}

/// Inserts, removes, repeats or moves a few bytes.
fn mutate(random: &mut Random, stream: &mut Vec<u8>) {
    let at = random.below(stream.len() + 1);
    // Most places where parsers differ are near the end of a line.
    let line_end = stream[at..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map(|found| at + found);
    let at = match line_end {
        Some(end) if random.one_in(2) => end.saturating_sub(random.below(4)),
        _ => at,
    };
    match random.below(5) {
        0..=2 => {
            let token = TOKENS[random.below(TOKENS.len())];
            stream.splice(at..at, token.bytes());
        }
        3 => drop(stream.drain(at..(at + 1 + random.below(3)).min(stream.len()))),
        _ => {
            let end = (at + random.below(60)).min(stream.len());
            let copy = stream[at..end].to_vec();
            stream.splice(at..at, copy);
        }
    }
}

/// What one parser read of one stream.
#[derive(Debug, Deserialize)]
struct Reading {
    /// Method, and body in hexadecimal.
    requests: Vec<(String, String)>,
    error: Option<String>,
}

/// Lets a judge of `tests/judges` read every stream.
fn judge(mut command: Command, script: &str, streams: &[&[u8]]) -> Vec<BTreeMap<String, Reading>> {
    let input: Vec<String> = streams.iter().map(hex::encode).collect();
    command.arg(repository("tests/judges").join(script));
    let printed = succeeds(&mut command, (input.join("\n") + "\n").as_bytes());
    let readings: Vec<_> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(readings.len(), streams.len(), "{script}");
    readings
}

fn python() -> Command {
    Command::new(installed("venv/bin/python"))
}

fn node() -> Command {
    let mut node = Command::new("node");
    node.arg("--no-deprecation");
    node
}

fn is_subsequence(part: &[(String, String)], whole: &[(String, String)]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|wanted| whole.any(|held| held == wanted))
}

/// A stream that was sent, with what was forwarded of it, in order: method and body of each request, and their bytes.
type Sent = (Vec<u8>, Vec<(String, String)>, Vec<u8>);

/// Sends random streams for a while.
fn send(gateway: &Gateway, upstream: &Upstream, random: &mut Random) -> Vec<Sent> {
    let seconds = std::env::var("FUZZ_STREAM_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let deadline = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS));
    let mut sent = Vec::new();
    let mut number = 0;
    while Instant::now() < deadline {
        let mut stream = Vec::new();
        for _ in 0..1 + random.below(4) {
            number += 1;
            let mut one = request(random, &format!("{{\"event\":{number}}}"));
            while random.one_in(2) {
                mutate(random, &mut one);
            }
            stream.extend(one);
        }
        let before = upstream.requests().len();
        let mut client = gateway.connect();
        let _ = client.try_send(&stream);
        client.finish_sending();
        let _ = client.rest();
        let forwarded = upstream.requests().split_off(before);
        let parsed = forwarded.iter().map(|request| {
            let method = request.start.split(' ').next().unwrap().to_owned();
            (method, hex::encode(&request.body))
        });
        let raw = forwarded.iter().flat_map(|request| request.raw.clone()).collect();
        sent.push((stream, parsed.collect(), raw));
    }
    sent
}

/// A09, A18, A24: after an error no later byte of the connection is a request, and what is forwarded is read alike by all.
#[test]
fn other_parsers_read_the_same_requests_in_random_streams() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).top("workers = 1").start();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    let sent = send(&gateway, &upstream, &mut Random(seed));
    assert!(gateway.runs());
    assert!(upstream.broken().is_empty(), "{:?}", upstream.broken());

    let streams: Vec<&[u8]> = sent.iter().map(|(stream, ..)| &stream[..]).collect();
    let outgoing: Vec<&[u8]> = sent.iter().map(|(.., raw)| &raw[..]).collect();
    let incoming = [
        judge(python(), "judge.py", &streams),
        judge(node(), "judge.cjs", &streams),
    ];
    let applications = [
        judge(python(), "judge.py", &outgoing),
        judge(node(), "judge.cjs", &outgoing),
        judge(Command::new("ruby"), "judge.rb", &outgoing),
    ];
    let (mut count, mut faults) = (0, Vec::new());
    for (index, (stream, forwarded, raw)) in sent.iter().enumerate() {
        count += forwarded.len();
        let readings: Vec<_> = incoming.iter().flat_map(|judges| &judges[index]).collect();
        let agreeing = readings
            .iter()
            .filter(|(_, reading)| is_subsequence(forwarded, &reading.requests))
            .count();
        let contradicting: Vec<_> = readings
            .iter()
            .filter(|(_, reading)| reading.error.is_none() && !is_subsequence(forwarded, &reading.requests))
            .collect();
        if agreeing == 0 || !contradicting.is_empty() {
            let shown = stream.escape_ascii();
            faults.push(format!("forwarded {forwarded:?}\nof {shown}\nothers read {readings:?}"));
        }
        for (name, reading) in applications.iter().flat_map(|judges| &judges[index]) {
            if reading.requests != *forwarded || reading.error.is_some() {
                faults.push(format!("{name} reads {reading:?}\nof {}", raw.escape_ascii()));
            }
        }
    }
    println!("{} streams, {count} requests forwarded", sent.len());
    assert!(
        faults.is_empty(),
        "{} of {} streams, seed {seed}; the first:\n{}",
        faults.len(),
        sent.len(),
        faults.iter().take(5).cloned().collect::<Vec<_>>().join("\n\n")
    );
    assert!(
        sent.len() > 100 && count > 50,
        "{} streams, {count} forwarded",
        sent.len()
    );
}
