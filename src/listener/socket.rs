//! Listening sockets. Each worker has its own socket for each TCP address, so that the kernel distributes the
//! connections and no worker waits for another.

use crate::http::transport::Socket as AcceptedSocket;
use crate::settings::Address;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use tokio::net::TcpListener;

/// The most connections that the kernel queues on one socket until a worker accepts them.
pub(crate) const BACKLOG: i32 = 4096;

/// A bound socket that is not registered with a runtime yet.
#[derive(Debug)]
pub enum BoundSocket {
    /// A TCP socket.
    Tcp(std::net::TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl BoundSocket {
    /// The address of the socket. The mode of a Unix socket's file is not read and returned as 0.
    ///
    /// # Errors
    /// Errors of the system, and for a Unix socket without a path.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(Address::Tcp),
            Self::Unix(socket) => {
                let address = socket.local_addr()?;
                let path = address
                    .as_pathname()
                    .ok_or_else(|| io::Error::other("the Unix socket has no path"))?;
                Ok(Address::Unix(path.to_path_buf(), 0))
            }
        }
    }

    /// Whether the socket is in the listening state.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn is_listening(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(socket) => SockRef::from(socket).is_listener(),
            Self::Unix(socket) => SockRef::from(socket).is_listener(),
        }
    }

    /// Makes the socket non-blocking, as the runtime requires.
    ///
    /// # Errors
    /// Errors of the system.
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

    /// Registers the socket with the current runtime.
    ///
    /// # Errors
    /// When the runtime cannot register it.
    pub fn listen(self) -> io::Result<ListeningSocket> {
        match self {
            Self::Tcp(socket) => TcpListener::from_std(socket).map(ListeningSocket::Tcp),
            Self::Unix(socket) => tokio::net::UnixListener::from_std(socket).map(ListeningSocket::Unix),
        }
    }
}

/// A listening socket of one worker, registered with its runtime.
#[derive(Debug)]
pub enum ListeningSocket {
    /// One of several sockets on the same address, over which the kernel distributes the connections.
    Tcp(TcpListener),
    /// The only socket of its path, shared by all workers.
    Unix(tokio::net::UnixListener),
}

impl ListeningSocket {
    /// Waits for the next connection; its peer address is `None` on a Unix socket.
    pub(super) async fn accept(&self) -> io::Result<(AcceptedSocket, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                socket.set_nodelay(true)?;
                Ok((AcceptedSocket::Tcp(socket), Some(peer.ip().to_canonical())))
            }
            Self::Unix(listener) => Ok((AcceptedSocket::Unix(listener.accept().await?.0), None)),
        }
    }
}

/// Binds `address` for `workers` workers. Returns one socket for each worker, and the address with its actual port.
///
/// # Errors
/// Errors of the system, also when another process listens on the address.
pub fn bind(address: &Address, workers: usize) -> io::Result<(Vec<BoundSocket>, Address)> {
    match address {
        Address::Tcp(address) => {
            // With SO_REUSEPORT a second gateway could bind the same address and get half of the connections. This
            // socket is bound without it, so that binding fails in this case.
            drop(tcp(*address, false)?);
            let first = tcp(*address, true)?;
            let actual = first.local_addr()?;
            let mut sockets = vec![BoundSocket::Tcp(first)];
            for _ in 1..workers {
                sockets.push(BoundSocket::Tcp(tcp(actual, true)?));
            }
            Ok((sockets, Address::Tcp(actual)))
        }
        Address::Unix(path, mode) => {
            let socket = unix(path, *mode)?;
            let mut sockets = Vec::with_capacity(workers);
            for _ in 1..workers {
                sockets.push(BoundSocket::Unix(socket.try_clone()?));
            }
            sockets.push(BoundSocket::Unix(socket));
            Ok((sockets, address.clone()))
        }
    }
}

/// Distributes sockets of one address that were passed to the process (socket activation) among `workers` workers.
/// Every worker gets at least one socket, and every socket goes to at least one worker. Returns the sockets of each
/// worker, and the address.
///
/// Workers that share a socket each have their own descriptor for it; the kernel wakes all of them for a connection
/// that one of them will accept. Over several sockets of one address (`SO_REUSEPORT`) the kernel distributes the
/// connections.
///
/// # Errors
/// When the system refuses another descriptor, or `sockets` is empty.
pub fn share(sockets: &[BoundSocket], workers: usize) -> io::Result<(Vec<Vec<BoundSocket>>, Address)> {
    let address = sockets
        .first()
        .ok_or_else(|| io::Error::other("no socket was passed"))?
        .address()?;
    let mut shares: Vec<Vec<BoundSocket>> = (0..workers).map(|_| Vec::new()).collect();
    let turns = sockets.len().max(workers);
    for (socket, turn) in sockets.iter().cycle().zip(0..turns) {
        if let Some(share) = shares.get_mut(turn % workers.max(1)) {
            share.push(socket.try_clone()?);
        }
    }
    Ok((shares, address))
}

/// Binds a TCP address; `reuse_port` allows further sockets on it.
fn tcp(address: SocketAddr, reuse_port: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds a Unix socket whose file has this mode, and listens on it.
fn unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    remove_stale(path)?;
    let socket = bind_with_mode(path, mode)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds a Unix socket whose file has this mode, and does not listen yet. Nobody can connect before `listen`, so nobody
/// connects under the mode that `bind` gives.
fn bind_with_mode(path: &Path, mode: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(socket)
}

/// Removes a socket file that a crash left over. Only a refused connection shows that no process listens: a queue that is
/// full, another type of socket and a missing permission do not.
///
/// # Errors
/// `AddrInUse` when a process uses the socket, or may use it.
fn remove_stale(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        return Ok(());
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(()) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    #[test]
    fn a_unix_socket_has_its_mode_before_anyone_can_connect() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let bound = bind_with_mode(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = UnixStream::connect(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        bound.listen(BACKLOG).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn only_a_socket_without_a_process_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let is_in_use = |path: &Path| {
            let error = unix(path, 0o600).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{}", path.display());
            assert!(path.exists());
        };
        let stale = path("stale");
        drop(UnixListener::bind(&stale).unwrap());
        let live = unix(&stale, 0o640).unwrap();
        assert_eq!(fs::metadata(&stale).unwrap().permissions().mode() & 0o777, 0o640);
        is_in_use(&stale);
        drop(live);
        let full = path("full");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&full).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let waiting = UnixStream::connect(&full).unwrap();
        is_in_use(&full);
        drop((listener, waiting));
        let datagrams = path("datagrams");
        let held = UnixDatagram::bind(&datagrams).unwrap();
        is_in_use(&datagrams);
        drop(held);
        let file = path("file");
        fs::write(&file, "x").unwrap();
        is_in_use(&file);
    }

    /// With any numbers of sockets and workers, every worker gets a socket and every socket a worker.
    #[test]
    fn passed_sockets_are_distributed_over_the_workers() {
        for (sockets, workers) in [(1, 1), (1, 4), (2, 3), (3, 2), (4, 4)] {
            let first = tcp("127.0.0.1:0".parse().unwrap(), true).unwrap();
            let address = first.local_addr().unwrap();
            let mut bound = vec![BoundSocket::Tcp(first)];
            bound.extend((1..sockets).map(|_| BoundSocket::Tcp(tcp(address, true).unwrap())));
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
