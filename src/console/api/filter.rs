//! Which requests are meant: conditions on fields of audit lines, as the query of a path writes them.

use super::Query;

/// Conditions that all have to hold. A condition that is absent always holds.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Texts of which each has to occur in the line.
    present: Vec<Vec<u8>>,
    /// Texts of which none may occur.
    absent: Vec<Vec<u8>>,
}

/// Fields whose value a query can name.
const FIELDS: [&str; 7] = ["route", "verdict", "reason", "host", "method", "peer", "request_id"];

impl Filter {
    /// Reads `route`, `verdict`, `reason`, `host`, `method`, `peer`, `request_id`, `status` and `refused`.
    #[must_use]
    pub fn new(query: &Query) -> Self {
        // A line writes its fields in this form. In a value, a quote is escaped, so the text occurs nowhere else.
        let text = |name: &str, value: &str| format!("\"{name}\":{}", serde_json::Value::from(value)).into_bytes();
        let named = |name: &&'static str| query.get(name).map(|value| text(name, value));
        let mut present: Vec<_> = FIELDS.iter().filter_map(named).collect();
        present.extend(
            query
                .get("status")
                .map(|status| format!("\"status\":{status},").into_bytes()),
        );
        let mut absent = Vec::new();
        if query.get("refused").is_some_and(|value| value != "false") {
            absent.extend(["forwarded", "stored", "acknowledged", "challenge"].map(|verdict| text("verdict", verdict)));
            absent.push(text("kind", "action"));
        }
        Self { present, absent }
    }

    /// Whether a line is meant.
    #[must_use]
    pub fn admits(&self, line: &[u8]) -> bool {
        let contains = |text: &Vec<u8>| memchr::memmem::find(line, text).is_some();
        self.present.iter().all(contains) && !self.absent.iter().any(contains)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(query: &str, line: &str) -> bool {
        Filter::new(&Query::parse(query)).admits(line.as_bytes())
    }

    #[test]
    fn conditions_are_about_fields_and_not_about_text_that_a_sender_chose() {
        let line = r#"{"kind":"request","route":"shop","path":"/\"route\":\"other\"","status":401,"verdict":"rejected","reason":"timestamp_stale","seconds":1}"#;
        for query in [
            "",
            "route=shop",
            "verdict=rejected&reason=timestamp_stale",
            "status=401",
            "refused=1&route=",
        ] {
            assert!(admits(query, line), "{query}");
        }
        for query in ["route=other", "route=sho", "route=shop&status=40", "reason=stale"] {
            assert!(!admits(query, line), "{query}");
        }
        assert!(!admits("refused=1", r#"{"verdict":"forwarded"}"#));
    }
}
