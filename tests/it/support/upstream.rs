//! A recording upstream on raw sockets: it keeps the exact bytes of every request and answers what the handler of the
//! test writes, well formed or not.

use super::message::{Message, Reader};
use super::wait::{WAIT_TIMEOUT, eventually};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What to do with the connection after a handler has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterAnswer {
    /// Read the next request.
    Keep,
    /// Close it in order.
    Close,
    /// Close it with a reset.
    Reset,
}

/// A request as received.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// Counts from 0 over all connections.
    pub(crate) index: usize,
    /// The number of its connection, counted from 0.
    pub(crate) connection: usize,
    pub(crate) message: Message,
}

impl Deref for Recorded {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

/// A connection that a handler can write to.
pub(crate) enum Connection {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    Unix(UnixStream),
}

type Handler = dyn Fn(&Recorded, &mut Connection) -> AfterAnswer + Send + Sync;

/// The running upstream; its listener closes on drop.
pub(crate) struct Upstream {
    place: Place,
    shared: Arc<Shared>,
}

enum Place {
    Tcp(SocketAddr),
    Tls(SocketAddr),
    Unix(PathBuf),
}

struct Shared {
    handler: Box<Handler>,
    requests: Mutex<Vec<Recorded>>,
    /// Bytes of connections that ended inside a request.
    broken: Mutex<Vec<Message>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    stopped: AtomicBool,
}

/// An answer with `Content-Length`.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

impl Upstream {
    /// On a TCP port; `handler` answers each complete request.
    pub(crate) fn new(handler: impl Fn(&Recorded, &mut Connection) -> AfterAnswer + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", handler)
    }

    /// On this address: a port that another upstream used before, or an address of a network namespace.
    pub(crate) fn at(
        address: &str,
        handler: impl Fn(&Recorded, &mut Connection) -> AfterAnswer + Send + Sync + 'static,
    ) -> Self {
        // A connection of another test may have the port for a while.
        let listener = super::eventually(address, || TcpListener::bind(address).ok());
        let address = listener.local_addr().unwrap();
        let shared = Shared::new(handler);
        let accept = move || listener.accept().map(|(stream, _)| Connection::Tcp(stream));
        shared.serve(accept);
        Self {
            place: Place::Tcp(address),
            shared,
        }
    }

    /// On a TLS port.
    pub(crate) fn tls(
        config: Arc<ServerConfig>,
        handler: impl Fn(&Recorded, &mut Connection) -> AfterAnswer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared::new(handler);
        shared.serve(move || {
            let (stream, _) = listener.accept()?;
            let session = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            Ok(Connection::Tls(Box::new(StreamOwned::new(session, stream))))
        });
        Self {
            place: Place::Tls(address),
            shared,
        }
    }

    /// On a Unix socket.
    pub(crate) fn unix(
        path: &Path,
        handler: impl Fn(&Recorded, &mut Connection) -> AfterAnswer + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let shared = Shared::new(handler);
        shared.serve(move || listener.accept().map(|(stream, _)| Connection::Unix(stream)));
        Self {
            place: Place::Unix(path.to_owned()),
            shared,
        }
    }

    /// Answers every request with the same bytes and keeps the connection.
    pub(crate) fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::new(move |_, connection| connection.send(&bytes))
    }

    /// Answers `200` with a short text.
    pub(crate) fn ok() -> Self {
        Self::answering(answer("200 OK", &[("Content-Type", "text/plain")], b"thanks"))
    }

    /// The value for `upstream` in the configuration.
    pub(crate) fn url(&self) -> String {
        match &self.place {
            Place::Tcp(address) => format!("http://{address}"),
            Place::Tls(address) => format!("https://localhost:{}", address.port()),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The requests that ended before they were complete.
    pub(crate) fn broken(&self) -> Vec<Message> {
        self.shared.broken.lock().unwrap().clone()
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Waits until `count` complete requests have arrived.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Recorded> {
        eventually(&format!("{count} requests at the upstream"), || {
            Some(self.requests()).filter(|seen| seen.len() >= count)
        })
    }

    /// The only request that arrived; panics when there are none or several.
    pub(crate) fn only(&self) -> Recorded {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "requests at the upstream: {requests:?}");
        requests.remove(0)
    }

    /// Panics when a single byte has arrived.
    pub(crate) fn assert_untouched(&self) {
        assert!(self.requests().is_empty(), "the upstream saw {:?}", self.requests());
        assert!(self.broken().is_empty(), "the upstream saw {:?}", self.broken());
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accept loop, which then drops its listener.
        match &self.place {
            Place::Tcp(address) | Place::Tls(address) => drop(TcpStream::connect(address)),
            Place::Unix(path) => drop(UnixStream::connect(path)),
        }
    }
}

impl Shared {
    fn new(handler: impl Fn(&Recorded, &mut Connection) -> AfterAnswer + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            handler: Box::new(handler),
            requests: Mutex::default(),
            broken: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        })
    }

    fn serve(self: &Arc<Self>, accept: impl Fn() -> io::Result<Connection> + Send + 'static) {
        let shared = self.clone();
        std::thread::spawn(move || {
            while let Ok(connection) = accept() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                let shared = shared.clone();
                std::thread::spawn(move || {
                    shared.open.fetch_add(1, Ordering::SeqCst);
                    shared.serve_connection(number, connection);
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
    }

    fn serve_connection(&self, number: usize, connection: Connection) {
        let mut reader = Reader::new(connection);
        loop {
            let mut message = match reader.head() {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(_) => {
                    let raw = reader.pending().to_vec();
                    if !raw.is_empty() {
                        self.broken.lock().unwrap().push(Message {
                            raw,
                            ..Message::default()
                        });
                    }
                    return;
                }
            };
            if reader.body(&mut message, false).is_err() {
                self.broken.lock().unwrap().push(message);
                return;
            }
            let recorded = {
                let mut requests = self.requests.lock().unwrap();
                let index = requests.len();
                requests.push(Recorded {
                    index,
                    connection: number,
                    message,
                });
                requests.last().unwrap().clone()
            };
            match (self.handler)(&recorded, &mut reader.stream) {
                AfterAnswer::Keep => {}
                AfterAnswer::Close => return,
                AfterAnswer::Reset => return reader.stream.reset(),
            }
        }
    }
}

impl Connection {
    /// Writes and keeps the connection; an error (the gateway closed) closes it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> AfterAnswer {
        match self.write_all(bytes).and_then(|()| self.flush()) {
            Ok(()) => AfterAnswer::Keep,
            Err(_) => AfterAnswer::Close,
        }
    }

    /// Waits until the gateway closes, at most [`WAIT_TIMEOUT`]; returns whether it did.
    pub(crate) fn wait_for_close(&mut self) -> bool {
        let tcp = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => &stream.sock,
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
                return matches!(stream.read(&mut [0; 1]), Ok(0));
            }
        };
        tcp.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
        match self.read(&mut [0; 1]) {
            Ok(read) => read == 0,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }

    fn reset(self) {
        let tcp = match &self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => &stream.sock,
            Self::Unix(_) => return,
        };
        socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl Read for Connection {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
        }
    }
}
