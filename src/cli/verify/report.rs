//! What `verify` found, for a person and for a machine. Every text of the request goes through here made harmless.

use super::super::terminal::{self, Paint};
use super::case::Case;
use super::causes::{self, CAUSES};
use super::finding::Finding;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The verdict with its reasons.
#[derive(Debug)]
pub(super) struct Report {
    form: &'static str,
    provider: String,
    /// The gateway's reason when it is not genuine.
    reason: Option<&'static str>,
    /// Name of the secret that matched.
    secret: Option<String>,
    signed: Option<u64>,
    /// Received minus signed, seconds; `None` when either is not known.
    age: Option<i64>,
    /// Whether the age was judged.
    has_tolerance: bool,
    bytes: usize,
    findings: Vec<Finding>,
}

impl Report {
    /// Judges.
    pub(super) fn of(case: &Case, form: &'static str) -> Self {
        let verdict = case.judged();
        let mut report = Self {
            form,
            provider: case.provider.clone(),
            reason: verdict.err().map(|rejection| rejection.reason()),
            secret: None,
            signed: None,
            age: None,
            has_tolerance: case.tolerance.is_some(),
            bytes: case.body.len(),
            findings: Vec::new(),
        };
        match verdict {
            Err(_) => report.findings = causes::find(case),
            Ok(verified) => {
                report.secret = case.verifier.key_names().get(verified.secret).cloned();
                report.signed = verified.timestamp;
                if let (Some(signed), Some(received)) = (verified.timestamp, case.received) {
                    report.age = Some(received.cast_signed().wrapping_sub(signed.cast_signed()));
                    report.findings.extend(causes::clock(case, signed));
                    let early = signed > received;
                    report.reason = (!report.findings.is_empty()).then_some(if early {
                        "timestamp_future"
                    } else {
                        "timestamp_stale"
                    });
                }
            }
        }
        report
    }

    /// Whether the gateway would let it through.
    pub(super) const fn is_genuine(&self) -> bool {
        self.reason.is_none()
    }

    pub(super) fn human(&self, paint: Paint) -> String {
        let mut text = String::new();
        let of = format!("`{}`, {}, {} bytes of body", self.provider, self.form, self.bytes);
        let _ = match self.reason {
            None => writeln!(text, "{}  {of}", paint.green("genuine")),
            Some(reason) => writeln!(text, "{} {reason}  {of}", paint.red("not genuine:")),
        };
        if let Some(secret) = &self.secret {
            let _ = writeln!(text, "  signed with `{secret}`");
        }
        match (self.signed, self.age) {
            (Some(signed), Some(age)) => {
                let _ = writeln!(text, "  signed at {signed}, {age} s before it was received");
            }
            (Some(signed), None) if self.has_tolerance => {
                let _ = writeln!(
                    text,
                    "  signed at {signed}; its age was not judged: say with --at when it was received"
                );
            }
            (Some(_) | None, _) => {}
        }
        for finding in &self.findings {
            let how = if finding.is_certain { "cause" } else { "likely" };
            let _ = writeln!(
                text,
                "\n{}: {}\n  fix: {}",
                paint.bold(how),
                terminal::harmless(&finding.what),
                terminal::harmless(&finding.fix)
            );
        }
        if self.signed.is_none() && self.reason.is_some() && !self.findings.iter().any(|finding| finding.is_certain) {
            let tried: Vec<_> = CAUSES.iter().map(|(name, _)| *name).collect();
            let _ = writeln!(
                text,
                "\nNone of the usual causes explains it ({}): the secret is another one, or the body was changed in a way of its own.",
                tried.join(", ")
            );
        }
        text
    }

    pub(super) fn json(&self) -> String {
        let finding = |finding: &Finding| json!({ "cause": finding.cause, "certain": finding.is_certain, "what": finding.what, "fix": finding.fix });
        let report = json!({
            "genuine": self.is_genuine(),
            "reason": self.reason,
            "provider": self.provider,
            "capture": self.form,
            "body_bytes": self.bytes,
            "secret": self.secret,
            "signed": self.signed,
            "age_seconds": self.age,
            "causes": self.findings.iter().map(finding).collect::<Vec<Value>>(),
            "tried": CAUSES.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        });
        format!("{report:#}\n")
    }
}
