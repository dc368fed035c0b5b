//! Parses the header of the PROXY protocol, versions 1 and 2. A balancer that forwards bytes sends this header before
//! the first byte of the sender, to pass on the sender's address. Pure. Source: HAProxy, "The PROXY protocol, versions
//! 1 & 2" (`doc/proxy-protocol.txt`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The most bytes of a version 1 header, with its line end.
const MAX_LINE_BYTES: usize = 107;
/// The most bytes of a header. The length field of version 2 allows 64 KiB. HAProxy itself sends no more than its
/// buffer holds, which is this size; a header with addresses only has at most 232 bytes.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The first bytes of a version 1 header.
const V1_PREFIX: &[u8] = b"PROXY ";
/// The first bytes of a version 2 header.
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of the fixed part of a version 2 header: signature, version and command, family and transport, length.
const V2_FIXED_BYTES: usize = 16;

/// A complete header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Length of the header in bytes; the bytes after it come from the sender.
    pub length_bytes: usize,
    /// Where the connection comes from.
    pub source: ProxySource,
}

/// Where a connection comes from, according to its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxySource {
    /// A sender with this address, in canonical form (an IPv4-mapped IPv6 address becomes IPv4).
    Sender(IpAddr),
    /// A sender without an IP address in the header: `UNKNOWN`, `UNSPEC`, a Unix socket, a datagram.
    Unknown,
    /// The balancer itself (`LOCAL`), for a health check.
    Balancer,
}

/// Why there is no valid header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeaderError {
    /// The bytes do not begin like a header.
    Absent,
    /// The bytes begin like a header, but it is not valid.
    Malformed,
    /// The header exceeds [`MAX_HEADER_BYTES`], or a version 1 line has no end within 107 bytes.
    TooLong,
}

/// Parses the header at the beginning of `bytes`; `None` when more bytes are needed, which never happens with
/// [`MAX_HEADER_BYTES`] or more.
///
/// # Errors
/// As soon as no further bytes could make it a valid header.
pub fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    if bytes.first() == V1_PREFIX.first() {
        parse_v1(bytes)
    } else {
        parse_v2(bytes)
    }
}

/// Parses version 1, a line of text: `PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n`.
fn parse_v1(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let Some(rest) = after(bytes, V1_PREFIX)? else {
        return Ok(None);
    };
    let within = bytes.get(..MAX_LINE_BYTES).unwrap_or(bytes);
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        let is_full = bytes.len() >= MAX_LINE_BYTES;
        return if is_full {
            Err(ProxyHeaderError::TooLong)
        } else {
            Ok(None)
        };
    };
    let text = rest.get(..end - V1_PREFIX.len()).ok_or(ProxyHeaderError::Malformed)?;
    let text = std::str::from_utf8(text).map_err(|_| ProxyHeaderError::Malformed)?;
    let mut fields = text.split(' ');
    let source = match fields.next() {
        // The specification requires the rest of the line to be ignored.
        Some("UNKNOWN") => ProxySource::Unknown,
        Some("TCP4") => ProxySource::Sender(sender_address::<Ipv4Addr>(fields)?.into()),
        Some("TCP6") => ProxySource::Sender(sender_address::<Ipv6Addr>(fields)?.to_canonical()),
        Some(_) | None => return Err(ProxyHeaderError::Malformed),
    };
    Ok(Some(ProxyHeader {
        length_bytes: end + 2,
        source,
    }))
}

/// Parses two addresses of one family and two ports; returns the first address, which is that of the sender.
fn sender_address<'a, A: FromStr>(mut fields: impl Iterator<Item = &'a str>) -> Result<A, ProxyHeaderError> {
    let mut address = || fields.next()?.parse().ok();
    let (source, _): (A, A) = (
        address().ok_or(ProxyHeaderError::Malformed)?,
        address().ok_or(ProxyHeaderError::Malformed)?,
    );
    let are_ports = fields.next().is_some_and(is_port) && fields.next().is_some_and(is_port);
    if are_ports && fields.next().is_none() {
        Ok(source)
    } else {
        Err(ProxyHeaderError::Malformed)
    }
}

/// Whether `text` is a decimal number from 0 to 65535 without a sign or leading zeros.
fn is_port(text: &str) -> bool {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    is_plain && text.parse::<u16>().is_ok()
}

/// Parses version 2, a binary header.
fn parse_v2(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    if after(bytes, V2_SIGNATURE)?.is_none() {
        return Ok(None);
    }
    // The first fields are checked before the rest has arrived, because an error in them is final.
    let command = match bytes.get(V2_SIGNATURE.len()) {
        Some(0x20) => ProxyCommand::Local,
        Some(0x21) => ProxyCommand::Proxy,
        Some(_) => return Err(ProxyHeaderError::Malformed),
        None => return Ok(None),
    };
    let Some((&[.., family, high, low], rest)) = bytes.split_first_chunk::<V2_FIXED_BYTES>() else {
        return Ok(None);
    };
    let declared = usize::from(u16::from_be_bytes([high, low]));
    let length = V2_FIXED_BYTES + declared;
    let source = match command {
        // The specification requires the family to be ignored with `LOCAL`.
        ProxyCommand::Local => AddressBlock::Known(ProxySource::Balancer),
        ProxyCommand::Proxy => address_block(family).ok_or(ProxyHeaderError::Malformed)?,
    };
    let needed = match source {
        AddressBlock::Inet => 12,
        AddressBlock::Inet6 => 36,
        AddressBlock::Unix => 216,
        AddressBlock::Known(_) => 0,
    };
    if declared < needed {
        return Err(ProxyHeaderError::Malformed);
    }
    if length > MAX_HEADER_BYTES {
        return Err(ProxyHeaderError::TooLong);
    }
    let Some(block) = rest.get(..declared) else {
        return Ok(None);
    };
    // The block has source, destination and ports; optional type-length-value fields follow, which are ignored.
    let source = match source {
        AddressBlock::Inet => ProxySource::Sender(first::<4>(block)?.into()),
        AddressBlock::Inet6 => ProxySource::Sender(IpAddr::from(first::<16>(block)?).to_canonical()),
        AddressBlock::Unix => ProxySource::Unknown,
        AddressBlock::Known(source) => source,
    };
    Ok(Some(ProxyHeader {
        length_bytes: length,
        source,
    }))
}

/// The command of a version 2 header.
#[derive(Clone, Copy)]
enum ProxyCommand {
    /// The connection comes from the balancer itself.
    Local,
    /// The connection is forwarded for a sender.
    Proxy,
}

/// The addresses at the beginning of the variable part of a version 2 header.
#[derive(Clone, Copy)]
enum AddressBlock {
    /// IPv4 addresses and ports: 12 bytes.
    Inet,
    /// IPv6 addresses and ports: 36 bytes.
    Inet6,
    /// Paths of Unix sockets: 216 bytes.
    Unix,
    /// No addresses are needed; the source is known already.
    Known(ProxySource),
}

/// The addresses for a byte of address family and transport; `None` for an invalid combination. Datagrams cannot arrive
/// over a stream; they are treated like `UNSPEC`, which the specification allows.
const fn address_block(family: u8) -> Option<AddressBlock> {
    match family {
        0x11 => Some(AddressBlock::Inet),
        0x21 => Some(AddressBlock::Inet6),
        0x31 | 0x32 => Some(AddressBlock::Unix),
        0x00 | 0x12 | 0x22 => Some(AddressBlock::Known(ProxySource::Unknown)),
        _ => None,
    }
}

/// The first `N` bytes of `block`.
fn first<const N: usize>(block: &[u8]) -> Result<[u8; N], ProxyHeaderError> {
    block.first_chunk().copied().ok_or(ProxyHeaderError::Malformed)
}

/// The bytes after `expected`; `None` while `expected` has not arrived completely.
fn after<'a>(bytes: &'a [u8], expected: &[u8]) -> Result<Option<&'a [u8]>, ProxyHeaderError> {
    match bytes.strip_prefix(expected) {
        Some(rest) => Ok(Some(rest)),
        None if expected.starts_with(bytes) => Ok(None),
        None => Err(ProxyHeaderError::Absent),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[command, family], &length, block].concat()
    }

    fn source(bytes: &[u8]) -> ProxySource {
        let header = parse(bytes).unwrap().unwrap();
        assert_eq!(header.length_bytes, bytes.len());
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{end} bytes of {bytes:?}");
        }
        header.source
    }

    fn from(text: &str) -> ProxySource {
        ProxySource::Sender(text.parse().unwrap())
    }

    #[test]
    fn version_1_headers_are_parsed_and_malformed_ones_refused() {
        assert_eq!(source(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n"), from("192.0.2.1"));
        assert_eq!(source(b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n"), from("2001:db8::7"));
        assert_eq!(source(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), from("192.0.2.1"));
        assert_eq!(source(b"PROXY UNKNOWN\r\n"), ProxySource::Unknown);
        assert_eq!(source(b"PROXY UNKNOWN ffff::1 whatever\r\n"), ProxySource::Unknown);
        // The longest possible line has 107 bytes with its line end.
        let widest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let longest = format!("PROXY UNKNOWN {widest} {widest} 65535 65535\r\n");
        assert_eq!(longest.len(), MAX_LINE_BYTES);
        assert_eq!(source(longest.as_bytes()), ProxySource::Unknown);
        for wrong in [
            "PROXY \r\n",
            "PROXY TCP5 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY tcp4 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP4 192.0.2.01 10.0.0.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
            "PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\nHost: a\r\n",
            "PROXY TCP4 shop.example 10.0.0.1 1 2\r\n",
        ] {
            assert_eq!(parse(wrong.as_bytes()), Err(ProxyHeaderError::Malformed), "{wrong:?}");
        }
        let endless = format!("{}x\r\n", &longest[..MAX_LINE_BYTES - 2]);
        assert_eq!(parse(endless.as_bytes()), Err(ProxyHeaderError::TooLong));
        for other in [
            "POST / HTTP/1.1\r\n",
            "PRI * HTTP/2.0",
            "\x16\x03\x01",
            "PROXYTCP4",
            "\r\n\r\nGET",
        ] {
            assert_eq!(parse(other.as_bytes()), Err(ProxyHeaderError::Absent), "{other:?}");
        }
    }

    #[test]
    fn version_2_headers_are_parsed_and_malformed_ones_refused() {
        let inet = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 1, 187];
        let mut inet6 = [0; 36];
        inet6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(source(&v2(0x21, 0x11, &inet)), from("192.0.2.1"));
        assert_eq!(source(&v2(0x21, 0x21, &inet6)), from("2001:db8::7"));
        inet6[..16].copy_from_slice(&"::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(source(&v2(0x21, 0x21, &inet6)), from("192.0.2.1"));
        // Type-length-value fields with any content.
        let more = [&inet[..], &[0xea, 0xff, 0xff, 1, 2, 3]].concat();
        assert_eq!(source(&v2(0x21, 0x11, &more)), from("192.0.2.1"));
        for (family, block) in [(0x00, 0), (0x00, 9), (0x31, 216), (0x32, 300), (0x12, 12), (0x22, 36)] {
            assert_eq!(
                source(&v2(0x21, family, &vec![1; block])),
                ProxySource::Unknown,
                "{family:#x}"
            );
        }
        for family in [0x00, 0x11, 0x7f, 0xff] {
            assert_eq!(source(&v2(0x20, family, &[1; 3])), ProxySource::Balancer, "{family:#x}");
        }
        for (command, family, block) in [
            (0x11, 0x11, 12),
            (0x22, 0x11, 12),
            (0x21, 0x13, 12),
            (0x21, 0x41, 300),
            (0x21, 0x11, 11),
            (0x21, 0x21, 35),
            (0x21, 0x31, 215),
        ] {
            let wrong = v2(command, family, &vec![1; block]);
            assert_eq!(
                parse(&wrong),
                Err(ProxyHeaderError::Malformed),
                "{command:#x} {family:#x} {block}"
            );
        }
        let most = MAX_HEADER_BYTES - V2_FIXED_BYTES;
        assert_eq!(source(&v2(0x21, 0x11, &vec![7; most])), from("7.7.7.7"));
        // A header that declares too many bytes is refused before they arrive.
        let too_long = v2(0x21, 0x11, &vec![7; most + 1]);
        assert_eq!(parse(&too_long[..V2_FIXED_BYTES]), Err(ProxyHeaderError::TooLong));
    }

    proptest! {
        /// I19: any bytes have a result that later bytes do not change, and the parser needs a bounded number of them.
        #[test]
        fn any_bytes_have_a_stable_result_within_the_limit(
            begin in prop_oneof![
                Just(Vec::new()),
                Just(b"PROXY ".to_vec()),
                Just(b"PROXY TCP4 192.0.2.1 ".to_vec()),
                Just(V2_SIGNATURE.to_vec()),
                (0x20..0x22_u8, prop::sample::select(vec![0x00, 0x11, 0x21, 0x31, 0x12, 0x77]), 0..400_u16)
                    .prop_map(|(command, family, length)| [V2_SIGNATURE, &[command, family], &length.to_be_bytes()].concat()),
            ],
            rest in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..500),
                "[0-9a-f:. ]{0,120}(\r\n)?.{0,9}".prop_map(String::into_bytes),
            ],
        ) {
            let bytes = [begin, rest].concat();
            let whole = parse(&bytes);
            match whole {
                Ok(Some(header)) => {
                    prop_assert!((15..=MAX_HEADER_BYTES).contains(&header.length_bytes) && header.length_bytes <= bytes.len());
                    prop_assert_eq!(parse(&bytes[..header.length_bytes]), whole);
                    prop_assert_eq!(parse(&bytes[..header.length_bytes - 1]), Ok(None));
                }
                Ok(None) => prop_assert!(bytes.len() < MAX_HEADER_BYTES),
                Err(_) => prop_assert!(parse(&[&bytes[..], b"\r\n"].concat()).is_err()),
            }
        }

        /// I19: the address that a balancer writes is the address that is read, in both versions.
        #[test]
        fn a_written_address_is_read_back(address in any::<IpAddr>(), ports in any::<(u16, u16)>(), vectors in 0..900_usize) {
            let (name, family, octets) = match address {
                IpAddr::V4(address) => ("TCP4", 0x11, address.octets().to_vec()),
                IpAddr::V6(address) => ("TCP6", 0x21, address.octets().to_vec()),
            };
            let written = format!("PROXY {name} {address} {address} {} {}\r\n", ports.0, ports.1);
            let sender = ProxySource::Sender(address.to_canonical());
            prop_assert_eq!(source(written.as_bytes()), sender);
            let block = [&octets[..], &octets[..], &ports.0.to_be_bytes(), &ports.1.to_be_bytes(), &vec![0; vectors]].concat();
            prop_assert_eq!(source(&v2(0x21, family, &block)), sender);
        }
    }
}
