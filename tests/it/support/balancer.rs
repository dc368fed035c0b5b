//! A round-robin TCP balancer: connection n goes to backend n modulo their number, as HAProxy in `mode tcp` would send
//! it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What one side of a connection sent at once.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Number of the connection.
    pub(crate) connection: usize,
    /// Whether it was the side that opened the connection.
    pub(crate) is_request: bool,
    pub(crate) bytes: Vec<u8>,
}

type Pieces = Arc<Mutex<Vec<Piece>>>;

/// Listens until the test's process ends.
pub(crate) struct Balancer {
    address: SocketAddr,
    backends: Arc<Mutex<Vec<SocketAddr>>>,
    pieces: Pieces,
}

impl Balancer {
    pub(crate) fn new(backends: Vec<SocketAddr>) -> Self {
        Self::with(backends, false)
    }

    /// The same, which keeps what both sides send.
    pub(crate) fn recording(backends: Vec<SocketAddr>) -> Self {
        Self::with(backends, true)
    }

    fn with(backends: Vec<SocketAddr>, records: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let backends = Arc::new(Mutex::new(backends));
        let shared = backends.clone();
        let pieces = Pieces::default();
        let kept = pieces.clone();
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
                let record = |is_request| records.then(|| (kept.clone(), number, is_request));
                let (requests, answers) = (record(true), record(false));
                thread::spawn(move || carry(halves.0, halves.1, requests.as_ref()));
                thread::spawn(move || carry(server, client, answers.as_ref()));
            }
        });
        Self {
            address,
            backends,
            pieces,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was sent until now.
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        self.pieces.lock().unwrap().clone()
    }

    /// Replaces a backend; open connections stay with the old one.
    pub(crate) fn replace(&self, index: usize, backend: SocketAddr) {
        self.backends.lock().unwrap()[index] = backend;
    }
}

/// Copies bytes in one direction until either side closes; then both directions are closed.
fn carry(mut from: TcpStream, mut to: TcpStream, record: Option<&(Pieces, usize, bool)>) {
    let mut piece = [0; 16 * 1024];
    while let Ok(read) = from.read(&mut piece) {
        if let Some((pieces, connection, is_request)) = record {
            pieces.lock().unwrap().push(Piece {
                connection: *connection,
                is_request: *is_request,
                bytes: piece[..read].to_vec(),
            });
        }
        if read == 0 || to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
