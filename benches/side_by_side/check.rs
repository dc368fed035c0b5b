//! Before anything is timed: does each contender do the work, and the same work?
//!
//! A genuine request must arrive at the upstream byte for byte and its answer must come back; a tampered, a stale and an
//! unsigned one must be refused without the upstream hearing of it. A peer that answers by itself would look fast.

use crate::Result;
use crate::contender::{Contender, Workshop};
use crate::generator::{Agreed, Progress, Session, Tickets, client_config};
use crate::upstream::{Upstream, content_length, find, recorded};
use crate::webhook::{Claim, Webhooks};
use mio::{Events, Poll};
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What must be the same for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Cipher suite, curve, protocol.
    pub agreed: Agreed,
    /// Session tickets that one connection got.
    pub tickets: u64,
}

/// Runs every probe against one contender.
pub fn check(contender: &Contender, upstream: &mut Upstream, workshop: &Workshop, body_bytes: usize) -> Result<Terms> {
    examine(contender, upstream, workshop, body_bytes)
        .map_err(|problem| format!("{}: {problem}\nIt said:\n{}", contender.name, contender.said(workshop)).into())
}

/// Fails unless all contenders agreed on the same; tickets matter where connections are what is timed.
pub fn same_terms(all: &[(String, Terms)]) -> Result<()> {
    for pair in all.windows(2) {
        if let [a, b] = pair
            && a.1 != b.1
        {
            return Err(format!("{} and {} do different work: {:?}, {:?}", a.0, b.0, a.1, b.1).into());
        }
    }
    Ok(())
}

fn examine(contender: &Contender, upstream: &mut Upstream, workshop: &Workshop, body_bytes: usize) -> Result<Terms> {
    let tickets = Arc::new(Tickets::default());
    let at = contender.upstream;
    upstream.seen[at].recording = true;
    let mut terms = None;
    for claim in [Claim::Signed, Claim::Tampered, Claim::Stale, Claim::Unsigned] {
        let before = upstream.seen[at].requests;
        let sent = Webhooks::new(body_bytes, claim)?.next_whole()?;
        let tickets_before = tickets.count();
        let (status, answer, session) = exchange(contender, upstream, &tickets, &sent)?;
        let forwarded = upstream.seen[at].requests - before;
        let genuine = claim == Claim::Signed || !contender.verifies;
        if (status, forwarded) != if genuine { (200, 1) } else { (401, 0) } {
            return Err(format!("{claim:?} got {status} and was forwarded {forwarded} times").into());
        }
        if genuine {
            if answer != recorded(before + 1).as_bytes() {
                return Err("the upstream's answer did not come back as it was".into());
            }
            arrived_whole(&sent, &upstream.seen[at].last)?;
        }
        if session.certificate() != Some(workshop.certificate.as_slice()) {
            return Err("another certificate was shown".into());
        }
        terms.get_or_insert(Terms {
            agreed: session.agreed()?,
            tickets: tickets.count() - tickets_before,
        });
        session.close();
    }
    upstream.seen[at].recording = false;
    terms.ok_or_else(|| "nothing was checked".into())
}

/// One request over a connection of its own.
fn exchange(
    contender: &Contender,
    upstream: &mut Upstream,
    tickets: &Arc<Tickets>,
    request: &[u8],
) -> Result<(u16, Vec<u8>, Session)> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    let mut session = Session::open(&poll, 0, contender.address, &client_config(tickets.clone())?)?;
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
            Progress::Ready => session.send(&[IoSlice::new(request)])?,
            Progress::Answered(status) => return Ok((status, session.body().to_vec(), session)),
            Progress::Closed => return Err("hung up without an answer".into()),
        }
    }
}

/// The upstream must have got the body, the signature and the length exactly.
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
