//! Where one value of a signed payload ends and the next begins.
//!
//! `{id}.{timestamp}.{body}` signs the same bytes for the id `a` as for the id `a.1700000000.x`, if an id may contain a
//! dot: whoever has an old request could present it as a fresh one, with another id, another time and the rest as its
//! body. Each payload has one value of any text, usually the body. All values before it must end where the text after them
//! begins for the first time, and all values after it must begin where the text before them ends for the last time. Then
//! the bytes can be read in one way only. What cannot be read in one way at all is a fault when the route is loaded.

use super::description::TimeUnit;
use super::location::{self, TimestampSource};
use super::template::PayloadPart;
use crate::outcome::Rejection;
use memchr::memmem;

/// The checks of one payload; none for most schemes.
#[derive(Debug, Default)]
pub(super) struct Boundaries {
    checks: Vec<(PayloadPart, Rule)>,
}

/// What holds for one value.
#[derive(Debug, PartialEq, Eq)]
enum Rule {
    /// This text follows, and the value must end where it begins for the first time.
    EndsBefore(String),
    /// This text precedes, and the value must begin where it ends for the last time.
    BeginsAfter(String),
    /// Nothing separates the value from a time or from the body, so it must consist of letters, digits, `-` and `_`.
    IsPlain,
    /// A URL, or its end, directly before the body: it must have characters of URLs only.
    IsUrl,
    /// The same directly after the body, which may then begin with anything.
    IsUrlAtEnd,
    /// Values joined with dots, with this text between them and a JSON body: they must not contain it before `{` or `[`, with
    /// or without spaces between.
    EndsBeforeJson(String),
}

/// What follows a URL in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UrlEnd {
    /// A text.
    Separated,
    /// The body, or a time and the body, without a text between.
    Open,
}

/// How a body may begin, so that what precedes it cannot end elsewhere. An empty body is always accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BodyStart {
    /// With any byte.
    #[default]
    Any,
    /// With a byte that no URL contains.
    NotUrl,
    /// With `{` or `[`, after any white space of JSON.
    Json,
}

/// What a part of a payload can contain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Its end is known from its own bytes.
    Fixed,
    /// A part of a URL.
    Url,
    /// Any text.
    Text,
    /// Several texts that are joined with dots.
    Joined,
    /// The body or its form.
    Body,
}

impl Boundaries {
    /// Finds the checks that a payload needs. `any_text` is the one value that may contain the text next to it; by
    /// default it is the body, or else the last value. With `is_undivided` the provider signs values with nothing between
    /// them, and those are accepted.
    ///
    /// # Errors
    /// A sentence for the operator, when no check can separate two values.
    pub(super) fn new(
        parts: &[PayloadPart],
        time: Option<&TimestampSource>,
        any_text: Option<&PayloadPart>,
        is_undivided: bool,
    ) -> Result<Self, String> {
        let time_part = time.map(|time| (location::timestamp_part(time), time.unit));
        let shape = |part: &PayloadPart| shape(part, time_part.as_ref());
        let body = parts.iter().rposition(|part| shape(part) == Shape::Body);
        let last = parts.iter().rposition(|part| shape(part) != Shape::Fixed);
        let chosen = any_text.and_then(|chosen| parts.iter().position(|part| part == chosen));
        let Some(free) = chosen.or(body).or(last) else {
            return Ok(Self::default());
        };
        let mut checks = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let (before, after) = parts.split_at(at);
            let rule = match shape(part) {
                Shape::Fixed => None,
                // The same value again has the same length.
                _ if parts.get(free) == Some(part) => None,
                known if at < free => match end_rule(part, known, after.get(1..).unwrap_or_default(), &shape) {
                    Err(_) if is_undivided => None,
                    rule => rule?,
                },
                Shape::Url | Shape::Text | Shape::Joined | Shape::Body => match before.last() {
                    Some(PayloadPart::Literal(text)) => Some(Rule::BeginsAfter(text.clone())),
                    Some(_) if shape(part) == Shape::Url => Some(Rule::IsUrlAtEnd),
                    Some(_) if is_undivided => None,
                    Some(other) => return Err(inseparable(other, part)),
                    None => None,
                },
            };
            checks.extend(rule.map(|rule| (part.clone(), rule)));
        }
        Ok(Self { checks })
    }

    /// Checks the values that are in the head. `value_of` reads one of them; it returns `None` for one that is in the
    /// body, or that is the same in all requests. Returns how the body may begin.
    ///
    /// # Errors
    /// `SignatureMalformed`, and the errors of `value_of`.
    pub(super) fn check_head(
        &self,
        mut value_of: impl FnMut(&PayloadPart, UrlEnd) -> Result<Option<Vec<u8>>, Rejection>,
    ) -> Result<BodyStart, Rejection> {
        let mut start = BodyStart::Any;
        for (part, rule) in &self.checks {
            let end = match rule {
                Rule::IsUrl => UrlEnd::Open,
                Rule::EndsBefore(_)
                | Rule::BeginsAfter(_)
                | Rule::IsPlain
                | Rule::IsUrlAtEnd
                | Rule::EndsBeforeJson(_) => UrlEnd::Separated,
            };
            let Some(value) = value_of(part, end)? else {
                continue;
            };
            rule.check(&value)?;
            start = match (rule, start) {
                (Rule::EndsBeforeJson(_), _) | (_, BodyStart::Json) => BodyStart::Json,
                (Rule::IsPlain | Rule::IsUrl, _) | (_, BodyStart::NotUrl) => BodyStart::NotUrl,
                (Rule::EndsBefore(_) | Rule::BeginsAfter(_) | Rule::IsUrlAtEnd, BodyStart::Any) => BodyStart::Any,
            };
        }
        Ok(start)
    }

    /// Checks a value that is in the body. A part may occur twice in a payload.
    ///
    /// # Errors
    /// `SignatureMalformed`.
    pub(super) fn check_value(&self, part: &PayloadPart, value: &[u8]) -> Result<(), Rejection> {
        self.checks
            .iter()
            .filter(|(checked, _)| checked == part)
            .try_for_each(|(_, rule)| rule.check(value))
    }
}

impl BodyStart {
    /// Checks the beginning of a body, which comes in pieces.
    ///
    /// # Errors
    /// `SignatureMalformed`.
    pub(super) fn check<'a>(self, body: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Rejection> {
        let mut bytes = body.into_iter().flatten();
        let is_accepted = match self {
            Self::Any => true,
            Self::NotUrl => bytes.next().is_none_or(|first| !is_url(*first)),
            Self::Json => {
                let first = bytes.find(|byte| !is_json_space(**byte));
                first.is_none_or(|first| matches!(first, b'{' | b'['))
            }
        };
        if is_accepted {
            Ok(())
        } else {
            Err(Rejection::SignatureMalformed)
        }
    }
}

impl Rule {
    /// # Errors
    /// `SignatureMalformed` when the value could end or begin elsewhere.
    fn check(&self, value: &[u8]) -> Result<(), Rejection> {
        let holds = match self {
            Self::EndsBefore(text) => ends_before(value, text.as_bytes()),
            Self::BeginsAfter(text) => begins_after(value, text.as_bytes()),
            Self::IsPlain => value.iter().copied().all(is_plain),
            Self::IsUrl | Self::IsUrlAtEnd => value.iter().copied().all(is_url),
            Self::EndsBeforeJson(text) => {
                let follows = |at: usize| value.get(at + text.len()..)?.iter().find(|byte| !is_json_space(**byte));
                let mut found = memmem::find_iter(value, text.as_bytes());
                !found.any(|at| matches!(follows(at), Some(b'{' | b'[')))
            }
        };
        if holds {
            Ok(())
        } else {
            Err(Rejection::SignatureMalformed)
        }
    }
}

/// Whether `text` occurs in `value` and itself, one after the other, only at the end of `value`.
fn ends_before(value: &[u8], text: &[u8]) -> bool {
    let overlaps = |shift: usize| {
        text.split_at_checked(shift)
            .is_some_and(|(begin, rest)| value.ends_with(begin) && text.starts_with(rest))
    };
    memmem::find(value, text).is_none() && !(1..text.len()).any(overlaps)
}

/// Whether `text` occurs in itself and `value`, one after the other, only at the beginning.
fn begins_after(value: &[u8], text: &[u8]) -> bool {
    let overlaps = |shift: usize| {
        text.split_at_checked(shift)
            .is_some_and(|(begin, rest)| value.starts_with(rest) && text.ends_with(begin))
    };
    memmem::find(value, text).is_none() && !(1..text.len()).any(overlaps)
}

/// Whether the byte is white space of JSON (RFC 8259, section 2).
const fn is_json_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether the byte is a letter, a digit, `-` or `_`.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Whether the byte occurs in URLs (RFC 3986), apart from the brackets around an address.
const fn is_url(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'"' | b'<' | b'>' | b'[' | b'\\' | b']' | b'^' | b'`' | b'{' | b'|' | b'}'
        )
}

/// What a part can contain. `time` is the part of the time with its format.
fn shape(part: &PayloadPart, time: Option<&(PayloadPart, TimeUnit)>) -> Shape {
    if let Some((time, unit)) = time
        && time == part
    {
        return match unit {
            // A fresh time has a known number of digits, and the other formats end with their zone.
            TimeUnit::Seconds | TimeUnit::Milliseconds | TimeUnit::Rfc3339 | TimeUnit::HttpDate => Shape::Fixed,
            // A fraction may follow.
            TimeUnit::DateTime => Shape::Url,
        };
    }
    match part {
        // The methods of a route are upper-case words, and what follows them is not.
        PayloadPart::Literal(_)
        | PayloadPart::Secret
        | PayloadPart::Timestamp
        | PayloadPart::Method
        | PayloadPart::BodyHash(..)
        | PayloadPart::BodyText
        | PayloadPart::Crc32 => Shape::Fixed,
        PayloadPart::Url | PayloadPart::Path | PayloadPart::Target | PayloadPart::Query => Shape::Url,
        PayloadPart::QueryParameter(_)
        | PayloadPart::Header(_)
        | PayloadPart::Field(_)
        | PayloadPart::Json(..)
        | PayloadPart::FormField(_) => Shape::Text,
        PayloadPart::ListedHeaders(_) => Shape::Joined,
        PayloadPart::Body | PayloadPart::Form | PayloadPart::Php | PayloadPart::FormDigest | PayloadPart::Sns(_) => {
            Shape::Body
        }
    }
}

/// The rule for the end of a value that `after` follows.
fn end_rule(
    part: &PayloadPart,
    known: Shape,
    after: &[PayloadPart],
    shape: &impl Fn(&PayloadPart) -> Shape,
) -> Result<Option<Rule>, String> {
    match after {
        [PayloadPart::Literal(text), PayloadPart::Body, ..] if known == Shape::Joined => {
            return Ok(Some(Rule::EndsBeforeJson(text.clone())));
        }
        [PayloadPart::Literal(text), ..] => return Ok(Some(Rule::EndsBefore(text.clone()))),
        _ => {}
    }
    let is_time = |part: &&PayloadPart| shape(part) == Shape::Fixed && !matches!(part, PayloadPart::Literal(_));
    let next = after.iter().find(|part| !is_time(part));
    match (next, known) {
        // Names and values of a form are signed without anything between them, so no check can help.
        (Some(PayloadPart::Form), _) => Ok(None),
        (Some(PayloadPart::Body) | None, Shape::Url) => Ok(Some(Rule::IsUrl)),
        (Some(PayloadPart::Body) | None, Shape::Text) => Ok(Some(Rule::IsPlain)),
        (Some(PayloadPart::Literal(text)), Shape::Text) if !text.bytes().next().is_some_and(is_plain) => {
            Ok(Some(Rule::IsPlain))
        }
        (Some(PayloadPart::Literal(text)), Shape::Url) if !text.bytes().next().is_some_and(is_url) => {
            Ok(Some(Rule::IsUrl))
        }
        (Some(other), _) => Err(inseparable(part, other)),
        (None, Shape::Fixed | Shape::Joined | Shape::Body) => Ok(None),
    }
}

/// The fault of two values that nothing separates.
fn inseparable(first: &PayloadPart, second: &PayloadPart) -> String {
    format!(
        "In the payload nothing separates `{first}` from `{second}`, so a sender could move the end of one value into the other: write the text that the provider signs between them, or `undivided = true` if there is none."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_the_text_after_it_begins_for_the_first_time() {
        for (value, text, expected) in [
            ("msg_1", ".", true),
            ("msg.1", ".", false),
            ("", ".", true),
            ("a-", "--", false),
            ("-a", "--", true),
            ("a--b", "--", false),
            ("a:", "::", false),
            ("ab", "aba", false),
            ("xa", "bab", true),
            ("xaba", "aba", false),
        ] {
            let once = format!("{value}{text}").find(text) == Some(value.len());
            assert_eq!(ends_before(value.as_bytes(), text.as_bytes()), once, "{value} {text}");
            assert_eq!(once, expected, "{value} {text}");
            let begin = format!("{text}{value}").rfind(text) == Some(0);
            assert_eq!(begins_after(value.as_bytes(), text.as_bytes()), begin, "{value} {text}");
        }
    }

    #[test]
    fn a_body_may_have_to_begin_with_what_no_value_before_it_contains() {
        for (start, body, expected) in [
            (BodyStart::Any, "a", true),
            (BodyStart::NotUrl, "a", false),
            (BodyStart::NotUrl, "?", false),
            (BodyStart::NotUrl, "{}", true),
            (BodyStart::NotUrl, "<x/>", true),
            (BodyStart::Json, "<x/>", false),
            (BodyStart::Json, "[1]", true),
            (BodyStart::Json, " \r\n\t{}", true),
            (BodyStart::Json, " x{}", false),
            (BodyStart::Json, "", true),
        ] {
            assert_eq!(start.check([body.as_bytes()]).is_ok(), expected, "{start:?} {body}");
        }
    }
}
