//! Lists of networks in CIDR notation, single addresses, and the lists of source addresses that providers publish.

use super::Resolver;
use crate::config::fault::{alternatives, closest};
use crate::config::value::OneOrMany;
use crate::scheme::address_list::{AddressList, LISTS};
use crate::settings::PublishedList;
use ipnet::{IpNet, Ipv4Net};
use std::fmt;
use std::net::IpAddr;

impl Resolver<'_> {
    /// The networks of a list; a single address is a network with one address.
    pub(super) fn networks(&mut self, key: &str, list: OneOrMany<String>) -> Vec<IpNet> {
        let items = list.into_paths(key);
        items.filter_map(|(key, text)| self.network(&key, &text)).collect()
    }

    /// The networks of `allow`, and the lists that providers publish.
    pub(super) fn allowed(
        &mut self,
        key: fmt::Arguments<'_>,
        list: OneOrMany<String>,
    ) -> (Vec<IpNet>, Vec<PublishedList>) {
        let (mut networks, mut published) = (Vec::new(), Vec::new());
        for (key, text) in list.into_paths(key) {
            let Some(list) = AddressList::named(&text) else {
                networks.extend(self.network(&key, &text));
                continue;
            };
            let url = self.mirrors.get(&text).map_or(list.url, String::as_str).to_owned();
            self.report.note(
                &key,
                format_args!(
                    "the addresses of `{text}` are those of {} until they are fetched from {url}; a request from any other address gets 403",
                    list.date
                ),
            );
            published.push(PublishedList { list, url });
        }
        (networks, published)
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
                let names = LISTS.iter().map(|list| list.name);
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
