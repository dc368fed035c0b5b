//! Form-encoded fields, and the two texts that providers sign of them: PHP's serialization and Twilio's concatenation.
//!
//! PHP rewrites field names when it reads a form, and Paddle Classic signs the result. PHP's rules are therefore
//! implemented here (`php_register_variable_ex`, `ksort`, `serialize`; `tests/php/differential.php` compares them with
//! PHP itself). The request is refused where these rules would let the application read another value than the signed
//! one, and where the result depends on the version of PHP.

use crate::http::percent;
use crate::outcome::Rejection;
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of fields of one form, as PHP's `max_input_vars`.
const MAX_FIELDS: usize = 1000;

/// A decoded field: name and value.
pub(super) type FormField = (Vec<u8>, Vec<u8>);

/// Decodes `a=1&b=x+y%21`. A field without `=` has an empty value. A `%` that begins no escape is kept.
///
/// # Errors
/// `SignatureMalformed` beyond [`MAX_FIELDS`].
pub(super) fn decode(form: &[u8]) -> Result<Vec<FormField>, Rejection> {
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

/// The value of a field; `None` when it is absent. A field may be repeated with the same value.
///
/// # Errors
/// `SignatureMalformed` when the field has two different values, or when another field imitates it.
pub(super) fn value<'p>(pairs: &'p [FormField], name: &str) -> Result<Option<&'p [u8]>, Rejection> {
    if pairs.iter().any(|pair| imitates(&pair.0, name.as_bytes())) {
        return Err(Rejection::SignatureMalformed);
    }
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

/// Whether a framework reads the field `other` as `name`, which is written differently: PHP ignores spaces before a name,
/// ends it at a NUL, and has underscores in place of spaces and dots; PHP, Rack and Node's qs read `name[…]` as a part of
/// `name`.
fn imitates(other: &[u8], name: &[u8]) -> bool {
    let as_read = |name: &[u8]| -> Vec<u8> {
        let name = name.trim_ascii_start();
        let end = name.iter().position(|byte| matches!(byte, b'[' | 0));
        let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
        let sign = |byte: &u8| if matches!(byte, b' ' | b'.') { b'_' } else { *byte };
        name.iter().map(sign).collect()
    };
    other != name && as_read(other) == as_read(name)
}

/// Checks that no field has two different values, because frameworks disagree about which one counts.
///
/// # Errors
/// `SignatureMalformed` for such a field.
pub(super) fn unambiguous(pairs: &[FormField]) -> Result<(), Rejection> {
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

/// The text that Twilio signs: names in ascending order, each followed by its value. Several values of one name are
/// sorted too; a repeated pair counts once.
pub(super) fn concatenated(pairs: &[FormField]) -> Vec<u8> {
    let unique: BTreeSet<&FormField> = pairs.iter().collect();
    unique
        .into_iter()
        .flat_map(|(name, value)| [name.as_slice(), value])
        .collect::<Vec<_>>()
        .concat()
}

/// A key of a PHP array. Integers sort before texts, as `ksort` sorts the texts that are accepted here.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PhpKey {
    Integer(i64),
    Text(Vec<u8>),
}

/// The text that Paddle Classic signs: the form without the field `without`, sorted by `ksort` and written by
/// `serialize`.
///
/// # Errors
/// `SignatureMalformed` for names that PHP drops, nests or truncates; for a name with two values (PHP keeps the last,
/// other frameworks the first, so an attacker with a captured request could put another value before the signed one);
/// and for names that look like numbers, whose order depends on the version of PHP.
pub(super) fn php_serialized(pairs: &[FormField], without: &str) -> Result<Vec<u8>, Rejection> {
    let mut fields: BTreeMap<PhpKey, &[u8]> = BTreeMap::new();
    for (name, value) in pairs {
        let key = php_key(name).ok_or(Rejection::SignatureMalformed)?;
        if fields.insert(key, value).is_some_and(|earlier| earlier != value) {
            return Err(Rejection::SignatureMalformed);
        }
    }
    fields.remove(&PhpKey::Text(without.as_bytes().to_vec()));
    let has_integers = fields.keys().any(|key| matches!(key, PhpKey::Integer(_)));
    let mixed = |key: &PhpKey| match key {
        PhpKey::Integer(_) => false,
        PhpKey::Text(text) => text.first().is_some_and(|first| *first <= b'9'),
    };
    if has_integers && fields.keys().any(mixed) {
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

/// The array key that PHP makes of a field's name; `None` for names that are refused.
fn php_key(name: &[u8]) -> Option<PhpKey> {
    let spaces = name.iter().take_while(|byte| **byte == b' ').count();
    let name = name.get(spaces..)?;
    // PHP makes nested arrays of brackets, truncates names at a NUL and drops fields without a name.
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

/// Whether PHP's `is_numeric` is true. Dots and spaces were replaced before.
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
