//! The value of each key that the file does not set, with its unit and its reason.
//!
//! A boolean key that is not listed is false, and a list that is not listed is empty. Some defaults depend on the machine or
//! on the provider and are not here: `workers` is the number of CPUs that the process may use, `tolerance` belongs to the
//! scheme (`src/scheme/presets.toml`), and `replay.enabled` and `replay.on_replay` of a route follow from the scheme and from
//! the facts of the provider (`src/scheme/facts.toml`). `docs/configuration.md` and `gateway.toml` repeat these values; a test compares
//! `gateway.toml` with them.

use super::delivery::{Delivery, DeliveryMode, Order, Retry};
use super::listener::TlsVersion;
use super::process::{Audit, LogFormat, ReadyWhen};
use super::route::RouteMode;
use hyper::{Method, StatusCode};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// `mode` of a Unix socket: owner and group may connect. The front proxy usually runs as another user of the same group.
pub const SOCKET_MODE: u32 = 0o660;

/// `tls_minimum`: senders of webhooks that do not support TLS 1.3 still exist, and TLS 1.2 with the cipher suites of
/// rustls is secure.
pub const TLS_MINIMUM: TlsVersion = TlsVersion::Tls12;

/// `client_auth.mode`: whether a certificate is required. Configured authorities would be of little use otherwise.
pub const CLIENT_CERTIFICATE_REQUIRED: bool = true;

/// `admin.address`: loopback, so that metrics are not public; 9464 is the usual port of OpenTelemetry's
/// Prometheus exporter.
pub const ADMIN_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

/// `admin.readiness`: a gateway that accepts webhooks while the application is down answers 502, and the sender retries.
pub const READINESS: ReadyWhen = ReadyWhen::Serving;

/// `limits.connections`: number of open connections from senders. Each needs one file descriptor.
pub const CONNECTIONS: usize = 10_000;

/// `limits.in_flight_bytes` in bytes (64 MiB): about 60 requests with bodies of the default `body_limit`.
pub const IN_FLIGHT_BYTES: usize = 64 << 20;

/// `limits.head_bytes` in bytes (32 KiB), as in nginx (`large_client_header_buffers 4 8k`).
pub const HEAD_BYTES: usize = 32 << 10;

/// `limits.headers`: number of header fields, as in Apache httpd (`LimitRequestFields`).
pub const HEADERS: usize = 100;

/// `limits.handshake_timeout`: enough for a slow network, and short for a client that holds connections open on purpose.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// `limits.head_timeout`, for the same reason.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// `limits.idle_timeout`, as in nginx: longer than the 60 s after which common load balancers close an idle connection, so
/// that the balancer closes first.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// `limits.write_timeout`: answers are short, so a sender that reads nothing for this long has usually failed.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// `limits.http2_streams`: senders have few webhooks under way on one connection, and each stream costs memory before its
/// signature can be checked.
pub const HTTP2_STREAMS: usize = 32;

/// `limits.min_body_rate` in bytes per second, as in ASP.NET Core's Kestrel (`MinRequestBodyDataRate`).
pub const MIN_BODY_RATE: usize = 240;

/// `drain.delay`: no wait. Kubernetes needs one, because it removes the endpoint and stops the process concurrently.
pub const DRAIN_DELAY: Duration = Duration::ZERO;

/// `drain.grace`: within the 30 s after which Kubernetes kills the process.
pub const DRAIN_GRACE: Duration = Duration::from_secs(25);

/// `replay.capacity`: number of replay keys in memory. Paddle's keys are kept
/// for up to 10 s, twice the tolerance, so this allows 100,000 webhooks per second.
pub const REPLAY_CAPACITY: usize = 1_000_000;

/// `replay.prefix`: separates the keys from those of other applications in the same database.
pub const REDIS_PREFIX: &str = "hookgate";

/// `replay.timeout`: a store in the same data centre answers within a few milliseconds.
pub const REPLAY_TIMEOUT: Duration = Duration::from_millis(50);

/// Port of a Redis server if the URL has none.
pub const REDIS_PORT: u16 = 6379;

/// Port of a Redis Sentinel if the URL has none.
pub const SENTINEL_PORT: u16 = 26379;

/// Number of the Redis database if the URL has none.
pub const REDIS_DATABASE: u16 = 0;

/// `replay.on_store_failure`: whether requests are accepted while the store fails. Without the store, replicas would
/// accept replays.
pub const ACCEPT_ON_STORE_FAILURE: bool = false;

/// `log.format`: log collectors read JSON without further configuration.
pub const LOG_FORMAT: LogFormat = LogFormat::Json;

/// `log.filter`: no debug output.
pub const LOG_FILTER: &str = "info";

/// `log.audit`: an incident needs the accepted webhooks as well.
pub const AUDIT: Audit = Audit::All;

/// `methods` of a route: providers send webhooks with POST.
pub const METHOD: Method = Method::POST;

/// `body_limit` of a route in bytes (1 MiB), where the provider documents no larger body: webhooks are usually a few KiB.
pub const BODY_LIMIT: usize = 1 << 20;

/// `body_timeout` of a route, for the same reason as `limits.head_timeout`.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// `mode` of a route: whether requests that fail verification are forwarded.
pub const MODE: RouteMode = RouteMode::Verify;

/// `refusal_detail` of a route: whether a refusal contains its reason. The reason helps the sender and reveals no secret.
pub const REFUSAL_DETAIL: bool = true;

/// `reject_status` of a route: most providers retry after 401.
pub const REJECT_STATUS: StatusCode = StatusCode::UNAUTHORIZED;

/// `replay.window` of a route whose requests do not become stale: covers the quick retries of a sender, and ends before a
/// person is likely to send the same webhook again on purpose.
pub const REPLAY_WINDOW: Duration = Duration::from_secs(300);

/// `dedupe.on_duplicate` of a route: whether a duplicate is answered 200. It is usually the sender's retry, which ends then.
pub const ACKNOWLEDGE_DUPLICATE: bool = true;

/// `dedupe.on_missing_id` of a route: whether a request without an id is refused. It is genuine, and refusing it would lose
/// a webhook.
pub const REJECT_MISSING_ID: bool = false;

/// `dedupe.window` of a route: Paddle retries an unanswered webhook for 3 days (live account, 60 times).
pub const DEDUPE_WINDOW: Duration = DAY.saturating_mul(3);

/// Name of the secret at `verify_token` of a route.
pub const VERIFY_TOKEN_NAME: &str = "verify_token";

/// Name of the secret at `public_url_credentials` of a route.
pub const URL_CREDENTIALS_NAME: &str = "public_url_credentials";

/// Port of an `http://` upstream if the URL has none.
pub const HTTP_PORT: u16 = 80;

/// Port of an `https://` upstream if the URL has none.
pub const HTTPS_PORT: u16 = 443;

/// `weight` of a server: equal shares.
pub const WEIGHT: u32 = 1;

/// `connect_timeout` of an upstream: enough for one lost SYN packet, which is sent again after 1 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// `timeout` of an upstream: application servers such as gunicorn end a request after 30 s.
pub const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(30);

/// `idle_connections` of an upstream: number for each worker and endpoint.
pub const IDLE_CONNECTIONS: usize = 64;

/// `idle_timeout` of an upstream: below the 5 s after which Node.js and uvicorn close an idle connection. gunicorn closes
/// it after 2 s; such a closed connection is detected, only later.
pub const UPSTREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// `max_connections` of an upstream: number for each endpoint, over all workers.
pub const MAX_CONNECTIONS: usize = 1_024;

/// `queue_limit` of an upstream: number for each endpoint, over all workers.
pub const QUEUE_LIMIT: usize = 1_024;

/// `queue_timeout` of an upstream: a fifth of the time in which Paddle expects the answer.
pub const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

/// `resolve_interval` of an upstream: the time to live of records of CoreDNS's Kubernetes plugin.
pub const RESOLVE_INTERVAL: Duration = Duration::from_secs(5);

/// `ejection.failures` of an upstream, as in Envoy (`consecutive_5xx`).
pub const EJECTION_FAILURES: u32 = 5;

/// `ejection.backoff` of an upstream: about the time in which an application restarts.
pub const EJECTION_BACKOFF: Duration = Duration::from_secs(10);

/// `ejection.backoff_limit` of an upstream, as in Envoy (`max_ejection_time`).
pub const EJECTION_BACKOFF_LIMIT: Duration = Duration::from_secs(300);

/// `ejection.panic_below` of an upstream, in percent: the remaining endpoints would be overloaded.
pub const PANIC_BELOW: u32 = 30;

/// `health_check.interval` of an upstream: with `unhealthy_after`, a failure is detected within about 15 s.
pub const HEALTH_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// `health_check.timeout` of an upstream, as `connect_timeout`.
pub const HEALTH_CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// `health_check.unhealthy_after` of an upstream: consecutive failed checks; a single one may be an accident.
pub const UNHEALTHY_AFTER: u32 = 3;

/// `health_check.healthy_after` of an upstream: consecutive passed checks.
pub const HEALTHY_AFTER: u32 = 2;

/// `sender_deadline` of a route with an inbox, where the provider's own deadline is not known: that of most providers.
pub const SENDER_DEADLINE: Duration = Duration::from_secs(5);

/// `store_on` of a route: statuses by which an application or the balancer before it says that it cannot take the webhook
/// now. 500 is the most common outage: the database is down.
pub const STORE_ON: [u16; 5] = [429, 500, 502, 503, 504];

/// `concurrency` of a route: attempts of stored deliveries at the same time. Half of the threads of a usual application
/// server are left for new webhooks.
pub const CONCURRENCY: usize = 8;

/// `retry.max_age` of a route: a weekend.
pub const RETRY_MAX_AGE: Duration = DAY.saturating_mul(3);

/// `retry.backoff` of a route.
pub const RETRY_BACKOFF: Duration = Duration::from_secs(2);

/// `retry.backoff_limit` of a route: a mended application gets its webhooks within an hour.
pub const RETRY_BACKOFF_LIMIT: Duration = Duration::from_secs(3_600);

/// `acme.directory` of a listener's `tls`: the server of Let's Encrypt.
pub const ACME_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// `acme.storage` of a listener's `tls`.
pub const ACME_STORAGE: &str = "acme";
/// `inbox.store`, beside the configuration file.
pub const INBOX_STORE: &str = "inbox.db";

/// `inbox.max_bytes` in bytes (1 GiB).
pub const INBOX_BYTES: usize = 1 << 30;

/// `inbox.max_items`.
pub const INBOX_ITEMS: usize = 1_000_000;

/// `inbox.min_free_disk` in bytes (256 MiB): settling and expiry need space when nothing new is stored any more.
pub const INBOX_FREE_DISK: usize = 256 << 20;

/// `inbox.max_log` in bytes (256 MiB).
pub const INBOX_LOG: usize = 256 << 20;

/// `inbox.keep`: head and body are erased when the application has answered 2xx.
pub const INBOX_KEEP: Duration = Duration::ZERO;

/// `inbox.dead.keep`: time for somebody to come back from holidays.
pub const DEAD_KEEP: Duration = DAY.saturating_mul(30);

/// `inbox.probe.backoff`: most outages are restarts, which take seconds.
pub const PROBE_BACKOFF: Duration = Duration::from_secs(1);

/// `inbox.probe.backoff_limit`.
pub const PROBE_BACKOFF_LIMIT: Duration = Duration::from_secs(30);

/// `capture.count`: more than one looks through.
pub const CAPTURE_COUNT: usize = 200;

/// `capture.bytes`: some hundred usual webhooks, or a few of the largest.
pub const CAPTURE_BYTES: usize = 16 << 20;

/// `capture.keep`: captured requests are personal data; an hour is enough to look into a fault.
pub const CAPTURE_KEEP: Duration = Duration::from_secs(3600);

/// `capture.full_for`.
pub const CAPTURE_FULL_FOR: Duration = Duration::from_secs(3600);

impl Default for Delivery {
    /// What applies to deliveries that are stored although their route delivers directly now.
    fn default() -> Self {
        Self {
            mode: DeliveryMode::Failover,
            sender_deadline: SENDER_DEADLINE,
            store_on: STORE_ON.to_vec(),
            retry: Retry {
                max_age: RETRY_MAX_AGE,
                backoff: RETRY_BACKOFF,
                backoff_limit: RETRY_BACKOFF_LIMIT,
                give_up_on: Vec::new(),
            },
            concurrency: CONCURRENCY,
            order: Order::None,
            window: DEDUPE_WINDOW,
            formerly: Vec::new(),
        }
    }
}

/// `keys.timeout`: a request waits for a key at most this long, within the deadline of most senders.
pub const KEY_TIMEOUT: Duration = Duration::from_secs(3);

/// `keys.refresh`: a removed key is refused after an hour at the latest. Providers publish a new key long before its use.
pub const KEY_REFRESH: Duration = Duration::from_secs(3600);

/// `keys.max_age`: a weekend without the provider's server is no outage, and a removed key does not live on for ever.
pub const KEY_MAX_AGE: Duration = Duration::from_secs(3 * 24 * 3600);
