//! Replacements of single JSON values: what a value was before a library or a framework changed it.

use super::json_text::JsonNode;

/// A replacement of one value; `None` for values that it does not concern.
pub(super) type Edit = fn(&JsonNode) -> Option<JsonNode>;

/// How many places of a body a change concerns, and what else happens beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All places or some of them, alone or with another change.
    Combined,
    /// All places or some of them, alone.
    Alone,
    /// One place: it would fit every text.
    Single,
}

/// The replacements, each with what the report says.
pub(super) const EDITS: [(&str, Reach, Edit); 22] = [
    ("`{}` had become `[]`", Reach::Combined, |node| {
        matches!(node, JsonNode::List(nodes) if nodes.is_empty()).then(|| JsonNode::Table(Vec::new()))
    }),
    ("`\"\"` had become null", Reach::Combined, |node| {
        scalar(node, "null", "\"\"")
    }),
    ("`[]` had become `{}`", Reach::Combined, |node| {
        matches!(node, JsonNode::Table(pairs) if pairs.is_empty()).then(|| JsonNode::List(Vec::new()))
    }),
    ("null had become `\"\"`", Reach::Combined, |node| {
        scalar(node, "\"\"", "null")
    }),
    ("numbers had lost `.0`", Reach::Combined, |node| {
        with_suffix(node, ".0", |text| !text.contains(['.', 'e', 'E']))
    }),
    ("numbers had lost `.00`", Reach::Combined, |node| {
        with_suffix(node, ".00", |text| !text.contains(['.', 'e', 'E']))
    }),
    ("numbers had lost a zero at the end", Reach::Combined, |node| {
        with_suffix(node, "0", |text| text.contains('.') && !text.contains(['e', 'E']))
    }),
    ("numbers had gained a zero at the end", Reach::Combined, |node| {
        number(node)
            .filter(|text| text.contains('.') && !text.ends_with(".0"))
            .and_then(|text| text.strip_suffix('0'))
            .map(own)
    }),
    ("whole numbers had become floats", Reach::Combined, |node| {
        number(node).and_then(|text| text.strip_suffix(".0")).map(own)
    }),
    ("dates had lost their milliseconds", Reach::Combined, |node| {
        date(node, |fraction| padded_fraction(fraction, 3))
    }),
    ("dates had lost their microseconds", Reach::Combined, |node| {
        date(node, |fraction| padded_fraction(fraction, 6))
    }),
    ("dates had gained zeros", Reach::Combined, |node| {
        date(node, |fraction| Some(fraction.trim_end_matches('0').to_owned()))
    }),
    ("`Z` of dates had become `+00:00`", Reach::Combined, |node| {
        zone(node, "+00:00", "Z")
    }),
    ("`+00:00` of dates had become `Z`", Reach::Combined, |node| {
        zone(node, "Z", "+00:00")
    }),
    ("numbers had become texts", Reach::Alone, |node| {
        inner(node).filter(|text| is_number(text)).map(own)
    }),
    ("texts of digits had become numbers", Reach::Alone, |node| {
        number(node).map(|text| JsonNode::Scalar(format!("\"{text}\"")))
    }),
    ("whole numbers were written with an exponent", Reach::Alone, |node| {
        let text = number(node).filter(|text| text.contains(['e', 'E']))?;
        let value: f64 = text.parse().ok()?;
        (value.fract() == 0.0 && value.abs() < 1e18).then(|| JsonNode::Scalar(format!("{value:.0}")))
    }),
    (
        "numbers had gained digits that are no part of them",
        Reach::Alone,
        |node| {
            let text = number(node).filter(|text| text.contains('.') && text.len() > 16)?;
            let shortest = text.parse::<f64>().ok()?.to_string();
            (shortest.len() < text.len()).then_some(JsonNode::Scalar(shortest))
        },
    ),
    ("`\\r\\n` in texts had become `\\n`", Reach::Alone, |node| {
        let text = inner(node).filter(|text| text.contains("\\n") && !text.contains("\\r\\n"))?;
        Some(JsonNode::Scalar(format!("\"{}\"", text.replace("\\n", "\\r\\n"))))
    }),
    ("`\\n` in texts had become `\\r\\n`", Reach::Alone, |node| {
        let text = inner(node).filter(|text| text.contains("\\r\\n"))?;
        Some(JsonNode::Scalar(format!("\"{}\"", text.replace("\\r\\n", "\\n"))))
    }),
    ("a text had lost the space at its end", Reach::Single, |node| {
        inner(node).map(|text| JsonNode::Scalar(format!("\"{text} \"")))
    }),
    ("a text had lost the space at its beginning", Reach::Single, |node| {
        inner(node).map(|text| JsonNode::Scalar(format!("\" {text}\"")))
    }),
];

fn own(text: &str) -> JsonNode {
    JsonNode::Scalar(text.to_owned())
}

fn scalar(node: &JsonNode, from: &str, to: &str) -> Option<JsonNode> {
    matches!(node, JsonNode::Scalar(text) if text == from).then(|| own(to))
}

/// The text of a number.
pub(super) fn number(node: &JsonNode) -> Option<&str> {
    match node {
        JsonNode::Scalar(text) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => Some(text),
        JsonNode::Scalar(_) | JsonNode::List(_) | JsonNode::Table(_) => None,
    }
}

fn with_suffix(node: &JsonNode, suffix: &str, applies: fn(&str) -> bool) -> Option<JsonNode> {
    let text = number(node).filter(|text| applies(text))?;
    Some(JsonNode::Scalar(format!("{text}{suffix}")))
}

/// A text without its quotes.
fn inner(node: &JsonNode) -> Option<&str> {
    match node {
        JsonNode::Scalar(text) => text.strip_prefix('"')?.strip_suffix('"'),
        JsonNode::List(_) | JsonNode::Table(_) => None,
    }
}

/// Whether the text is a number as libraries write one: without zeros at its end that mean nothing, which a price has.
fn is_number(text: &str) -> bool {
    if text.contains('.') && text.ends_with('0') {
        return false;
    }
    text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// The parts of a date such as `2026-01-02T03:04:05.678Z`: up to the seconds, the digits of the fraction, the zone.
fn date_parts(node: &JsonNode) -> Option<(&str, &str, &str)> {
    let text = inner(node)?;
    let (begin, rest) = text.split_at_checked(19)?;
    let is_date = begin
        .bytes()
        .zip(*b"dddd-dd-ddTdd:dd:dd")
        .all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b' '),
            sign => byte == sign,
        });
    let digits = rest.strip_prefix('.').unwrap_or_default();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (fraction, after) = digits.split_at(end);
    let zone = if rest.starts_with('.') { after } else { rest };
    (is_date && zone.len() <= 6).then_some((begin, fraction, zone))
}

/// The date with another fraction.
fn date(node: &JsonNode, change: fn(&str) -> Option<String>) -> Option<JsonNode> {
    let (begin, fraction, zone) = date_parts(node)?;
    let changed = change(fraction).filter(|changed| changed != fraction)?;
    let point = if changed.is_empty() { "" } else { "." };
    Some(JsonNode::Scalar(format!("\"{begin}{point}{changed}{zone}\"")))
}

/// The digits with zeros behind them; `None` if there are as many already.
fn padded_fraction(fraction: &str, digits: usize) -> Option<String> {
    (fraction.len() < digits).then(|| format!("{fraction:0<digits$}"))
}

fn zone(node: &JsonNode, from: &str, to: &str) -> Option<JsonNode> {
    let (.., zone) = date_parts(node)?;
    let text = inner(node)?.strip_suffix(from).filter(|_| zone == from)?;
    Some(JsonNode::Scalar(format!("\"{text}{to}\"")))
}

/// The whole numbers that JavaScript rounds to this one, if it is so large that it rounds (from 2^53).
pub(super) fn unrounded(text: &str) -> Vec<String> {
    /// Distance of two numbers that differ below 2^63, halved.
    const FARTHEST: u64 = 512;
    let Some(value) = text.parse::<u64>().ok().filter(|value| *value >= 1 << 53) else {
        return Vec::new();
    };
    let rounded = |value: u64| value.to_string().parse::<f64>().ok();
    let own = rounded(value);
    let candidates = value.saturating_sub(FARTHEST)..=value.saturating_add(FARTHEST);
    candidates
        .filter(|other| *other != value && rounded(*other) == own)
        .map(|other| other.to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn each_replacement_restores_a_value() {
        for (what, from, to) in [
            (
                "milliseconds",
                "\"2026-01-02T03:04:05Z\"",
                "\"2026-01-02T03:04:05.000Z\"",
            ),
            (
                "microseconds",
                "\"2026-01-02T03:04:05.12Z\"",
                "\"2026-01-02T03:04:05.120000Z\"",
            ),
            (
                "gained zeros",
                "\"2026-01-02T03:04:05.000Z\"",
                "\"2026-01-02T03:04:05Z\"",
            ),
            (
                "become `+00:00`",
                "\"2026-01-02 03:04:05+00:00\"",
                "\"2026-01-02 03:04:05Z\"",
            ),
            (
                "become `Z`",
                "\"2026-01-02T03:04:05.1Z\"",
                "\"2026-01-02T03:04:05.1+00:00\"",
            ),
            ("numbers had become texts", "\"-1.5\"", "-1.5"),
            ("texts of digits", "12", "\"12\""),
            ("exponent", "1.7E9", "1700000000"),
            ("gained digits", "0.10000000000000001", "0.1"),
        ] {
            let (.., edit) = EDITS.iter().find(|(name, ..)| name.contains(what)).unwrap();
            assert_eq!(edit(&own(from)), Some(own(to)), "{what}");
            assert_eq!(edit(&own("\"x\"")), None, "{what}");
        }
        assert!(unrounded("1234567890123456800").contains(&"1234567890123456789".to_owned()));
        assert!(unrounded("9007199254740991").is_empty() && unrounded("x").is_empty());
    }
}
