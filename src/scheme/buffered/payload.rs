//! Writes the signed payload once the body is complete.

use super::{BufferedCheck, Content, Piece};
use crate::outcome::Rejection;
use crate::scheme::location::SignatureLocation;
use crate::scheme::template::PayloadPart;
use crate::scheme::{form, header, sns};
use crate::secret::Secret;
use zeroize::Zeroizing;

/// Stands in place of the secret in the identity of a plain digest. It separates the texts before and after the secret.
const SECRET_MARK: &[u8] = b"\0secret\0";

impl BufferedCheck {
    /// Builds the payload for one variant of the URL; `secret` for plain digests, `None` for a mark in its place.
    pub(super) fn payload(
        &self,
        url: &[u8],
        content: &Content<'_>,
        secret: Option<&Secret>,
    ) -> Result<Zeroizing<Vec<u8>>, Rejection> {
        let mut out = Zeroizing::new(Vec::with_capacity(content.body.len() + 256));
        for piece in &self.pieces {
            match piece {
                Piece::Known(bytes) => out.extend_from_slice(bytes),
                Piece::Later(part) => self.write_late_part(part, url, content, secret, &mut out)?,
            }
        }
        Ok(out)
    }

    /// Appends a part that is not in the head.
    fn write_late_part(
        &self,
        part: &PayloadPart,
        url: &[u8],
        content: &Content<'_>,
        secret: Option<&Secret>,
        out: &mut Vec<u8>,
    ) -> Result<(), Rejection> {
        let secret = secret.map_or(SECRET_MARK, Secret::expose);
        match part {
            PayloadPart::Body => out.extend_from_slice(content.body),
            PayloadPart::BodyHash(hash, encoding) => {
                out.extend_from_slice(header::encode(&hash.digest(content.body), *encoding).as_bytes());
            }
            PayloadPart::Url => out.extend_from_slice(url),
            PayloadPart::Secret => out.extend_from_slice(secret),
            PayloadPart::Json(pointer, optional) => match content.json.text(pointer) {
                Some(text) => {
                    self.scheme.boundaries.check_value(part, text.as_bytes())?;
                    out.extend_from_slice(text.as_bytes());
                }
                None if *optional => {}
                None => return Err(Rejection::SignatureMalformed),
            },
            PayloadPart::Form => out.extend_from_slice(&form::concatenated(&content.form)),
            PayloadPart::FormField(name) => {
                let value = form::value(&content.form, name)?.ok_or(Rejection::SignatureMalformed)?;
                self.scheme.boundaries.check_value(part, value)?;
                out.extend_from_slice(value);
            }
            PayloadPart::Php => {
                let without = match &self.scheme.signature {
                    SignatureLocation::Form(name) => name.as_str(),
                    SignatureLocation::Header(..)
                    | SignatureLocation::Query(_)
                    | SignatureLocation::Json(_)
                    | SignatureLocation::EachJson(_) => "",
                };
                out.extend_from_slice(&form::php_serialized(&content.form, without)?);
            }
            PayloadPart::FormDigest => self.scheme.form_digest.write(&content.form, secret, out)?,
            PayloadPart::BodyText => json_text(content.body, out)?,
            PayloadPart::Crc32 => {
                let mut sum = flate2::Crc::new();
                sum.update(content.body);
                out.extend_from_slice(sum.sum().to_string().as_bytes());
            }
            PayloadPart::Sns(topics) => sns::write(&content.json, topics, out)?,
            // These parts are in the head, so they are `Piece::Known`.
            PayloadPart::Literal(_)
            | PayloadPart::Timestamp
            | PayloadPart::Method
            | PayloadPart::Path
            | PayloadPart::Target
            | PayloadPart::Query
            | PayloadPart::QueryParameter(_)
            | PayloadPart::Header(_)
            | PayloadPart::Field(_)
            | PayloadPart::ListedHeaders(_) => {}
        }
        Ok(())
    }
}

/// Appends a body as a text of JSON, as `JSON.stringify` writes it. Its length is at most twice that of the body, and its own end
/// is known from its bytes.
///
/// # Errors
/// `SignatureMalformed` for a body that is not UTF-8, or has control characters that no JSON has.
fn json_text(body: &[u8], out: &mut Vec<u8>) -> Result<(), Rejection> {
    std::str::from_utf8(body).map_err(|_| Rejection::SignatureMalformed)?;
    out.push(b'"');
    for byte in body {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..b' ' => return Err(Rejection::SignatureMalformed),
            other => out.push(*other),
        }
    }
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_body_is_written_as_a_text_of_json(body in "[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f]*") {
            let mut out = Vec::new();
            json_text(body.as_bytes(), &mut out).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&body).unwrap());
        }
    }

    #[test]
    fn what_is_no_text_of_json_is_refused() {
        for body in [&b"\x01"[..], b"a\0", b"\xff"] {
            assert_eq!(
                json_text(body, &mut Vec::new()),
                Err(Rejection::SignatureMalformed),
                "{body:?}"
            );
        }
    }
}
