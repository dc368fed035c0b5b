//! The source of a request or connection, to which shares of the limits belong.

use std::net::{IpAddr, Ipv6Addr};

/// One sender, as far as its address shows: an IPv4 address, or the first 64 bits of an IPv6 address, because one
/// customer of a provider usually gets a whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(u128);

/// The bits of an IPv6 address that belong to the network of one customer.
const IPV6_PREFIX: u128 = !0 << 64;

impl Source {
    /// The source with this address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(Ipv6Addr::to_bits(address) & IPV6_PREFIX),
        }
    }

    /// The index of one of `shards` parts of a table; nearby addresses are in different parts.
    #[must_use]
    pub const fn shard(self, shards: usize) -> usize {
        let folded = (self.0 ^ (self.0 >> 64)) % shards as u128;
        folded as usize
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ipv4_addresses_are_single_sources_and_ipv6_addresses_share_one_for_each_64_bits() {
        let source = |text: &str| Source::of(text.parse().unwrap());
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_eq!(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff::2"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
    }
}
