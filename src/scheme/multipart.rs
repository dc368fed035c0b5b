//! Reads the fields of a `multipart/form-data` body (RFC 7578, with the boundaries of RFC 2046, 5.1.1). Pure.
//!
//! A signature must not be read from a body that two readers could divide differently. Therefore this reader is strict:
//! the body begins with the first boundary and ends with the last one, every part has exactly one `Content-Disposition`
//! in the one form that browsers and mail providers write, and anything else is refused. Every byte is looked at a
//! bounded number of times, and nothing of a file is copied.

use super::form::{self, FormField};
use super::types::HeadRef;
use crate::outcome::Rejection;

/// Largest number of parts, as for the fields of a form.
const MAX_PARTS: usize = 1000;

/// Largest size of a part's header fields in bytes.
const MAX_HEADER_BYTES: usize = 8 << 10;

/// Longest boundary (RFC 2046, 5.1.1).
const MAX_BOUNDARY_BYTES: usize = 70;

/// The media type of a body, as far as readers of forms distinguish it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FormType<'h> {
    /// `application/x-www-form-urlencoded`.
    UrlEncoded,
    /// `multipart/form-data` with this boundary.
    Multipart(&'h str),
    /// Anything else.
    Other,
}

/// The media type of the body; empty without one.
///
/// # Errors
/// `SignatureMalformed` for several.
pub(super) fn content_type(head: &HeadRef<'_>) -> Result<String, Rejection> {
    let mut values = head.headers.named("content-type");
    let first = values.next().unwrap_or_default();
    match (values.next(), std::str::from_utf8(first)) {
        (None, Ok(text)) => Ok(text.to_owned()),
        (Some(_), _) | (None, Err(_)) => Err(Rejection::SignatureMalformed),
    }
}

/// The media type that a `Content-Type` names.
///
/// # Errors
/// `SignatureMalformed` for `multipart/form-data` without exactly one valid boundary.
pub(super) fn form_type(content_type: &str) -> Result<FormType<'_>, Rejection> {
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let media_type = media_type.trim_matches([' ', '\t']);
    if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(FormType::UrlEncoded);
    }
    if !media_type.eq_ignore_ascii_case("multipart/form-data") {
        return Ok(FormType::Other);
    }
    let mut boundary = None;
    for parameter in parameters.split(';') {
        let Some((name, value)) = parameter.split_once('=') else {
            return Err(Rejection::SignatureMalformed);
        };
        // `boundary*` is the same parameter in another notation (RFC 2231), which some readers prefer.
        let name = name.trim_matches([' ', '\t']);
        let is_extended = name
            .split('*')
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("boundary"));
        let is_boundary = name.eq_ignore_ascii_case("boundary");
        if (is_extended && !is_boundary) || (is_boundary && boundary.replace(value).is_some()) {
            return Err(Rejection::SignatureMalformed);
        }
    }
    let value = boundary.unwrap_or_default().trim_matches([' ', '\t']);
    let bare = value
        .strip_prefix('"')
        .map_or(Some(value), |rest| rest.strip_suffix('"'));
    // No space, backslash, quote or semicolon: readers disagree about them.
    let is_valid = |text: &&str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
        (1..=MAX_BOUNDARY_BYTES).contains(&text.len()) && text.bytes().all(is_plain)
    };
    bare.filter(is_valid)
        .map(FormType::Multipart)
        .ok_or(Rejection::SignatureMalformed)
}

/// Whether the head names a form as its body's media type.
pub(super) fn names_a_form(head: &HeadRef<'_>) -> bool {
    content_type(head).is_ok_and(|text| form_type(&text).is_ok_and(|kind| kind != FormType::Other))
}

/// The fields of a posted form of this media type: multipart, or else urlencoded.
///
/// # Errors
/// `SignatureMalformed`, as [`form_type`], [`decode`] and [`form::decode`], and for a semicolon in an urlencoded form: some
/// frameworks (Rack 2) begin another field there, and senders escape it.
pub(super) fn posted(content_type: &str, body: &[u8]) -> Result<Vec<FormField>, Rejection> {
    match form_type(content_type)? {
        FormType::Multipart(boundary) => decode(body, boundary),
        FormType::UrlEncoded if body.contains(&b';') => Err(Rejection::SignatureMalformed),
        FormType::UrlEncoded | FormType::Other => form::decode(body),
    }
}

/// The fields of the body that are no files, in their order. Their values are not decoded further.
///
/// # Errors
/// `SignatureMalformed` for a body that is not written as above, beyond [`MAX_PARTS`] parts or [`MAX_HEADER_BYTES`], and
/// for two parts of one name of which one is a file.
fn decode(body: &[u8], boundary: &str) -> Result<Vec<FormField>, Rejection> {
    read(body, boundary).ok_or(Rejection::SignatureMalformed)
}

fn read(body: &[u8], boundary: &str) -> Option<Vec<FormField>> {
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    let finder = memchr::memmem::Finder::new(&delimiter);
    let mut rest = body.strip_prefix(delimiter.get(2..)?)?;
    let (mut fields, mut files) = (Vec::<FormField>::new(), Vec::new());
    let mut parts = 0;
    loop {
        if let Some(end) = rest.strip_prefix(b"--") {
            let is_unambiguous = files.iter().all(|file| fields.iter().all(|(name, _)| name != file));
            return (matches!(end, b"" | b"\r\n") && parts > 0 && is_unambiguous).then_some(fields);
        }
        parts += 1;
        if parts > MAX_PARTS {
            return None;
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let (part, after) = rest.split_at_checked(finder.find(rest)?)?;
        rest = after.get(delimiter.len()..)?;
        let head = part.get(..part.len().min(MAX_HEADER_BYTES))?;
        let end = memchr::memmem::find(head, b"\r\n\r\n")?;
        let (name, is_file) = disposition(part.get(..end)?)?;
        if is_file {
            files.push(name);
        } else {
            fields.push((name, part.get(end + 4..)?.to_vec()));
        }
    }
}

/// The name of a part, and whether it is a file, from its header fields.
fn disposition(head: &[u8]) -> Option<(Vec<u8>, bool)> {
    let head = std::str::from_utf8(head).ok()?;
    let mut found = None;
    for line in head.split("\r\n") {
        // A line that begins with a space would continue the one before it.
        let (name, value) = line.split_once(':')?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_token) || value.contains(['\r', '\n', '\0']) {
            return None;
        }
        if name.eq_ignore_ascii_case("content-disposition") {
            if found.replace(parameters(value)?).is_some() {
                return None;
            }
        } else if name.eq_ignore_ascii_case("content-transfer-encoding")
            && !["7bit", "8bit", "binary"]
                .iter()
                .any(|plain| value.trim().eq_ignore_ascii_case(plain))
        {
            // Some readers decode such a value, others do not (RFC 7578, 4.7, deprecates it).
            return None;
        }
    }
    found
}

/// Reads `form-data; name="n"; filename="f"`: the name, and whether there is a file name.
fn parameters(value: &str) -> Option<(Vec<u8>, bool)> {
    let mut rest = value.trim_matches([' ', '\t']).strip_prefix("form-data")?;
    let (mut name, mut is_file) = (None, false);
    while !rest.is_empty() {
        rest = rest.strip_prefix(';')?.trim_start_matches([' ', '\t']);
        let (key, after) = rest.split_once('=')?;
        let (text, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(';').unwrap_or(after.len())),
        };
        match key {
            "name" if name.is_none() && !text.contains(['\\', '%']) && !text.is_empty() => name = Some(text),
            "filename" | "filename*" => is_file = true,
            _ => return None,
        }
        rest = after;
    }
    Some((name?.as_bytes().to_vec(), is_file))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\n\
        content-disposition: form-data; name=\"f\"; filename=\"x;y.txt\"\r\nContent-Type: text/plain\r\n\r\nx--b\r\n--b\r\n\
        Content-Disposition: form-data; name=\"c\"\r\n\r\n\r\n--b--\r\n";

    fn fields(body: &str) -> Result<Vec<(String, String)>, Rejection> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        decode(body.as_bytes(), "b").map(|all| all.into_iter().map(|(a, b)| (text(a), text(b))).collect())
    }

    #[test]
    fn fields_are_read_and_files_are_passed_over() {
        let expected = [("a".to_owned(), "1".to_owned()), ("c".to_owned(), String::new())];
        assert_eq!(fields(GOOD).unwrap(), expected);
        assert_eq!(fields(GOOD.trim_end()).unwrap(), expected);
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for (from, to) in [
            ("--b\r\nContent", "preamble\r\n--b\r\nContent"),
            ("--b--\r\n", "--b--\r\nepilogue"),
            ("x--b", "--bx"),
            ("--b--\r\n", ""),
            ("--b--\r\n", "--b"),
            ("--b\r\nC", "--b \r\nC"),
            ("--b\r\nC", "--b\nC"),
            ("form-data; name=\"a\"", "form-data"),
            ("form-data; name=\"a\"", "form-data; name=\"\""),
            ("form-data; name=\"a\"", "form-data; name=\"a\"; name=\"z\""),
            ("form-data; name=\"a\"", "form-data; name=\"a\\\"z\""),
            ("form-data; name=\"a\"", "form-data; name=\"a%22\""),
            ("form-data; name=\"a\"", "form-data; name=\"a\"; name*=UTF-8''z"),
            ("form-data; name=\"a\"", "form-data; name=\"f\""),
            ("form-data; name=\"a\"", "attachment; name=\"a\""),
            ("form-data; name=\"a\"", "form-data;\r\n name=\"a\""),
            ("name=\"a\"", "name=\"a\"\r\nContent-Disposition: form-data; name=\"z\""),
            ("name=\"a\"", "name=\"a\"\r\nContent-Transfer-Encoding: base64"),
            ("\r\n\r\n1", "\r\n1"),
            ("\r\n\r\n1", "\n\n1"),
        ] {
            let body = GOOD.replacen(from, to, 1);
            assert_ne!(body, GOOD);
            assert_eq!(fields(&body), Err(Rejection::SignatureMalformed), "{body}");
        }
        assert!(fields("").is_err() && fields("--b--").is_err());
    }

    #[test]
    fn parts_and_header_fields_are_bounded() {
        let part = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
        assert_eq!(
            fields(&format!("{}--b--", part.repeat(MAX_PARTS))).unwrap().len(),
            MAX_PARTS
        );
        assert!(fields(&format!("{}--b--", part.repeat(MAX_PARTS + 1))).is_err());
        let long = format!("X: {}\r\nContent", "x".repeat(MAX_HEADER_BYTES));
        assert!(fields(&GOOD.replacen("Content", &long, 1)).is_err());
    }

    #[test]
    fn the_content_type_names_the_reader() {
        for (text, expected) in [
            (
                "multipart/form-data; boundary=xYzZY",
                Some(FormType::Multipart("xYzZY")),
            ),
            (
                "Multipart/Form-Data;Boundary=\"a-b\"; charset=utf-8",
                Some(FormType::Multipart("a-b")),
            ),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/form-data; boundary=a; boundary*=UTF-8''b", None),
            ("multipart/form-data; boundary*0=a", None),
            ("multipart/form-data; boundary=a b", None),
            ("multipart/form-data; boundary=\"a", None),
            ("application/json; charset=utf-8", Some(FormType::Other)),
            ("application/x-www-form-urlencoded", Some(FormType::UrlEncoded)),
            ("", Some(FormType::Other)),
        ] {
            assert_eq!(form_type(text).ok(), expected, "{text}");
        }
        assert!(form_type(&format!("multipart/form-data; boundary={}", "a".repeat(71))).is_err());
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(pieces in prop::collection::vec(prop::sample::select(vec![
            "--b", "\r\n", "--", "Content-Disposition: form-data; name=\"a\"", "; filename=\"", "\"", ":", "=", "x", "\u{e9}",
        ]), 0..40), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut body = pieces.concat().into_bytes();
            let _ = decode(&body, "b");
            let _ = form_type(&pieces.concat());
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
                let _ = decode(&body, "b");
            }
        }
    }
}
