//! Writes the lines of a head.

use crate::http::http1::lines;
use bytes::BytesMut;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Writes a head. Names and values come from parsed fields or from the gateway, so none contains a line end.
pub(super) struct HeadWriter(pub(super) BytesMut);

impl HeadWriter {
    pub(super) fn put(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
    }

    pub(super) fn field(&mut self, name: &str, value: &[u8]) {
        lines::field(&mut self.0, name.as_bytes(), value);
    }

    pub(super) fn decimal(&mut self, number: usize) {
        self.put(&[itoa::Buffer::new().format(number).as_bytes()]);
    }

    pub(super) fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    self.put(if index == 0 { &[] } else { &[b"."] });
                    self.decimal(octet.into());
                }
            }
            // Writing to a growing buffer cannot fail.
            IpAddr::V6(address) => drop(write!(self.0, "{address}")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_and_addresses_have_their_standard_form() {
        let written = |write: &dyn Fn(&mut HeadWriter)| {
            let mut head = HeadWriter(BytesMut::new());
            write(&mut head);
            String::from_utf8(head.0.to_vec()).unwrap()
        };
        for number in [0, 9, 10, 99, 100, 1_048_576, usize::MAX] {
            assert_eq!(written(&|head| head.decimal(number)), number.to_string());
        }
        for address in ["0.0.0.0", "192.0.2.10", "255.255.255.255", "::1", "2001:db8::a"] {
            let parsed = address.parse().unwrap();
            assert_eq!(written(&|head| head.address(parsed)), address);
        }
    }
}
