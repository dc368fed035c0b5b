//! Socket activation: listening sockets that the service manager opens and keeps open (`sd_listen_fds(3)`).
//!
//! The sockets stay open when the process ends. Connections that arrive during a restart wait in the kernel's queue and
//! are not refused. A port below 1024 needs no capability in this process.

use super::{is_own_pid, variable};
use crate::listener::socket::BoundSocket;
use crate::settings::{Address, Listener};
use listenfd::ListenFd;
use std::ffi::OsString;
use std::fmt::Write as _;

/// A listening socket of the service manager.
#[derive(Debug)]
pub struct PassedSocket {
    /// `FileDescriptorName=` of the socket unit, by default the unit's name; may be empty.
    pub name: String,
    /// The socket, non-blocking.
    pub socket: BoundSocket,
}

/// Takes the sockets of `LISTEN_FDS` if `LISTEN_PID` is this process; none otherwise.
///
/// # Errors
/// One sentence when a socket is missing or is not a listening stream socket.
pub fn take_sockets(environment: &[(OsString, OsString)]) -> Result<Vec<PassedSocket>, String> {
    if !variable(environment, "LISTEN_PID").is_some_and(is_own_pid) {
        return Ok(Vec::new());
    }
    let names = variable(environment, "LISTEN_FDNAMES").map(|names| names.to_string_lossy().into_owned());
    let mut names = names.as_deref().unwrap_or_default().split(':').map(str::to_owned);
    // listenfd converts descriptors to safe types after it has checked their kind.
    let mut descriptors = ListenFd::from_env();
    let mut sockets = Vec::with_capacity(descriptors.len());
    for index in 0..descriptors.len() {
        let name = names.next().unwrap_or_default();
        let socket = socket(&mut descriptors, index)
            .map_err(|error| format!("socket {index} (`{name}`) of the service manager cannot be used: {error}"))?;
        sockets.push(PassedSocket { name, socket });
    }
    Ok(sockets)
}

fn socket(descriptors: &mut ListenFd, index: usize) -> std::io::Result<BoundSocket> {
    let none = || std::io::Error::other("there is no such descriptor");
    let socket = match descriptors.take_tcp_listener(index) {
        Ok(socket) => BoundSocket::Tcp(socket.ok_or_else(none)?),
        Err(_) => match descriptors.take_unix_listener(index) {
            Ok(socket) => BoundSocket::Unix(socket.ok_or_else(none)?),
            Err(_) => return Err(std::io::Error::other("neither a TCP nor a Unix stream socket")),
        },
    };
    if !socket.is_listening()? {
        return Err(std::io::Error::other(
            "it is not a listening socket; set Accept=no in the socket unit",
        ));
    }
    socket.set_nonblocking()?;
    Ok(socket)
}

/// Assigns the sockets to the listeners; the result has the order of `listeners`. A socket belongs to the listener of
/// its name, or else to the listener of its address. So the socket unit may use an address that is not in the
/// configuration.
///
/// # Errors
/// When a socket belongs to no listener: connections to it would never be accepted.
pub fn assign(passed: Vec<PassedSocket>, listeners: &[Listener]) -> Result<Vec<Vec<BoundSocket>>, String> {
    let mut assigned: Vec<Vec<BoundSocket>> = listeners.iter().map(|_| Vec::new()).collect();
    let mut unassigned = String::new();
    for PassedSocket { name, socket } in passed {
        let address = socket
            .address()
            .map_err(|error| format!("cannot read the address of socket `{name}`: {error}"))?;
        let by_name = listeners.iter().position(|listener| listener.name == name);
        let by_address = || {
            listeners
                .iter()
                .position(|listener| is_same(&listener.address, &address))
        };
        match by_name.or_else(by_address).and_then(|at| assigned.get_mut(at)) {
            Some(sockets) => sockets.push(socket),
            None => {
                let _ = write!(unassigned, " `{name}` on {address},");
            }
        }
    }
    if unassigned.is_empty() {
        return Ok(assigned);
    }
    let unassigned = unassigned.trim_end_matches(',');
    let names: Vec<_> = listeners
        .iter()
        .map(|listener| format!("`{}`", listener.name))
        .collect();
    Err(format!(
        "these sockets of the service manager belong to no listener:{unassigned}; set FileDescriptorName= of the socket unit to \
         the name of a listener ({}), or give both the same address",
        names.join(", ")
    ))
}

/// Whether the addresses are equal. The file mode of a Unix socket is ignored, because the socket unit sets it.
fn is_same(configured: &Address, passed: &Address) -> bool {
    match (configured, passed) {
        (Address::Tcp(configured), Address::Tcp(passed)) => configured == passed,
        (Address::Unix(configured, _), Address::Unix(passed, _)) => configured == passed,
        (Address::Tcp(_), Address::Unix(..)) | (Address::Unix(..), Address::Tcp(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use std::net::{SocketAddr, TcpListener};

    fn listener(name: &str, address: Address) -> Listener {
        Listener {
            name: name.into(),
            address,
            tls: None,
            trusted_proxies: Vec::new(),
            trusts_unix_peers: false,
            health: None,
            proxy_protocol: false,
        }
    }

    fn passed(name: &str) -> (PassedSocket, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let name = name.into();
        (
            PassedSocket {
                name,
                socket: BoundSocket::Tcp(socket),
            },
            address,
        )
    }

    /// CASES I18.
    #[test]
    fn a_socket_is_assigned_by_name_or_else_by_address() {
        let ((named, _), (plain, address), (both, other)) =
            (passed("public"), passed("hookgate.socket"), passed("public"));
        let path = Address::Unix("/run/none.sock".into(), 0o660);
        let listeners = [
            listener("mesh", Address::Tcp(address)),
            listener("public", path),
            // This listener has the address of a socket that is named after another listener.
            listener("third", Address::Tcp(other)),
        ];
        let assigned = assign(vec![named, plain, both], &listeners).unwrap();
        let counts: Vec<_> = assigned.iter().map(Vec::len).collect();
        assert_eq!(counts, [1, 2, 0]);
        assert_eq!(assigned[0][0].address().unwrap(), Address::Tcp(address));
    }

    #[test]
    fn a_socket_without_a_listener_is_an_error_that_names_the_socket_and_the_listeners() {
        let (unassigned, address) = passed("hookgate.socket");
        let elsewhere = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 1)));
        let error = assign(vec![unassigned], &[listener("public", elsewhere)]).unwrap_err();
        for part in [
            "hookgate.socket",
            &address.to_string(),
            "`public`",
            "FileDescriptorName=",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn variables_for_another_process_are_ignored() {
        let environment = |pid: &str| {
            vec![
                (OsString::from("LISTEN_PID"), OsString::from(pid)),
                ("LISTEN_FDS".into(), "3".into()),
            ]
        };
        assert!(take_sockets(&environment("1")).unwrap().is_empty());
        assert!(take_sockets(&environment("soon")).unwrap().is_empty());
        assert!(take_sockets(&[]).unwrap().is_empty());
    }
}
