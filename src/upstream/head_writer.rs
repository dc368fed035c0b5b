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
