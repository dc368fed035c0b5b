//! Which key made the signature of a complete request.

use super::{BufferedCheck, Content, FetchedState};
use crate::outcome::Rejection;
use crate::scheme::asymmetric::SignedMessage;
use crate::scheme::candidates::Candidate;
use crate::scheme::compiled::{FetchedKeys, SchemeKey};
use crate::scheme::description::Algorithm;
use crate::scheme::keys::VerificationKey;
use crate::scheme::location::SignatureLocation;
use crate::scheme::mac::Tag;
use crate::scheme::template::PayloadPart;
use crate::scheme::{plain, sns};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

impl BufferedCheck {
    /// The keys that may have made the signature, with their indices.
    fn keys(&self) -> impl Iterator<Item = (u64, &SchemeKey)> {
        let of_tenant = self.tenant.as_ref().map(|tenant| tenant.keys(&self.scheme));
        let of_scheme = self.scheme.keys.iter().filter(|_| self.tenant.is_none());
        (0u64..).zip(of_tenant.into_iter().flatten().chain(of_scheme))
    }

    /// Whether every candidate is one of the tokens, and the index of the first token that is a candidate.
    fn search_each(&self) -> (bool, usize) {
        let (mut all, mut found, mut secret) = (Choice::from(1), Choice::from(0), 0u64);
        for candidate in &self.candidates {
            let received = Sha256::digest(&candidate.bytes);
            let mut is_known = Choice::from(0);
            for (index, key) in self.keys() {
                if let VerificationKey::Token(digest, _) = &key.key {
                    let hit = digest.as_slice().ct_eq(&received);
                    secret.conditional_assign(&index, hit & !found);
                    found |= hit;
                    is_known |= hit;
                }
            }
            all &= is_known;
        }
        ((all & found).into(), usize::try_from(secret).unwrap_or_default())
    }

    /// Searches for a key that made one of the candidates. Returns whether there is one, and the first such key's index.
    pub(super) fn search(&self, content: &Content<'_>) -> Result<(bool, usize), Rejection> {
        if let SignatureLocation::EachJson(_) = self.scheme.signature {
            return Ok(self.search_each());
        }
        let mut found = Choice::from(0);
        let mut secret = 0u64;
        for url in &self.urls {
            let url = url.expose();
            let shared = self.payload(url, content, None)?;
            if self.scheme.refuses_plain_payloads() && plain::is_plain(&shared) {
                continue;
            }
            let message = SignedMessage::new(&shared);
            for (index, key) in self.keys() {
                let of_family = || {
                    self.candidates
                        .iter()
                        .filter(|candidate| candidate.family == key.family)
                };
                let hit = match &key.key {
                    VerificationKey::Mac(mac) => {
                        let mut mac = mac.clone();
                        mac.update(&shared);
                        let tag = mac.finish();
                        any_matches(of_family(), |bytes| tag.matches(bytes))
                    }
                    VerificationKey::Digest(plain, secret) => {
                        let payload = self.payload(url, content, Some(secret))?;
                        let tag = Tag::new(&plain.digest(&payload));
                        any_matches(of_family(), |bytes| tag.matches(bytes))
                    }
                    VerificationKey::Public(public) => {
                        let hit = of_family().any(|candidate| public.verifies(&message, &candidate.bytes));
                        Choice::from(u8::from(hit))
                    }
                    VerificationKey::Token(digest, _) => {
                        any_matches(of_family(), |bytes| digest.as_slice().ct_eq(&Sha256::digest(bytes)))
                    }
                    // Such a key belongs to a scheme with message signatures, which is not verified here.
                    VerificationKey::Message(_) => Choice::from(0),
                    VerificationKey::Fetched => {
                        let algorithm = self.algorithm(content)?;
                        let hit = of_family().any(|candidate| match &self.key {
                            FetchedState::Given(key) => key.verifies(algorithm, &message, &candidate.bytes),
                            FetchedState::Unknown | FetchedState::Named(_) => false,
                        });
                        Choice::from(u8::from(hit))
                    }
                };
                secret.conditional_assign(&index, hit & !found);
                found |= hit;
            }
        }
        Ok((found.into(), usize::try_from(secret).unwrap_or_default()))
    }

    /// The algorithm of a signature by a fetched key. The messages of AWS SNS name theirs.
    fn algorithm(&self, content: &Content<'_>) -> Result<Algorithm, Rejection> {
        if self
            .scheme
            .payload
            .parts()
            .any(|part| matches!(part, PayloadPart::Sns(_)))
        {
            return sns::algorithm(&content.json);
        }
        let fetched = self
            .scheme
            .fetched
            .as_ref()
            .map(|FetchedKeys { algorithm, .. }| *algorithm);
        Ok(fetched.unwrap_or(Algorithm::RsaSha256))
    }
}

/// Whether any candidate matches. Takes the same time whichever it is.
fn any_matches<'c>(candidates: impl Iterator<Item = &'c Candidate>, matches: impl Fn(&[u8]) -> Choice) -> Choice {
    candidates.fold(Choice::from(0), |hit, candidate| hit | matches(&candidate.bytes))
}
