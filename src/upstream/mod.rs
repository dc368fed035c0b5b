//! Upstreams: the servers that share the requests of a route, and the exchange of one request with one of them.
//!
//! A server that is configured by address has one endpoint. A server that is configured by name has one endpoint for
//! each address that the name resolves to at present. A request is sent to one endpoint. It goes to another endpoint
//! only when no byte of it was sent to the first. An upstream with a single fixed endpoint needs no choice and no
//! ejection.
//!
//! Read `pool` and `connection` first: they are the way of a request. Each module imports only from those below it:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`forwarding`] | the head of the request that an upstream receives, made from the sender's |
//! | [`head_writer`] | the lines of a head |
//! | [`resolve`] | looks up the names of servers in the background |
//! | [`health_check`] | sends active health checks |
//! | [`endpoints`] | the endpoints of an upstream, and the choice of one |
//! | [`balance`] | how an endpoint is chosen |
//! | [`tried_endpoints`] | the endpoints that one request has tried |
//! | [`pool`] | the connections of one endpoint, and one attempt to send a request |
//! | [`forward_error`] | why a request has no answer |
//! | [`server`] | a configured server, and what the endpoints of an upstream share |
//! | [`wait_queue`] | the requests that wait for a connection |
//! | [`connection`] | one HTTP/1.1 connection: writes a request, reads its answer |
//! | [`message`] | the request as bytes; parses the head of an answer |
//! | [`endpoint_health`] | which endpoints are ejected after failures, and when they are tried again |
//! | [`stream`] | opens TCP, TLS and Unix streams |
//! | [`counters`] | counts per server for the metrics |

mod balance;
mod connection;
mod counters;
mod endpoint_health;
mod endpoints;
mod forward_error;
pub mod forwarding;
mod head_writer;
mod health_check;
mod message;
mod pool;
mod resolve;
mod server;
mod stream;
mod tried_endpoints;
mod wait_queue;

use crate::http::message::Response;
use crate::outcome::Rejection;
use crate::settings;
use crate::time::shutdown::ShutdownSignal;
use connection::IncomingBody;
use counters::ServerCounters;
use endpoints::Endpoints;
use forward_error::AttemptError;
pub use forward_error::ForwardError;
use hyper::body::Bytes;
pub use message::OutgoingRequest;
use pool::{Endpoint, Lease};
use server::{Shared, UpstreamServer};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tried_endpoints::TriedEndpoints;

/// An upstream with its endpoints.
pub struct Upstream {
    shared: Arc<Shared>,
    servers: Vec<Arc<UpstreamServer>>,
    endpoints: Endpoints,
    /// Endpoints that the last look-up did not find; the references are valid until their last request ends.
    draining_endpoints: Mutex<Vec<Weak<Endpoint>>>,
    /// Number of names whose first look-up has not ended.
    unresolved_names: Mutex<usize>,
    /// Triggered when `unresolved_names` is zero.
    names_looked_up: ShutdownSignal,
    /// Triggered when no new request is sent here; it ends look-ups and health checks.
    retired: ShutdownSignal,
}

/// The present state of one server: numbers of endpoints by state, connections and requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerState {
    /// Endpoints that receive requests and could be reached at the last attempt.
    pub up: usize,
    /// Endpoints that could not be reached at the last attempt but still receive requests.
    pub failing: usize,
    /// Endpoints that receive no requests because of earlier failures.
    pub ejected: usize,
    /// Endpoints whose health checks fail.
    pub unhealthy: usize,
    /// Endpoints that are no longer in DNS and still have requests in flight.
    pub draining: usize,
    /// Idle connections.
    pub idle: usize,
    /// Requests in flight.
    pub active: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("servers", &self.shared.settings.servers)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// Creates an upstream without connections. `tls` is needed for [`settings::UpstreamTarget::Tls`]. Servers that are
    /// configured by name have no endpoint before [`Upstream::maintain`] has looked the name up. `workers` is the
    /// number of workers.
    #[must_use]
    pub fn new(settings: Arc<settings::Upstream>, tls: Option<TlsConnector>, workers: usize) -> Arc<Self> {
        let found: Vec<_> = settings
            .servers
            .iter()
            .map(|server| resolve::fixed_addresses(&server.target))
            .collect();
        let names = found.iter().filter(|addresses| addresses.is_none()).count();
        let is_one = names == 0 && found.len() == 1;
        let servers: Vec<_> = settings
            .servers
            .iter()
            .enumerate()
            .map(|(index, settings)| {
                Arc::new(UpstreamServer {
                    index,
                    name: settings.target.to_string(),
                    settings: settings.clone(),
                    counters: ServerCounters::new(),
                })
            })
            .collect();
        let shared = Arc::new(Shared {
            tls,
            workers,
            created_at: Instant::now(),
            ejection: (!is_one).then_some(settings.ejection),
            settings,
        });
        let known = servers.iter().zip(found);
        let endpoints = known
            .filter_map(|(server, addresses)| Some(Endpoint::new(&shared, server, addresses?)))
            .collect();
        let endpoints = Endpoints::new(endpoints, names > 0);
        let names_looked_up = ShutdownSignal::default();
        if names == 0 {
            names_looked_up.trigger();
        }
        Arc::new(Self {
            shared,
            servers,
            endpoints,
            draining_endpoints: Mutex::default(),
            unresolved_names: Mutex::new(names),
            names_looked_up,
            retired: ShutdownSignal::default(),
        })
    }

    /// Identifies this upstream as long as it exists, for sets of upstreams.
    #[must_use]
    pub fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// The settings of this upstream.
    #[must_use]
    pub fn settings(&self) -> &Arc<settings::Upstream> {
        &self.shared.settings
    }

    /// The name that metrics use for the server with index `server`: its URL without a path.
    #[must_use]
    pub fn name(&self, server: usize) -> Option<&str> {
        self.servers.get(server).map(|server| &*server.name)
    }

    /// Starts the background tasks (look-ups of names, health checks) on the runtime of the caller. They end with
    /// [`Upstream::retire`].
    pub fn maintain(self: &Arc<Self>) {
        for server in &self.servers {
            if resolve::fixed_addresses(&server.settings.target).is_none() {
                tokio::spawn(resolve::maintain(self.clone(), server.clone()));
            }
        }
        self.endpoints.for_each(|endpoint| health_check::start(self, endpoint));
    }

    /// Waits until the first look-up of every name has ended, successfully or not.
    pub async fn names_looked_up(&self) {
        self.names_looked_up.wait().await;
    }

    /// Ends the background tasks and closes idle connections. Requests in flight continue.
    pub fn retire(&self) {
        self.retired.trigger();
        self.endpoints.for_each(|endpoint| endpoint.retire());
    }

    /// Sends `request` at `now` and returns the head of the final answer; the body is read from the [`Answer`]. Sets
    /// `server` to the index of the server that was tried last. `worker` is the index of the calling worker.
    ///
    /// # Errors
    /// `UpstreamUnreachable`, `UpstreamReset`, `UpstreamInvalid`, `UpstreamTimeout`, and `Overloaded` when the limit of
    /// open connections is reached and the queue does not help.
    pub async fn forward(
        &self,
        worker: usize,
        request: &mut OutgoingRequest,
        now: Instant,
        server: &mut Option<usize>,
    ) -> Result<Response<Answer>, ForwardError> {
        let connect_timeout = self.shared.settings.connect_timeout;
        if let Endpoints::One(endpoint) = &self.endpoints {
            *server = Some(0);
            let answer = endpoint.attempt(worker, request, now, connect_timeout, true).await;
            return answer.map_err(|error| ForwardError::from(&error));
        }
        let deadline = now + connect_timeout;
        let mut now = now;
        let mut tried = TriedEndpoints::default();
        let mut rejection = Rejection::UpstreamUnreachable;
        while let Some((endpoint, has_alternative)) = self.endpoints.choose(&self.shared, &tried, now) {
            let has_alternative = has_alternative && !tried.is_last();
            let remaining = deadline.saturating_duration_since(now);
            // An endpoint that drops packets must leave time for the other endpoints.
            let timeout = if has_alternative { remaining / 2 } else { remaining };
            *server = Some(endpoint.server.index);
            match endpoint.attempt(worker, request, now, timeout, !has_alternative).await {
                Ok(response) => return Ok(response),
                Err(AttemptError::MaybeSent(rejection)) => {
                    return Err(ForwardError {
                        rejection,
                        is_sent: true,
                    });
                }
                Err(AttemptError::NotSent(why)) => {
                    rejection = why;
                    now = Instant::now();
                    tried.add(endpoint.id);
                    if !has_alternative || now >= deadline {
                        break;
                    }
                    endpoint.server.counters.passed_on.add(1);
                }
            }
        }
        Err(ForwardError {
            rejection,
            is_sent: false,
        })
    }

    /// Closes the idle connections of `worker` that have reached the idle timeout or that the other side has closed.
    pub fn sweep(&self, worker: usize, now: Instant) {
        self.endpoints.for_each(|endpoint| endpoint.sweep(worker, now));
    }

    /// Whether the health checks of every endpoint fail. Always false without health checks.
    #[must_use]
    pub fn is_down(&self) -> bool {
        let mut all_unhealthy = true;
        self.endpoints
            .for_each(|endpoint| all_unhealthy &= endpoint.health.is_unhealthy());
        self.shared.settings.health_check.is_some() && all_unhealthy
    }

    /// Name, state and counters of every server, in the order of the configuration.
    pub fn servers(&self) -> impl Iterator<Item = (&str, ServerState, &ServerCounters)> {
        self.servers.iter().map(|server| {
            let mut state = ServerState::default();
            self.endpoints.for_each(|endpoint| {
                if endpoint.server.index == server.index {
                    state.add(endpoint);
                }
            });
            let mut draining_endpoints = self.draining_endpoints.lock().unwrap_or_else(PoisonError::into_inner);
            draining_endpoints.retain(|endpoint| endpoint.strong_count() > 0);
            for endpoint in draining_endpoints.iter().filter_map(Weak::upgrade) {
                if endpoint.server.index == server.index && endpoint.active() > 0 {
                    state.draining += 1;
                    state.active += endpoint.active();
                }
            }
            (&*server.name, state, &server.counters)
        })
    }
}

impl ServerState {
    /// Number of endpoints that are known at present, without draining ones.
    #[must_use]
    pub const fn endpoints(&self) -> usize {
        self.up + self.failing + self.ejected + self.unhealthy
    }

    fn add(&mut self, endpoint: &Endpoint) {
        let health = &endpoint.health;
        let count = if health.is_unhealthy() {
            &mut self.unhealthy
        } else if health.is_ejected() {
            &mut self.ejected
        } else if endpoint.was_reached() {
            &mut self.up
        } else {
            &mut self.failing
        };
        *count += 1;
        self.idle += endpoint.idle();
        self.active += endpoint.active();
        self.waiting += endpoint.waiting();
    }
}

/// The body of an upstream's answer, and the connection that it arrives on.
#[derive(Debug)]
pub struct Answer {
    /// `None` once the body is complete or has failed.
    lease: Option<Lease>,
    body: IncomingBody,
    deadline: Instant,
}

impl Answer {
    const fn new(lease: Lease, body: IncomingBody, deadline: Instant) -> Self {
        Self {
            lease: Some(lease),
            body,
            deadline,
        }
    }

    /// Reads the next piece of the body. `None` means that the body is complete; the connection is then back in the
    /// pool.
    ///
    /// # Errors
    /// `UpstreamReset`, `UpstreamInvalid` or `UpstreamTimeout`; the connection is then closed.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Rejection>>> {
        let Some(connection) = self.lease.as_mut().and_then(|lease| lease.connection.as_mut()) else {
            return Poll::Ready(None);
        };
        let piece = std::task::ready!(connection.poll_body(cx, &mut self.body, self.deadline));
        match &piece {
            Some(Ok(_)) if !self.is_complete() => {}
            Some(Ok(_)) | None => self.lease.take().map_or((), Lease::return_to_pool),
            Some(Err(rejection)) => {
                if let Some(lease) = self.lease.take() {
                    lease.endpoint.failed(*rejection);
                }
            }
        }
        Poll::Ready(piece)
    }

    /// When the upstream must have answered completely.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the deadline to `deadline`, unless it is later already.
    pub fn extend_deadline(&mut self, deadline: Instant) {
        self.deadline = self.deadline.max(deadline);
    }

    /// Whether the last byte of the body has been read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lease.is_none() || self.body.is_end_stream()
    }

    /// Number of bytes that remain, if the upstream sent a Content-Length.
    #[must_use]
    pub fn remaining(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
