//! Looks up the names of servers in the background, so that no request waits for DNS.
//!
//! The system's resolver is used at an interval: it reads `/etc/hosts` and the search domains, and it returns no time
//! to live. All addresses that it returns become endpoints. A look-up that fails changes nothing. Look-ups run on
//! threads of their own, because the system's resolver cannot be interrupted and must not delay the end of the process.

use super::endpoints::{EndpointList, Endpoints};
use super::pool::Endpoint;
use super::server::UpstreamServer;
use super::{Upstream, health_check};
use crate::settings::UpstreamTarget;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// Largest number of addresses of one name that are used; more are probably a mistake in DNS.
const MAX_ADDRESSES: usize = 256;
/// Time between look-ups of a name that has never had an address, if `resolve_interval` is not shorter.
const UNKNOWN_NAME_INTERVAL: Duration = Duration::from_secs(1);

/// The addresses of a target that needs no look-up, in the order in which they are tried. Empty for a Unix socket;
/// `None` for a name.
pub(super) fn fixed_addresses(target: &UpstreamTarget) -> Option<Vec<SocketAddr>> {
    let (UpstreamTarget::Tcp { host, port } | UpstreamTarget::Tls { host, port, .. }) = target else {
        return Some(Vec::new());
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(vec![SocketAddr::new(address, *port)]);
    }
    // RFC 6761: `localhost` is always loopback. Both addresses form one endpoint, because most applications listen on
    // one.
    (host == "localhost" || host.ends_with(".localhost")).then(|| {
        let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        both.map(|address| SocketAddr::new(address, *port)).to_vec()
    })
}

/// Looks up the server's name at an interval and updates the endpoints, until the upstream retires.
pub(super) async fn maintain(upstream: Arc<Upstream>, server: Arc<UpstreamServer>) {
    let (UpstreamTarget::Tcp { host, port } | UpstreamTarget::Tls { host, port, .. }) = &server.settings.target else {
        return;
    };
    let interval = upstream.settings().resolve_interval;
    let (mut is_known, mut has_failed, mut is_first) = (false, false, true);
    loop {
        let found = tokio::select! {
            found = look_up(host.clone(), *port) => found,
            () = upstream.retired.wait() => return,
        };
        match found {
            Ok(addresses) => {
                server.counters.lookups_passed.add(1);
                if has_failed {
                    tracing::info!(upstream = %server.name, "the upstream's name resolves again");
                }
                (is_known, has_failed) = (true, false);
                upstream.set_addresses(&server, &addresses);
            }
            Err(error) => {
                server.counters.lookups_failed.add(1);
                // Logs the first failure only, not one every few seconds.
                if !has_failed {
                    let keeping = if is_known {
                        "the last known addresses stay in use"
                    } else {
                        "no address is known"
                    };
                    tracing::warn!(%error, upstream = %server.name, "the upstream's name does not resolve: {keeping}");
                }
                has_failed = true;
            }
        }
        if is_first {
            upstream.first_look_up_ended();
            is_first = false;
        }
        let pause = if is_known {
            interval
        } else {
            interval.min(UNKNOWN_NAME_INTERVAL)
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = upstream.retired.wait() => return,
        }
    }
}

impl Upstream {
    /// Records that the first look-up of one name has ended.
    fn first_look_up_ended(&self) {
        let mut unresolved_names = self.unresolved_names.lock().unwrap_or_else(PoisonError::into_inner);
        *unresolved_names = unresolved_names.saturating_sub(1);
        if *unresolved_names == 0 {
            self.names_looked_up.trigger();
        }
    }

    /// Replaces the endpoints of `server` by those for `addresses`. Endpoints whose address remains keep their
    /// connections and their health; removed endpoints finish their requests in flight.
    fn set_addresses(self: &Arc<Self>, server: &Arc<UpstreamServer>, addresses: &[SocketAddr]) {
        let Endpoints::Changing(endpoints) = &self.endpoints else {
            return;
        };
        // The lock is held while the list is replaced, because the tasks of all names change the same list.
        let mut draining_endpoints = self.draining_endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let current = endpoints.load_full();
        let (own, others): (Vec<_>, Vec<_>) = current
            .endpoints
            .iter()
            .cloned()
            .partition(|endpoint| endpoint.server.index == server.index);
        let has = |endpoint: &Arc<Endpoint>| addresses.iter().any(|address| endpoint.addresses == [*address]);
        let (kept, gone): (Vec<_>, Vec<_>) = own.into_iter().partition(has);
        let mut new = Vec::new();
        for address in addresses {
            if !kept.iter().any(|endpoint| endpoint.addresses == [*address]) {
                new.push(Endpoint::new(&self.shared, server, vec![*address]));
            }
        }
        if new.is_empty() && gone.is_empty() {
            return;
        }
        tracing::info!(
            upstream = %server.name, addresses = addresses.len(), new = new.len(), gone = gone.len(),
            "the addresses of the upstream's name have changed"
        );
        let next = others.into_iter().chain(kept).chain(new.iter().cloned()).collect();
        endpoints.store(Arc::new(EndpointList::new(next)));
        draining_endpoints.retain(|endpoint| endpoint.strong_count() > 0);
        draining_endpoints.extend(gone.iter().map(Arc::downgrade));
        drop(draining_endpoints);
        gone.iter().for_each(|endpoint| endpoint.retire());
        new.iter().for_each(|endpoint| health_check::start(self, endpoint));
    }
}

/// Looks up a name with the system's resolver, on a thread of its own.
async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let (sender, receiver) = oneshot::channel();
    let resolve = move || {
        let found = (host.as_str(), port).to_socket_addrs().and_then(usable);
        let _ = sender.send(found);
    };
    std::thread::Builder::new().name("resolver".into()).spawn(resolve)?;
    receiver.await.map_err(io::Error::other)?
}

/// Sorts the addresses and removes duplicates, and addresses that this machine has no route to (such as IPv6 on a
/// machine without IPv6) unless there are no others. At most [`MAX_ADDRESSES`].
fn usable(found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let mut all: Vec<SocketAddr> = found.collect();
    all.sort_unstable();
    all.dedup();
    let mut usable = all.clone();
    usable.retain(is_routable);
    if usable.is_empty() {
        usable = all;
    }
    usable.truncate(MAX_ADDRESSES);
    if usable.is_empty() {
        return Err(io::Error::other("the name has no address"));
    }
    Ok(usable)
}

/// Whether the system has a route to the address. Connecting a datagram socket checks that and sends nothing.
fn is_routable(address: &SocketAddr) -> bool {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect(address).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tcp(host: &str) -> UpstreamTarget {
        UpstreamTarget::Tcp {
            host: host.to_owned(),
            port: 80,
        }
    }

    #[test]
    fn addresses_and_localhost_need_no_look_up() {
        let addresses = |target: &UpstreamTarget| fixed_addresses(target).unwrap();
        assert_eq!(addresses(&tcp("10.0.0.1")), ["10.0.0.1:80".parse().unwrap()]);
        assert_eq!(addresses(&tcp("::1")), ["[::1]:80".parse().unwrap()]);
        for name in ["localhost", "app.localhost"] {
            assert_eq!(
                addresses(&tcp(name)),
                ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()]
            );
        }
        assert_eq!(addresses(&UpstreamTarget::Unix("/run/app.sock".into())), []);
        assert_eq!(fixed_addresses(&tcp("app")), None);
        assert_eq!(fixed_addresses(&tcp("localhost.example.com")), None);
    }

    #[test]
    fn addresses_are_sorted_unique_and_limited_in_number() {
        let address = |last: u32| SocketAddr::from((Ipv4Addr::from(0x7f00_0000 + last), 80));
        let found = [3, 1, 2, 1].map(address);
        assert_eq!(usable(found.into_iter()).unwrap(), [1, 2, 3].map(address));
        assert_eq!(usable((0..1000).map(address)).unwrap().len(), MAX_ADDRESSES);
        assert!(usable(std::iter::empty()).is_err());
    }

    #[tokio::test]
    async fn look_ups_use_the_systems_resolver() {
        let found = look_up("localhost".into(), 80).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
        assert!(look_up("name.invalid".into(), 80).await.is_err());
    }
}
