//! Opens a connection to a server that accepts writes: finds it, authenticates, loads the scripts, reads the eviction
//! policy.
//!
//! Of several addresses the first that reports to be a master is used. With Sentinel, the Sentinels are asked for the
//! master's address. All commands to one server are sent together, so that a connection is ready after one round trip.

use super::super::store_metrics::StoreOperation;
use super::resp::{self, RespReply};
use super::script;
use crate::settings::{Redis, StoreServer};
use bytes::{Buf as _, BytesMut};
use rustls_pki_types::ServerName;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Timeout for one server, from the first packet to the last reply. No request waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A stream of bytes in both directions.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// An open connection, ready for scripts.
pub(super) struct OpenConnection {
    pub(super) stream: Box<dyn ByteStream>,
    /// Bytes read and not used yet.
    pub(super) input: BytesMut,
    /// In the order of [`StoreOperation::ALL`].
    pub(super) scripts: Vec<LoadedScript>,
    /// Whether the server is version 7.0 or later, where one command can claim a single key.
    pub(super) sets_and_gets: bool,
    /// The server's address, for the log.
    pub(super) address: String,
    /// The server's eviction policy, if it can evict keys: it has a memory limit and a policy other than `noeviction`.
    pub(super) evicts: Option<String>,
}

/// A script that the server has loaded.
pub(super) struct LoadedScript {
    /// The hash by which the server identifies it.
    pub(super) hash: Vec<u8>,
    /// The text, to send it again if the server has lost it.
    pub(super) text: String,
}

/// Opens a connection. The error is one sentence for each server, without any secret.
pub(super) async fn connect(settings: &Redis, tls: Option<&TlsConnector>) -> Result<OpenConnection, String> {
    let masters = match &settings.sentinel {
        None => settings.servers.clone(),
        Some(master) => vec![ask_sentinels(settings, tls, master).await?],
    };
    let mut problems = Vec::new();
    for server in &masters {
        let opened = timeout(CONNECT_TIMEOUT, prepare(settings, tls, server)).await;
        match opened.unwrap_or_else(|_| Err(format!("no answer within {CONNECT_TIMEOUT:?}"))) {
            Ok(ready) => return Ok(ready),
            Err(problem) => problems.push(format!("{server}: {problem}")),
        }
    }
    Err(problems.join("; "))
}

async fn prepare(settings: &Redis, tls: Option<&TlsConnector>, server: &StoreServer) -> Result<OpenConnection, String> {
    let stream = open(server, tls).await.map_err(|error| error.to_string())?;
    let mut session = Session::new(stream);
    let database = settings.database.to_string();
    let password = settings.password.as_ref().map(|secret| secret.expose());
    match (&settings.user, password) {
        (Some(user), Some(password)) => session.command(&[b"AUTH", user.expose(), password]),
        (None, Some(password)) => session.command(&[b"AUTH", password]),
        (_, None) => session.command(&[b"PING"]),
    }
    session.command(&[b"SELECT", database.as_bytes()]);
    session.command(&[b"ROLE"]);
    session.command(&[b"INFO", b"memory"]);
    let mut texts = StoreOperation::ALL.map(|operation| [script::flags(operation), script::text(operation)].concat());
    for text in &texts {
        session.command(&[b"SCRIPT", b"LOAD", text.as_bytes()]);
    }
    session.send().await?;
    accepted(session.reply().await?)?;
    accepted(session.reply().await?)?;
    is_master(&session.reply().await?)?;
    let evicts = match session.reply().await? {
        RespReply::Bulk(Some(info)) => evicting(&String::from_utf8_lossy(&info)),
        RespReply::Bulk(None)
        | RespReply::Status(_)
        | RespReply::Error(_)
        | RespReply::Integer(_)
        | RespReply::Array(_) => None,
    };
    let mut loaded = Vec::new();
    for _ in &texts {
        loaded.push(session.reply().await?);
    }
    let old = matches!(loaded.first(), Some(RespReply::Error(error)) if is_syntax(error));
    if old {
        // Before 7.0 the line with the flags is a syntax error.
        texts = StoreOperation::ALL.map(|operation| script::text(operation).to_owned());
        for text in &texts {
            session.command(&[b"SCRIPT", b"LOAD", text.as_bytes()]);
        }
        session.send().await?;
        for reply in &mut loaded {
            *reply = session.reply().await?;
        }
    }
    let scripts = loaded.into_iter().zip(texts).map(|(reply, text)| match reply {
        RespReply::Bulk(Some(hash)) => Ok(LoadedScript { hash, text }),
        other @ (RespReply::Bulk(None)
        | RespReply::Status(_)
        | RespReply::Error(_)
        | RespReply::Integer(_)
        | RespReply::Array(_)) => accepted(other).and(Err(String::from("SCRIPT LOAD returned no hash"))),
    });
    Ok(OpenConnection {
        scripts: scripts.collect::<Result<_, _>>()?,
        stream: session.stream,
        input: session.input,
        sets_and_gets: !old,
        address: server.to_string(),
        evicts,
    })
}

/// Checks the reply to `ROLE`: an error unless the server accepts writes. A user who may not call `ROLE` is not an
/// error: a replica will refuse writes with READONLY.
pub(super) fn is_master(reply: &RespReply) -> Result<(), String> {
    match reply {
        RespReply::Array(role) => match role.first() {
            Some(RespReply::Bulk(Some(role))) if role.as_slice() != b"master" => Err(format!(
                "the server is a {}, not a master",
                String::from_utf8_lossy(role)
            )),
            Some(_) | None => Ok(()),
        },
        RespReply::Status(_) | RespReply::Error(_) | RespReply::Integer(_) | RespReply::Bulk(_) => Ok(()),
    }
}

fn is_syntax(error: &str) -> bool {
    error.contains("compiling script")
}

/// The value of `maxmemory-policy`, if there is a memory limit and the policy is not `noeviction`.
fn evicting(info: &str) -> Option<String> {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let policy = field("maxmemory_policy:")?;
    let limited = field("maxmemory:").is_some_and(|limit| limit != "0");
    (limited && policy != "noeviction").then(|| policy.to_owned())
}

/// The master's address, from the first Sentinel that knows it.
async fn ask_sentinels(settings: &Redis, tls: Option<&TlsConnector>, master: &str) -> Result<StoreServer, String> {
    let mut problems = Vec::new();
    for sentinel in &settings.servers {
        let asked = async {
            let stream = open(sentinel, tls).await.map_err(|error| error.to_string())?;
            let mut session = Session::new(stream);
            session.command(&[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", master.as_bytes()]);
            session.send().await?;
            session.reply().await
        };
        match timeout(CONNECT_TIMEOUT, asked).await {
            Err(_) => problems.push(format!("{sentinel}: no answer within {CONNECT_TIMEOUT:?}")),
            Ok(Err(problem)) => problems.push(format!("{sentinel}: {problem}")),
            Ok(Ok(RespReply::Array(address))) => match address.as_slice() {
                [RespReply::Bulk(Some(host)), RespReply::Bulk(Some(port))] => {
                    let port = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok());
                    let host = String::from_utf8(host.clone()).ok();
                    if let (Some(host), Some(port)) = (host, port) {
                        return Ok(StoreServer::Tcp { host, port });
                    }
                    problems.push(format!("{sentinel}: the reply has no address"));
                }
                _ => problems.push(format!("{sentinel}: knows no master `{master}`")),
            },
            Ok(Ok(other)) => problems.push(match accepted(other) {
                Ok(()) => format!("{sentinel}: knows no master `{master}`"),
                Err(problem) => format!("{sentinel}: {problem}"),
            }),
        }
    }
    Err(problems.join("; "))
}

async fn open(server: &StoreServer, tls: Option<&TlsConnector>) -> io::Result<Box<dyn ByteStream>> {
    match (server, tls) {
        (StoreServer::Unix(path), _) => Ok(Box::new(UnixStream::connect(path).await?)),
        (StoreServer::Tcp { host, port }, None) => Ok(Box::new(tcp(host, *port).await?)),
        (StoreServer::Tcp { host, port }, Some(tls)) => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            Ok(Box::new(tls.connect(name, tcp(host, *port).await?).await?))
        }
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn accepted(reply: RespReply) -> Result<(), String> {
    match reply {
        RespReply::Error(error) => Err(error),
        RespReply::Status(_) | RespReply::Integer(_) | RespReply::Bulk(_) | RespReply::Array(_) => Ok(()),
    }
}

/// Commands and replies, in order.
struct Session {
    stream: Box<dyn ByteStream>,
    output: Vec<u8>,
    input: BytesMut,
}

impl Session {
    fn new(stream: Box<dyn ByteStream>) -> Self {
        Self {
            stream,
            output: Vec::new(),
            input: BytesMut::new(),
        }
    }

    fn command(&mut self, words: &[&[u8]]) {
        resp::command(&mut self.output, words);
    }

    async fn send(&mut self) -> Result<(), String> {
        let sent = self.stream.write_all(&self.output).await.and(self.stream.flush().await);
        self.output.clear();
        sent.map_err(|error| error.to_string())
    }

    async fn reply(&mut self) -> Result<RespReply, String> {
        loop {
            match resp::reply(&self.input) {
                Ok(Some((reply, length))) => {
                    self.input.advance(length);
                    return Ok(reply);
                }
                Ok(None) => match self.stream.read_buf(&mut self.input).await {
                    Ok(0) => return Err(String::from("the server closed the connection")),
                    Ok(_) => {}
                    Err(error) => return Err(error.to_string()),
                },
                Err(resp::RespError) => return Err(String::from("the reply is not in the Redis protocol")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eviction_policy_counts_only_with_a_memory_limit() {
        let info = |limit: u32, policy: &str| format!("# Memory\r\nmaxmemory:{limit}\r\nmaxmemory_policy:{policy}\r\n");
        assert_eq!(evicting(&info(1, "allkeys-lru")).as_deref(), Some("allkeys-lru"));
        assert_eq!(evicting(&info(1, "volatile-ttl")).as_deref(), Some("volatile-ttl"));
        assert_eq!(evicting(&info(1, "noeviction")), None);
        assert_eq!(evicting(&info(0, "allkeys-lru")), None);
        assert_eq!(evicting(""), None);
    }
}
