//! Form-encoded fields, and the two texts that providers sign of them: PHP's serialisation and Twilio's concatenation.
//!
//! PHP rewrites field names when it reads a form, and Paddle Classic signs what PHP saw, so its rules are followed here
//! (`php_register_variable_ex`, `ksort`, `serialize`; compared with a real PHP by `tests/php/differential.php`). Where
//! following them would let the application behind us read another value than the one that was signed, or where PHP's
//! own answer depends on its version, the request is refused instead.

use crate::http::percent;
use crate::outcome::Rejection;
use std::collections::{BTreeMap, BTreeSet};

/// Most fields of one form; PHP's own `max_input_vars`.
const MAX_FIELDS: usize = 1000;

/// A decoded field: name and value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// Decodes `a=1&b=x+y%21`; a field without `=` has an empty value, a `%` that starts no escape stands for itself.
///
/// # Errors
/// `SignatureMalformed` beyond [`MAX_FIELDS`].
pub(super) fn decode(form: &[u8]) -> Result<Vec<Pair>, Rejection> {
    let mut pairs = Vec::new();
    for field in form.split(|byte| *byte == b'&').filter(|field| !field.is_empty()) {
        if pairs.len() == MAX_FIELDS {
            return Err(Rejection::SignatureMalformed);
        }
        let mut halves = field.splitn(2, |byte| *byte == b'=');
        let mut half = || percent::decode_form(halves.next().unwrap_or_default());
        pairs.push((half(), half()));
    }
    Ok(pairs)
}

/// The value of a field that stands once (or several times with the same value).
///
/// # Errors
/// `SignatureMalformed` when it stands there with two values.
pub(super) fn value<'p>(pairs: &'p [Pair], name: &str) -> Result<Option<&'p [u8]>, Rejection> {
    let mut values = pairs
        .iter()
        .filter(|pair| pair.0 == name.as_bytes())
        .map(|pair| pair.1.as_slice());
    let first = values.next();
    if values.any(|other| Some(other) != first) {
        return Err(Rejection::SignatureMalformed);
    }
    Ok(first)
}

/// That no name stands there with two values, which different frameworks read differently.
///
/// # Errors
/// `SignatureMalformed`.
pub(super) fn unambiguous(pairs: &[Pair]) -> Result<(), Rejection> {
    let mut seen = BTreeMap::new();
    let twice = pairs
        .iter()
        .any(|(name, value)| seen.insert(name, value).is_some_and(|earlier| earlier != value));
    if twice {
        Err(Rejection::SignatureMalformed)
    } else {
        Ok(())
    }
}

/// Twilio: names sorted, each followed by its value; several values of one name sorted, the same pair once.
pub(super) fn concatenated(pairs: &[Pair]) -> Vec<u8> {
    let unique: BTreeSet<&Pair> = pairs.iter().collect();
    unique
        .into_iter()
        .flat_map(|(name, value)| [name.as_slice(), value])
        .collect::<Vec<_>>()
        .concat()
}

/// A name as PHP's arrays hold it; integers sort before texts, as `ksort` does for the texts that are let through here.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PhpKey {
    Integer(i64),
    Text(Vec<u8>),
}

/// Paddle Classic: what PHP's `serialize` makes of the form without one field, sorted by `ksort`.
///
/// # Errors
/// `SignatureMalformed` for names that PHP drops, nests or truncates, for one name with two values (PHP keeps the last,
/// other frameworks the first: whoever captured a genuine request could put a field of their own before it), and for
/// number-like names whose order PHP leaves to its version.
pub(super) fn php_serialized(pairs: &[Pair], without: &str) -> Result<Vec<u8>, Rejection> {
    let mut fields: BTreeMap<PhpKey, &[u8]> = BTreeMap::new();
    for (name, value) in pairs {
        let key = php_key(name).ok_or(Rejection::SignatureMalformed)?;
        if fields.insert(key, value).is_some_and(|earlier| earlier != value) {
            return Err(Rejection::SignatureMalformed);
        }
    }
    fields.remove(&PhpKey::Text(without.as_bytes().to_vec()));
    let integers = fields.keys().any(|key| matches!(key, PhpKey::Integer(_)));
    let mixed = |key: &PhpKey| match key {
        PhpKey::Integer(_) => false,
        PhpKey::Text(text) => text.first().is_some_and(|first| *first <= b'9'),
    };
    if integers && fields.keys().any(mixed) {
        return Err(Rejection::SignatureMalformed);
    }
    let mut out = format!("a:{}:{{", fields.len()).into_bytes();
    let text = |out: &mut Vec<u8>, text: &[u8]| {
        out.extend_from_slice(format!("s:{}:\"", text.len()).as_bytes());
        out.extend_from_slice(text);
        out.extend_from_slice(b"\";");
    };
    for (key, value) in &fields {
        match key {
            PhpKey::Integer(number) => out.extend_from_slice(format!("i:{number};").as_bytes()),
            PhpKey::Text(name) => text(&mut out, name),
        }
        text(&mut out, value);
    }
    out.push(b'}');
    Ok(out)
}

/// The key that PHP files a field under; `None` where we do not follow.
fn php_key(name: &[u8]) -> Option<PhpKey> {
    let spaces = name.iter().take_while(|byte| **byte == b' ').count();
    let name = name.get(spaces..)?;
    // A bracket nests, a NUL truncates, an empty name is dropped.
    if name.is_empty() || name.contains(&b'[') || name.contains(&0) {
        return None;
    }
    let name: Vec<u8> = name
        .iter()
        .map(|byte| if matches!(byte, b' ' | b'.') { b'_' } else { *byte })
        .collect();
    let Ok(text) = std::str::from_utf8(&name) else {
        return Some(PhpKey::Text(name));
    };
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => Some(PhpKey::Integer(number)),
        Ok(_) | Err(_) if is_numeric(text) => None,
        Ok(_) | Err(_) => Some(PhpKey::Text(name)),
    }
}

/// Whether PHP's `is_numeric` holds (dots and spaces are gone at this point).
fn is_numeric(text: &str) -> bool {
    let blank = ['\t', '\n', '\r', '\u{b}', '\u{c}'];
    let text = text.trim_matches(blank);
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once(['e', 'E']) {
        Some((number, power)) => digits(number) && digits(power.strip_prefix(['+', '-']).unwrap_or(power)),
        None => digits(text),
    }
}
