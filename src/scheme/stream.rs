//! The quick way: the payload is parts of the head around the body, so every key's MAC absorbs the body as it arrives.
//!
//! One MAC per active secret, never per candidate; no allocation with one secret and one candidate.

use super::compile::Scheme;
use super::header::{self, Candidates};
use super::keys::Key;
use super::mac::{Hash, Mac};
use super::place::{Time, TimePlace};
use super::template::{Part, Text};
use super::{Head, Verified, contiguous, time};
use crate::outcome::Rejection;
use bytes::Bytes;
use std::sync::Arc;
use subtle::{Choice, ConditionallySelectable};

/// What the head claims, before the keys are touched.
#[derive(Debug)]
pub(super) struct Claimed {
    candidates: Candidates,
    pub(super) seconds: Option<u64>,
    before: Text,
    /// What is signed after the body; empty, and so without an allocation, for most.
    after: Vec<u8>,
}

impl Claimed {
    /// Reads the head of a scheme whose payload streams.
    pub(super) fn read(scheme: &Scheme, head: &Head<'_>, parts: (&[Part], &[Part], Hash)) -> Result<Self, Rejection> {
        let (before_body, after_body, hash) = parts;
        let prefix = scheme.prefixes.first().map_or("", String::as_str);
        let mut candidates = Candidates::default();
        let claim = scheme.read(head, |text| {
            let bare = if prefix.is_empty() {
                Some(text)
            } else {
                text.strip_prefix(prefix)
            };
            match bare.and_then(|text| header::decode_tag(text, scheme.encoding, hash)) {
                Some(tag) => candidates.push(tag),
                None if scheme.strict => Err(Rejection::SignatureMalformed),
                None => Ok(()),
            }
        })?;
        if candidates.is_empty() {
            return Err(Rejection::SignatureMalformed);
        }
        let fill = |parts: &[Part], into: &mut dyn FnMut(&[u8])| {
            parts.iter().try_for_each(|part| {
                if *part == Part::Url {
                    let urls = scheme.url.as_ref().map(|url| url.candidates(head.target));
                    into(urls.iter().flatten().next().map(String::as_bytes).unwrap_or_default());
                    return Ok(());
                }
                scheme.fill(part, head, &claim, &mut |bytes| into(bytes)).map(drop)
            })
        };
        let (mut before, mut after) = (Text::default(), Vec::new());
        fill(before_body, &mut |bytes| before.push(bytes))?;
        fill(after_body, &mut |bytes| after.extend_from_slice(bytes))?;
        Ok(Self {
            candidates,
            seconds: claim.seconds,
            before,
            after,
        })
    }

    /// Clones the keyed states and absorbs what is signed before the body.
    pub(super) fn start(self, scheme: &Arc<Scheme>, tolerance: Option<u64>) -> Stream {
        let mut macs = scheme.keys.iter().filter_map(|key| match &key.key {
            Key::Mac(mac) => {
                let mut mac = mac.clone();
                mac.update(self.before.as_slice());
                Some(mac)
            }
            Key::Public(_) | Key::Token(..) | Key::Digest(..) => None,
        });
        let late = matches!(
            &scheme.time,
            Some(Time {
                place: TimePlace::Json(_),
                ..
            })
        );
        Stream {
            first: macs.next(),
            more: macs.collect(),
            seconds: self.seconds,
            candidates: self.candidates,
            after: self.after,
            late: late.then(|| (Arc::clone(scheme), tolerance)),
        }
    }
}

/// The running check of one body.
#[derive(Debug)]
pub(super) struct Stream {
    first: Option<Mac>,
    /// States of the other active secrets; empty, and so without an allocation, for the common single one.
    more: Vec<Mac>,
    seconds: Option<u64>,
    candidates: Candidates,
    after: Vec<u8>,
    /// Where the time stands in the body, and the tolerance to judge it by.
    late: Option<(Arc<Scheme>, Option<u64>)>,
}

impl Stream {
    /// Absorbs the next piece of the body.
    pub(super) fn update(&mut self, piece: &[u8]) {
        for mac in self.first.iter_mut().chain(&mut self.more) {
            mac.update(piece);
        }
    }

    /// Every secret against every candidate.
    pub(super) fn finish(mut self, body: &[Bytes], now: u64) -> Result<Verified, Rejection> {
        let after = std::mem::take(&mut self.after);
        self.update(&after);
        let mut identity = [0; 32];
        let mut found = Choice::from(0);
        let mut secret = 0u64;
        for (index, mac) in (0u64..).zip(self.first.into_iter().chain(self.more)) {
            let tag = mac.finish();
            if index == 0 {
                identity = tag.identity();
            }
            let hit = self
                .candidates
                .iter()
                .fold(Choice::from(0), |hit, candidate| hit | tag.same(candidate));
            secret.conditional_assign(&index, hit & !found);
            found |= hit;
        }
        if !bool::from(found) {
            return Err(Rejection::SignatureMismatch);
        }
        let timestamp = match &self.late {
            None => self.seconds,
            Some((scheme, tolerance)) => scheme.late_time(&contiguous(body), now, *tolerance)?,
        };
        Ok(Verified {
            secret: usize::try_from(secret).unwrap_or_default(),
            timestamp,
            identity,
        })
    }
}

impl Scheme {
    /// The time in a JSON body, judged. Called when the body is known to be genuine.
    pub(super) fn late_time(&self, body: &[u8], now: u64, tolerance: Option<u64>) -> Result<Option<u64>, Rejection> {
        let Some(Time {
            place: TimePlace::Json(pointer),
            unit,
        }) = &self.time
        else {
            return Ok(None);
        };
        let text = pointer
            .text(body)
            .map_err(|()| Rejection::SignatureMalformed)?
            .ok_or(Rejection::SignatureMalformed)?;
        let seconds = time::parse(&text, *unit).ok_or(Rejection::SignatureMalformed)?;
        time::judge(seconds, now, tolerance)?;
        Ok(Some(seconds))
    }
}
