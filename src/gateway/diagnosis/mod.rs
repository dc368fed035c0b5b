//! Why a captured request fails: the gateway's own verification, and a search for the change that explains it.
//!
//! The verdict is that of the gateway: with a configuration, the request passes the steps of [`super::steps`], and its
//! signature is verified by the same code. When the signature does not fit, the usual changes are undone one by one and
//! in pairs, and the request is verified again. A cause is certain if the signature then fits, or if it is itself the
//! reason of the refusal; it is likely if it only left a trace. Nothing here prints a secret, a part of the body, or a
//! signature that would be accepted.
//!
//! Pure: no I/O and no clock. The command `verify` prints the result.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`judge`] | whether the gateway would forward the request: route, method, header rules, size |
//! | [`search`] | tries changes, alone and in pairs |
//! | [`explain`](mod@explain) | what is wrong with the form of a signature |
//! | [`head`] | signature headers that were renamed or rewritten |
//! | [`url`] | URLs that the provider may have signed |
//! | [`schemes`] | other providers, encodings and published secrets; missing and older headers |
//! | [`secrets`] | secrets that are almost right, and other credentials |
//! | [`slip`] | slips of one character in what was copied by hand |
//! | [`body`] | changes of the body |
//! | [`case`] | the captured request with the scheme and the secrets |
//! | [`finding`] | one cause that was found, and its fix |
//! | [`capture`] | reads captured requests in many forms |
//! | [`providers`] | what is known about providers besides their signatures |
//! | [`frameworks`] | how frameworks give access to the raw body |

mod body;
mod capture;
mod case;
mod explain;
mod finding;
mod frameworks;
mod head;
pub mod judge;
mod providers;
mod schemes;
mod search;
mod secrets;
mod slip;
mod url;

pub use capture::{Capture, header, parse, parse_time};
pub use case::{Case, OtherSecret, PublishedKeys, Reference, with_secrets};
pub use finding::Finding;
pub use frameworks::names as framework_names;
pub use providers::{guess as guess_provider, secret_place};
pub use secrets::remarks as secret_remarks;

use crate::outcome::Rejection;
use finding::Change;

/// Most characters of a tenant's name that are shown.
const MOST_NAME_CHARACTERS: usize = 128;

/// What verification found out about a signature, without the request's age.
#[derive(Debug)]
pub struct Diagnosis {
    /// The gateway's reason to refuse the signature; `None` if it is genuine and its age, if known, is accepted.
    pub rejection: Option<Rejection>,
    /// Name of the secret that the signature was made with.
    pub secret: Option<String>,
    /// Signed time in Unix seconds; `None` if the signature does not fit or has no time.
    pub signed_at_unix: Option<u64>,
    /// Time of receipt minus signed time, in seconds; `None` if either is unknown.
    pub age_seconds: Option<i64>,
    /// Causes that explain why the signature is refused.
    pub findings: Vec<Finding>,
    /// Names of the causes that were tried; empty if nothing had to be tried.
    pub tried: Vec<&'static str>,
    /// Number of variants of the request that were verified.
    pub trials: u64,
    /// Whether the search ended at its bound before all variants were tried.
    pub was_cut: bool,
}

/// Verifies the request's signature and age, and looks for causes if they are refused.
#[must_use]
pub fn diagnose(case: &Case) -> Diagnosis {
    let mut diagnosis = Diagnosis {
        rejection: None,
        secret: None,
        signed_at_unix: None,
        age_seconds: None,
        findings: Vec::new(),
        tried: Vec::new(),
        trials: 0,
        was_cut: false,
    };
    match case.verify() {
        Err(rejection) => {
            diagnosis.rejection = Some(rejection);
            explain(case, rejection, &mut diagnosis);
        }
        Ok(verified) => {
            diagnosis.secret = case.verifier.key_names().get(verified.secret).cloned();
            diagnosis.signed_at_unix = verified.timestamp;
            if let (Some(signed), Some(received)) = (verified.timestamp, case.received_at_unix) {
                diagnosis.age_seconds = Some(received.cast_signed().wrapping_sub(signed.cast_signed()));
                if let Some(change) = clock(case, signed, received) {
                    diagnosis.findings.push(change.certain());
                    diagnosis.rejection = Some(if signed > received {
                        Rejection::TimestampFuture
                    } else {
                        Rejection::TimestampStale
                    });
                }
            }
            if let Some(rejection) = case.refused_for_its_times().filter(|_| diagnosis.rejection.is_none()) {
                diagnosis.findings.push(explain::times(rejection).certain());
                diagnosis.rejection = Some(rejection);
            }
        }
    }
    for finding in &mut diagnosis.findings {
        finding.fix = frameworks::in_words_of(std::mem::take(&mut finding.fix), case.framework.as_deref());
    }
    diagnosis
}

/// Finds the causes of a signature that does not fit.
fn explain(case: &Case, rejection: Rejection, diagnosis: &mut Diagnosis) {
    if let Some(name) = &case.unknown_tenant {
        diagnosis.findings.push(unknown_tenant(name).certain());
        return;
    }
    if let Some(change) = explain::masked(case) {
        diagnosis.findings.push(change.certain());
        return;
    }
    if let Some(change) = explain::published_keys(case, rejection) {
        diagnosis.findings.push(change.certain());
        return;
    }
    let known = schemes::classic_payload(case).or_else(|| schemes::older_header(case));
    if let Some(change) = known {
        diagnosis.tried.push(change.cause);
        diagnosis.findings.push(change.certain());
        return;
    }
    let found = search::run(case);
    diagnosis.tried = found.tried;
    diagnosis.trials = found.trials;
    diagnosis.was_cut = found.was_cut;
    diagnosis.findings = found.findings;
    if !diagnosis.findings.is_empty() {
        return;
    }
    // The reason of the refusal is a fact, even where the signature cannot be restored.
    let another = schemes::header_of_another(case);
    let fact = if rejection == Rejection::SignatureMissing && another.is_none() {
        schemes::missing_header(case)
    } else if rejection == Rejection::SignatureMalformed {
        explain::form(case)
    } else {
        None
    };
    let is_mismatch = rejection == Rejection::SignatureMismatch;
    diagnosis.findings.extend(fact.map(Change::certain));
    diagnosis.findings.extend(another.map(Change::likely));
    diagnosis.findings.extend(secrets::wrong_kind(case).map(Change::likely));
    if is_mismatch && diagnosis.findings.is_empty() {
        // Only the most specific trace is reported: the others often follow from it. A wrong length explains least.
        let trace = body::after_loss(case).into_iter().next();
        diagnosis.findings.extend(trace.or_else(|| body::length(case)));
    }
}

/// The request names no tenant, or one that has no secret.
fn unknown_tenant(name: &str) -> Change {
    let name: String = name.escape_default().take(MOST_NAME_CHARACTERS).collect();
    let what = match name.as_str() {
        "" => String::from("The request names no tenant where `by` of the route says."),
        name => format!(
            "The request names the tenant `{name}`, and the directory of the route has no file of this name that can be used."
        ),
    };
    let fix = "put a file with this name and the tenant's secret into `directory`, or change what the provider sends: its URL, or what `by` names";
    Change::new("unknown_tenant", what, fix)
}

/// The difference between the signed time and the time of receipt exceeds the tolerance. Times are in Unix seconds.
fn clock(case: &Case, signed: u64, received: u64) -> Option<Change> {
    let tolerance = case.tolerance_seconds?;
    let difference = received.abs_diff(signed);
    if difference <= tolerance {
        return None;
    }
    let (what, fix) = if signed > received {
        (
            format!(
                "The signature is genuine and was made {difference} s after the request was received: this machine's clock is behind by at least {} s.",
                difference - tolerance
            ),
            "synchronise the clock (timedatectl, chronyc tracking)",
        )
    } else {
        (
            format!(
                "The signature is genuine and was made {difference} s before the request was received, {} s more than the tolerance of {tolerance} s: it was delivered late or repeated, or this machine's clock is ahead.",
                difference - tolerance
            ),
            "compare the machine's clock with the provider's delivery log; raise `tolerance` only as far as the delivery log requires",
        )
    };
    Some(Change::new("clock", what, fix))
}
