//! A round-robin TCP balancer: connection n goes to backend n modulo their number, as HAProxy in `mode tcp` would send
//! it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Listens until the test's process ends.
pub(crate) struct Balancer {
    address: SocketAddr,
    backends: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    pub(crate) fn new(backends: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let backends = Arc::new(Mutex::new(backends));
        let shared = backends.clone();
        thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let backend = {
                    let backends = shared.lock().unwrap();
                    backends[number % backends.len()]
                };
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(backend)) else {
                    continue;
                };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let halves = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || carry(halves.0, halves.1));
                thread::spawn(move || carry(server, client));
            }
        });
        Self { address, backends }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces a backend; open connections stay with the old one.
    pub(crate) fn replace(&self, index: usize, backend: SocketAddr) {
        self.backends.lock().unwrap()[index] = backend;
    }
}

/// Copies bytes in one direction until either side closes; then both directions are closed.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = [0; 16 * 1024];
    while let Ok(read) = from.read(&mut piece) {
        if read == 0 || to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
