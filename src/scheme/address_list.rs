//! The lists of addresses that providers publish: where each is, how it is written, and what it contained on a date. The
//! content of that date is used until the list is fetched.
//!
//! Only providers with a list for machines are here. Others document addresses in prose or send from any address of a
//! cloud; the operator writes the networks.

use ipnet::IpNet;
use serde::Deserialize;
use std::net::IpAddr;

/// Most networks of a list.
const MAX_NETWORKS: usize = 1_000;
/// Shortest prefixes: a list with a wider network is refused. GitHub's widest are a /20 and a /29.
const SHORTEST_PREFIX: (u8, u8) = (12, 24);

/// One list.
#[derive(Debug)]
pub struct AddressList {
    /// The name in `allow`.
    pub name: &'static str,
    /// Where the provider publishes it.
    pub url: &'static str,
    format: Format,
    /// The day of [`AddressList::networks`], such as `2026-11-29`.
    pub date: &'static str,
    /// Its content on that day.
    networks: &'static [&'static str],
}

/// How a list is written.
#[derive(Clone, Copy, Debug)]
enum Format {
    /// `{"hooks": […]}`.
    GitHub,
    /// `{"WEBHOOKS": […]}`.
    Stripe,
    /// `{"data": {"ipv4_cidrs": […]}}`.
    Paddle,
}

/// Every list, by name.
pub static LISTS: [AddressList; 4] = [
    // https://docs.github.com/rest/meta/meta
    AddressList {
        name: "github",
        url: "https://api.github.com/meta",
        format: Format::GitHub,
        date: "2026-11-29",
        networks: &[
            "192.30.252.0/22",
            "185.199.108.0/22",
            "140.82.112.0/20",
            "143.55.64.0/20",
            "2a0a:a440::/29",
            "2606:50c0::/32",
        ],
    },
    // https://docs.stripe.com/ips
    AddressList {
        name: "stripe",
        url: "https://stripe.com/files/ips/ips_webhooks.json",
        format: Format::Stripe,
        date: "2026-11-29",
        networks: &[
            "3.18.12.63",
            "3.130.192.231",
            "13.235.14.237",
            "13.235.122.149",
            "18.211.135.69",
            "35.154.171.200",
            "52.15.183.38",
            "54.88.130.119",
            "54.88.130.237",
            "54.187.174.169",
            "54.187.205.235",
            "54.187.216.72",
        ],
    },
    // https://developer.paddle.com/api-reference/ip-addresses/get-ip-addresses
    AddressList {
        name: "paddle-live",
        url: "https://api.paddle.com/ips",
        format: Format::Paddle,
        date: "2026-11-29",
        networks: &[
            "34.232.58.13",
            "34.195.105.136",
            "34.237.3.244",
            "35.155.119.135",
            "52.11.166.252",
            "34.212.5.7",
        ],
    },
    AddressList {
        name: "paddle-sandbox",
        url: "https://sandbox-api.paddle.com/ips",
        format: Format::Paddle,
        date: "2026-11-29",
        networks: &[
            "34.194.127.46",
            "54.234.237.108",
            "3.208.120.145",
            "44.226.236.210",
            "44.241.183.62",
            "100.20.172.113",
        ],
    },
];

#[derive(Deserialize)]
struct GitHub {
    hooks: Vec<String>,
}

#[derive(Deserialize)]
struct Stripe {
    #[serde(rename = "WEBHOOKS")]
    webhooks: Vec<String>,
}

#[derive(Deserialize)]
struct Paddle {
    data: PaddleData,
}

#[derive(Deserialize)]
struct PaddleData {
    ipv4_cidrs: Vec<String>,
}

impl PartialEq for AddressList {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for AddressList {}

impl AddressList {
    /// The list with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        LISTS.iter().find(|list| list.name == name)
    }

    /// The content on [`AddressList::date`].
    #[must_use]
    pub fn bundled(&self) -> Vec<IpNet> {
        self.networks.iter().filter_map(|text| network(text)).collect()
    }

    /// Reads a published document. All of it is refused when a part of it cannot be right.
    ///
    /// # Errors
    /// One sentence with what is wrong.
    pub fn read(&self, document: &[u8]) -> Result<Vec<IpNet>, String> {
        let texts = match self.format {
            Format::GitHub => serde_json::from_slice(document).map(|GitHub { hooks }| hooks),
            Format::Stripe => serde_json::from_slice(document).map(|Stripe { webhooks }| webhooks),
            Format::Paddle => serde_json::from_slice(document).map(|Paddle { data }| data.ipv4_cidrs),
        };
        let texts = texts.map_err(|_| "the document is not the list that the provider documents")?;
        if texts.len() > MAX_NETWORKS {
            return Err(format!("the list has more than {MAX_NETWORKS} networks"));
        }
        let networks: Option<Vec<_>> = texts.iter().map(|text| network(text)).collect();
        let networks = networks.ok_or("the list has an entry that is not a network")?;
        check(networks)
    }
}

/// The networks, if senders on the internet can have them.
///
/// # Errors
/// One sentence with what is wrong.
pub fn check(networks: Vec<IpNet>) -> Result<Vec<IpNet>, String> {
    if networks.is_empty() {
        return Err(String::from("the list is empty"));
    }
    let (four, six) = SHORTEST_PREFIX;
    let is_wide = |network: &IpNet| network.prefix_len() < if network.addr().is_ipv4() { four } else { six };
    match networks
        .iter()
        .find(|network| is_wide(network) || !is_public(network.addr()))
    {
        Some(network) => Err(format!("the list has {network}, which no provider sends from")),
        None => Ok(networks),
    }
}

/// A network without bits after its prefix, or a single address.
fn network(text: &str) -> Option<IpNet> {
    let network = text
        .parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.map(|network| network.trunc())
}

/// Whether senders on the internet can have this address.
const fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let shared = matches!(four.octets(), [100, 64..=127, ..]);
            !(four.is_private()
                || four.is_loopback()
                || four.is_link_local()
                || four.is_multicast()
                || four.is_broadcast()
                || four.is_unspecified()
                || shared)
        }
        // 2000::/3 is what is given out.
        IpAddr::V6(six) => matches!(six.octets(), [0x20..=0x3f, ..]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_bundled_list_would_be_accepted_if_it_were_fetched() {
        for list in &LISTS {
            let bundled = list.bundled();
            assert_eq!(bundled.len(), list.networks.len(), "{}", list.name);
            assert_eq!(check(bundled.clone()), Ok(bundled), "{}", list.name);
            assert!(list.url.starts_with("https://") && list.date.len() == 10);
        }
    }

    #[test]
    fn documents_in_the_form_of_each_provider_are_read() {
        let read = |name: &str, document: &str| {
            let networks = AddressList::named(name).unwrap().read(document.as_bytes()).unwrap();
            networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let github = r#"{"verifiable_password_authentication":false,"hooks":["192.30.252.0/22","2a0a:a440::/29"],"actions":["4.148.0.0/16"]}"#;
        assert_eq!(read("github", github), "192.30.252.0/22 2a0a:a440::/29");
        assert_eq!(read("stripe", r#"{"WEBHOOKS":["3.18.12.63"]}"#), "3.18.12.63/32");
        let paddle = r#"{"data":{"ipv4_cidrs":["34.194.127.46/32"]},"meta":{"request_id":"x"}}"#;
        assert_eq!(read("paddle-live", paddle), "34.194.127.46/32");
    }

    #[test]
    fn hostile_and_broken_documents_are_refused_as_a_whole() {
        let stripe = AddressList::named("stripe").unwrap();
        let many = format!(
            r#"{{"WEBHOOKS":[{}"3.18.12.63"]}}"#,
            r#""3.18.12.63","#.repeat(MAX_NETWORKS)
        );
        for document in [
            "",
            "<html>",
            "{}",
            r#"{"WEBHOOKS":[]}"#,
            r#"{"WEBHOOKS":null}"#,
            r#"{"WEBHOOKS":"3.18.12.63"}"#,
            r#"{"WEBHOOKS":["3.18.12.63","everyone"]}"#,
            r#"{"WEBHOOKS":["0.0.0.0/0"]}"#,
            r#"{"WEBHOOKS":["::/0"]}"#,
            r#"{"WEBHOOKS":["3.18.12.63","3.0.0.0/8"]}"#,
            r#"{"WEBHOOKS":["127.0.0.1"]}"#,
            r#"{"WEBHOOKS":["10.1.2.3"]}"#,
            r#"{"WEBHOOKS":["169.254.169.254"]}"#,
            r#"{"WEBHOOKS":["fd00::1"]}"#,
            many.as_str(),
        ] {
            assert!(stripe.read(document.as_bytes()).is_err(), "{document}");
        }
    }
}
