//! The result of `verify` as text or JSON. Control characters in text of the request are replaced.

use super::super::terminal::{self, Paint};
use super::times;
use crate::gateway::diagnosis::judge::Judgement;
use crate::gateway::diagnosis::{Diagnosis, Finding, secret_place};
use crate::outcome::Rejection;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The result for one captured request.
#[derive(Debug)]
pub(super) struct Report {
    /// Form of the capture.
    pub(super) format: &'static str,
    /// Name of the scheme.
    pub(super) provider: String,
    /// Whether the provider was recognised by the headers.
    pub(super) was_guessed: bool,
    /// What verification found; `None` for a challenge, which is not verified.
    pub(super) diagnosis: Option<Diagnosis>,
    /// What the gateway would do before it verifies the signature; `None` without a configuration.
    pub(super) judged: Option<Judgement>,
    /// Name of the route, and whether it is in report mode.
    pub(super) route: Option<(String, bool)>,
    /// Whether a tolerance limits the age.
    pub(super) has_tolerance: bool,
    /// Length of the body in bytes.
    pub(super) body_bytes: usize,
    /// The present time in Unix seconds.
    pub(super) now_unix: u64,
}

impl Report {
    /// The gateway's reason to refuse the request: that of its earliest step.
    fn rejection(&self) -> Option<Rejection> {
        let judged = self.judged.as_ref();
        let early = judged.and_then(|judgement| judgement.rejection);
        // A missing delivery id is found after the signature.
        let signature = self.diagnosis.as_ref().and_then(|diagnosis| diagnosis.rejection);
        match early {
            Some(Rejection::DeliveryIdMissing) => signature.or(early),
            Some(early) => Some(early),
            None => signature,
        }
    }

    fn is_challenge(&self) -> bool {
        self.judged.as_ref().is_some_and(|judgement| judgement.is_challenge)
    }

    /// Whether the gateway would forward the request, or answer it as a challenge.
    pub(super) fn is_accepted(&self) -> bool {
        self.rejection().is_none()
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        let judged = self.judged.iter().flat_map(|judgement| &judgement.findings);
        judged.chain(self.diagnosis.iter().flat_map(|diagnosis| &diagnosis.findings))
    }

    /// The report as text.
    pub(super) fn human(&self, paint: Paint) -> String {
        let mut text = String::new();
        let guessed = if self.was_guessed {
            " (recognised by the headers)"
        } else {
            ""
        };
        let request = format!(
            "`{}`{guessed}, {}, body of {} bytes",
            self.provider, self.format, self.body_bytes
        );
        let signature = self.diagnosis.as_ref().map(|diagnosis| diagnosis.rejection);
        let verdict = match (self.rejection(), signature) {
            (None, _) if self.is_challenge() => paint.green("challenge, answered by hookgate:"),
            (None, _) => paint.green("genuine"),
            (Some(rejection), Some(None)) => paint.red(&format!("genuine, but refused: {}", rejection.reason())),
            (Some(rejection), _) => format!("{} {}", paint.red("not genuine:"), rejection.reason()),
        };
        let _ = writeln!(text, "{verdict}  {request}");
        self.write_signature(&mut text);
        self.write_route(&mut text);
        for finding in self.findings() {
            let label = if finding.is_certain { "cause" } else { "likely cause" };
            let _ = writeln!(
                text,
                "\n{}: {}\n  fix: {}",
                paint.bold(label),
                terminal::sanitize(&finding.description),
                terminal::sanitize(&finding.fix)
            );
        }
        self.write_unexplained(&mut text);
        if self.rejection().is_some() {
            let _ = writeln!(text, "\nmore: {}", DOCUMENTATION.join(", "));
        }
        text
    }

    fn write_signature(&self, text: &mut String) {
        let Some(diagnosis) = &self.diagnosis else {
            return;
        };
        if let Some(secret) = &diagnosis.secret {
            let _ = writeln!(text, "  signed with `{secret}`");
        }
        let Some(signed) = diagnosis.signed_at_unix else {
            return;
        };
        let shown = times::shown(signed, self.now_unix);
        let _ = match diagnosis.age_seconds {
            Some(age) if age >= 0 => writeln!(text, "  signed at {shown}; {age} s before it was received"),
            Some(age) => writeln!(
                text,
                "  signed at {shown}; {} s after it was received",
                age.unsigned_abs()
            ),
            None if self.has_tolerance => writeln!(
                text,
                "  signed at {shown}; its age was not checked: give the time of receipt with --at"
            ),
            None => writeln!(text, "  signed at {shown}"),
        };
    }

    fn write_route(&self, text: &mut String) {
        let (Some(judged), Some((route, is_report_only))) = (&self.judged, &self.route) else {
            return;
        };
        let _ = match (self.rejection(), is_report_only) {
            (None, _) if judged.is_challenge => writeln!(
                text,
                "  route `{route}`: hookgate answers it itself and forwards nothing"
            ),
            (None, _) => writeln!(
                text,
                "  route `{route}`: it would be forwarded (whether it was delivered before is not known here)"
            ),
            (Some(_), true) => writeln!(
                text,
                "  route `{route}` is in report mode: a request that fails verification is forwarded and marked"
            ),
            (Some(_), false) => writeln!(text, "  route `{route}`: it would be refused"),
        };
        if !judged.not_judged.is_empty() {
            let _ = writeln!(text, "  not judged: {}", judged.not_judged.join(", "));
        }
    }

    /// What was tried without a result, and what to do next.
    fn write_unexplained(&self, text: &mut String) {
        let Some(diagnosis) = &self.diagnosis else {
            return;
        };
        let is_unexplained = diagnosis.rejection == Some(Rejection::SignatureMismatch)
            && !diagnosis.findings.iter().any(|finding| finding.is_certain);
        if !is_unexplained {
            return;
        }
        let tried: Vec<_> = diagnosis.tried.iter().map(|cause| in_words(cause)).collect();
        let cut = if diagnosis.was_cut {
            " The search ended at its bound: not all combinations were tried."
        } else {
            ""
        };
        let place = secret_place(&self.provider).map_or_else(String::new, |place| format!(" ({place})"));
        let _ = writeln!(
            text,
            "\nNone of the usual causes explains this. {} variants of the request were verified: {}.{cut}\n  next: compare the secret with the one that the provider shows{place}, then capture the request again where it arrives, before any code reads it",
            diagnosis.trials,
            tried.join("; ")
        );
    }

    /// The report as a JSON object. The names of its keys are stable.
    pub(super) fn json(&self) -> String {
        let finding = |finding: &Finding| json!({ "cause": finding.cause, "certain": finding.is_certain, "what": finding.description, "fix": finding.fix });
        let diagnosis = self.diagnosis.as_ref();
        let gateway = self
            .judged
            .as_ref()
            .zip(self.route.as_ref())
            .map(|(judged, (route, report_only))| {
                json!({
                    "route": route,
                    "report_only": report_only,
                    "challenge": judged.is_challenge,
                    "not_judged": judged.not_judged,
                })
            });
        let report = json!({
            "genuine": self.is_accepted() && !self.is_challenge(),
            "reason": self.rejection().map(Rejection::reason),
            "provider": self.provider,
            "provider_guessed": self.was_guessed,
            "capture": self.format,
            "body_bytes": self.body_bytes,
            "secret": diagnosis.and_then(|diagnosis| diagnosis.secret.as_deref()),
            "signed": diagnosis.and_then(|diagnosis| diagnosis.signed_at_unix),
            "age_seconds": diagnosis.and_then(|diagnosis| diagnosis.age_seconds),
            "gateway": gateway,
            "causes": self.findings().map(finding).collect::<Vec<Value>>(),
            "documentation": self.rejection().map(|_| DOCUMENTATION),
            "tried": diagnosis.map(|diagnosis| diagnosis.tried.clone()).unwrap_or_default(),
            "trials": diagnosis.map_or(0, |diagnosis| diagnosis.trials),
            "complete": diagnosis.is_none_or(|diagnosis| !diagnosis.was_cut),
        });
        format!("{report:#}\n")
    }
}

/// Where the causes and the reasons of refusals are described.
const DOCUMENTATION: [&str; 2] = ["docs/verify.md#causes", "docs/operating.md#reading-a-refusal"];

/// A cause in words, for a sentence about what was tried.
fn in_words(cause: &'static str) -> &'static str {
    match cause {
        "header_renamed" => "a renamed header",
        "header_rewritten" => "a rewritten header",
        "secret_spelled" => "other spellings of the secret",
        "other_secret" => "secrets of other routes",
        "published_secret" => "published secrets",
        "other_provider" => "schemes of other providers",
        "signature_encoding" => "other encodings of the signature",
        "key_encoding" => "other encodings of the key",
        "other_algorithm" => "other algorithms",
        "public_url" => "other URLs",
        "trailing_newline" => "white space at the end of the body",
        "line_ends" => "other line ends",
        "base64_body" => "Base64",
        "string_body" => "strings and buffers of languages",
        "escaped_body" => "escaped text",
        "charset" => "other character encodings",
        "compression" => "compression",
        "json_reserialised" => "JSON written again",
        "form_rewritten" => "forms written again",
        "plus_lost" => "lost plus signs",
        "empty_fields_lost" => "lost empty fields",
        "values_trimmed" => "trimmed values",
        other => other,
    }
}
