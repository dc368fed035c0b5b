//! Opens a connection to a Redis or Valkey that accepts writes: finds it, authenticates, and sends the first commands.
//!
//! Of several addresses the first that reports to be a master is used. With Sentinel, the Sentinels are asked for the
//! master's address. The client of a Redis Cluster finds the nodes by itself, from any of the addresses. All commands to
//! one server are sent together, so that a connection is ready after one round trip.

use crate::settings::{RedisServers, StoreServer};
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, FromRedisValue as _, IntoConnectionInfo as _, ProtocolVersion,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, Value, cmd,
};
use rustls_pki_types::ServerName;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Timeout for one server, from the first packet to the last reply. No request waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Most commands that wait in the client to be sent. More wait for their turn, within their deadline.
const QUEUE: usize = 256;
/// Retries of one command in a cluster: redirections, and nodes that have failed. Its deadline ends them earlier.
const CLUSTER_RETRIES: u32 = 8;
/// The shortest and the longest wait between two of them, in milliseconds.
const CLUSTER_RETRY_WAIT_MS: (u64, u64) = (10, 200);

/// A stream of bytes in both directions.
trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A client whose clones share one connection, or one connection to each node of a cluster.
#[derive(Clone)]
pub enum Client {
    /// One server.
    Single(MultiplexedConnection),
    /// A cluster.
    Cluster(ClusterConnection),
}

/// An open connection.
pub struct OpenConnection {
    /// Sends commands.
    pub client: Client,
    /// The task that carries the bytes of a single connection. It ends with the connection.
    pub carrier: Option<Carrier>,
    /// The server's address, for the log.
    pub address: String,
    /// The replies to the first commands.
    pub replies: Vec<RedisResult<Value>>,
}

/// A task that is stopped when this is dropped.
pub struct Carrier(JoinHandle<()>);

impl Carrier {
    /// Waits until the connection has ended.
    pub async fn ended(&mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// Runs one command.
    ///
    /// # Errors
    /// What the server or the connection says.
    pub async fn run(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => connection.send_packed_command(command).await,
            Self::Cluster(cluster) => cluster.req_packed_command(command).await,
        }
        .and_then(Value::extract_error)
    }

    /// Whether the server still accepts writes. A user who may not ask is not an error: the server will refuse writes.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn check(&mut self) -> Result<(), String> {
        match self {
            Self::Single(_) => match self.run(&cmd("ROLE")).await {
                Ok(role) => is_master(&role),
                Err(error) if error.code().is_none() => Err(describe(&error)),
                Err(_) => Ok(()),
            },
            Self::Cluster(_) => match self.run(cmd("CLUSTER").arg("INFO")).await {
                Ok(info) if text_of(&info).contains("cluster_state:fail") => {
                    Err(String::from("the cluster is down: some of its slots have no master"))
                }
                Ok(_) => Ok(()),
                Err(error) if error.code().is_some() => Ok(()),
                Err(error) => Err(describe(&error)),
            },
        }
    }
}

/// Opens a connection, and sends the commands `first`, whose replies may be errors of the server. A cluster has
/// `response_timeout` for each reply.
///
/// # Errors
/// One sentence for each server, without any secret.
pub async fn connect(
    servers: &RedisServers,
    tls: Option<&TlsConnector>,
    response_timeout: Duration,
    first: &[Cmd],
) -> Result<OpenConnection, String> {
    if servers.cluster {
        let opening = timeout(CONNECT_TIMEOUT * 3, open_cluster(servers, response_timeout, first));
        return opening.await.unwrap_or_else(|_| Err(no_answer(CONNECT_TIMEOUT * 3)));
    }
    let masters = match &servers.sentinel {
        None => servers.servers.clone(),
        Some(master) => vec![ask_sentinels(servers, tls, master).await?],
    };
    let mut problems = Vec::new();
    for server in &masters {
        let opened = timeout(CONNECT_TIMEOUT, open_single(servers, tls, server, first)).await;
        match opened.unwrap_or_else(|_| Err(no_answer(CONNECT_TIMEOUT))) {
            Ok(ready) => return Ok(ready),
            Err(problem) => problems.push(format!("{server}: {problem}")),
        }
    }
    Err(problems.join("; "))
}

async fn open_single(
    servers: &RedisServers,
    tls: Option<&TlsConnector>,
    server: &StoreServer,
    first: &[Cmd],
) -> Result<OpenConnection, String> {
    let (mut client, carrier) = open(server, tls).await?;
    let mut commands = redis::pipe();
    let password = servers.password.as_ref().map(|secret| secret.expose());
    match (&servers.user, password) {
        (Some(user), Some(password)) => commands.cmd("AUTH").arg(user.expose()).arg(password),
        (None, Some(password)) => commands.cmd("AUTH").arg(password),
        (_, None) => commands.cmd("PING"),
    };
    commands.cmd("SELECT").arg(servers.database);
    commands.cmd("ROLE");
    for command in first {
        commands.add_command(command.clone());
    }
    let replies = client.send_packed_commands(&commands, 0, commands.len()).await;
    let replies = replies.map_err(|error| describe(&error))?;
    let [authenticated, selected, role, replies @ ..] = replies.as_slice() else {
        return Err(String::from("too few replies"));
    };
    accepted(authenticated)?;
    accepted(selected)?;
    is_master(role)?;
    Ok(OpenConnection {
        client: Client::Single(client),
        carrier: Some(carrier),
        address: server.to_string(),
        replies: replies.iter().map(|reply| reply.clone().extract_error()).collect(),
    })
}

/// A client that knows all nodes of the cluster. The `redis` crate follows slots that move and masters that change.
async fn open_cluster(
    servers: &RedisServers,
    response_timeout: Duration,
    first: &[Cmd],
) -> Result<OpenConnection, String> {
    let nodes = servers.servers.iter().map(|server| match server {
        StoreServer::Unix(path) => ConnectionAddr::Unix(path.clone()),
        StoreServer::Tcp { host, port } if servers.tls => ConnectionAddr::TcpTls {
            host: host.clone(),
            port: *port,
            insecure: false,
            tls_params: None,
        },
        StoreServer::Tcp { host, port } => ConnectionAddr::Tcp(host.clone(), *port),
    });
    let nodes: RedisResult<Vec<_>> = nodes.map(|node| node.into_connection_info()).collect();
    let problem = |error: RedisError| describe(&error);
    let mut builder = ClusterClientBuilder::new(nodes.map_err(problem)?)
        .use_protocol(ProtocolVersion::RESP2)
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(response_timeout.max(CONNECT_TIMEOUT))
        .retries(CLUSTER_RETRIES)
        .min_retry_wait(CLUSTER_RETRY_WAIT_MS.0)
        .max_retry_wait(CLUSTER_RETRY_WAIT_MS.1);
    for (secret, is_password) in [(&servers.user, false), (&servers.password, true)] {
        if let Some(secret) = secret {
            let text = std::str::from_utf8(secret.expose()).map_err(|_| "user and password must be UTF-8")?;
            builder = if is_password {
                builder.password(text)
            } else {
                builder.username(text)
            };
        }
    }
    if let Some(ca) = &servers.ca {
        let root_cert = std::fs::read(ca).map_err(|error| format!("{}: {error}", ca.display()))?;
        builder = builder.certs(TlsCertificates {
            client_tls: None,
            root_cert: Some(root_cert),
        });
    }
    let cluster = builder
        .build()
        .map_err(problem)?
        .get_async_connection()
        .await
        .map_err(problem)?;
    let mut client = Client::Cluster(cluster);
    // The nodes that are left answer even while some slots have no master.
    client.check().await?;
    let mut replies = Vec::with_capacity(first.len());
    for command in first {
        replies.push(client.run(command).await);
    }
    let addresses: Vec<String> = servers.servers.iter().map(ToString::to_string).collect();
    Ok(OpenConnection {
        client,
        carrier: None,
        address: addresses.join(", "),
        replies,
    })
}

/// Checks the reply to `ROLE`: an error unless the server accepts writes. A user who may not call `ROLE` is not an
/// error: a replica will refuse writes with READONLY.
fn is_master(reply: &Value) -> Result<(), String> {
    let role = reply.as_sequence().and_then(<[Value]>::first).map(text_of);
    match role {
        Some(role) if role != "master" => Err(format!("the server is a {role}, not a master")),
        Some(_) | None => Ok(()),
    }
}

/// The master's address, from the first Sentinel that knows it.
async fn ask_sentinels(
    servers: &RedisServers,
    tls: Option<&TlsConnector>,
    master: &str,
) -> Result<StoreServer, String> {
    let mut problems = Vec::new();
    for sentinel in &servers.servers {
        let asked = async {
            let (client, _carrier) = open(sentinel, tls).await?;
            let mut question = cmd("SENTINEL");
            question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
            let reply = Client::Single(client).run(&question).await;
            reply.map_err(|error| describe(&error))
        };
        let problem = match timeout(CONNECT_TIMEOUT, asked).await {
            Err(_) => no_answer(CONNECT_TIMEOUT),
            Ok(Err(problem)) => problem,
            Ok(Ok(Value::Array(address))) => match address.as_slice() {
                [host, port] => match text_of(port).parse() {
                    Ok(port) => {
                        return Ok(StoreServer::Tcp {
                            host: text_of(host),
                            port,
                        });
                    }
                    Err(_) => String::from("the reply has no address"),
                },
                _ => format!("knows no master `{master}`"),
            },
            Ok(Ok(_)) => format!("knows no master `{master}`"),
        };
        problems.push(format!("{sentinel}: {problem}"));
    }
    Err(problems.join("; "))
}

/// Opens a connection and starts the task that carries its bytes, on this thread.
async fn open(server: &StoreServer, tls: Option<&TlsConnector>) -> Result<(MultiplexedConnection, Carrier), String> {
    let stream = open_stream(server, tls).await.map_err(|error| error.to_string())?;
    // The commands that authenticate are our own, so that the password is in no structure of the library.
    let plain = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP2)
        .set_skip_set_lib_name();
    // Each call has a deadline of its own.
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(None)
        .set_pipeline_buffer_size(QUEUE);
    let (client, carrier) = MultiplexedConnection::new_with_config(&plain, stream, config)
        .await
        .map_err(|error| describe(&error))?;
    Ok((client, Carrier(tokio::spawn(carrier))))
}

async fn open_stream(server: &StoreServer, tls: Option<&TlsConnector>) -> io::Result<Box<dyn ByteStream>> {
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

fn accepted(reply: &Value) -> Result<(), String> {
    reply
        .clone()
        .extract_error()
        .map(drop)
        .map_err(|error| describe(&error))
}

/// The error as the server wrote it, or what happened to the connection.
#[must_use]
pub fn describe(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, _) if error.is_timeout() => String::from("no answer in time"),
        (None, _) => error.to_string(),
    }
}

fn no_answer(limit: Duration) -> String {
    format!("no answer within {limit:?}")
}

/// All text of a reply, one line for each string. `INFO` of a cluster is a map with the text of each node.
#[must_use]
pub fn text_of(reply: &Value) -> String {
    if let Some(items) = reply.as_map_iter() {
        return items.map(|(_, value)| text_of(value)).collect::<Vec<_>>().join("\n");
    }
    String::from_redis_value_ref(reply).unwrap_or_default()
}
