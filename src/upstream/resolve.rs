//! From a server's name to its addresses, in the background: no request ever waits for DNS.
//!
//! The system's resolver is asked again and again (it knows `/etc/hosts`, search domains and the rest, and tells no
//! time to live). All addresses that it gives are endpoints; a look-up that fails changes nothing. Look-ups run on threads
//! of their own, because the system's resolver cannot be interrupted and must not hold up the end of the process.

use super::pool::{Endpoint, Server};
use super::{Endpoints, Upstream, health};
use crate::settings::Target;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// Addresses of one name that are used; more are a mistake of whoever keeps the name.
const MOST: usize = 256;
/// How soon a name is asked for again that has never had an address.
const SOON: Duration = Duration::from_secs(1);

/// The addresses of what needs no look-up, to be tried in this order; none of a Unix socket. `None` for a name.
pub(super) fn without_asking(target: &Target) -> Option<Vec<SocketAddr>> {
    let (Target::Tcp { host, port } | Target::Tls { host, port, .. }) = target else {
        return Some(Vec::new());
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(vec![SocketAddr::new(address, *port)]);
    }
    // RFC 6761: loopback, whatever a resolver says. One endpoint, because most applications listen on one of the two.
    (host == "localhost" || host.ends_with(".localhost")).then(|| {
        let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        both.map(|address| SocketAddr::new(address, *port)).to_vec()
    })
}

/// Looks up the server's name until the upstream retires, and brings its endpoints up to date.
pub(super) async fn follow(upstream: Arc<Upstream>, server: Arc<Server>) {
    let (Target::Tcp { host, port } | Target::Tls { host, port, .. }) = &server.settings.target else {
        return;
    };
    let interval = upstream.settings().resolve_interval;
    let (mut is_known, mut has_failed, mut is_first) = (false, false, true);
    loop {
        let found = tokio::select! {
            found = look_up(host.clone(), *port) => found,
            () = upstream.retired.begun() => return,
        };
        match found {
            Ok(addresses) => {
                server.tally.lookups_passed.add(1);
                if has_failed {
                    tracing::info!(upstream = %server.name, "the name is found again");
                }
                (is_known, has_failed) = (true, false);
                upstream.found(&server, &addresses);
            }
            Err(error) => {
                server.tally.lookups_failed.add(1);
                // Once, not every few seconds.
                if !has_failed {
                    let keeping = if is_known {
                        "the addresses found last are kept"
                    } else {
                        "no address is known"
                    };
                    tracing::warn!(%error, upstream = %server.name, "the name is not found: {keeping}");
                }
                has_failed = true;
            }
        }
        if is_first {
            upstream.settle();
            is_first = false;
        }
        let pause = if is_known { interval } else { interval.min(SOON) };
        tokio::select! {
            () = sleep(pause) => {}
            () = upstream.retired.begun() => return,
        }
    }
}

impl Upstream {
    /// One name's first look-up is over.
    fn settle(&self) {
        let mut unsettled = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        *unsettled = unsettled.saturating_sub(1);
        if *unsettled == 0 {
            self.settled.begin();
        }
    }

    /// Puts what was `found` in the place of the server's endpoints: those that stay keep their connections and their
    /// standing, those that are gone finish what they have.
    fn found(self: &Arc<Self>, server: &Arc<Server>, addresses: &[SocketAddr]) {
        let Endpoints::Changing(endpoints) = &self.endpoints else {
            return;
        };
        // Held while the list is made anew: each name has a task, and all of them change one list.
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        let current = endpoints.load_full();
        let (own, others): (Vec<_>, Vec<_>) = current
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
            "the name's addresses have changed"
        );
        let next = others.into_iter().chain(kept).chain(new.iter().cloned()).collect();
        endpoints.store(Arc::new(next));
        leaving.retain(|endpoint| endpoint.strong_count() > 0);
        leaving.extend(gone.iter().map(Arc::downgrade));
        drop(leaving);
        gone.iter().for_each(|endpoint| endpoint.retire());
        new.iter().for_each(|endpoint| health::start(self, endpoint));
    }
}

/// Asks the system, on a thread of its own.
async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let (sender, receiver) = oneshot::channel();
    let ask = move || {
        let found = (host.as_str(), port).to_socket_addrs().and_then(usable);
        let _ = sender.send(found);
    };
    std::thread::Builder::new().name("resolver".into()).spawn(ask)?;
    receiver.await.map_err(io::Error::other)?
}

/// Each address once and in a fixed order, without those that this machine has no way to (IPv6 addresses on a machine
/// without IPv6), unless there are no others.
fn usable(found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let mut all: Vec<SocketAddr> = found.collect();
    all.sort_unstable();
    all.dedup();
    let mut usable = all.clone();
    usable.retain(has_way);
    if usable.is_empty() {
        usable = all;
    }
    usable.truncate(MOST);
    if usable.is_empty() {
        return Err(io::Error::other("the name has no address"));
    }
    Ok(usable)
}

/// Whether the system has a route; connecting a datagram socket asks for one and sends nothing.
fn has_way(address: &SocketAddr) -> bool {
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

    fn tcp(host: &str) -> Target {
        Target::Tcp {
            host: host.to_owned(),
            port: 80,
        }
    }

    #[test]
    fn addresses_and_loopback_need_no_look_up() {
        let addresses = |target: &Target| without_asking(target).unwrap();
        assert_eq!(addresses(&tcp("10.0.0.1")), ["10.0.0.1:80".parse().unwrap()]);
        assert_eq!(addresses(&tcp("::1")), ["[::1]:80".parse().unwrap()]);
        for name in ["localhost", "app.localhost"] {
            assert_eq!(
                addresses(&tcp(name)),
                ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()]
            );
        }
        assert_eq!(addresses(&Target::Unix("/run/app.sock".into())), []);
        assert_eq!(without_asking(&tcp("app")), None);
        assert_eq!(without_asking(&tcp("localhost.example.com")), None);
    }

    #[test]
    fn addresses_come_once_and_in_order_and_bounded() {
        let address = |last: u32| SocketAddr::from((Ipv4Addr::from(0x7f00_0000 + last), 80));
        let found = [3, 1, 2, 1].map(address);
        assert_eq!(usable(found.into_iter()).unwrap(), [1, 2, 3].map(address));
        assert_eq!(usable((0..1000).map(address)).unwrap().len(), MOST);
        assert!(usable(std::iter::empty()).is_err());
    }

    #[tokio::test]
    async fn the_system_is_asked() {
        let found = look_up("localhost".into(), 80).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
        assert!(look_up("name.invalid".into(), 80).await.is_err());
    }
}
