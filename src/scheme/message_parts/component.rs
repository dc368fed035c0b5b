//! The components of a message that a signature covers (RFC 9421, 2): their identifiers, and their values in a request.

use super::super::form;
use super::super::types::HeadRef;
use super::CONTENT_DIGEST;
use super::target::Target;
use crate::outcome::Rejection;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sfv::{Dictionary, FieldType as _, Item, List, ListEntry, Parser};
use std::fmt::Write as _;

/// Fields that `sf` may be used with: those that are dictionaries (RFC 9110, 9111, 9218, 9421, 9530).
const DICTIONARIES: [&str; 9] = [
    "accept-signature",
    "cache-control",
    "content-digest",
    "priority",
    "repr-digest",
    "signature",
    "signature-input",
    "want-content-digest",
    "want-repr-digest",
];

/// A covered component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::scheme) struct Component {
    /// Its identifier as it is signed, such as `"@query-param";name="id"`.
    pub(in crate::scheme) identifier: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Method,
    TargetUri,
    Authority,
    Scheme,
    RequestTarget,
    Path,
    Query,
    /// One parameter of the query, by its encoded name.
    QueryParameter(String),
    /// A header field.
    Field(String, Form),
}

/// How the value of a field is written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// As received.
    Plain,
    /// As a structured field in its one canonical form (`sf`).
    Structured,
    /// One member of a dictionary (`key`).
    Member(String),
    /// Each value as a byte sequence (`bs`).
    Bytes,
}

/// A component that every signature must cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::scheme) enum Required {
    Method,
    TargetUri,
    Authority,
    Scheme,
    /// Path and query.
    RequestTarget,
    Path,
    /// Only of a request that has one.
    Query,
    /// Only of a request that has a body.
    ContentDigest,
    /// A header field, by its name in lower case.
    Field(String),
}

impl Required {
    /// Parses the name of a component without parameters.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(in crate::scheme) fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "@method" => Self::Method,
            "@target-uri" => Self::TargetUri,
            "@authority" => Self::Authority,
            "@scheme" => Self::Scheme,
            "@request-target" => Self::RequestTarget,
            "@path" => Self::Path,
            "@query" => Self::Query,
            CONTENT_DIGEST => Self::ContentDigest,
            name if !name.is_empty() && name.bytes().all(is_field_byte) => Self::Field(name.to_owned()),
            name => {
                return Err(format!(
                    "`{name}` is no component of a request that every signature could cover: write `@method`, `@target-uri`, `@authority`, `@scheme`, `@request-target`, `@path`, `@query`, or the name of a header in lower case, such as `content-digest`."
                ));
            }
        })
    }

    /// Whether a signature over these components covers it. `has_query` is about the request.
    pub(in crate::scheme) fn is_met(&self, covered: &[Component], has_query: bool) -> bool {
        let has = |kinds: &[Kind]| covered.iter().any(|component| kinds.contains(&component.kind));
        let has_target = has(&[Kind::RequestTarget]) || (has(&[Kind::Path]) && (!has_query || has(&[Kind::Query])));
        match self {
            Self::Method => has(&[Kind::Method]),
            Self::TargetUri => {
                has(&[Kind::TargetUri]) || (has(&[Kind::Scheme]) && has(&[Kind::Authority]) && has_target)
            }
            Self::Authority => has(&[Kind::Authority, Kind::TargetUri]),
            Self::Scheme => has(&[Kind::Scheme, Kind::TargetUri]),
            Self::RequestTarget => has(&[Kind::TargetUri]) || has_target,
            Self::Path => has(&[Kind::Path, Kind::RequestTarget, Kind::TargetUri]),
            Self::Query => !has_query || has(&[Kind::Query, Kind::RequestTarget, Kind::TargetUri]),
            Self::ContentDigest => covered.iter().any(|component| component.digest().is_some()),
            Self::Field(name) => covered.iter().any(|component| match &component.kind {
                Kind::Field(covered, Form::Plain | Form::Structured | Form::Bytes) => covered == name,
                Kind::Field(_, Form::Member(_))
                | Kind::Method
                | Kind::TargetUri
                | Kind::Authority
                | Kind::Scheme
                | Kind::RequestTarget
                | Kind::Path
                | Kind::Query
                | Kind::QueryParameter(_) => false,
            }),
        }
    }
}

/// Which hashes of the body a component covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scheme) enum Digests<'c> {
    /// All that the field has.
    All,
    /// The one with this name.
    One(&'c str),
}

impl Component {
    /// Reads a component's identifier. `None` for one that a request does not have, or that has an unknown parameter.
    pub(in crate::scheme) fn parse(item: &Item) -> Option<Self> {
        let name = item.bare_item.as_string()?.as_str();
        let mut form = Form::Plain;
        let mut parameter_name = None;
        for (key, value) in &item.params {
            let is_set = value.as_boolean() == Some(true);
            let text = value.as_string().map(|text| text.as_str().to_owned());
            match (key.as_str(), text) {
                ("sf", _) if is_set && form == Form::Plain => form = Form::Structured,
                ("bs", _) if is_set && form == Form::Plain => form = Form::Bytes,
                ("key", Some(member)) if form == Form::Plain => form = Form::Member(member),
                ("name", Some(name)) => parameter_name = Some(name),
                // `req` and `tr` are for answers and for trailers, which hookgate does not keep.
                _ => return None,
            }
        }
        let kind = match (name, parameter_name) {
            ("@query-param", Some(name)) => Kind::QueryParameter(name),
            (_, Some(_)) => return None,
            ("@method", None) => Kind::Method,
            ("@target-uri", None) => Kind::TargetUri,
            ("@authority", None) => Kind::Authority,
            ("@scheme", None) => Kind::Scheme,
            ("@request-target", None) => Kind::RequestTarget,
            ("@path", None) => Kind::Path,
            ("@query", None) => Kind::Query,
            (name, None) if !name.is_empty() && name.bytes().all(is_field_byte) => {
                Kind::Field(name.to_owned(), form.clone())
            }
            _ => return None,
        };
        if form != Form::Plain && !matches!(kind, Kind::Field(..)) {
            return None;
        }
        Some(Self {
            identifier: item.serialize(),
            kind,
        })
    }

    /// The hashes of the body that it covers; `None` for any other component.
    pub(in crate::scheme) fn digest(&self) -> Option<Digests<'_>> {
        match &self.kind {
            Kind::Field(name, form) if name == CONTENT_DIGEST => Some(match form {
                Form::Plain | Form::Structured | Form::Bytes => Digests::All,
                Form::Member(name) => Digests::One(name),
            }),
            Kind::Field(..)
            | Kind::Method
            | Kind::TargetUri
            | Kind::Authority
            | Kind::Scheme
            | Kind::RequestTarget
            | Kind::Path
            | Kind::Query
            | Kind::QueryParameter(_) => None,
        }
    }

    /// Appends the value in a request.
    ///
    /// # Errors
    /// `SignatureMissing` for a header that is absent, `SignatureMalformed` for another value that the request does not have,
    /// or has more than once.
    pub(in crate::scheme) fn write(
        &self,
        head: &HeadRef<'_>,
        target: &Target<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Rejection> {
        let malformed = Rejection::SignatureMalformed;
        match &self.kind {
            Kind::Method => out.extend_from_slice(head.method.as_str().as_bytes()),
            Kind::TargetUri => out.extend_from_slice(target.uri().as_bytes()),
            Kind::Authority => out.extend_from_slice(target.authority.as_bytes()),
            Kind::Scheme => out.extend_from_slice(target.scheme.as_bytes()),
            Kind::RequestTarget => out.extend_from_slice(target.path_and_query.as_bytes()),
            Kind::Path => out.extend_from_slice(target.path().as_bytes()),
            Kind::Query => {
                out.push(b'?');
                out.extend_from_slice(target.query().unwrap_or_default().as_bytes());
            }
            Kind::QueryParameter(name) => {
                let fields = form::decode(target.query().unwrap_or_default().as_bytes())?;
                let mut values = fields.iter().filter(|(found, _)| encode(found) == *name);
                match (values.next(), values.next()) {
                    (Some((_, value)), None) => out.extend_from_slice(encode(value).as_bytes()),
                    (None | Some(_), _) => return Err(malformed),
                }
            }
            Kind::Field(name, form) => {
                let mut values = head.headers.named(name).peekable();
                values.peek().ok_or(Rejection::SignatureMissing)?;
                let mut combined = Vec::new();
                for (index, value) in values.enumerate() {
                    if index > 0 {
                        combined.extend_from_slice(b", ");
                    }
                    match form {
                        Form::Bytes => {
                            combined.push(b':');
                            combined.extend_from_slice(STANDARD.encode(value.trim_ascii()).as_bytes());
                            combined.push(b':');
                        }
                        Form::Plain | Form::Structured | Form::Member(_) => {
                            combined.extend_from_slice(value.trim_ascii());
                        }
                    }
                }
                match form {
                    Form::Plain | Form::Bytes => out.append(&mut combined),
                    Form::Structured if DICTIONARIES.contains(&name.as_str()) => {
                        let text = dictionary(&combined)?.serialize().ok_or(malformed)?;
                        out.extend_from_slice(text.as_bytes());
                    }
                    Form::Structured => return Err(malformed),
                    Form::Member(key) => {
                        let dictionary = dictionary(&combined)?;
                        let member = dictionary.get(key.as_str()).ok_or(malformed)?;
                        out.extend_from_slice(written(member)?.as_bytes());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Parses a dictionary.
///
/// # Errors
/// `SignatureMalformed`.
pub(in crate::scheme) fn dictionary(text: &[u8]) -> Result<Dictionary, Rejection> {
    let parsed = Parser::new(text).parse::<Dictionary>();
    parsed.map_err(|_| Rejection::SignatureMalformed)
}

/// A member of a dictionary in its canonical form.
///
/// # Errors
/// `SignatureMalformed` for one that has none.
pub(in crate::scheme) fn written(member: &ListEntry) -> Result<String, Rejection> {
    let list: List = vec![member.clone()];
    list.serialize().ok_or(Rejection::SignatureMalformed)
}

/// Whether a byte may be in the name of a field: those are signed in lower case.
const fn is_field_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
}

/// Encodes a name or a value of the query as it is signed (RFC 9421, 2.2.8): a space is `%20`.
fn encode(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"*-._".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
