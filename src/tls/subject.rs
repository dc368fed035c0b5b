//! The subject of a certificate as one line of text (RFC 4514), for the header field that is passed to the application.
//!
//! The holder of a certificate can choose parts of its subject. Therefore separators inside a value are escaped: a
//! common name `a,O=b` cannot look like two attributes. The result is visible ASCII.

use hyper::header::HeaderValue;
use rustls_pki_types::CertificateDer;
use std::fmt::Write as _;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer as _, X509Certificate};

/// The subject, most specific part first: `CN=sender-1,OU=billing,O=Example`. Empty for a certificate without a subject
/// (its names are then in an extension); `None` if the bytes are not a certificate.
#[must_use]
pub fn subject(certificate: &CertificateDer<'_>) -> Option<HeaderValue> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let parts = certificate.subject().iter_rdn().map(|part| {
        let attributes: Vec<String> = part.iter().map(attribute).collect();
        attributes.join("+")
    });
    let mut parts: Vec<String> = parts.collect();
    parts.reverse();
    HeaderValue::try_from(parts.join(",")).ok()
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let mut text = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
    text.push('=');
    match attribute.as_str() {
        Ok(value) => escape(value, &mut text),
        // RFC 4514 writes a value that is not UTF-8 as its bytes in hexadecimal.
        Err(_) => {
            text.push('#');
            for byte in attribute.as_slice() {
                let _ = write!(text, "{byte:02X}");
            }
        }
    }
    text
}

fn escape(value: &str, into: &mut String) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => {
                into.push('\\');
                into.push(char::from(byte));
            }
            b'#' if at == 0 => into.push_str("\\#"),
            b' ' if at == 0 || at == last => into.push_str("\\ "),
            b' '..=b'~' => into.push(char::from(byte)),
            0..=0x1f | 0x7f..=0xff => {
                let _ = write!(into, "\\{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    fn subject_of(parts: &[(DnType, &str)]) -> String {
        let mut name = DistinguishedName::new();
        for (kind, value) in parts {
            name.push(kind.clone(), *value);
        }
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = name;
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        subject(made.der()).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn the_most_specific_part_comes_first() {
        let parts = [
            (DnType::OrganizationName, "Example"),
            (DnType::OrganizationalUnitName, "billing"),
            (DnType::CommonName, "sender-1"),
        ];
        assert_eq!(subject_of(&parts), "CN=sender-1,OU=billing,O=Example");
        assert_eq!(subject_of(&[]), "");
    }

    /// A value cannot add a second attribute, a line end or a quote.
    #[test]
    fn separators_inside_a_value_are_escaped() {
        for (value, expected) in [
            ("a,CN=admin", r"CN=a\,CN\=admin"),
            ("a+OU=x", r"CN=a\+OU\=x"),
            (r#"a"b\c"#, r#"CN=a\"b\\c"#),
            ("a\r\nHookgate-Key: x", r"CN=a\0D\0AHookgate-Key: x"),
            (" #a ", r"CN=\ #a\ "),
            ("#a", r"CN=\#a"),
            ("ä", r"CN=\C3\A4"),
        ] {
            assert_eq!(subject_of(&[(DnType::CommonName, value)]), expected);
        }
    }

    #[test]
    fn bytes_that_are_not_a_certificate_have_no_subject() {
        assert_eq!(subject(&CertificateDer::from(vec![1, 2, 3])), None);
    }
}
