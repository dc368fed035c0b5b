//! What is wrong with a signature that is not well formed: which part is missing, which length or which encoding it has.

use super::case::Case;
use super::finding::Change;
use crate::gateway::captures::MASK;
use crate::outcome::Rejection;
use crate::scheme::{Algorithm, SignatureEncoding};
use hyper::header::HeaderName;

const CAUSE: &str = "signature_form";

/// Lengths of signatures in bytes.
const LENGTHS: [(Algorithm, usize); 7] = [
    (Algorithm::HmacSha1, 20),
    (Algorithm::HmacSha256, 32),
    (Algorithm::HmacSha512, 64),
    (Algorithm::Ed25519, 64),
    (Algorithm::Md5, 16),
    (Algorithm::Sha1, 20),
    (Algorithm::Sha256, 32),
];

/// The recording left out the credential, so that nothing can be said of it.
pub(super) fn masked(case: &Case) -> Option<Change> {
    let is_masked = |name: &&HeaderName| case.headers.get(*name).is_some_and(|value| value == MASK);
    let name = case.verifier.signature_headers().iter().find(is_masked)?;
    Some(Change::new(
        "masked",
        format!(
            "The header `{name}` was masked when the request was recorded, so the request cannot be verified again: it would be accepted, or the header is the secret itself."
        ),
        "compare the secret with the one that the provider shows, or give the header with --header",
    ))
}

/// The key that the provider publishes was not given, or is another one.
pub(super) fn published_keys(case: &Case, rejection: Rejection) -> Option<Change> {
    let published = case.verifier.key_source()?.published_at();
    let (what, fix) = if rejection == Rejection::KeyUnavailable {
        (
            String::from(
                "The provider signs with a key that it publishes, and nothing is fetched here: the form of the request and the claims of its token are right, but neither the signature was verified nor that the body is the signed one.",
            ),
            format!("save {published} to a file, and give it with --keys FILE"),
        )
    } else if rejection == Rejection::KeyUnknown {
        (
            String::from(
                "The request names a key that the file of --keys does not have, or whose certificate is not the provider's: it was replaced since, or somebody else made the request.",
            ),
            format!("save {published} again, and compare the id of the key with that of the request"),
        )
    } else {
        return None;
    };
    Some(Change::new("published_keys", what, fix))
}

/// A genuine token that is too old or too new.
pub(super) fn times(rejection: Rejection) -> Change {
    let what = if rejection == Rejection::TimestampFuture {
        "The token is genuine and was not valid yet when the request was received (claims `nbf` and `iat`): this machine's clock is behind."
    } else {
        "The token is genuine and was not valid any more when the request was received (claims `exp` and `iat`): the request was delivered late or repeated, or this machine's clock is ahead."
    };
    Change::new(
        "clock",
        what,
        "compare the machine's clock with the provider's delivery log",
    )
}

/// Explains the form of the signature header; `None` if it has the form that the scheme expects.
pub(super) fn form(case: &Case) -> Option<Change> {
    let name = case.verifier.signature_headers().first()?;
    let value = case.headers.get(name)?;
    let fix = "compare it with the header in the provider's delivery log, and forward it unchanged, as one string";
    let found = |what: String| Some(Change::new(CAUSE, what, fix));
    let Ok(text) = value.to_str().map(str::trim) else {
        return found(format!("The header `{name}` has characters that no signature has."));
    };
    let description = case.verifier.description();
    let signature = description.signature.clone().unwrap_or_default();
    if let Some(field) = &signature.field {
        let separator = signature.separator.unwrap_or(',');
        let parts: Vec<&str> = text.split(separator).map(str::trim).collect();
        let value_of = |wanted: &str| {
            parts.iter().find_map(|part| {
                part.split_once('=')
                    .filter(|(name, _)| *name == wanted)
                    .map(|(_, value)| value)
            })
        };
        let time = description.timestamp.as_ref().and_then(|time| time.field.as_deref());
        for (wanted, what) in [(Some(field.as_str()), "the signature"), (time, "the signed time")] {
            if let Some(wanted) = wanted
                && value_of(wanted).is_none()
            {
                return found(format!(
                    "The header `{name}` has no part `{wanted}=…` ({what}); its parts are separated by `{separator}`. The provider writes both."
                ));
            }
        }
        if let Some(bad) = parts.iter().find(|part| !part.contains('=')) {
            let shown = if bad.is_empty() {
                "an empty part"
            } else {
                "a part without `=`"
            };
            return found(format!(
                "The header `{name}` has {shown}; its parts are `name=value`, separated by `{separator}`."
            ));
        }
        let is_number = |time: &str| !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
        if time.and_then(value_of).is_some_and(|time| !is_number(time)) {
            return found(format!("The signed time in `{name}` is not a whole number of seconds."));
        }
        return value_of(field)
            .and_then(|value| one_signature(case, &format!("The part `{field}` of `{name}`"), value, fix));
    }
    let prefix = signature.prefix.as_deref().unwrap_or_default();
    let one = match signature.separator {
        Some(separator) => text.split(separator).find(|part| part.starts_with(prefix)),
        None => Some(text),
    };
    let Some(bare) = one.and_then(|one| one.strip_prefix(prefix)) else {
        return found(format!(
            "The header `{name}` does not begin with `{prefix}`, as the provider writes it."
        ));
    };
    one_signature(case, &format!("The signature in `{name}`"), bare, fix)
}

/// Explains one signature. `place` begins the sentence.
fn one_signature(case: &Case, place: &str, text: &str, fix: &str) -> Option<Change> {
    let description = case.verifier.description();
    let algorithm = description.algorithm.unwrap_or(Algorithm::HmacSha256);
    let bytes = LENGTHS
        .iter()
        .find(|(of, _)| *of == algorithm)
        .map(|(_, bytes)| *bytes)?;
    let encoding = description.encoding.unwrap_or(SignatureEncoding::Hex);
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let base64_length = bytes.div_ceil(3) * 4;
    let (expected, name) = if encoding == SignatureEncoding::Hex {
        (2 * bytes, "hexadecimal digits")
    } else if encoding == SignatureEncoding::Base64 {
        (base64_length, "characters of Base64")
    } else {
        return None;
    };
    let what = if text.is_empty() {
        format!("{place} is empty.")
    } else if encoding == SignatureEncoding::Hex && !is_hex {
        let seems = if text.len() == base64_length {
            ": it looks like Base64"
        } else {
            ""
        };
        format!("{place} has characters that are not hexadecimal digits{seems}.")
    } else if encoding != SignatureEncoding::Hex && is_hex && text.len() == 2 * bytes {
        format!("{place} is written in hexadecimal digits, but this provider writes Base64.")
    } else if text.len() < expected {
        format!(
            "{place} has {} characters, but {expected} {name} are expected: it was cut off.",
            text.len()
        )
    } else if text.len() > expected {
        format!(
            "{place} has {} characters, but {expected} {name} are expected.",
            text.len()
        )
    } else if encoding == SignatureEncoding::Hex && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        format!("{place} has hexadecimal digits in capitals, but this provider writes lower case.")
    } else {
        return None;
    };
    Some(Change::new(CAUSE, what, fix))
}
