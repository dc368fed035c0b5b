//! Socket activation: listening sockets that the service manager opened and keeps (`sd_listen_fds(3)`).
//!
//! Because they outlive the process, connections that come between its end and its successor's start wait in the kernel's
//! queue instead of being refused; and a port below 1024 needs no capability here.

use super::{is_us, variable};
use crate::listener::socket::Bound;
use crate::settings::{Address, Listener};
use listenfd::ListenFd;
use std::ffi::OsString;
use std::fmt::Write as _;

/// A listening socket that was handed over.
#[derive(Debug)]
pub struct Passed {
    /// `FileDescriptorName=` of the socket unit, by default the unit's name; may be empty.
    pub name: String,
    /// The socket, non-blocking.
    pub socket: Bound,
}

/// Takes the sockets of `LISTEN_FDS` when `LISTEN_PID` means this process.
///
/// # Errors
/// One sentence when a variable or a socket is not what it should be.
pub fn accept(environment: &[(OsString, OsString)]) -> Result<Vec<Passed>, String> {
    if !variable(environment, "LISTEN_PID").is_some_and(is_us) {
        return Ok(Vec::new());
    }
    let names = variable(environment, "LISTEN_FDNAMES").map(|names| names.to_string_lossy().into_owned());
    let mut names = names.as_deref().unwrap_or_default().split(':').map(str::to_owned);
    // This crate takes descriptors into safe types, after asking the system what they are.
    let mut descriptors = ListenFd::from_env();
    let mut sockets = Vec::with_capacity(descriptors.len());
    for index in 0..descriptors.len() {
        let name = names.next().unwrap_or_default();
        let socket = socket(&mut descriptors, index)
            .map_err(|error| format!("socket {index} (`{name}`) of the service manager cannot be used: {error}"))?;
        sockets.push(Passed { name, socket });
    }
    Ok(sockets)
}

fn socket(descriptors: &mut ListenFd, index: usize) -> std::io::Result<Bound> {
    let none = || std::io::Error::other("not there");
    let socket = match descriptors.take_tcp_listener(index) {
        Ok(socket) => Bound::Tcp(socket.ok_or_else(none)?),
        Err(_) => match descriptors.take_unix_listener(index) {
            Ok(socket) => Bound::Unix(socket.ok_or_else(none)?),
            Err(_) => return Err(std::io::Error::other("neither a TCP nor a Unix stream socket")),
        },
    };
    if !socket.is_listening()? {
        return Err(std::io::Error::other("it does not listen (is `Accept=` set?)"));
    }
    socket.set_nonblocking()?;
    Ok(socket)
}

/// Gives each listener its sockets, in the order of `listeners`: those that have its name, and those that have its address.
/// The name wins, so that a unit may listen where the configuration does not know.
///
/// # Errors
/// When a socket belongs to no listener: what is sent there would wait forever.
pub fn assign(passed: Vec<Passed>, listeners: &[Listener]) -> Result<Vec<Vec<Bound>>, String> {
    let mut assigned: Vec<Vec<Bound>> = listeners.iter().map(|_| Vec::new()).collect();
    let mut strangers = String::new();
    for Passed { name, socket } in passed {
        let address = socket
            .address()
            .map_err(|error| format!("the address of socket `{name}`: {error}"))?;
        let by_name = listeners.iter().position(|listener| listener.name == name);
        let by_address = || {
            listeners
                .iter()
                .position(|listener| is_same(&listener.address, &address))
        };
        match by_name.or_else(by_address).and_then(|at| assigned.get_mut(at)) {
            Some(sockets) => sockets.push(socket),
            None => {
                let _ = write!(strangers, " `{name}` on {address},");
            }
        }
    }
    if strangers.is_empty() {
        return Ok(assigned);
    }
    let strangers = strangers.trim_end_matches(',');
    let names: Vec<_> = listeners
        .iter()
        .map(|listener| format!("`{}`", listener.name))
        .collect();
    Err(format!(
        "sockets of the service manager that no listener takes:{strangers}; set FileDescriptorName= of the socket unit to \
         the name of a listener ({}), or let their addresses agree",
        names.join(", ")
    ))
}

/// The file mode of a Unix socket is the socket unit's business.
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
            proxy_protocol: false,
        }
    }

    fn passed(name: &str) -> (Passed, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let name = name.into();
        (
            Passed {
                name,
                socket: Bound::Tcp(socket),
            },
            address,
        )
    }

    /// CASES I18.
    #[test]
    fn a_socket_goes_to_the_listener_of_its_name_or_else_of_its_address() {
        let ((named, _), (plain, address), (both, other)) =
            (passed("public"), passed("hookgate.socket"), passed("public"));
        let path = Address::Unix("/run/none.sock".into(), 0o660);
        let listeners = [
            listener("mesh", Address::Tcp(address)),
            listener("public", path),
            // Of this one's address is a socket with another one's name.
            listener("third", Address::Tcp(other)),
        ];
        let assigned = assign(vec![named, plain, both], &listeners).unwrap();
        let counts: Vec<_> = assigned.iter().map(Vec::len).collect();
        assert_eq!(counts, [1, 2, 0]);
        assert_eq!(assigned[0][0].address().unwrap(), Address::Tcp(address));
    }

    #[test]
    fn a_socket_that_nobody_takes_is_an_error_that_names_both_sides() {
        let (stranger, address) = passed("hookgate.socket");
        let elsewhere = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 1)));
        let error = assign(vec![stranger], &[listener("public", elsewhere)]).unwrap_err();
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
    fn variables_of_another_process_are_left_alone() {
        let environment = |pid: &str| {
            vec![
                (OsString::from("LISTEN_PID"), OsString::from(pid)),
                ("LISTEN_FDS".into(), "3".into()),
            ]
        };
        assert!(accept(&environment("1")).unwrap().is_empty());
        assert!(accept(&environment("soon")).unwrap().is_empty());
        assert!(accept(&[]).unwrap().is_empty());
    }
}
