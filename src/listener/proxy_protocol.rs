//! The PROXY protocol, versions 1 and 2: what a balancer that passes bytes through says of the sender before the first of
//! them. Pure: bytes in, header out. Source: HAProxy, "The PROXY protocol, versions 1 & 2" (`doc/proxy-protocol.txt`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Bytes of a header of version 1 at most, its line end included.
const LINE_BYTES: usize = 107;
/// Bytes of a header at most. The length field of version 2 could say 64 KiB; this is what HAProxy's buffer holds, so no
/// more than this is sent by it either, and addresses take 232 bytes.
pub const HEADER_BYTES: usize = 16 * 1024;
/// What version 1 begins with.
const LINE: &[u8] = b"PROXY ";
/// What version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const FIXED_BYTES: usize = 16;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes that it takes; what follows is the sender's.
    pub length: usize,
    /// Who is at the other end.
    pub source: Source,
}

/// Who is at the other end, according to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A sender with this address, made canonical.
    Sender(IpAddr),
    /// A sender whose address is not told: `UNKNOWN`, `UNSPEC`, a Unix socket, a datagram.
    Unknown,
    /// The balancer itself (`LOCAL`): a health check.
    Balancer,
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Something else was said.
    Absent,
    /// It begins like a header and is none.
    Malformed,
    /// More than [`HEADER_BYTES`], or a line without an end.
    TooLong,
}

/// Reads the header at the begin of `bytes`; `None` asks for more of them, never for more than [`HEADER_BYTES`].
///
/// # Errors
/// As soon as it is certain that no header will come of it.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    if bytes.first() == LINE.first() {
        line(bytes)
    } else {
        binary(bytes)
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n`
fn line(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    let Some(rest) = after(bytes, LINE)? else {
        return Ok(None);
    };
    let within = bytes.get(..LINE_BYTES).unwrap_or(bytes);
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        let is_full = bytes.len() >= LINE_BYTES;
        return if is_full { Err(Fault::TooLong) } else { Ok(None) };
    };
    let text = rest.get(..end - LINE.len()).ok_or(Fault::Malformed)?;
    let text = std::str::from_utf8(text).map_err(|_| Fault::Malformed)?;
    let mut fields = text.split(' ');
    let source = match fields.next() {
        // What follows is to be ignored.
        Some("UNKNOWN") => Source::Unknown,
        Some("TCP4") => Source::Sender(sender::<Ipv4Addr>(fields)?.into()),
        Some("TCP6") => Source::Sender(sender::<Ipv6Addr>(fields)?.to_canonical()),
        Some(_) | None => return Err(Fault::Malformed),
    };
    Ok(Some(Header {
        length: end + 2,
        source,
    }))
}

/// Two addresses of one family and two ports, of which the first address counts.
fn sender<'a, A: FromStr>(mut fields: impl Iterator<Item = &'a str>) -> Result<A, Fault> {
    let mut address = || fields.next()?.parse().ok();
    let (source, _): (A, A) = (address().ok_or(Fault::Malformed)?, address().ok_or(Fault::Malformed)?);
    let are_ports = fields.next().is_some_and(is_port) && fields.next().is_some_and(is_port);
    if are_ports && fields.next().is_none() {
        Ok(source)
    } else {
        Err(Fault::Malformed)
    }
}

/// Decimal, 0 to 65535, without a sign or leading zeros.
fn is_port(text: &str) -> bool {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    is_plain && text.parse::<u16>().is_ok()
}

fn binary(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    if after(bytes, SIGNATURE)?.is_none() {
        return Ok(None);
    }
    // What is wrong with the first fields is wrong whatever follows.
    let command = match bytes.get(SIGNATURE.len()) {
        Some(0x20) => Command::Local,
        Some(0x21) => Command::Proxy,
        Some(_) => return Err(Fault::Malformed),
        None => return Ok(None),
    };
    let Some((&[.., family, high, low], rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(None);
    };
    let declared = usize::from(u16::from_be_bytes([high, low]));
    let length = FIXED_BYTES + declared;
    let source = match command {
        // The family is to be ignored too.
        Command::Local => Told::Source(Source::Balancer),
        Command::Proxy => told(family).ok_or(Fault::Malformed)?,
    };
    let needed = match source {
        Told::Inet => 12,
        Told::Inet6 => 36,
        Told::Unix => 216,
        Told::Source(_) => 0,
    };
    if declared < needed {
        return Err(Fault::Malformed);
    }
    if length > HEADER_BYTES {
        return Err(Fault::TooLong);
    }
    let Some(block) = rest.get(..declared) else {
        return Ok(None);
    };
    // Source, destination, ports; then vectors of types and values that nobody here asks for.
    let source = match source {
        Told::Inet => Source::Sender(first::<4>(block)?.into()),
        Told::Inet6 => Source::Sender(IpAddr::from(first::<16>(block)?).to_canonical()),
        Told::Unix => Source::Unknown,
        Told::Source(source) => source,
    };
    Ok(Some(Header { length, source }))
}

#[derive(Clone, Copy)]
enum Command {
    Local,
    Proxy,
}

/// What the block of a header of version 2 begins with.
#[derive(Clone, Copy)]
enum Told {
    Inet,
    Inet6,
    Unix,
    /// Nothing that is needed.
    Source(Source),
}

/// Address family and transport: the valid combinations. Datagrams do not come over a stream, and a receiver may treat what
/// it has no use for as `UNSPEC`.
const fn told(family: u8) -> Option<Told> {
    match family {
        0x11 => Some(Told::Inet),
        0x21 => Some(Told::Inet6),
        0x31 | 0x32 => Some(Told::Unix),
        0x00 | 0x12 | 0x22 => Some(Told::Source(Source::Unknown)),
        _ => None,
    }
}

fn first<const N: usize>(block: &[u8]) -> Result<[u8; N], Fault> {
    block.first_chunk().copied().ok_or(Fault::Malformed)
}

/// What follows `expected`; `None` while that has not wholly arrived.
fn after<'a>(bytes: &'a [u8], expected: &[u8]) -> Result<Option<&'a [u8]>, Fault> {
    match bytes.strip_prefix(expected) {
        Some(rest) => Ok(Some(rest)),
        None if expected.starts_with(bytes) => Ok(None),
        None => Err(Fault::Absent),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, block].concat()
    }

    fn source(bytes: &[u8]) -> Source {
        let header = parse(bytes).unwrap().unwrap();
        assert_eq!(header.length, bytes.len());
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{end} bytes of {bytes:?}");
        }
        header.source
    }

    fn from(text: &str) -> Source {
        Source::Sender(text.parse().unwrap())
    }

    #[test]
    fn lines_of_version_1() {
        assert_eq!(source(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n"), from("192.0.2.1"));
        assert_eq!(source(b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n"), from("2001:db8::7"));
        assert_eq!(source(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), from("192.0.2.1"));
        assert_eq!(source(b"PROXY UNKNOWN\r\n"), Source::Unknown);
        assert_eq!(source(b"PROXY UNKNOWN ffff::1 whatever\r\n"), Source::Unknown);
        // The longest that there is: 107 bytes with its line end.
        let widest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let longest = format!("PROXY UNKNOWN {widest} {widest} 65535 65535\r\n");
        assert_eq!(longest.len(), LINE_BYTES);
        assert_eq!(source(longest.as_bytes()), Source::Unknown);
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
            assert_eq!(parse(wrong.as_bytes()), Err(Fault::Malformed), "{wrong:?}");
        }
        let endless = format!("{}x\r\n", &longest[..LINE_BYTES - 2]);
        assert_eq!(parse(endless.as_bytes()), Err(Fault::TooLong));
        for other in [
            "POST / HTTP/1.1\r\n",
            "PRI * HTTP/2.0",
            "\x16\x03\x01",
            "PROXYTCP4",
            "\r\n\r\nGET",
        ] {
            assert_eq!(parse(other.as_bytes()), Err(Fault::Absent), "{other:?}");
        }
    }

    #[test]
    fn blocks_of_version_2() {
        let inet = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 1, 187];
        let mut inet6 = [0; 36];
        inet6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(source(&v2(0x21, 0x11, &inet)), from("192.0.2.1"));
        assert_eq!(source(&v2(0x21, 0x21, &inet6)), from("2001:db8::7"));
        inet6[..16].copy_from_slice(&"::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(source(&v2(0x21, 0x21, &inet6)), from("192.0.2.1"));
        // Vectors, whatever is in them.
        let more = [&inet[..], &[0xea, 0xff, 0xff, 1, 2, 3]].concat();
        assert_eq!(source(&v2(0x21, 0x11, &more)), from("192.0.2.1"));
        for (family, block) in [(0x00, 0), (0x00, 9), (0x31, 216), (0x32, 300), (0x12, 12), (0x22, 36)] {
            assert_eq!(
                source(&v2(0x21, family, &vec![1; block])),
                Source::Unknown,
                "{family:#x}"
            );
        }
        for family in [0x00, 0x11, 0x7f, 0xff] {
            assert_eq!(source(&v2(0x20, family, &[1; 3])), Source::Balancer, "{family:#x}");
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
            assert_eq!(parse(&wrong), Err(Fault::Malformed), "{command:#x} {family:#x} {block}");
        }
        let most = HEADER_BYTES - FIXED_BYTES;
        assert_eq!(source(&v2(0x21, 0x11, &vec![7; most])), from("7.7.7.7"));
        // Refused by what it announces, before it comes.
        let too_long = v2(0x21, 0x11, &vec![7; most + 1]);
        assert_eq!(parse(&too_long[..FIXED_BYTES]), Err(Fault::TooLong));
    }

    proptest! {
        /// I19: whatever comes, an answer is found, it does not change with what follows, and it asks for a bounded amount.
        #[test]
        fn any_bytes_are_a_header_or_none(
            begin in prop_oneof![
                Just(Vec::new()),
                Just(b"PROXY ".to_vec()),
                Just(b"PROXY TCP4 192.0.2.1 ".to_vec()),
                Just(SIGNATURE.to_vec()),
                (0x20..0x22_u8, prop::sample::select(vec![0x00, 0x11, 0x21, 0x31, 0x12, 0x77]), 0..400_u16)
                    .prop_map(|(command, family, length)| [SIGNATURE, &[command, family], &length.to_be_bytes()].concat()),
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
                    prop_assert!((15..=HEADER_BYTES).contains(&header.length) && header.length <= bytes.len());
                    prop_assert_eq!(parse(&bytes[..header.length]), whole);
                    prop_assert_eq!(parse(&bytes[..header.length - 1]), Ok(None));
                }
                Ok(None) => prop_assert!(bytes.len() < HEADER_BYTES),
                Err(_) => prop_assert!(parse(&[&bytes[..], b"\r\n"].concat()).is_err()),
            }
        }

        /// I19: what a balancer says of a sender is what is read, in both versions.
        #[test]
        fn what_is_written_is_read(address in any::<IpAddr>(), ports in any::<(u16, u16)>(), vectors in 0..900_usize) {
            let (name, family, octets) = match address {
                IpAddr::V4(address) => ("TCP4", 0x11, address.octets().to_vec()),
                IpAddr::V6(address) => ("TCP6", 0x21, address.octets().to_vec()),
            };
            let written = format!("PROXY {name} {address} {address} {} {}\r\n", ports.0, ports.1);
            let sender = Source::Sender(address.to_canonical());
            prop_assert_eq!(source(written.as_bytes()), sender);
            let block = [&octets[..], &octets[..], &ports.0.to_be_bytes(), &ports.1.to_be_bytes(), &vec![0; vectors]].concat();
            prop_assert_eq!(source(&v2(0x21, family, &block)), sender);
        }
    }
}
