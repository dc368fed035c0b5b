//! The template of the signed payload, such as `{timestamp}.{body}`.
//!
//! It is parsed once, when the configuration is loaded. Parts of the head are known before the body arrives, so a
//! template whose only part of the body is `{body}` is hashed while the body arrives. Parts that read values inside the
//! body need the complete body.

use super::description::SignatureEncoding;
use super::json::JsonPointer;
use super::keys::PlainHash;
use super::types::Expected;
use hyper::header::HeaderName;
use std::fmt;

/// One part of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PayloadPart {
    /// Text outside placeholders.
    Literal(String),
    /// `{timestamp}` in the head: the text as the sender wrote it. A time in the body is `Json` or `FormField`.
    Timestamp,
    /// `{method}`.
    Method,
    /// `{url}`: `public_url` with the request's path (if it has none of its own) and query.
    Url,
    /// `{path}`: raw, without the query.
    Path,
    /// `{target}`: raw path and query.
    Target,
    /// `{query}`: the raw query.
    Query,
    /// `{query:NAME}`: the decoded value of a parameter of the query.
    QueryParameter(String),
    /// `{sha256:body}`: a hash of the body, in this encoding.
    BodyHash(PlainHash, SignatureEncoding),
    /// `{header:NAME}`: the value of a header.
    Header(HeaderName),
    /// `{field:NAME}`: another key of the signature header's list.
    Field(String),
    /// `{headers:NAME}`: the values of the headers that this key lists by name, joined with dots.
    ListedHeaders(String),
    /// `{body}`: the complete body.
    Body,
    /// `{json:/pointer}`: a value of the JSON body. With `true` (`{json?:/pointer}`), an absent value is an empty text.
    Json(JsonPointer, bool),
    /// `{form}`: sorted names and values of the form in the body, concatenated.
    Form,
    /// `{form:NAME}`: one form field.
    FormField(String),
    /// `{php}`: the form without its signature, in PHP's serialization.
    Php,
    /// The values of `form_digest` with the secret before or after them. It has no placeholder.
    FormDigest,
    /// `{secret}`: the secret, for plain digests.
    Secret,
    /// `{json-text:body}`: the body as a text of JSON, in quotes (Hygraph).
    BodyText,
    /// `{crc32:body}`: the CRC-32 of the body as a decimal number (PayPal).
    Crc32,
    /// `{sns}`: the values of an AWS SNS message that are signed, each with its name; and the topics whose messages are
    /// accepted, all of them if there is none.
    Sns(Vec<String>),
}

/// The beginnings of all placeholders, for suggestions.
const PLACEHOLDERS: [&str; 23] = [
    "timestamp",
    "id",
    "method",
    "url",
    "path",
    "target",
    "query",
    "query:",
    "sha256:body",
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
    "crc32:body",
    "json-text:body",
    "sns",
    "expect:",
];

impl PayloadPart {
    /// Whether this part covers the body.
    pub(super) const fn covers_body(&self) -> bool {
        matches!(
            self,
            Self::Body | Self::BodyHash(..) | Self::BodyText | Self::Form | Self::Php | Self::FormDigest | Self::Crc32
        )
    }

    /// Whether the part can only be read from the complete body. `{body}` itself is hashed while it arrives.
    pub(super) const fn needs_whole_body(&self) -> bool {
        match self {
            Self::Json(..)
            | Self::Form
            | Self::FormField(_)
            | Self::Php
            | Self::FormDigest
            | Self::BodyHash(..)
            | Self::BodyText
            | Self::Crc32
            | Self::Sns(_) => true,
            Self::Literal(_)
            | Self::Timestamp
            | Self::Method
            | Self::Url
            | Self::Path
            | Self::Target
            | Self::Query
            | Self::QueryParameter(_)
            | Self::Header(_)
            | Self::Field(_)
            | Self::ListedHeaders(_)
            | Self::Body
            | Self::Secret => false,
        }
    }
}

impl fmt::Display for PayloadPart {
    /// The placeholder as the configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Timestamp => f.write_str("{timestamp}"),
            Self::Method => f.write_str("{method}"),
            Self::Url => f.write_str("{url}"),
            Self::Path => f.write_str("{path}"),
            Self::Target => f.write_str("{target}"),
            Self::Query => f.write_str("{query}"),
            Self::QueryParameter(name) => write!(f, "{{query:{name}}}"),
            Self::BodyHash(..) => f.write_str("a hash of the body"),
            Self::Header(name) => write!(f, "{{header:{name}}}"),
            Self::Field(name) => write!(f, "{{field:{name}}}"),
            Self::ListedHeaders(name) => write!(f, "{{headers:{name}}}"),
            Self::Body => f.write_str("{body}"),
            Self::Json(pointer, optional) => write!(f, "{{json{}:{pointer}}}", if *optional { "?" } else { "" }),
            Self::Form => f.write_str("{form}"),
            Self::FormField(name) => write!(f, "{{form:{name}}}"),
            Self::Php => f.write_str("{php}"),
            Self::FormDigest => f.write_str("form_digest"),
            Self::Secret => f.write_str("{secret}"),
            Self::BodyText => f.write_str("{json-text:body}"),
            Self::Crc32 => f.write_str("{crc32:body}"),
            Self::Sns(_) => f.write_str("{sns}"),
        }
    }
}

/// The meaning of `{timestamp}`, `{id}`, `{url}` and `{expect:…}` in one scheme; empty for those that it does not have.
#[derive(Debug, Default)]
pub(super) struct PlaceholderValues<'e> {
    /// The values that the route states in `expect`; `None` where there is no route.
    pub(super) expect: Option<&'e Expected>,
    pub(super) timestamp: Option<PayloadPart>,
    pub(super) id: Option<PayloadPart>,
    pub(super) has_url: bool,
}

/// Parses a template. `{{` and `}}` are literal braces.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn parse(template: &str, values: &PlaceholderValues<'_>) -> Result<Vec<PayloadPart>, String> {
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
                format!("The template `{template}` has an unmatched brace: write `{{{{` or `}}}}` for a brace that is signed.")
            })?;
            if !literal.is_empty() {
                parts.push(PayloadPart::Literal(std::mem::take(&mut literal)));
            }
            parts.push(placeholder(name, values)?);
            rest = after;
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(PayloadPart::Literal(literal));
    }
    Ok(parts)
}

/// Parses the text between braces.
///
/// # Errors
/// A sentence for the operator.
fn placeholder(text: &str, values: &PlaceholderValues<'_>) -> Result<PayloadPart, String> {
    let (name, argument) = text
        .split_once(':')
        .map_or((text, None), |(name, argument)| (name, Some(argument)));
    let part = match (name, argument.filter(|argument| !argument.is_empty())) {
        ("timestamp", None) => values.timestamp.clone().ok_or(
            "The payload has `{timestamp}`: configure where the time is, such as `timestamp = { header = \"X-Timestamp\" }`.",
        )?,
        ("id", None) => values.id.clone().ok_or(
            "The payload has `{id}`: configure where the id is, such as `delivery_id = { header = \"X-Delivery\" }`.",
        )?,
        ("method", None) => PayloadPart::Method,
        ("url", None) if values.has_url => PayloadPart::Url,
        ("url", None) => {
            let example = "`public_url = \"https://hooks.example.com/path\"`";
            return Err(format!(
                "This scheme signs the URL: write the one that the provider calls as {example}."
            ));
        }
        ("path", None) => PayloadPart::Path,
        ("target", None) => PayloadPart::Target,
        ("query", None) => PayloadPart::Query,
        ("query", Some(name)) => PayloadPart::QueryParameter(name.to_owned()),
        ("md5" | "sha1" | "sha256" | "sha512", Some(argument)) => body_hash(name, argument)?,
        ("body", None) => PayloadPart::Body,
        ("form", None) => PayloadPart::Form,
        ("php", None) => PayloadPart::Php,
        ("secret", None) => PayloadPart::Secret,
        ("crc32", Some("body")) => PayloadPart::Crc32,
        ("json-text", Some("body")) => PayloadPart::BodyText,
        ("sns", None) => PayloadPart::Sns(expected(values, "TopicArn").to_vec()),
        ("expect", Some(name)) => match expected(values, name) {
            [value] => PayloadPart::Literal(value.clone()),
            _ => return Err(format!("This scheme signs a value of your account: write `expect = {{ {name} = \"…\" }}`.")),
        },
        ("header", Some(name)) => PayloadPart::Header(header(name)?),
        ("field", Some(name)) => PayloadPart::Field(name.to_owned()),
        ("headers", Some(name)) => PayloadPart::ListedHeaders(name.to_owned()),
        ("form", Some(name)) => PayloadPart::FormField(name.to_owned()),
        ("json", Some(pointer)) => PayloadPart::Json(JsonPointer::parse(pointer)?, false),
        ("json?", Some(pointer)) => PayloadPart::Json(JsonPointer::parse(pointer)?, true),
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

/// The values that the route states for a name.
fn expected<'e>(values: &PlaceholderValues<'e>, name: &str) -> &'e [String] {
    values
        .expect
        .and_then(|expect| expect.get(name))
        .map_or(&[], Vec::as_slice)
}

/// Parses `{sha256:body}` and `{sha256:body:base64}`.
///
/// # Errors
/// A sentence for the operator.
fn body_hash(hash: &str, argument: &str) -> Result<PayloadPart, String> {
    let encoding = match argument.strip_prefix("body") {
        Some("" | ":hex") => Some(SignatureEncoding::Hex),
        Some(":hex-upper") => Some(SignatureEncoding::HexUpper),
        Some(":base64") => Some(SignatureEncoding::Base64),
        Some(":base64url") => Some(SignatureEncoding::Base64url),
        Some(_) | None => None,
    };
    let hash = match hash {
        "md5" => PlainHash::Md5,
        "sha1" => PlainHash::Sha1,
        "sha512" => PlainHash::Sha512,
        _ => PlainHash::Sha256,
    };
    encoding
        .map(|encoding| PayloadPart::BodyHash(hash, encoding))
        .ok_or_else(|| {
            "The template has a hash of something else than the body: write `{sha256:body}`, or `{sha256:body:base64}`."
                .to_owned()
        })
}

/// Parses a header name of the configuration.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn header(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| format!("`{name}` is not a header name: write one such as `X-Signature`."))
}

/// A byte buffer that needs no allocation up to 62 bytes. Most schemes sign less than that before the body.
#[derive(Clone, Debug)]
pub(super) enum SmallBuffer {
    /// Length in bytes, and up to 62 bytes.
    Short(u8, [u8; Self::SHORT]),
    /// More than 62 bytes.
    Long(Vec<u8>),
}

impl SmallBuffer {
    /// Capacity of `Short` in bytes.
    const SHORT: usize = 62;

    /// Appends bytes.
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

    /// All bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short(len, short) => short.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(long) => long,
        }
    }
}

impl Default for SmallBuffer {
    fn default() -> Self {
        Self::Short(0, [0; Self::SHORT])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn parse(template: &str) -> Result<Vec<PayloadPart>, String> {
        let id = Some(PayloadPart::Header(HeaderName::from_static("id")));
        super::parse(
            template,
            &PlaceholderValues {
                timestamp: Some(PayloadPart::Timestamp),
                id,
                has_url: true,
                expect: None,
            },
        )
    }

    #[test]
    fn templates_of_the_documentation_are_parsed() {
        assert_eq!(
            parse("{timestamp}.{body}").unwrap(),
            [
                PayloadPart::Timestamp,
                PayloadPart::Literal(".".into()),
                PayloadPart::Body
            ]
        );
        assert_eq!(
            parse("v0:{header:X-Ts}{{{json:/a/b}}}{json?:/c}").unwrap(),
            [
                PayloadPart::Literal("v0:".into()),
                PayloadPart::Header(HeaderName::from_static("x-ts")),
                PayloadPart::Literal("{".into()),
                PayloadPart::Json(JsonPointer::parse("/a/b").unwrap(), false),
                PayloadPart::Literal("}".into()),
                PayloadPart::Json(JsonPointer::parse("/c").unwrap(), true),
            ]
        );
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn faults_of_a_template_say_what_to_write() {
        for (missing, hint) in [
            ("{timestamp}", "timestamp = {"),
            ("{id}", "delivery_id = {"),
            ("{url}", "public_url = "),
        ] {
            assert!(
                super::parse(missing, &PlaceholderValues::default())
                    .unwrap_err()
                    .contains(hint)
            );
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
        fn a_small_buffer_has_all_pushed_bytes(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..70), 0..4)) {
            let mut text = SmallBuffer::default();
            pieces.iter().for_each(|piece| text.push(piece));
            prop_assert_eq!(text.as_slice(), pieces.concat());
        }

        #[test]
        fn any_template_is_parsed_without_a_panic_and_literals_are_kept(template in "[{}a-z:/.]{0,24}", literal in "[^{}]{0,16}") {
            let _ = parse(&template);
            let expected = (!literal.is_empty()).then(|| PayloadPart::Literal(literal.clone()));
            prop_assert_eq!(parse(&literal).unwrap(), Vec::from_iter(expected));
        }
    }
}
