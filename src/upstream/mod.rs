//! Upstreams: the servers that share a route's requests, and the one exchange with one of them.
//!
//! A configured server has one endpoint, or, when it is a name, one for each address that the name has at the moment.
//! `pool.rs` keeps the connections of one endpoint, `balance.rs` chooses among several, `standing.rs` remembers which of them
//! fail, `health.rs` asks them, `resolve.rs` follows the names. A request is sent once: it goes to another endpoint only
//! when not a byte of it was sent. An upstream with a single fixed endpoint takes none of these turns.

mod balance;
mod connection;
pub mod forwarding;
mod health;
mod message;
mod pool;
mod resolve;
mod standing;
mod stream;
mod tally;

use crate::http::message::Response;
use crate::outcome::Rejection;
use crate::settings;
use crate::time::shutdown::Drain;
use arc_swap::ArcSwap;
use balance::{Candidate, Random};
use connection::Incoming;
use hyper::body::Bytes;
pub use message::Message;
use pool::{Endpoint, Lease, Missed, Server, Shared};
use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use tally::Tally;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// Endpoints that one request tries before it gives up.
const ATTEMPTS: usize = 8;
/// How often the choice is made anew because another request was faster to try an endpoint.
const CHOICES: usize = 4;

/// An upstream with its endpoints.
pub struct Upstream {
    shared: Arc<Shared>,
    servers: Vec<Arc<Server>>,
    endpoints: Endpoints,
    /// Endpoints that a look-up no longer finds, until their last request is over.
    leaving: Mutex<Vec<Weak<Endpoint>>>,
    /// Names whose first look-up has not ended, and the word that none is left.
    unsettled: Mutex<usize>,
    settled: Drain,
    /// Begun once no new request comes here: what works in the background ends.
    retired: Drain,
}

/// Where requests can go.
enum Endpoints {
    /// The one that never changes.
    One(Arc<Endpoint>),
    /// Those of the servers, which never change.
    Fixed(Vec<Arc<Endpoint>>),
    /// Those of the servers, some of which are names.
    Changing(ArcSwap<Vec<Arc<Endpoint>>>),
}

/// How one server stands at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Endpoints that take requests and were reached at the last attempt.
    pub up: usize,
    /// Endpoints that could not be reached at the last attempt, and are used nevertheless.
    pub failing: usize,
    /// Endpoints that are left alone because of their failures.
    pub ejected: usize,
    /// Endpoints whose health checks fail.
    pub unhealthy: usize,
    /// Endpoints that are gone and still answer requests.
    pub draining: usize,
    /// Idle connections.
    pub idle: usize,
    /// Requests in flight.
    pub active: usize,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("servers", &self.shared.settings.servers)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// An upstream without connections. `tls` is needed for [`settings::Target::Tls`]. Names have no address before
    /// [`Upstream::tend`] has looked them up.
    #[must_use]
    pub fn new(settings: Arc<settings::Upstream>, tls: Option<TlsConnector>, workers: usize) -> Arc<Self> {
        let found: Vec<_> = settings
            .servers
            .iter()
            .map(|server| resolve::without_asking(&server.target))
            .collect();
        let names = found.iter().filter(|addresses| addresses.is_none()).count();
        let is_one = names == 0 && found.len() == 1;
        let servers: Vec<_> = settings
            .servers
            .iter()
            .enumerate()
            .map(|(index, settings)| {
                Arc::new(Server {
                    index,
                    name: settings.target.to_string(),
                    settings: settings.clone(),
                    tally: Tally::new(),
                })
            })
            .collect();
        let shared = Arc::new(Shared {
            tls,
            workers,
            made: Instant::now(),
            ejection: (!is_one).then_some(settings.ejection),
            settings,
        });
        let known = servers.iter().zip(found);
        let mut endpoints: Vec<_> = known
            .filter_map(|(server, addresses)| Some(Endpoint::new(&shared, server, addresses?)))
            .collect();
        let endpoints = match (names, endpoints.pop()) {
            (0, Some(one)) if endpoints.is_empty() => Endpoints::One(one),
            (names, last) => {
                endpoints.extend(last);
                if names == 0 {
                    Endpoints::Fixed(endpoints)
                } else {
                    Endpoints::Changing(ArcSwap::from_pointee(endpoints))
                }
            }
        };
        let settled = Drain::default();
        if names == 0 {
            settled.begin();
        }
        Arc::new(Self {
            shared,
            servers,
            endpoints,
            leaving: Mutex::default(),
            unsettled: Mutex::new(names),
            settled,
            retired: Drain::default(),
        })
    }

    /// What it was made from.
    #[must_use]
    pub fn settings(&self) -> &Arc<settings::Upstream> {
        &self.shared.settings
    }

    /// Name of the server with this index, as in metrics: its URL without a path.
    #[must_use]
    pub fn name(&self, server: usize) -> Option<&str> {
        self.servers.get(server).map(|server| &*server.name)
    }

    /// Starts what works in the background, on the runtime of the caller: look-ups of names and health checks. They end
    /// with [`Upstream::retire`].
    pub fn tend(self: &Arc<Self>) {
        for server in &self.servers {
            if resolve::without_asking(&server.settings.target).is_none() {
                tokio::spawn(resolve::follow(self.clone(), server.clone()));
            }
        }
        self.each(|endpoint| health::start(self, endpoint));
    }

    /// Ready once every name has been looked up, successfully or not.
    pub async fn settled(&self) {
        self.settled.begun().await;
    }

    /// Ends what works in the background and closes idle connections; requests in flight go on.
    pub fn retire(&self) {
        self.retired.begin();
        self.each(|endpoint| endpoint.retire());
    }

    /// Sends `request` at `now` and returns the head of the final answer, its body to be read from the [`Answer`]. Leaves
    /// the index of the server that had it last in `server`.
    ///
    /// # Errors
    /// `UpstreamUnreachable`, `UpstreamReset`, `UpstreamInvalid`, `UpstreamTimeout`, and `Overloaded` at the bound of
    /// open connections.
    pub async fn forward(
        &self,
        worker: usize,
        request: Message,
        now: Instant,
        server: &mut Option<usize>,
    ) -> Result<Response<Answer>, Rejection> {
        let whole = self.shared.settings.connect_timeout;
        if let Endpoints::One(endpoint) = &self.endpoints {
            *server = Some(0);
            let answer = endpoint.attempt(worker, request, now, whole).await;
            return answer.map_err(|missed| missed.rejection());
        }
        let deadline = now + whole;
        let (mut request, mut now) = (request, now);
        let mut tried = Tried::default();
        let mut rejection = Rejection::UpstreamUnreachable;
        while let Some((endpoint, has_alternative)) = self.pick(&tried, now) {
            let left = deadline.saturating_duration_since(now);
            // An endpoint that swallows packets must not spend what is left for the others.
            let within = if has_alternative { left / 2 } else { left };
            *server = Some(endpoint.server.index);
            match endpoint.attempt(worker, request, now, within).await {
                Ok(response) => return Ok(response),
                Err(Missed::Lost(rejection)) => return Err(rejection),
                Err(Missed::Unsent(why, unsent)) => {
                    rejection = why;
                    request = unsent;
                    now = Instant::now();
                    if !has_alternative || !tried.add(endpoint.id) || now >= deadline {
                        break;
                    }
                    endpoint.server.tally.passed_on.add(1);
                }
            }
        }
        Err(rejection)
    }

    /// The endpoint for a request that has `tried` others, and whether there is still another one.
    fn pick(&self, tried: &Tried, now: Instant) -> Option<(Arc<Endpoint>, bool)> {
        match &self.endpoints {
            Endpoints::One(endpoint) => Some((endpoint.clone(), false)),
            Endpoints::Fixed(endpoints) => self.pick_of(endpoints, tried, now),
            Endpoints::Changing(endpoints) => self.pick_of(&endpoints.load(), tried, now),
        }
    }

    fn pick_of(&self, endpoints: &[Arc<Endpoint>], tried: &Tried, now: Instant) -> Option<(Arc<Endpoint>, bool)> {
        thread_local! {
            // Seeded by the standard library's random keys.
            static RANDOM: RefCell<Random> = RefCell::new(Random(RandomState::new().hash_one(0)));
        }
        let settings = &self.shared.settings;
        let now = self.shared.milliseconds(now);
        let look = |index: usize| match endpoints.get(index) {
            Some(endpoint) => Candidate {
                weight: endpoint.server.settings.weight,
                in_flight: endpoint.active(),
                is_well: endpoint.standing.is_well(now),
                is_tried: tried.has(endpoint.id),
            },
            None => Candidate::NONE,
        };
        let random = || RANDOM.with_borrow_mut(Random::next);
        let patience = settings.connect_timeout.saturating_add(settings.timeout);
        let mut found = None;
        for _ in 0..CHOICES {
            let choice = balance::choose(endpoints.len(), look, settings.ejection.panic_below, random)?;
            let endpoint = endpoints.get(choice.index)?;
            found = Some((endpoint, choice.has_alternative));
            if !choice.is_well || endpoint.standing.admit(now, patience) {
                break;
            }
        }
        found.map(|(endpoint, has_alternative)| (endpoint.clone(), has_alternative))
    }

    /// Closes idle connections whose time is over.
    pub fn sweep(&self, worker: usize, now: Instant) {
        self.each(|endpoint| endpoint.sweep(worker, now));
    }

    /// Whether its health checks say that no endpoint can answer; never without health checks.
    #[must_use]
    pub fn is_down(&self) -> bool {
        let mut all_ill = true;
        self.each(|endpoint| all_ill &= endpoint.standing.is_ill());
        self.shared.settings.health_check.is_some() && all_ill
    }

    /// Every server's name, state and counts, in the order of the configuration.
    pub fn servers(&self) -> impl Iterator<Item = (&str, State, &Tally)> {
        self.servers.iter().map(|server| {
            let mut state = State::default();
            self.each(|endpoint| {
                if endpoint.server.index == server.index {
                    state.add(endpoint);
                }
            });
            let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
            leaving.retain(|endpoint| endpoint.strong_count() > 0);
            for endpoint in leaving.iter().filter_map(Weak::upgrade) {
                if endpoint.server.index == server.index && endpoint.active() > 0 {
                    state.draining += 1;
                    state.active += endpoint.active();
                }
            }
            (&*server.name, state, &server.tally)
        })
    }

    fn each(&self, mut visit: impl FnMut(&Arc<Endpoint>)) {
        match &self.endpoints {
            Endpoints::One(endpoint) => visit(endpoint),
            Endpoints::Fixed(endpoints) => endpoints.iter().for_each(visit),
            Endpoints::Changing(endpoints) => endpoints.load().iter().for_each(&mut visit),
        }
    }
}

impl State {
    /// Endpoints that requests can be sent to.
    #[must_use]
    pub const fn endpoints(&self) -> usize {
        self.up + self.failing + self.ejected + self.unhealthy
    }

    fn add(&mut self, endpoint: &Endpoint) {
        let standing = &endpoint.standing;
        let count = if standing.is_ill() {
            &mut self.unhealthy
        } else if standing.is_ejected() {
            &mut self.ejected
        } else if endpoint.was_reached() {
            &mut self.up
        } else {
            &mut self.failing
        };
        *count += 1;
        self.idle += endpoint.idle();
        self.active += endpoint.active();
    }
}

/// Endpoints that one request has been to.
#[derive(Default)]
struct Tried {
    ids: [u64; ATTEMPTS],
    count: usize,
}

impl Tried {
    fn has(&self, id: u64) -> bool {
        self.ids.iter().take(self.count).any(|tried| *tried == id)
    }

    /// Whether another attempt may follow.
    fn add(&mut self, id: u64) -> bool {
        if let Some(place) = self.ids.get_mut(self.count) {
            *place = id;
            self.count += 1;
        }
        self.count < ATTEMPTS
    }
}

/// The body of an upstream's answer, and the connection it comes on.
#[derive(Debug)]
pub struct Answer {
    lease: Option<Lease>,
    body: Incoming,
    deadline: Instant,
}

impl Answer {
    const fn new(lease: Lease, body: Incoming, deadline: Instant) -> Self {
        Self {
            lease: Some(lease),
            body,
            deadline,
        }
    }

    /// The next piece; `None` at the clean end, after which the connection is back in the pool.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Rejection>>> {
        let Some(connection) = self.lease.as_mut().and_then(|lease| lease.connection.as_mut()) else {
            return Poll::Ready(None);
        };
        let piece = std::task::ready!(connection.poll_body(cx, &mut self.body, self.deadline));
        match &piece {
            Some(Ok(_)) if !self.is_complete() => {}
            Some(Ok(_)) | None => self.lease.take().map_or((), Lease::park),
            Some(Err(rejection)) => {
                if let Some(lease) = self.lease.take() {
                    lease.endpoint.failed(*rejection);
                }
            }
        }
        Poll::Ready(piece)
    }

    /// Whether the last byte has been read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lease.is_none() || self.body.is_end_stream()
    }

    /// Bytes still to come, where the upstream said so.
    #[must_use]
    pub fn remaining(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
