//! The result of `verify` as text or JSON. Control characters in text of the request are replaced.

use super::super::terminal::{self, Paint};
use super::case::Case;
use super::causes::{self, CAUSES};
use super::finding::Finding;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The result for one captured request.
#[derive(Debug)]
pub(super) struct Report {
    /// Format of the capture.
    format: &'static str,
    /// Name of the scheme.
    provider: String,
    /// The gateway's reason to refuse the request; `None` if it is genuine.
    reason: Option<&'static str>,
    /// Name of the secret that the signature was made with.
    secret: Option<String>,
    /// Signed time in Unix seconds; `None` if the signature does not fit or has no time.
    signed_at_unix: Option<u64>,
    /// Time of receipt minus signed time, in seconds; `None` if either is unknown.
    age_seconds: Option<i64>,
    /// Whether a tolerance limits the age.
    has_tolerance: bool,
    /// Length of the body in bytes.
    body_bytes: usize,
    /// Causes that explain why the request is not genuine.
    findings: Vec<Finding>,
}

impl Report {
    /// Verifies the request, and looks for causes if it is not genuine.
    pub(super) fn new(case: &Case, format: &'static str) -> Self {
        let verdict = case.verify();
        let mut report = Self {
            format,
            provider: case.provider.clone(),
            reason: verdict.err().map(|rejection| rejection.reason()),
            secret: None,
            signed_at_unix: None,
            age_seconds: None,
            has_tolerance: case.tolerance_seconds.is_some(),
            body_bytes: case.body.len(),
            findings: Vec::new(),
        };
        match verdict {
            Err(_) => report.findings = causes::find(case),
            Ok(verified) => {
                report.secret = case.verifier.key_names().get(verified.secret).cloned();
                report.signed_at_unix = verified.timestamp;
                if let (Some(signed), Some(received)) = (verified.timestamp, case.received_at_unix) {
                    report.age_seconds = Some(received.cast_signed().wrapping_sub(signed.cast_signed()));
                    report.findings.extend(causes::clock(case, signed));
                    let is_in_future = signed > received;
                    report.reason = (!report.findings.is_empty()).then_some(if is_in_future {
                        "timestamp_future"
                    } else {
                        "timestamp_stale"
                    });
                }
            }
        }
        report
    }

    /// Whether the gateway would forward the request.
    pub(super) const fn is_genuine(&self) -> bool {
        self.reason.is_none()
    }

    /// The report as text.
    pub(super) fn human(&self, paint: Paint) -> String {
        let mut text = String::new();
        let request = format!(
            "`{}`, {}, body of {} bytes",
            self.provider, self.format, self.body_bytes
        );
        let _ = match self.reason {
            None => writeln!(text, "{}  {request}", paint.green("genuine")),
            Some(reason) => writeln!(text, "{} {reason}  {request}", paint.red("not genuine:")),
        };
        if let Some(secret) = &self.secret {
            let _ = writeln!(text, "  signed with `{secret}`");
        }
        match (self.signed_at_unix, self.age_seconds) {
            (Some(signed), Some(age)) => {
                let _ = writeln!(text, "  signed at {signed}, {age} s before it was received");
            }
            (Some(signed), None) if self.has_tolerance => {
                let _ = writeln!(
                    text,
                    "  signed at {signed}; its age was not checked: give the time of receipt with --at"
                );
            }
            (Some(_) | None, _) => {}
        }
        for finding in &self.findings {
            let label = if finding.is_certain { "cause" } else { "likely cause" };
            let _ = writeln!(
                text,
                "\n{}: {}\n  fix: {}",
                paint.bold(label),
                terminal::sanitize(&finding.description),
                terminal::sanitize(&finding.fix)
            );
        }
        if self.signed_at_unix.is_none()
            && self.reason.is_some()
            && !self.findings.iter().any(|finding| finding.is_certain)
        {
            let tried: Vec<_> = CAUSES.iter().map(|(name, _)| *name).collect();
            let _ = writeln!(
                text,
                "\nNone of the usual causes explains this ({}). The secret is a different one, or the body was changed in another way.",
                tried.join(", ")
            );
        }
        text
    }

    /// The report as a JSON object. The names of its keys are stable.
    pub(super) fn json(&self) -> String {
        let finding = |finding: &Finding| json!({ "cause": finding.cause, "certain": finding.is_certain, "what": finding.description, "fix": finding.fix });
        let report = json!({
            "genuine": self.is_genuine(),
            "reason": self.reason,
            "provider": self.provider,
            "capture": self.format,
            "body_bytes": self.body_bytes,
            "secret": self.secret,
            "signed": self.signed_at_unix,
            "age_seconds": self.age_seconds,
            "causes": self.findings.iter().map(finding).collect::<Vec<Value>>(),
            "tried": CAUSES.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        });
        format!("{report:#}\n")
    }
}
