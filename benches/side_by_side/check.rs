//! Checks before the measurement that each contender does the work, and that all do the same work.
//!
//! A genuine request must arrive at the upstream byte for byte, and its answer must come back. A tampered, a stale and an unsigned
//! request must be refused without reaching the upstream. Without this check, a contender that answers by itself would look fast.

use crate::Result;
use crate::contender::{Contender, RunFiles};
use crate::generator::{Agreed, Progress, Protocol, Session, Tickets, client_config};
use crate::upstream::{Upstream, content_length, find, recorded};
use crate::webhook::{RequestKind, Webhooks};
use mio::{Events, Poll};
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Conditions that must be the same for all contenders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Negotiated cipher suite, curve and protocol.
    pub agreed: Agreed,
    /// Number of session tickets that one connection received.
    pub tickets: u64,
}

/// Sends one request of each kind to one contender. The error contains the output of the contender.
pub fn check(
    contender: &Contender,
    upstream: &mut Upstream,
    run_files: &RunFiles,
    body_bytes: usize,
    protocol: Protocol,
) -> Result<Conditions> {
    probe(contender, upstream, run_files, body_bytes, protocol).map_err(|problem| {
        format!(
            "{}: {problem}\nIts output:\n{}",
            contender.name,
            contender.output(run_files)
        )
        .into()
    })
}

/// Fails unless the conditions of all contenders are equal. Tickets matter for the row that measures new connections.
pub fn require_same_conditions(all: &[(String, Conditions)]) -> Result<()> {
    for pair in all.windows(2) {
        if let [a, b] = pair
            && a.1 != b.1
        {
            return Err(format!("{} and {} do different work: {:?}, {:?}", a.0, b.0, a.1, b.1).into());
        }
    }
    Ok(())
}

fn probe(
    contender: &Contender,
    upstream: &mut Upstream,
    run_files: &RunFiles,
    body_bytes: usize,
    protocol: Protocol,
) -> Result<Conditions> {
    let tickets = Arc::new(Tickets::default());
    let at = contender.upstream;
    upstream.received[at].recording = true;
    let mut conditions = None;
    for request_kind in [
        RequestKind::Signed,
        RequestKind::Tampered,
        RequestKind::Stale,
        RequestKind::Unsigned,
    ] {
        let before = upstream.received[at].requests;
        let sent = Webhooks::new(body_bytes, request_kind)?.next_whole()?;
        let tickets_before = tickets.count();
        let (status, answer, session) = exchange(contender, upstream, protocol, &tickets, &sent)?;
        let forwarded = upstream.received[at].requests - before;
        let genuine = request_kind == RequestKind::Signed || !contender.verifies;
        if (status, forwarded) != if genuine { (200, 1) } else { (401, 0) } {
            return Err(format!("{request_kind:?} got {status} and was forwarded {forwarded} times").into());
        }
        if genuine {
            if answer != recorded(before + 1).as_bytes() {
                return Err("the upstream's answer came back changed".into());
            }
            arrived_whole(&sent, &upstream.received[at].last)?;
        }
        if session.certificate() != Some(run_files.certificate.as_slice()) {
            return Err("the contender sent another certificate".into());
        }
        conditions.get_or_insert(Conditions {
            agreed: session.agreed()?,
            tickets: tickets.count() - tickets_before,
        });
        session.close();
    }
    upstream.received[at].recording = false;
    conditions.ok_or_else(|| "nothing was checked".into())
}

/// Sends one request over a new connection. Returns status, body and the session.
fn exchange(
    contender: &Contender,
    upstream: &mut Upstream,
    protocol: Protocol,
    tickets: &Arc<Tickets>,
    request: &[u8],
) -> Result<(u16, Vec<u8>, Session)> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    let mut session = Session::open(&poll, 0, contender.address, &client_config(protocol, tickets.clone())?)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        upstream.pump()?;
        poll.poll(&mut events, Some(Duration::from_millis(1)))?;
        if Instant::now() > deadline {
            return Err("no answer within ten seconds".into());
        }
        if events.is_empty() {
            continue;
        }
        match session.advance()? {
            Progress::Pending => {}
            Progress::Ready => {
                let body = find(request, b"\r\n\r\n").ok_or("a request without a head")? + 4;
                session.send(&[IoSlice::new(&request[..body]), IoSlice::new(&request[body..])])?;
            }
            Progress::Answered(status) => return Ok((status, session.body().to_vec(), session)),
            Progress::Closed => return Err("the contender closed the connection without an answer".into()),
        }
    }
}

/// Fails unless the upstream received exactly the sent body, signature header and length.
fn arrived_whole(sent: &[u8], got: &[u8]) -> Result<()> {
    let (sent_head, sent_body) = split(sent)?;
    let (got_head, got_body) = split(got)?;
    if sent_body != got_body {
        return Err(format!(
            "the upstream got another body ({} bytes for {})",
            got_body.len(),
            sent_body.len()
        )
        .into());
    }
    if content_length(got_head)? != sent_body.len() {
        return Err("the upstream got another Content-Length".into());
    }
    if signatures(sent_head) != signatures(got_head) {
        return Err("the upstream got another signature header".into());
    }
    Ok(())
}

fn split(request: &[u8]) -> Result<(&[u8], &[u8])> {
    let end = find(request, b"\r\n\r\n").ok_or("the upstream got no whole head")?;
    Ok((&request[..end], &request[end + 4..]))
}

fn signatures(head: &[u8]) -> Vec<&[u8]> {
    const NAME: &[u8] = b"paddle-signature: ";
    head.split(|&byte| byte == b'\n')
        .filter(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))
        .map(|line| line[NAME.len()..].trim_ascii_end())
        .collect()
}
