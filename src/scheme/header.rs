//! Reads what a signature header says: the one value, its parts, the candidate signatures.
//!
//! Everything a sender can write here is bounded: one header, 1 KiB, eight candidates. Two readers must never see two
//! different things in it, so a second header of the name, a second timestamp and anything but plain ASCII is refused.

use super::asymmetric::MAX_SIGNATURE;
use super::custom::Encoding;
use super::mac::{Hash, Tag};
use crate::outcome::Rejection;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use hyper::HeaderMap;
use hyper::header::HeaderName;

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
pub(super) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, Rejection> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Rejection::SignatureMissing)?;
    if values.next().is_some() || value.len() > MAX_HEADER {
        return Err(Rejection::SignatureMalformed);
    }
    // Also refuses the tab, which `HeaderValue` allows and a trimming upstream might treat as a space.
    let text = value.to_str().map_err(|_| Rejection::SignatureMalformed)?;
    if text.contains('\t') {
        return Err(Rejection::SignatureMalformed);
    }
    match text.trim_matches(' ') {
        "" => Err(Rejection::SignatureMissing),
        text => Ok(text),
    }
}

/// The `key=value` parts of a list, in order: spaces around a part and one trailing separator are tolerated, a part
/// without `=`, without a key, or without anything is an error.
pub(super) fn fields(text: &str, separator: char) -> impl Iterator<Item = Result<(&str, &str), Rejection>> {
    let text = text.strip_suffix(separator).unwrap_or(text);
    text.split(separator)
        .map(|part| match part.trim_matches(' ').split_once('=') {
            None | Some(("", _)) => Err(Rejection::SignatureMalformed),
            Some(field) => Ok(field),
        })
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

/// Lower-case hex to bytes; `None` for any other digit or an odd number of them. Upper case is refused because every
/// official library compares text, so a header that has it is not the provider's.
fn hex_lower(text: &str, into: &mut [u8]) -> Option<()> {
    const fn digit(byte: u8) -> Option<u8> {
        match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        }
    }
    if text.len() != into.len() * 2 {
        return None;
    }
    for (to, pair) in into.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = *pair else { return None };
        *to = digit(high)? << 4 | digit(low)?;
    }
    Some(())
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
