//! The summary of all deliveries, as text or JSON.

use crate::cli::client::ClientResponse;
use crate::cli::terminal::{self, Paint};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Results of all deliveries.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Number of answers with each status.
    pub(super) statuses: BTreeMap<u16, u32>,
    /// Number of refusals with each status and reason, where the answer has a reason.
    pub(super) reasons: BTreeMap<(u16, String), u32>,
    /// Number of deliveries without an answer, by the reason.
    pub(super) problems: BTreeMap<String, u32>,
    /// Time from the start of each answered delivery to the end of its answer; sorted after the last delivery.
    pub(super) latencies: Vec<Duration>,
    /// Time from the first delivery to the end of the last one.
    pub(super) elapsed: Duration,
    /// The answer that arrived last; shown when there is only one delivery.
    pub(super) last_response: Option<ClientResponse>,
}

impl Summary {
    /// Adds the results of one worker.
    pub(super) fn merge(&mut self, part: Self) {
        for (status, count) in part.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (reason, count) in part.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        for (problem, count) in part.problems {
            *self.problems.entry(problem).or_default() += count;
        }
        self.latencies.extend(part.latencies);
        self.last_response = part.last_response.or(self.last_response.take());
    }

    /// Whether every delivery was answered with 2xx.
    pub(super) fn is_success(&self) -> bool {
        self.problems.is_empty() && self.statuses.keys().all(|status| (200..300).contains(status))
    }

    /// Number of deliveries.
    fn total(&self) -> u32 {
        self.statuses.values().sum::<u32>() + self.problems.values().sum::<u32>()
    }

    /// The latency that the given share (0 to 1) of the answers did not exceed. Requires sorted latencies.
    fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list of at most 2^32 entries"
        )]
        let index = (self.latencies.len() as f64 * share).ceil() as usize;
        self.latencies.get(index.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The summary as text. A single answer is shown with its body.
    pub(super) fn human(&self, paint: Paint) -> String {
        let mut text = String::new();
        for (status, count) in &self.statuses {
            let painted = if (200..300).contains(status) {
                Paint::green
            } else {
                Paint::red
            };
            let _ = writeln!(text, "{}{}", painted(paint, &status.to_string()), repetitions(*count));
            let of_status = self
                .reasons
                .iter()
                .filter(|((of, _), _)| of == status && self.total() > 1);
            for ((_, reason), count) in of_status {
                let _ = writeln!(text, "  {}{}", terminal::sanitize(reason), repetitions(*count));
            }
        }
        for (problem, count) in &self.problems {
            let _ = writeln!(
                text,
                "{}{}",
                paint.red(&terminal::sanitize(problem)),
                repetitions(*count)
            );
        }
        if self.total() == 1 {
            if let Some(answer) = &self.last_response {
                let body = terminal::sanitize(&String::from_utf8_lossy(&answer.body));
                let _ = writeln!(text, "{}", body.trim_end());
            }
            return text;
        }
        let [median, late, worst] = [0.5, 0.99, 1.0].map(|share| milliseconds(self.quantile(share)));
        let _ = writeln!(text, "latency  median {median}  99 % {late}  worst {worst}");
        let rate = f64::from(self.total()) / self.elapsed.as_secs_f64().max(f64::EPSILON);
        let _ = writeln!(
            text,
            "{} in {:.2} s, {rate:.0}/s",
            self.total(),
            self.elapsed.as_secs_f64()
        );
        text
    }

    /// The summary as a JSON object.
    pub(super) fn json(&self) -> String {
        let map = |(key, count): (String, &u32)| (key, Value::from(*count));
        let statuses: Map<_, _> = self
            .statuses
            .iter()
            .map(|(status, count)| map((status.to_string(), count)))
            .collect();
        let problems: Map<_, _> = self
            .problems
            .iter()
            .map(|(problem, count)| map((problem.clone(), count)))
            .collect();
        let mut reasons = Map::new();
        for ((_, reason), count) in &self.reasons {
            let known = reasons.get(reason).and_then(Value::as_u64).unwrap_or_default();
            reasons.insert(reason.clone(), Value::from(known + u64::from(*count)));
        }
        let mut value = json!({
            "sent": self.total(),
            "statuses": statuses,
            "reasons": reasons,
            "problems": problems,
            "latency_seconds": {
                "median": self.quantile(0.5).as_secs_f64(),
                "p99": self.quantile(0.99).as_secs_f64(),
                "max": self.quantile(1.0).as_secs_f64(),
            },
            "seconds": self.elapsed.as_secs_f64(),
        });
        if let (1, Some(answer), Some(object)) = (self.total(), &self.last_response, value.as_object_mut()) {
            object.insert("body".into(), String::from_utf8_lossy(&answer.body).into());
        }
        format!("{value:#}\n")
    }
}

/// The reason in the problem document of a refusal; `None` for other answers. Cut to the length of a reason.
pub(super) fn reason(answer: &ClientResponse) -> Option<String> {
    let document: Value = serde_json::from_slice(&answer.body).ok()?;
    let reason = document.get("reason")?.as_str()?;
    Some(reason.chars().take(64).collect())
}

/// The suffix ` × N`, or nothing for a count of one.
fn repetitions(count: u32) -> String {
    if count == 1 {
        String::new()
    } else {
        format!(" × {count}")
    }
}

/// The duration in milliseconds with one digit after the point.
fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use hyper::StatusCode;
    use hyper::body::Bytes;

    fn summary(statuses: &[(u16, u32)], problems: &[(&str, u32)]) -> Summary {
        Summary {
            statuses: statuses.iter().copied().collect(),
            reasons: BTreeMap::new(),
            problems: problems
                .iter()
                .map(|(problem, count)| ((*problem).to_owned(), *count))
                .collect(),
            latencies: (1..=100).map(Duration::from_millis).collect(),
            elapsed: Duration::from_secs(2),
            last_response: Some(ClientResponse {
                status: StatusCode::OK,
                body: Bytes::from_static(b"fine\x1b[2J"),
            }),
        }
    }

    #[test]
    fn any_answer_other_than_2xx_is_a_failure() {
        assert!(summary(&[(200, 3), (204, 1)], &[]).is_success());
        assert!(!summary(&[(200, 3), (302, 1)], &[]).is_success());
        assert!(!summary(&[(200, 3), (409, 1)], &[]).is_success());
        assert!(!summary(&[(200, 3)], &[("no answer", 1)]).is_success());
    }

    #[test]
    fn the_summary_counts_statuses_and_shows_latencies() {
        let many = summary(&[(200, 98), (503, 2)], &[]);
        let text = many.human(Paint::new(false, &Vec::new()));
        assert_eq!(
            text,
            "200 × 98\n503 × 2\nlatency  median 50.0 ms  99 % 99.0 ms  worst 100.0 ms\n100 in 2.00 s, 50/s\n"
        );
        let value: Value = serde_json::from_str(&many.json()).unwrap();
        assert_eq!(value.pointer("/statuses/503").unwrap(), 2);
        assert_eq!(value.pointer("/latency_seconds/p99").unwrap(), 0.099);
        assert!(value.get("body").is_none());
    }

    #[test]
    fn reasons_of_refusals_are_counted() {
        let refusal = ClientResponse {
            status: StatusCode::CONFLICT,
            body: Bytes::from_static(b"{\"title\":\"x\",\"status\":409,\"reason\":\"replayed\"}"),
        };
        let mut many = summary(&[(200, 1), (409, 2)], &[]);
        many.reasons.insert((409, reason(&refusal).unwrap()), 2);
        let text = many.human(Paint::new(false, &Vec::new()));
        assert!(text.contains("409 × 2\n  replayed × 2\n"), "{text}");
        let value: Value = serde_json::from_str(&many.json()).unwrap();
        assert_eq!(value.pointer("/reasons/replayed").unwrap(), 2);
    }

    #[test]
    fn control_characters_of_a_single_answer_are_replaced() {
        let single = summary(&[(200, 1)], &[]);
        assert_eq!(single.human(Paint::new(false, &Vec::new())), "200\nfine\u{fffd}[2J\n");
        assert_eq!(
            serde_json::from_str::<Value>(&single.json())
                .unwrap()
                .get("body")
                .unwrap(),
            "fine\x1b[2J"
        );
        assert_eq!(Summary::default().quantile(0.5), Duration::ZERO);
    }
}
