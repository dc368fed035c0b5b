//! Listening sockets: one per worker and address, so that the kernel spreads connections and no worker waits for another.

use crate::http::transport::Socket as Stream;
use crate::settings::Address;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use tokio::net::TcpListener;

/// Connections that the kernel holds until a worker accepts them.
pub(crate) const BACKLOG: i32 = 4096;

/// A bound socket that no runtime knows yet.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// Unix.
    Unix(UnixListener),
}

impl Bound {
    /// Where it is bound; the mode of a Unix socket's file is not asked about and given as 0.
    ///
    /// # Errors
    /// What the system says, and for a Unix socket without a path.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(Address::Tcp),
            Self::Unix(socket) => {
                let address = socket.local_addr()?;
                let path = address
                    .as_pathname()
                    .ok_or_else(|| io::Error::other("it has no path"))?;
                Ok(Address::Unix(path.to_path_buf(), 0))
            }
        }
    }

    /// Whether connections can be accepted from it.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_listening(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(socket) => SockRef::from(socket).is_listener(),
            Self::Unix(socket) => SockRef::from(socket).is_listener(),
        }
    }

    /// Makes accepting return at once when nobody is there, as a runtime needs it.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket) => socket.set_nonblocking(true),
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }

    /// Hands it to the current runtime.
    ///
    /// # Errors
    /// When the runtime cannot register it.
    pub fn listen(self) -> io::Result<Listening> {
        match self {
            Self::Tcp(socket) => TcpListener::from_std(socket).map(Listening::Tcp),
            Self::Unix(socket) => tokio::net::UnixListener::from_std(socket).map(Listening::Unix),
        }
    }
}

/// A bound socket, as one worker sees it.
#[derive(Debug)]
pub enum Listening {
    /// One of several sockets on the same address; the kernel spreads connections over them.
    Tcp(TcpListener),
    /// The one socket, shared by all workers.
    Unix(tokio::net::UnixListener),
}

impl Listening {
    pub(super) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                socket.set_nodelay(true)?;
                Ok((Stream::Tcp(socket), Some(peer.ip().to_canonical())))
            }
            Self::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }
}

/// Binds `address` for `workers` workers. Returns the sockets and the address with its real port.
///
/// # Errors
/// What the system says; an address that another process listens on is an error, not shared.
pub fn bind(address: &Address, workers: usize) -> io::Result<(Vec<Bound>, Address)> {
    match address {
        Address::Tcp(address) => {
            // SO_REUSEPORT would let a second gateway take half of the connections: this socket finds out.
            drop(tcp(*address, false)?);
            let first = tcp(*address, true)?;
            let real = first.local_addr()?;
            let mut sockets = vec![Bound::Tcp(first)];
            for _ in 1..workers {
                sockets.push(Bound::Tcp(tcp(real, true)?));
            }
            Ok((sockets, Address::Tcp(real)))
        }
        Address::Unix(path, mode) => {
            let socket = unix(path, *mode)?;
            let mut sockets = Vec::with_capacity(workers);
            for _ in 1..workers {
                sockets.push(Bound::Unix(socket.try_clone()?));
            }
            sockets.push(Bound::Unix(socket));
            Ok((sockets, address.clone()))
        }
    }
}

/// Shares sockets of one address that were bound elsewhere among `workers` workers: each gets at least one, and each is
/// somebody's. Returns the workers' shares, and the address.
///
/// A worker that shares a socket has a descriptor of its own for it, and the kernel wakes all of them for a connection that
/// one will get; over several sockets of one address (`SO_REUSEPORT`) it spreads connections as it does for our own.
///
/// # Errors
/// When the system refuses another descriptor, or there is no socket.
pub fn share(sockets: &[Bound], workers: usize) -> io::Result<(Vec<Vec<Bound>>, Address)> {
    let address = sockets
        .first()
        .ok_or_else(|| io::Error::other("no socket"))?
        .address()?;
    let mut shares: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::new()).collect();
    let turns = sockets.len().max(workers);
    for (socket, turn) in sockets.iter().cycle().zip(0..turns) {
        if let Some(share) = shares.get_mut(turn % workers.max(1)) {
            share.push(socket.try_clone()?);
        }
    }
    Ok((shares, address))
}

fn tcp(address: SocketAddr, share: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    // A socket that nobody answers on was left behind by a crash.
    if fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) && UnixStream::connect(path).is_err() {
        fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Whatever the numbers: no worker without a socket, no socket without a worker.
    #[test]
    fn handed_over_sockets_are_shared_out() {
        for (sockets, workers) in [(1, 1), (1, 4), (2, 3), (3, 2), (4, 4)] {
            let first = tcp("127.0.0.1:0".parse().unwrap(), true).unwrap();
            let address = first.local_addr().unwrap();
            let mut bound = vec![Bound::Tcp(first)];
            bound.extend((1..sockets).map(|_| Bound::Tcp(tcp(address, true).unwrap())));
            let (shares, found) = share(&bound, workers).unwrap();
            assert_eq!(found, Address::Tcp(address));
            assert_eq!(shares.len(), workers);
            assert!(shares.iter().all(|share| !share.is_empty()));
            let total: usize = shares.iter().map(Vec::len).sum();
            assert_eq!(total, sockets.max(workers));
        }
        assert!(share(&[], 2).is_err());
    }
}
