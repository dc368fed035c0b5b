//! Parses a signature header: its value, the parts of a list, the candidate signatures.
//!
//! All of it is bounded: one header, 1 KiB, eight candidates. Two readers must not understand it differently, so a
//! repeated header, a repeated timestamp and bytes other than printable ASCII are refused.

use super::asymmetric::MAX_SIGNATURE_BYTES;
use super::description::SignatureEncoding;
use super::mac::{HmacHash, Tag};
use crate::http::message::Headers;
use crate::outcome::Rejection;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use hyper::header::HeaderName;
use memchr::memchr;

/// Maximum length of a signature header in bytes; the longest genuine one has about 600.
pub(super) const MAX_HEADER_BYTES: usize = 1024;

/// Maximum number of candidate signatures of one request. A rotation needs two.
pub(super) const MAX_CANDIDATES: usize = 8;

/// Maximum number of candidate signatures that each cost a hash of the whole body (Ed25519). A rotation needs two.
pub(super) const MAX_HASHING_CANDIDATES: usize = 2;

/// Base64url (RFC 4648 §5) with optional padding, because some senders omit it.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The value of a header that must not be repeated, without surrounding spaces.
///
/// # Errors
/// `SignatureMissing` when it is absent or empty; `SignatureMalformed` when it is repeated, longer than
/// [`MAX_HEADER_BYTES`]
/// or has a byte that is not printable ASCII.
pub(super) fn only<'h>(headers: &'h Headers, name: &HeaderName) -> Result<&'h str, Rejection> {
    only_within(headers, name, MAX_HEADER_BYTES)
}

/// Like [`only`], for a header of at most `most` bytes.
///
/// # Errors
/// As [`only`].
pub(super) fn only_within<'h>(headers: &'h Headers, name: &HeaderName, most: usize) -> Result<&'h str, Rejection> {
    let mut values = headers.named(name.as_str());
    let value = values.next().ok_or(Rejection::SignatureMissing)?;
    // A tab is refused too: HTTP allows it, but an application that trims values may treat it as a space.
    let printable = value
        .iter()
        .fold(true, |printable, byte| printable & (0x20..0x7f).contains(byte));
    if values.next().is_some() || value.len() > most || !printable {
        return Err(Rejection::SignatureMalformed);
    }
    match std::str::from_utf8(value)
        .map_err(|_| Rejection::SignatureMalformed)?
        .trim_matches(' ')
    {
        "" => Err(Rejection::SignatureMissing),
        text => Ok(text),
    }
}

/// The `key=value` parts of a list, in order. Spaces around a part and one trailing separator are accepted. An empty
/// part and a part without `=` or without a key are errors.
pub(super) fn fields(text: &str, separator: char) -> ListFields<'_> {
    ListFields {
        rest: Some(text.strip_suffix(separator).unwrap_or(text)),
        separator,
    }
}

/// The iterator of [`fields`]. It uses `memchr`, because the general search of `str` costs more than these short texts
/// justify.
#[derive(Debug)]
pub(super) struct ListFields<'h> {
    rest: Option<&'h str>,
    separator: char,
}

impl<'h> Iterator for ListFields<'h> {
    type Item = Result<(&'h str, &'h str), Rejection>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = match split(self.rest.take()?, self.separator) {
            (part, None) => part,
            (part, rest) => {
                self.rest = rest;
                part
            }
        };
        Some(match split(part.trim_matches(' '), '=') {
            (_, None) | ("", _) => Err(Rejection::SignatureMalformed),
            (key, Some(value)) => Ok((key, value)),
        })
    }
}

/// Splits at the first `at`, which is ASCII. The second half is `None` when there is none.
fn split(text: &str, at: char) -> (&str, Option<&str>) {
    let found = u8::try_from(at).ok().and_then(|at| memchr(at, text.as_bytes()));
    let halves = found.and_then(|found| Some((text.get(..found)?, text.get(found + 1..)?)));
    halves.map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Whether two short texts are equal. Not constant time, so neither may be secret.
pub(super) fn is(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| a == b)
}

/// Up to [`MAX_CANDIDATES`] decoded signatures. The usual single one needs no allocation.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    first: Option<Tag>,
    more: Vec<Tag>,
}

impl Candidates {
    /// Adds a candidate.
    ///
    /// # Errors
    /// `SignatureMalformed` beyond [`MAX_CANDIDATES`].
    pub(super) fn push(&mut self, tag: Tag) -> Result<(), Rejection> {
        match self.first {
            None => self.first = Some(tag),
            Some(_) if self.more.len() + 1 < MAX_CANDIDATES => self.more.push(tag),
            Some(_) => return Err(Rejection::SignatureMalformed),
        }
        Ok(())
    }

    /// Whether there is no candidate.
    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The candidates in the order of the header.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.first.iter().chain(&self.more)
    }
}

/// Decodes a sender's MAC. `None` unless it has exactly the length of this hash.
pub(super) fn decode_tag(text: &str, encoding: SignatureEncoding, hash: HmacHash) -> Option<Tag> {
    // The base64 crate needs room for its estimate, which is up to two bytes more than it writes.
    let mut room = [0; Tag::MAX + 2];
    let len = match encoding {
        SignatureEncoding::Hex => hex(text, &LOWER, room.get_mut(..hash.len())?).map(|()| hash.len())?,
        SignatureEncoding::HexUpper => hex(text, &UPPER, room.get_mut(..hash.len())?).map(|()| hash.len())?,
        SignatureEncoding::Base64 => STANDARD.decode_slice(text, &mut room).ok()?,
        SignatureEncoding::Base64url => URL_SAFE.decode_slice(text, &mut room).ok()?,
    };
    (len == hash.len()).then(|| Tag::new(room.get(..len).unwrap_or_default()))
}

/// Decodes a sender's signature of any kind. `None` for an empty one, for one of more than about [`MAX_SIGNATURE_BYTES`]
/// bytes and for one in another encoding.
pub(super) fn decode(text: &str, encoding: SignatureEncoding) -> Option<Vec<u8>> {
    if text.is_empty() || text.len() > 2 * MAX_SIGNATURE_BYTES {
        return None;
    }
    match encoding {
        SignatureEncoding::Hex | SignatureEncoding::HexUpper => {
            let digits = match encoding == SignatureEncoding::Hex {
                true => &LOWER,
                false => &UPPER,
            };
            let mut bytes = vec![0; text.len() / 2];
            hex(text, digits, &mut bytes).map(|()| bytes)
        }
        SignatureEncoding::Base64 => STANDARD.decode(text).ok(),
        SignatureEncoding::Base64url => URL_SAFE.decode(text).ok(),
    }
}

/// Encodes a signature as a sender does.
pub(super) fn encode(bytes: &[u8], encoding: SignatureEncoding) -> String {
    match encoding {
        SignatureEncoding::Hex => hex::encode(bytes),
        SignatureEncoding::HexUpper => hex::encode_upper(bytes),
        SignatureEncoding::Base64 => STANDARD.encode(bytes),
        SignatureEncoding::Base64url => URL_SAFE_NO_PAD.encode(bytes),
    }
}

/// The value of every hex digit of one case; [`NO_DIGIT`] for any other byte.
type Digits = [u8; 256];

/// The lower-case digits.
const LOWER: Digits = table(b"0123456789abcdef");

/// The upper-case digits.
const UPPER: Digits = table(b"0123456789ABCDEF");

/// The table of these sixteen digits.
const fn table(digits: &[u8; 16]) -> Digits {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[digits[value as usize] as usize] = value;
        }
        value += 1;
    }
    table
}

/// Marks a byte that is no digit; its bits do not overlap with those of a digit.
const NO_DIGIT: u8 = 0xf0;

/// Decodes hex of one case. `None` for other digits and for a length other than twice that of `into`. The other case is
/// refused, because all official libraries compare text, so a header with the other case is not from the provider.
fn hex(text: &str, digits: &Digits, into: &mut [u8]) -> Option<()> {
    if text.len() != into.len() * 2 {
        return None;
    }
    // One check at the end, because a branch for every digit costs more than the decoding.
    let mut all = 0;
    for (to, pair) in into.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = *pair else { return None };
        let (high, low) = (digit(digits, high), digit(digits, low));
        all |= high | low;
        *to = high << 4 | low;
    }
    (all & NO_DIGIT == 0).then_some(())
}

/// The value of one digit, or [`NO_DIGIT`].
#[allow(clippy::indexing_slicing, reason = "a byte cannot be out of range of a table of 256")]
const fn digit(digits: &Digits, byte: u8) -> u8 {
    digits[byte as usize]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn malformed_lists_are_refused() {
        let read = |text| fields(text, ';').collect::<Result<Vec<_>, _>>();
        assert_eq!(read("ts=1;h1=a=b"), Ok(vec![("ts", "1"), ("h1", "a=b")]));
        assert_eq!(read(" ts=1 ; h1= ;"), Ok(vec![("ts", "1"), ("h1", "")]));
        for bad in ["", ";", "ts", "ts=1;;h1=a", "ts=1;;", ";ts=1", "=1", "ts=1; ;h1=a"] {
            assert_eq!(read(bad), Err(Rejection::SignatureMalformed), "{bad:?}");
        }
    }

    #[test]
    fn a_tag_has_exactly_one_accepted_text() {
        for hash in [HmacHash::Sha1, HmacHash::Sha256, HmacHash::Sha512] {
            let bytes: Vec<u8> = (0..=255).take(hash.len()).collect();
            for encoding in [
                SignatureEncoding::Hex,
                SignatureEncoding::HexUpper,
                SignatureEncoding::Base64,
                SignatureEncoding::Base64url,
            ] {
                let text = encode(&bytes, encoding);
                let read = |text: &str| decode_tag(text, encoding, hash).map(|tag| tag.as_slice().to_vec());
                assert_eq!(read(&text).as_ref(), Some(&bytes));
                assert_eq!(decode(&text, encoding).as_ref(), Some(&bytes));
                // The padding of base64url is optional.
                let padded = format!("{text}=");
                let is_padding = encoding == SignatureEncoding::Base64url;
                assert_eq!(read(&padded).is_some(), is_padding, "{padded}");
                for bad in [
                    format!("{text}==="),
                    format!("{text}A"),
                    format!(" {text}"),
                    text[1..].to_owned(),
                    String::new(),
                ] {
                    assert_eq!(read(&bad), None, "{bad}");
                }
            }
        }
        // Bits after the last byte must be zero. Otherwise one signature would have four accepted texts.
        assert_eq!(decode("AB==", SignatureEncoding::Base64), None);
        assert_eq!(decode("AA==", SignatureEncoding::Base64), Some(vec![0]));
        assert_eq!(
            decode(&"00".repeat(MAX_SIGNATURE_BYTES + 1), SignatureEncoding::Hex),
            None
        );
    }

    #[test]
    fn only_hex_of_the_wanted_case_and_length_is_accepted() {
        let mut out = [0; 2];
        assert_eq!(hex("00ff", &LOWER, &mut out), Some(()));
        assert_eq!(out, [0, 0xff]);
        for bad in ["00fF", "00f", "00fff", "", "0x0f", "00g0", "０f"] {
            assert_eq!(hex(bad, &LOWER, &mut out), None, "{bad:?}");
        }
        assert_eq!(hex("0A9F", &UPPER, &mut out), Some(()));
        assert_eq!(out, [0x0a, 0x9f]);
        for bad in ["0a9F", "00f", "0G00"] {
            assert_eq!(hex(bad, &UPPER, &mut out), None, "{bad:?}");
        }
    }
}
