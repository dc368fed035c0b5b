//! Listening sockets: one per worker and address, so that the kernel spreads connections and no worker waits for another.

use crate::listener::Listening;
use crate::settings::Address;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use tokio::net::TcpListener;

/// Connections that the kernel holds until a worker accepts them.
const BACKLOG: i32 = 4096;

/// A bound socket that no runtime knows yet.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// Unix.
    Unix(UnixListener),
}

impl Bound {
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
