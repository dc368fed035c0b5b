//! The query of a request, as signatures cover it.
//!
//! Reading is strict where two readers could differ: a parameter that occurs twice is refused, also under another spelling
//! of its name that a framework takes for the same (letter case; PHP's `_` for `.`, space and `[`).

use super::header::MAX_HEADER_BYTES;
use crate::http::percent;
use crate::outcome::Rejection;
use std::borrow::Cow;

/// The query of a raw path and query; empty without one.
pub(super) fn of(target: &str) -> &str {
    target.split_once('?').map_or("", |(_, query)| query)
}

/// The decoded value of a parameter. A plus sign means a space, unless `keeps_plus`: a signature in base64 has no space, and
/// some senders do not escape its plus signs.
///
/// # Errors
/// `SignatureMissing` when it is absent or empty; `SignatureMalformed` when it occurs twice, is not printable ASCII, or is
/// longer than a signature header may be.
pub(super) fn parameter(target: &str, wanted: &str, keeps_plus: bool) -> Result<String, Rejection> {
    let mut found = None;
    let wanted_like = alike(wanted.as_bytes());
    for field in of(target).split('&') {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let name = percent::decode_form(name.as_bytes());
        if alike(&name) != wanted_like {
            continue;
        }
        if name != wanted.as_bytes() || found.replace(value).is_some() {
            return Err(Rejection::SignatureMalformed);
        }
    }
    let value = found.ok_or(Rejection::SignatureMissing)?.as_bytes();
    let value = match keeps_plus {
        true => percent::decode(value),
        false => percent::decode_form(value),
    };
    if value.is_empty() {
        return Err(Rejection::SignatureMissing);
    }
    let is_printable = value.iter().all(|byte| (0x20..0x7f).contains(byte));
    match String::from_utf8(value) {
        Ok(text) if is_printable && text.len() <= MAX_HEADER_BYTES => Ok(text),
        Ok(_) | Err(_) => Err(Rejection::SignatureMalformed),
    }
}

/// Whether the query has this parameter.
pub(super) fn has(target: &str, wanted: &str) -> bool {
    !matches!(parameter(target, wanted, true), Err(Rejection::SignatureMissing))
}

/// The raw path and query without this parameter, which the signature in it cannot cover.
pub(super) fn without<'t>(target: &'t str, left_out: Option<&str>) -> Cow<'t, str> {
    let (Some(left_out), Some((path, query))) = (left_out, target.split_once('?')) else {
        return Cow::Borrowed(target);
    };
    let is_kept = |field: &&str| {
        let name = field.split('=').next().unwrap_or_default();
        percent::decode_form(name.as_bytes()) != left_out.as_bytes()
    };
    let kept: Vec<&str> = query.split('&').filter(is_kept).collect();
    Cow::Owned(match kept.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", kept.join("&")),
    })
}

/// A name in the spelling that all frameworks take for the same.
fn alike(name: &[u8]) -> Vec<u8> {
    let name = name.trim_ascii_start().iter().map(|byte| match byte {
        b'.' | b' ' | b'[' => b'_',
        _ => byte.to_ascii_lowercase(),
    });
    name.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_read_once_and_under_one_name() {
        let read = |target: &str| parameter(target, "data.id", false);
        assert_eq!(read("/h?type=a&data.id=1%202"), Ok("1 2".to_owned()));
        assert_eq!(read("/h?data%2Eid=a+b"), Ok("a b".to_owned()));
        assert_eq!(parameter("/?s=a+b%2B=", "s", true), Ok("a+b+=".to_owned()));
        for missing in ["/h", "/h?", "/h?x=1", "/h?data.id", "/h?data.id="] {
            assert_eq!(read(missing), Err(Rejection::SignatureMissing), "{missing}");
        }
        for malformed in [
            "/h?data.id=1&data.id=1",
            "/h?data.id=1&data_id=2",
            "/h?data.id=1&Data.ID=2",
            "/h?data.id=1&data%5Bid=2",
            "/h?data_id=2",
            "/h?data.id=%00",
            "/h?data.id=%C3%A9",
        ] {
            assert_eq!(read(malformed), Err(Rejection::SignatureMalformed), "{malformed}");
        }
        assert_eq!(
            read(&format!("/h?data.id={}", "a".repeat(1025))),
            Err(Rejection::SignatureMalformed)
        );
    }

    #[test]
    fn the_parameter_of_the_signature_is_left_out() {
        assert_eq!(without("/h?a=1&sig=x&b=2", Some("sig")), "/h?a=1&b=2");
        assert_eq!(without("/h?s%69g=x", Some("sig")), "/h");
        assert_eq!(without("/h?a=1", None), "/h?a=1");
        assert_eq!(without("/h", Some("sig")), "/h");
    }
}
