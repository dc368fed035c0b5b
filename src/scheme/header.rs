//! Reads what a signature header says: the one value, its parts, the candidate signatures.
//!
//! Everything a sender can write here is bounded: one header, 1 KiB, eight candidates. Two readers must never see two
//! different things in it, so a second header of the name, a second timestamp and anything but plain ASCII is refused.

use super::asymmetric::MAX_SIGNATURE;
use super::custom::Encoding;
use super::mac::{Hash, Tag};
use crate::http::message::Headers;
use crate::outcome::Rejection;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use hyper::header::HeaderName;
use memchr::memchr;

/// Longest signature header that is looked at, in bytes; the longest genuine one has about 600.
pub(super) const MAX_HEADER: usize = 1024;

/// Most candidate signatures of one request. Rotation needs two.
pub(super) const MAX_CANDIDATES: usize = 8;

/// RFC 4648 §5; some senders pad it and some do not.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The only value of a header, without spaces around it.
///
/// # Errors
/// `SignatureMissing` when it is absent or empty; `SignatureMalformed` when it is there twice, longer than
/// [`MAX_HEADER`] or has a byte that is not printable ASCII.
pub(super) fn only<'h>(headers: &'h Headers, name: &HeaderName) -> Result<&'h str, Rejection> {
    let mut values = headers.named(name.as_str());
    let value = values.next().ok_or(Rejection::SignatureMissing)?;
    // Also refuses the tab, which HTTP allows and a trimming upstream might treat as a space.
    let printable = value
        .iter()
        .fold(true, |printable, byte| printable & (0x20..0x7f).contains(byte));
    if values.next().is_some() || value.len() > MAX_HEADER || !printable {
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

/// The `key=value` parts of a list, in order: spaces around a part and one trailing separator are tolerated, a part
/// without `=`, without a key, or without anything is an error.
pub(super) fn fields(text: &str, separator: char) -> Fields<'_> {
    Fields {
        rest: Some(text.strip_suffix(separator).unwrap_or(text)),
        separator,
    }
}

/// See [`fields`]. Written out, because the general searchers of `str` cost more than the short texts they search.
#[derive(Debug)]
pub(super) struct Fields<'h> {
    rest: Option<&'h str>,
    separator: char,
}

impl<'h> Iterator for Fields<'h> {
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

/// What stands before the first such sign, and what after it. The sign is ASCII.
fn split(text: &str, at: char) -> (&str, Option<&str>) {
    let found = u8::try_from(at).ok().and_then(|at| memchr(at, text.as_bytes()));
    let halves = found.and_then(|found| Some((text.get(..found)?, text.get(found + 1..)?)));
    halves.map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Whether two short texts are the same; neither is secret.
pub(super) fn is(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| a == b)
}

/// One to [`MAX_CANDIDATES`] decoded signatures; the common single one needs no allocation.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    first: Option<Tag>,
    more: Vec<Tag>,
}

impl Candidates {
    /// Adds one.
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

    /// Whether there is none.
    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// In the order of the header.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.first.iter().chain(&self.more)
    }
}

/// A MAC of this hash as a sender writes it; `None` unless it is exactly that.
pub(super) fn decode_tag(text: &str, encoding: Encoding, hash: Hash) -> Option<Tag> {
    // base64 wants room for its estimate, which is up to two bytes more than it writes.
    let mut room = [0; Tag::MAX + 2];
    let len = match encoding {
        Encoding::Hex => hex_lower(text, room.get_mut(..hash.len())?).map(|()| hash.len())?,
        Encoding::Base64 => STANDARD.decode_slice(text, &mut room).ok()?,
        Encoding::Base64url => URL_SAFE.decode_slice(text, &mut room).ok()?,
    };
    (len == hash.len()).then(|| Tag::new(room.get(..len).unwrap_or_default()))
}

/// Any signature as a sender writes it, up to [`MAX_SIGNATURE`] bytes.
pub(super) fn decode(text: &str, encoding: Encoding) -> Option<Vec<u8>> {
    if text.is_empty() || text.len() > 2 * MAX_SIGNATURE {
        return None;
    }
    match encoding {
        Encoding::Hex => {
            let mut bytes = vec![0; text.len() / 2];
            hex_lower(text, &mut bytes).map(|()| bytes)
        }
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Base64url => URL_SAFE.decode(text).ok(),
    }
}

/// A signature as a sender would write it.
pub(super) fn encode(bytes: &[u8], encoding: Encoding) -> String {
    match encoding {
        Encoding::Hex => hex::encode(bytes),
        Encoding::Base64 => STANDARD.encode(bytes),
        Encoding::Base64url => URL_SAFE.encode(bytes),
    }
}

/// The value of every lower-case hex digit; [`NO_DIGIT`] for any other byte.
const DIGITS: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        #[allow(clippy::indexing_slicing)] // Evaluated by the compiler.
        {
            table[b"0123456789abcdef"[value as usize] as usize] = value;
        }
        value += 1;
    }
    table
};

const NO_DIGIT: u8 = 0xf0;

/// Lower-case hex to bytes; `None` for any other digit or an odd number of them. Upper case is refused because every
/// official library compares text, so a header that has it is not the provider's.
fn hex_lower(text: &str, into: &mut [u8]) -> Option<()> {
    if text.len() != into.len() * 2 {
        return None;
    }
    // Judged once at the end: a branch for every digit costs more than the digits.
    let mut all = 0;
    for (to, pair) in into.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = *pair else { return None };
        let (high, low) = (digit(high), digit(low));
        all |= high | low;
        *to = high << 4 | low;
    }
    (all & NO_DIGIT == 0).then_some(())
}

#[allow(clippy::indexing_slicing)] // A byte cannot be out of a table of 256.
const fn digit(byte: u8) -> u8 {
    DIGITS[byte as usize]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_list_is_read_strictly() {
        let read = |text| fields(text, ';').collect::<Result<Vec<_>, _>>();
        assert_eq!(read("ts=1;h1=a=b"), Ok(vec![("ts", "1"), ("h1", "a=b")]));
        assert_eq!(read(" ts=1 ; h1= ;"), Ok(vec![("ts", "1"), ("h1", "")]));
        for bad in ["", ";", "ts", "ts=1;;h1=a", "ts=1;;", ";ts=1", "=1", "ts=1; ;h1=a"] {
            assert_eq!(read(bad), Err(Rejection::SignatureMalformed), "{bad:?}");
        }
    }

    #[test]
    fn a_tag_is_written_in_one_way() {
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha512] {
            let bytes: Vec<u8> = (0..=255).take(hash.len()).collect();
            for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64url] {
                let text = encode(&bytes, encoding);
                let read = |text: &str| decode_tag(text, encoding, hash).map(|tag| tag.as_slice().to_vec());
                assert_eq!(read(&text).as_ref(), Some(&bytes));
                assert_eq!(decode(&text, encoding).as_ref(), Some(&bytes));
                for bad in [
                    format!("{text}="),
                    format!("{text}A"),
                    format!(" {text}"),
                    text[1..].to_owned(),
                    String::new(),
                ] {
                    assert_eq!(read(&bad), None, "{bad}");
                }
            }
        }
        // Bits beyond the last byte must be zero, or one signature would have four spellings.
        assert_eq!(decode("AB==", Encoding::Base64), None);
        assert_eq!(decode("AA==", Encoding::Base64), Some(vec![0]));
        assert_eq!(decode(&"00".repeat(MAX_SIGNATURE + 1), Encoding::Hex), None);
    }

    #[test]
    fn hex_is_lower_case_and_whole() {
        let mut out = [0; 2];
        assert_eq!(hex_lower("00ff", &mut out), Some(()));
        assert_eq!(out, [0, 0xff]);
        for bad in ["00fF", "00f", "00fff", "", "0x0f", "00g0", "０f"] {
            assert_eq!(hex_lower(bad, &mut out), None, "{bad:?}");
        }
    }
}
