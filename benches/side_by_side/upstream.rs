//! The protected application: answers every request with a fixed 200 and counts it, per listener.
//!
//! It must cost next to nothing, or the generator's core becomes the busy one. A body is thrown away inside the kernel
//! (`MSG_TRUNC`) unless the listener was told to record, which the check before timing does to see what arrived.
//! The paths under `/.bench/` are for the benchmark itself and no contender forwards them.

use crate::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustix::net::RecvFlags;
use std::io::{BufRead, ErrorKind, Read, Write};

/// One request's head and its answer fit in this by far.
const HEAD_BYTES: usize = 16 * 1024;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

/// What one listener got.
#[derive(Default)]
struct Seen {
    requests: u64,
    recording: bool,
    last: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    listener: usize,
    head: Vec<u8>,
    /// Body bytes still to come.
    remaining: usize,
    in_body: bool,
}

/// Runs until its parent ends. Prints the ports it listens on, one a line, and then an empty line.
pub fn run(listeners: usize) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut sockets = Vec::new();
    for index in 0..listeners {
        let mut socket = TcpListener::bind("127.0.0.1:0".parse()?)?;
        poll.registry()
            .register(&mut socket, Token(index), Interest::READABLE)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", socket.local_addr()?.port())?;
        sockets.push(socket);
    }
    writeln!(std::io::stdout())?;
    let mut seen: Vec<Seen> = (0..listeners).map(|_| Seen::default()).collect();
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; 1024 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            let token = event.token().0;
            if let Some(socket) = sockets.get(token) {
                while let Ok((mut stream, _)) = socket.accept() {
                    stream.set_nodelay(true)?;
                    let slot = connections.iter().position(Option::is_none).unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    poll.registry()
                        .register(&mut stream, Token(listeners + slot), Interest::READABLE)?;
                    connections[slot] = Some(Connection {
                        stream,
                        listener: token,
                        head: Vec::with_capacity(HEAD_BYTES),
                        remaining: 0,
                        in_body: false,
                    });
                }
                continue;
            }
            let slot = &mut connections[token - listeners];
            let Some(connection) = slot else { continue };
            if !connection
                .serve(&mut seen[connection.listener], &mut scratch)
                .unwrap_or(false)
            {
                *slot = None;
            }
        }
    }
}

impl Connection {
    /// Takes what has arrived; `false` when the connection is over.
    fn serve(&mut self, seen: &mut Seen, scratch: &mut [u8]) -> Result<bool> {
        loop {
            let space;
            let got = if self.in_body && !seen.recording {
                space = self.remaining.min(scratch.len());
                match rustix::net::recv(&self.stream, &mut scratch[..space], RecvFlags::TRUNC) {
                    Ok((_, n)) => n,
                    Err(rustix::io::Errno::AGAIN) => return Ok(true),
                    Err(e) => return Err(e.into()),
                }
            } else {
                space = HEAD_BYTES;
                match self.stream.read(&mut scratch[..space]) {
                    Ok(n) => n,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(e) => return Err(e.into()),
                }
            };
            if got == 0 {
                return Ok(false);
            }
            if self.in_body {
                if seen.recording {
                    seen.last.extend_from_slice(&scratch[..got]);
                }
                self.remaining = self.remaining.checked_sub(got).ok_or("more body than declared")?;
            } else {
                self.head.extend_from_slice(&scratch[..got]);
                let Some(end) = find(&self.head, b"\r\n\r\n") else {
                    continue;
                };
                let length = content_length(&self.head[..end])?;
                let arrived = self.head.len() - end - 4;
                self.remaining = length.checked_sub(arrived).ok_or("bytes beyond the declared body")?;
                self.in_body = true;
                if seen.recording && !self.head.starts_with(b"GET /.bench/") {
                    seen.last.clone_from(&self.head);
                }
            }
            if self.remaining == 0 {
                self.answer(seen)?;
            }
            // A short read emptied the socket; what comes later is a new event.
            if got < space {
                return Ok(true);
            }
        }
    }

    fn answer(&mut self, seen: &mut Seen) -> Result<()> {
        self.in_body = false;
        let dynamic;
        let answer = if self.head.starts_with(b"GET /.bench/record ") {
            seen.recording = true;
            ANSWER
        } else if self.head.starts_with(b"GET /.bench/forget ") {
            *seen = Seen {
                requests: seen.requests,
                ..Seen::default()
            };
            ANSWER
        } else if self.head.starts_with(b"GET /.bench/count ") {
            dynamic = text(seen.requests.to_string().as_bytes());
            &dynamic
        } else if self.head.starts_with(b"GET /.bench/last ") {
            dynamic = text(&seen.last);
            &dynamic
        } else {
            seen.requests += 1;
            if seen.recording {
                dynamic = text(format!("recorded {}\n", seen.requests).as_bytes());
                &dynamic
            } else {
                ANSWER
            }
        };
        self.head.clear();
        // The answer is smaller than any socket buffer, so it never blocks.
        self.stream.write_all(answer)?;
        Ok(())
    }
}

/// The benchmark's side: asks one listener of a running upstream.
pub fn ask(port: u16, what: &str) -> Result<Vec<u8>> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(format!("GET /.bench/{what} HTTP/1.1\r\nHost: upstream\r\n\r\n").as_bytes())?;
    let mut reader = std::io::BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err("the upstream hung up".into());
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

/// Requests that this listener has answered.
pub fn count(port: u16) -> Result<u64> {
    Ok(String::from_utf8(ask(port, "count")?)?.parse()?)
}

/// Where `needle` begins.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The declared length of a head without its empty line; 0 when there is none.
pub fn content_length(head: &[u8]) -> Result<usize> {
    for line in head.split(|&byte| byte == b'\n') {
        if line.len() > 15 && line[..15].eq_ignore_ascii_case(b"content-length:") {
            return Ok(std::str::from_utf8(&line[15..])?.trim().parse()?);
        }
    }
    Ok(0)
}

fn text(body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}
