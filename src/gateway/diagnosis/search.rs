//! The search for the changes that explain why a signature does not fit: single changes first, then pairs.
//!
//! A variant of the request is right if the gateway's own verification accepts it. The search is bounded by the work
//! that it does and not by a clock, so that the same capture always has the same result.

use super::body;
use super::case::Case;
use super::finding::{Change, Finding};
use super::{head, schemes, secrets, url};
use crate::http::message::Headers;
use crate::scheme::{Algorithm, Verifier};
use hyper::HeaderMap;

/// Largest work of one phase of the search, in hashed bytes or their like.
const MAX_WORK: u64 = 64 << 20;

/// Work of one verification besides the hashing of the body, in hashed bytes.
const WORK_OF_TRIAL: u64 = 2500;

/// Work with one secret besides the hashing of the body, in hashed bytes.
const WORK_OF_MAC: u64 = 500;

/// Work with one public key, in hashed bytes.
const WORK_OF_PUBLIC_KEY: u64 = 60_000;

/// Secrets that one verification tries.
const SECRETS_AT_ONCE: usize = 64;

/// What was found, and what was tried.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The changes that explain the request, all certain; empty if none do.
    pub(super) findings: Vec<Finding>,
    /// Names of the causes that were tried, in order.
    pub(super) tried: Vec<&'static str>,
    /// Number of variants that were verified.
    pub(super) trials: u64,
    /// Whether the search ended before all variants were tried.
    pub(super) was_cut: bool,
}

/// A scheme to verify variants with. Where several secrets are tried at once, each has its own change.
struct Trial {
    verifier: Verifier,
    /// The change by the index of the secret that matches; a single one serves for every secret.
    changes: Vec<Change>,
}

impl Trial {
    fn change(&self, secret: usize) -> Option<Change> {
        self.changes.get(secret).or(self.changes.first()).cloned()
    }
}

struct Search<'c> {
    case: &'c Case,
    found: Found,
    /// The work of this phase.
    work: u64,
    work_of_key: u64,
}

/// Searches the changes that make the signature fit.
pub(super) fn run(case: &Case) -> Found {
    let is_public = matches!(
        case.verifier.description().algorithm,
        Some(
            Algorithm::Ed25519
                | Algorithm::EcdsaP256
                | Algorithm::RsaSha1
                | Algorithm::RsaSha256
                | Algorithm::RsaPssSha256
        )
    );
    let mut search = Search {
        case,
        found: Found::default(),
        work: 0,
        work_of_key: if is_public { WORK_OF_PUBLIC_KEY } else { WORK_OF_MAC },
    };
    if let Some(changes) = search.single().or_else(|| search.pairs()) {
        search.found.findings = changes.into_iter().map(Change::certain).collect();
    }
    search.found
}

impl Search<'_> {
    fn tries(&mut self, cause: &'static str) {
        if !self.found.tried.contains(&cause) {
            self.found.tried.push(cause);
        }
    }

    /// Whether the signature fits this variant; the index of the secret. `None` also when the work is used up.
    fn fits(&mut self, verifier: &Verifier, headers: &Headers, body: &[u8]) -> Option<usize> {
        if self.work > MAX_WORK {
            self.found.was_cut = true;
            return None;
        }
        let keys = verifier.key_names().len() as u64;
        self.work += WORK_OF_TRIAL + (body.len() as u64 + self.work_of_key) * keys.max(1);
        self.found.trials += 1;
        let verified = self.case.verify_with(verifier, headers, body);
        verified.ok().map(|verified| verified.secret)
    }

    /// One change.
    fn single(&mut self) -> Option<Vec<Change>> {
        let case = self.case;
        let base = case.fields();
        for (change, headers) in head::variants(case) {
            self.tries(change.cause);
            if self
                .fits(&case.verifier, &headers.iter().collect(), &case.body)
                .is_some()
            {
                return Some(vec![change]);
            }
        }
        for trial in self.schemes() {
            if let Some(secret) = self.fits(&trial.verifier, &base, &case.body) {
                return Some(trial.change(secret).into_iter().collect());
            }
        }
        for variants in [body::simple(case, &case.body), body::structured(case, &case.body)] {
            let (variants, tried) = variants.into_parts();
            tried.into_iter().for_each(|cause| self.tries(cause));
            for (change, body) in variants {
                if self.fits(&case.verifier, &base, &body).is_some() {
                    return Some(vec![change]);
                }
            }
        }
        for (change, headers) in head::one_character(case) {
            if self
                .fits(&case.verifier, &headers.iter().collect(), &case.body)
                .is_some()
            {
                return Some(vec![change]);
            }
        }
        for typed in secrets::one_character(case).chunks(SECRETS_AT_ONCE) {
            if let Some(typed) = wide(case, typed.to_vec())
                && let Some(secret) = self.fits(&typed.verifier, &base, &case.body)
            {
                return Some(typed.change(secret).into_iter().collect());
            }
        }
        None
    }

    /// Two changes of different parts of the request, or of the body. Each phase has a bound of its own.
    fn pairs(&mut self) -> Option<Vec<Change>> {
        let case = self.case;
        let heads: Vec<(Change, Headers)> = head::variants(case)
            .into_iter()
            .map(|(change, headers): (Change, HeaderMap)| (change, headers.iter().collect()))
            .collect();
        let (simple, _) = body::simple(case, &case.body).into_parts();
        let (structured, _) = body::structured(case, &case.body).into_parts();
        let trials = self.schemes();
        self.head_and_scheme(&heads, &trials)
            .or_else(|| self.head_and_body(&heads, &simple))
            .or_else(|| self.body_and_scheme(&simple, &trials))
            .or_else(|| self.body_and_body(&simple, true))
            .or_else(|| self.head_and_body(&heads, &structured))
            .or_else(|| self.body_and_scheme(&structured, &trials))
            .or_else(|| self.body_and_body(&structured, false))
    }

    fn head_and_scheme(&mut self, heads: &[(Change, Headers)], trials: &[Trial]) -> Option<Vec<Change>> {
        self.work = 0;
        for (change, headers) in heads {
            for trial in trials {
                if let Some(secret) = self.fits(&trial.verifier, headers, &self.case.body) {
                    return Some(std::iter::once(change.clone()).chain(trial.change(secret)).collect());
                }
            }
        }
        None
    }

    fn head_and_body(&mut self, heads: &[(Change, Headers)], bodies: &[(Change, Vec<u8>)]) -> Option<Vec<Change>> {
        self.work = 0;
        for (head, headers) in heads {
            for (change, body) in bodies {
                if self.fits(&self.case.verifier, headers, body).is_some() {
                    return Some(vec![head.clone(), change.clone()]);
                }
            }
        }
        None
    }

    fn body_and_scheme(&mut self, bodies: &[(Change, Vec<u8>)], trials: &[Trial]) -> Option<Vec<Change>> {
        self.work = 0;
        let base = self.case.fields();
        for trial in trials {
            for (change, body) in bodies {
                if let Some(secret) = self.fits(&trial.verifier, &base, body) {
                    return Some(std::iter::once(change.clone()).chain(trial.change(secret)).collect());
                }
            }
        }
        None
    }

    /// Two changes of the body. A body that was written again twice is the same as one that was written again once, so
    /// only simple changes follow a structured one.
    fn body_and_body(&mut self, bodies: &[(Change, Vec<u8>)], with_structured: bool) -> Option<Vec<Change>> {
        self.work = 0;
        let case = self.case;
        let base = case.fields();
        for (first, body) in bodies {
            // White space at the ends of JSON has no effect on how it is written again.
            let is_new = body.trim_ascii() != case.body.trim_ascii();
            let structured = (with_structured && is_new).then(|| body::structured(case, body));
            for variants in std::iter::once(body::simple(case, body)).chain(structured) {
                for (second, body) in variants.into_parts().0 {
                    if self.fits(&case.verifier, &base, &body).is_some() {
                        return Some(vec![first.clone(), second]);
                    }
                    if self.work > MAX_WORK {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// The schemes with other secrets, encodings and URLs, and those of other providers.
    fn schemes(&mut self) -> Vec<Trial> {
        let case = self.case;
        let mut trials = Vec::new();
        let spelled = secrets::variants(case);
        self.tries("secret_spelled");
        trials.extend(wide(case, spelled));
        for candidates in [
            schemes::other_secrets(case),
            schemes::published_secrets(case),
            schemes::other_providers(case),
            schemes::encodings(case),
            url::variants(case),
        ] {
            for (change, verifier) in candidates {
                self.tries(change.cause);
                trials.push(Trial {
                    verifier,
                    changes: vec![change],
                });
            }
        }
        trials
    }
}

/// One scheme with all spellings of the secrets; those that the scheme does not accept are left out.
fn wide(case: &Case, spelled: Vec<(Change, Vec<u8>)>) -> Option<Trial> {
    let own = case.secret_bytes();
    let mut usable = Vec::new();
    for (change, bytes) in spelled {
        if !own.contains(&bytes) && case.with_secrets(std::slice::from_ref(&bytes)).is_some() {
            usable.push((change, bytes));
        }
    }
    let (changes, secrets): (Vec<_>, Vec<_>) = usable.into_iter().unzip();
    let verifier = case.with_secrets(&secrets)?;
    Some(Trial { verifier, changes })
}
