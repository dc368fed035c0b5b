//! The signed payload as a template: `{timestamp}.{body}`.
//!
//! Parsed once at load. What the head can tell is filled in before the body arrives, so that a template whose only body
//! part is `{body}` itself is hashed as the bytes come in; anything that looks inside the body waits for its end.

use super::json::Pointer;
use hyper::header::HeaderName;

/// One part of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// These bytes.
    Literal(String),
    /// `{timestamp}` that a header carries: as it was written.
    Timestamp,
    /// `{method}`.
    Method,
    /// `{url}`: `public_url` and what the request adds to it.
    Url,
    /// `{path}`: raw, without the query.
    Path,
    /// `{target}`: raw path and query.
    Target,
    /// `{header:NAME}`.
    Header(HeaderName),
    /// `{field:NAME}`: another key of the signature header's list.
    Field(String),
    /// `{headers:NAME}`: the values of the headers that this key lists by name, joined with dots.
    Listed(String),
    /// `{body}`.
    Body,
    /// `{json:/pointer}`; with `{json?:/pointer}` nothing there is an empty text.
    Json(Pointer, bool),
    /// `{form}`: names and values of the form in the body, sorted, joined with nothing between.
    Form,
    /// `{form:NAME}`: one field.
    FormField(String),
    /// `{php}`: the form without its signature, as PHP serialises it.
    Php,
    /// The values of the form digest, with the secret in its place.
    Values,
    /// `{secret}`: for plain digests.
    Secret,
}

const PLACEHOLDERS: [&str; 16] = [
    "timestamp",
    "id",
    "method",
    "url",
    "path",
    "target",
    "header:",
    "field:",
    "headers:",
    "body",
    "json:",
    "json?:",
    "form",
    "form:",
    "php",
    "secret",
];

impl Part {
    /// Whether the whole body must be there first.
    pub(super) const fn looks_inside(&self) -> bool {
        match self {
            Self::Json(..) | Self::Form | Self::FormField(_) | Self::Php | Self::Values => true,
            Self::Literal(_)
            | Self::Timestamp
            | Self::Method
            | Self::Url
            | Self::Path
            | Self::Target
            | Self::Header(_)
            | Self::Field(_)
            | Self::Listed(_)
            | Self::Body
            | Self::Secret => false,
        }
    }
}

/// What `{timestamp}`, `{id}` and `{url}` stand for in one scheme, where it has them.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) timestamp: Option<Part>,
    pub(super) id: Option<Part>,
    pub(super) url: bool,
}

/// Parses a template. `{{` and `}}` stand for braces.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn parse(template: &str, names: &Names) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        literal.push_str(before);
        if let Some(after) = after.strip_prefix("{{") {
            literal.push('{');
            rest = after;
        } else if let Some(after) = after.strip_prefix("}}") {
            literal.push('}');
            rest = after;
        } else {
            let inner = after.strip_prefix('{').and_then(|after| after.split_once('}'));
            let (name, after) = inner.ok_or_else(|| {
                format!("The template `{template}` has a brace without its partner: write `{{{{` or `}}}}` for a brace that is signed.")
            })?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(placeholder(name, names)?);
            rest = after;
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn placeholder(text: &str, names: &Names) -> Result<Part, String> {
    let (name, argument) = text
        .split_once(':')
        .map_or((text, None), |(name, argument)| (name, Some(argument)));
    let part = match (name, argument.filter(|argument| !argument.is_empty())) {
        ("timestamp", None) => names.timestamp.clone().ok_or(
            "The payload has `{timestamp}`: say where it stands, such as `timestamp = { header = \"X-Timestamp\" }`.",
        )?,
        ("id", None) => names.id.clone().ok_or(
            "The payload has `{id}`: say where it stands, such as `delivery_id = { header = \"X-Delivery\" }`.",
        )?,
        ("method", None) => Part::Method,
        ("url", None) if names.url => Part::Url,
        ("url", None) => {
            let example = "`public_url = \"https://hooks.example.com/path\"`";
            return Err(format!(
                "This scheme signs the URL: write the one that the provider calls as {example}."
            ));
        }
        ("path", None) => Part::Path,
        ("target", None) => Part::Target,
        ("body", None) => Part::Body,
        ("form", None) => Part::Form,
        ("php", None) => Part::Php,
        ("secret", None) => Part::Secret,
        ("header", Some(name)) => Part::Header(header(name)?),
        ("field", Some(name)) => Part::Field(name.to_owned()),
        ("headers", Some(name)) => Part::Listed(name.to_owned()),
        ("form", Some(name)) => Part::FormField(name.to_owned()),
        ("json", Some(pointer)) => Part::Json(Pointer::parse(pointer)?, false),
        ("json?", Some(pointer)) => Part::Json(Pointer::parse(pointer)?, true),
        _ => {
            let near = PLACEHOLDERS
                .iter()
                .max_by(|a, b| strsim::jaro(a, text).total_cmp(&strsim::jaro(b, text)));
            let near = near
                .filter(|near| strsim::jaro(near, text) > 0.7)
                .map(|near| match near.ends_with(':') {
                    true => format!("did you mean `{{{near}NAME}}`?"),
                    false => format!("did you mean `{{{near}}}`?"),
                });
            let near = near.unwrap_or_else(|| "see docs/schemes.md for the list.".to_owned());
            return Err(format!("The template has no placeholder `{{{text}}}`: {near}"));
        }
    };
    Ok(part)
}

/// A header name as an operator writes it.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn header(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| format!("`{name}` is not a header name: write one such as `X-Signature`."))
}

/// A short text without an allocation: what most schemes sign before the body.
#[derive(Clone, Debug)]
pub(super) enum Text {
    /// Up to 62 bytes.
    Short(u8, [u8; Self::SHORT]),
    /// More.
    Long(Vec<u8>),
}

impl Text {
    const SHORT: usize = 62;

    /// Appends.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Long(long) => long.extend_from_slice(bytes),
            Self::Short(len, short) => {
                let start = usize::from(*len);
                match (
                    short.get_mut(start..start + bytes.len()),
                    u8::try_from(start + bytes.len()),
                ) {
                    (Some(room), Ok(end)) => {
                        room.copy_from_slice(bytes);
                        *len = end;
                    }
                    _ => {
                        let mut long = self.as_slice().to_vec();
                        long.extend_from_slice(bytes);
                        *self = Self::Long(long);
                    }
                }
            }
        }
    }

    /// All of it.
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short(len, short) => short.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(long) => long,
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::Short(0, [0; Self::SHORT])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn parse(template: &str) -> Result<Vec<Part>, String> {
        let id = Some(Part::Header(HeaderName::from_static("id")));
        super::parse(
            template,
            &Names {
                timestamp: Some(Part::Timestamp),
                id,
                url: true,
            },
        )
    }

    #[test]
    fn parses_what_the_documentation_shows() {
        assert_eq!(
            parse("{timestamp}.{body}").unwrap(),
            [Part::Timestamp, Part::Literal(".".into()), Part::Body]
        );
        assert_eq!(
            parse("v0:{header:X-Ts}{{{json:/a/b}}}{json?:/c}").unwrap(),
            [
                Part::Literal("v0:".into()),
                Part::Header(HeaderName::from_static("x-ts")),
                Part::Literal("{".into()),
                Part::Json(Pointer::parse("/a/b").unwrap(), false),
                Part::Literal("}".into()),
                Part::Json(Pointer::parse("/c").unwrap(), true),
            ]
        );
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn faults_say_what_to_write() {
        for (missing, hint) in [
            ("{timestamp}", "timestamp = {"),
            ("{id}", "delivery_id = {"),
            ("{url}", "public_url = "),
        ] {
            assert!(super::parse(missing, &Names::default()).unwrap_err().contains(hint));
        }
        assert!(parse("{timestmp}").unwrap_err().contains("did you mean `{timestamp}`"));
        assert!(parse("{heade:x}").unwrap_err().contains("did you mean `{header:NAME}`"));
        for bad in [
            "{",
            "}",
            "{body",
            "body}",
            "{}",
            "{header:}",
            "{header:a b}",
            "{json:a}",
            "{body:x}",
            "{nonsense}",
        ] {
            assert!(parse(bad).unwrap_err().ends_with(['.', '?']), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_text_holds_what_was_pushed(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..70), 0..4)) {
            let mut text = Text::default();
            pieces.iter().for_each(|piece| text.push(piece));
            prop_assert_eq!(text.as_slice(), pieces.concat());
        }

        #[test]
        fn never_panics_and_literals_survive(template in "[{}a-z:/.]{0,24}", literal in "[^{}]{0,16}") {
            let _ = parse(&template);
            let expected = (!literal.is_empty()).then(|| Part::Literal(literal.clone()));
            prop_assert_eq!(parse(&literal).unwrap(), Vec::from_iter(expected));
        }
    }
}
