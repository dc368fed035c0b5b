//! Lists of networks in CIDR notation, single addresses, and presets of the source addresses that a provider documents.

use super::Resolver;
use crate::config::fault::{alternatives, closest};
use crate::config::value::OneOrMany;
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr};

/// Source addresses of webhooks of Paddle's live accounts, from Paddle's documentation.
const PADDLE_LIVE: [[u8; 4]; 6] = [
    [34, 232, 58, 13],
    [34, 195, 105, 136],
    [34, 237, 3, 244],
    [35, 155, 119, 135],
    [52, 11, 166, 252],
    [34, 212, 5, 7],
];

/// The same for sandbox accounts.
const PADDLE_SANDBOX: [[u8; 4]; 6] = [
    [34, 194, 127, 46],
    [54, 234, 237, 108],
    [3, 208, 120, 145],
    [44, 226, 236, 210],
    [44, 241, 183, 62],
    [100, 20, 172, 113],
];

/// Names of lists of addresses.
const PRESETS: [(&str, [[u8; 4]; 6]); 2] = [("paddle-live", PADDLE_LIVE), ("paddle-sandbox", PADDLE_SANDBOX)];

impl Resolver<'_> {
    /// The networks of a list; a single address is a network with one address.
    pub(super) fn networks(&mut self, key: &str, list: OneOrMany<String>) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for (key, text) in list.into_paths(key) {
            if let Some((_, addresses)) = PRESETS.iter().find(|(name, _)| *name == text) {
                networks.extend(
                    addresses
                        .iter()
                        .map(|octets| single_address(IpAddr::V4(Ipv4Addr::from(*octets)))),
                );
            } else {
                networks.extend(self.network(&key, &text));
            }
        }
        networks
    }

    fn network(&mut self, key: &str, text: &str) -> Option<IpNet> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(single_address(address));
        }
        match text.parse::<IpNet>() {
            Ok(network) if network.trunc() == network => Some(canonical(network)),
            Ok(network) => {
                let fix = format!(
                    "write \"{}\" for the network, or \"{}\" for the one address",
                    network.trunc(),
                    network.addr()
                );
                self.report
                    .fault(key, format!("`{text}` has bits set after its prefix"), fix);
                None
            }
            Err(_) => {
                let names = PRESETS.iter().map(|(name, _)| *name);
                if crate::scheme::presets::names().any(|name| name == text) {
                    self.report.fault(
                        key,
                        format!("there is no list of the addresses of `{text}`"),
                        format!("write the networks that the provider documents, such as \"203.0.113.0/24\"; the lists are {}", alternatives(names, "and")),
                    );
                    return None;
                }
                let hint = closest(text, names.clone())
                    .map(|name| format!(", did you mean `{name}`?"))
                    .unwrap_or_default();
                let fix = format!(
                    "write \"203.0.113.0/24\", \"203.0.113.7\", or one of {}",
                    alternatives(names, "and")
                );
                self.report
                    .fault(key, format!("`{text}` is neither a network nor an address{hint}"), fix);
                None
            }
        }
    }
}

fn single_address(address: IpAddr) -> IpNet {
    IpNet::from(address.to_canonical())
}

/// The IPv4 network of an IPv4-mapped network such as `::ffff:a.b.c.d/120`. Addresses of peers are compared in the same
/// canonical form.
fn canonical(network: IpNet) -> IpNet {
    match network {
        IpNet::V6(six) if six.prefix_len() >= 96 => six
            .addr()
            .to_ipv4_mapped()
            .and_then(|four| Ipv4Net::new(four, six.prefix_len() - 96).ok())
            .map_or(network, IpNet::V4),
        IpNet::V4(_) | IpNet::V6(_) => network,
    }
}
