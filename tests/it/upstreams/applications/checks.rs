//! What must hold for every example: a genuine webhook is processed once and gets the application's answer, other
//! requests never reach the application, many senders at once are served, and `run` works as documented.

use super::Example;
use super::order::{Convention, Order, SenderKeys, counted, worked};
use super::processes::{Application, Group, Proxy, START, Transport, listening};
use crate::support::client::Response;
use crate::support::logs::Logs;
use crate::support::wait::within;
use crate::support::{Webhook, eventually};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

/// Paddle's SDK refuses a webhook that was signed longer ago.
const SDK_WINDOW: Duration = Duration::from_secs(5);

/// A genuine order that was sent: the last request, its answer, and how many requests were needed.
pub(super) struct Delivery {
    bytes: Vec<u8>,
    response: Response,
    requests: usize,
}

/// Sends the webhook of `order`, changed by `make`, until the application accepts it, as the provider does. A retry
/// must have a reason: an application that verifies by itself may refuse a webhook that waited too long.
fn deliver_as(application: &Application, proxy: &Proxy, order: &Order, make: impl Fn(Webhook) -> Webhook) -> Delivery {
    let mut requests = 0;
    loop {
        requests += 1;
        let signed = Instant::now();
        let bytes = make(order.webhook(application, &SenderKeys::genuine(application))).bytes();
        let response = proxy.connect().exchange(&bytes);
        let waited = signed.elapsed() + Duration::from_secs(1) > SDK_WINDOW;
        if !(application.example.verifies && waited && response.status == 400) {
            return Delivery {
                bytes,
                response,
                requests,
            };
        }
    }
}

/// The same without a change.
fn deliver(application: &Application, proxy: &Proxy, order: &Order) -> Delivery {
    deliver_as(application, proxy, order, |webhook| webhook)
}

/// The order was processed once, and its answer is the application's.
pub(super) fn delivered(application: &Application, order: &Order, response: &Response) {
    assert_eq!(response.status, 200, "{order:?}: {response:?}");
    assert_eq!(
        String::from_utf8_lossy(&response.body),
        order.answer(application),
        "{order:?}"
    );
    assert_eq!(worked(application, order), (1, 1), "{order:?}: asked for, done");
}

/// A genuine webhook is processed once and its answer is returned. Unsigned, tampered, stale, replayed and wrongly
/// signed webhooks, and tricks with header names, never reach the application.
pub(super) fn only_genuine_webhooks_reach_it(example: &'static Example, transport: Transport) {
    let application = Application::new(example, transport);
    let proxy = application.start_proxy("60s");
    // Requests that the application must have received.
    let mut genuine = 0;
    for &convention in example.conventions {
        let order = Order::new(convention, 3);
        let delivery = deliver(&application, &proxy, &order);
        delivered(&application, &order, &delivery.response);
        genuine += delivery.requests;

        // None of these reaches the application: the next request that it receives is the genuine one after them.
        refused(&proxy, "replayed", &delivery.bytes, 409, "replayed");
        let mut forged = forgeries(&application, convention);
        if convention == Convention::Billing {
            forged.extend(aged(&application));
        }
        for (what, webhook, status, reason) in forged {
            refused(&proxy, what, &webhook.bytes(), status, reason);
        }
        let behind = Order::new(convention, 1);
        let delivery = deliver(&application, &proxy, &behind);
        delivered(&application, &behind, &delivery.response);
        genuine += delivery.requests;
        assert_received(&application, genuine);
        assert_eq!(counted(&application, &order), (1, 1));

        // Tricks that change nothing about a genuine webhook are forwarded.
        for (name, value) in [
            ("Connection", "X-Gateway-Token, X-Request-Id"),
            ("X-Gateway-Token", "a guess"),
            ("X_Gateway_Token", "a guess"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("X-Forwarded-Host", "elsewhere.example"),
            ("X-Forwarded-Proto", "http"),
            ("X-Original-URL", "/admin"),
        ] {
            let order = Order::new(convention, 1);
            let delivery = deliver_as(&application, &proxy, &order, |webhook| webhook.header(name, value));
            delivered(&application, &order, &delivery.response);
            genuine += delivery.requests;
        }
    }
    assert_received(&application, genuine);
    answers(&application, &proxy);
    if let Some(status) = example.foreign_host {
        foreign_hosts(&application, &proxy, status);
    }
    if example.verifies {
        verifies_again(&application);
    }
    refuses_direct_requests(&application);
}

/// The application's own log has this many requests. Its line for a request may come after the answer.
fn assert_received(application: &Application, requests: usize) {
    let seen = eventually("the application's log", || {
        Some(application.requests()).filter(|&seen| seen >= requests)
    });
    assert_eq!(seen, requests, "requests that reached the application");
}

fn refused(proxy: &Proxy, what: &str, bytes: &[u8], status: u16, reason: &str) {
    let response = proxy.connect().exchange(bytes);
    assert_eq!(
        (response.status, response.reason().as_str()),
        (status, reason),
        "{what}: {response:?}"
    );
}

type Forgery = (&'static str, Webhook, u16, &'static str);

/// Requests that are not genuine, for each convention.
fn forgeries(application: &Application, convention: Convention) -> Vec<Forgery> {
    let sender_keys = SenderKeys::genuine(application);
    let fresh = || Order::new(convention, 2).webhook(application, &sender_keys);
    let stranger = Order::new(convention, 2).webhook(application, &SenderKeys::stranger(application));
    let unsigned = match convention {
        Convention::Billing => fresh().signature(None),
        Convention::ClassicPost | Convention::ClassicGet | Convention::Digest => without_signature(fresh()),
    };
    // One seat is paid, nine are requested.
    let tampered = {
        let mut webhook = fresh();
        webhook.body = replaced(&webhook.body);
        webhook.path = String::from_utf8(replaced(webhook.path.as_bytes())).unwrap();
        webhook
    };
    let mut forged = vec![
        ("unsigned", unsigned, 401, "signature_missing"),
        ("tampered with", tampered, 401, "signature_mismatch"),
        ("signed by a stranger", stranger, 401, "signature_mismatch"),
    ];
    for (name, value) in [
        ("Hookgate_Verified", "paddle"),
        ("Content_Length", "0"),
        ("X_Forwarded_For", "10.0.0.1"),
        ("Connection", "Content-Type"),
        ("Connection", "close, Host"),
        ("Connection", "Hookgate-Verified"),
    ] {
        forged.push((
            "a trick with names",
            fresh().header(name, value),
            400,
            "header_conflict",
        ));
    }
    forged
}

/// Forgeries that only a signature header with a time in it allows.
fn aged(application: &Application) -> Vec<Forgery> {
    let sender_keys = SenderKeys::genuine(application);
    let order = || Order::new(Convention::Billing, 2);
    let at = |time| {
        order().webhook(
            application,
            &SenderKeys {
                time,
                ..sender_keys.clone()
            },
        )
    };
    let fresh = || order().webhook(application, &sender_keys);
    let signature = fresh().signature.unwrap();
    let restamped = at(sender_keys.time - 3600).signature.unwrap().replace(
        &format!("ts={}", sender_keys.time - 3600),
        &format!("ts={}", sender_keys.time),
    );
    vec![
        ("stale", at(sender_keys.time - 3600), 401, "timestamp_stale"),
        ("of the future", at(sender_keys.time + 3600), 401, "timestamp_future"),
        (
            "with a new timestamp",
            at(sender_keys.time - 3600).signature(Some(&restamped)),
            401,
            "signature_mismatch",
        ),
        (
            "signed twice",
            fresh().header("paddle-signature", &signature),
            401,
            "signature_malformed",
        ),
        (
            "signed under another name",
            fresh().header("Paddle_Signature", &signature),
            400,
            "header_conflict",
        ),
        (
            "removed through Connection",
            fresh().header("Connection", "Paddle-Signature"),
            400,
            "header_conflict",
        ),
        (
            "Connection that names an alias",
            fresh().header("Connection", "paddle_signature"),
            400,
            "header_conflict",
        ),
        ("asked for", fresh().method("GET"), 405, "method_not_allowed"),
        ("for another path", fresh().path("/admin"), 404, "no_route"),
    ]
}

/// The form without its signature field, wherever the form is.
fn without_signature(mut webhook: Webhook) -> Webhook {
    let cut = |text: &str| {
        let kept: Vec<&str> = text
            .split('&')
            .filter(|field| !field.starts_with("p_signature=") && !field.starts_with("msg_id="))
            .collect();
        kept.join("&")
    };
    webhook.body = cut(std::str::from_utf8(&webhook.body).unwrap()).into();
    webhook.path = cut(&webhook.path);
    webhook
}

fn replaced(text: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap();
    text.replace("\"quantity\":2,", "\"quantity\":9,")
        .replace("p_quantity=2", "p_quantity=9")
        .into()
}

/// The answer through hookgate equals the application's own answer, with a length or in chunks: status, headers, body.
fn answers(application: &Application, proxy: &Proxy) {
    let own = |name: &str| {
        // Headers that depend on the connection, the time, or the request.
        let differing = [
            "date",
            "connection",
            "keep-alive",
            "transfer-encoding",
            "x-request-id",
            "x-runtime",
            "last-modified",
        ];
        differing.contains(&name)
    };
    let headers = |response: &Response| {
        let mut headers: Vec<(String, Vec<u8>)> = response
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .filter(|(name, _)| !own(name))
            .collect();
        headers.sort();
        headers
    };
    for (streamed, event) in [(true, "transaction.completed"), (false, "customer.created")] {
        let webhook = || {
            let mut webhook =
                Order::new(Convention::Billing, 200).webhook(application, &SenderKeys::genuine(application));
            let body = String::from_utf8(webhook.body).unwrap();
            webhook.body = body.replace("transaction.completed", event).into();
            let sender_keys = SenderKeys::genuine(application);
            webhook.signature = Some(crate::support::paddle::signature(
                &sender_keys.secret,
                sender_keys.time,
                &webhook.body,
            ));
            webhook
        };
        let token = &application.secrets["GATEWAY_TOKEN"];
        let direct = webhook()
            .header("X-Gateway-Token", token)
            .header("X-Forwarded-Proto", "https");
        let direct = application.connect_directly().exchange(&direct.bytes());
        let through = proxy.connect().exchange(&webhook().bytes());
        assert_eq!(direct.status, 200, "{direct:?}");
        // An answer that is not streamed has a length under some servers and chunks under others.
        let chunked = direct.header("Transfer-Encoding").as_deref() == Some("chunked");
        assert!(chunked || !streamed, "{event}: {direct:?}");
        assert_eq!(
            (through.status, &through.body),
            (direct.status, &direct.body),
            "{event}"
        );
        assert_eq!(headers(&through), headers(&direct), "{event}");
        assert!(!through.body.is_empty());
    }
}

/// A framework that knows its host refuses others by itself; that answer is relayed, no work was done, and the next
/// attempt is accepted.
fn foreign_hosts(application: &Application, proxy: &Proxy, status: u16) {
    let order = Order::new(Convention::Billing, 1);
    let mut webhook = order.webhook(application, &SenderKeys::genuine(application));
    webhook.headers[0].1 = "elsewhere.example".into();
    let response = proxy.connect().exchange(&webhook.bytes());
    assert_eq!(response.status, status, "{response:?}");
    delivered(application, &order, &deliver(application, proxy, &order).response);
}

/// The application's own verification is real: a webhook that is signed with a secret of hookgate that the application
/// does not have is refused by the application, and that answer is relayed.
fn verifies_again(application: &Application) {
    let proxy = application.start_proxy_with(&[
        (
            "HOOKGATE_ROUTE__0__SECRETS",
            r#"[{ env = "PADDLE_WEBHOOK_SECRET" }, { env = "OTHER_SECRET" }]"#,
        ),
        ("OTHER_SECRET", "pdl_ntfset_01hv8x_known-to-hookgate-alone"),
    ]);
    let order = Order::new(Convention::Billing, 1);
    let sender_keys = SenderKeys {
        secret: "pdl_ntfset_01hv8x_known-to-hookgate-alone".into(),
        ..SenderKeys::genuine(application)
    };
    let response = proxy
        .connect()
        .exchange(&order.webhook(application, &sender_keys).bytes());
    assert_eq!(response.status, 400, "{response:?}");
    assert_eq!(response.body, b"The signature is not genuine.\n");
    delivered(application, &order, &deliver(application, &proxy, &order).response);
}

/// A request that does not come through hookgate is refused although it is signed.
fn refuses_direct_requests(application: &Application) {
    if let Some(socket) = application.socket().filter(|_| application.example.guards_its_socket) {
        let mode = std::fs::metadata(socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{mode:o}: others may open the socket");
    }
    if application.example.token {
        let order = Order::new(Convention::Billing, 1);
        for token in [None, Some("a guess")] {
            let mut webhook = order.webhook(application, &SenderKeys::genuine(application));
            webhook = webhook.header("X-Forwarded-Proto", "https");
            if let Some(token) = token {
                webhook = webhook.header("X-Gateway-Token", token);
            }
            let response = application.connect_directly().exchange(&webhook.bytes());
            assert_eq!(response.status, 403, "{token:?}: {response:?}");
        }
        assert_eq!(counted(application, &order), (0, 0));
    }
}

/// A hundred deliveries at the same time, each on its own connection, with as many workers as the example has: all are
/// answered, none is lost, none is processed twice.
pub(super) fn a_hundred_concurrent_webhooks_are_served(example: &'static Example, transport: Transport) {
    let application = Application::new(example, transport);
    let proxy = application.start_proxy("60s");
    let orders: Vec<Order> = (0..100)
        .map(|number| Order::new(example.conventions[number % example.conventions.len()], 2))
        .collect();
    let responses: Vec<Response> = std::thread::scope(|scope| {
        let (application, proxy) = (&application, &proxy);
        let senders: Vec<_> = orders
            .iter()
            .map(|order| scope.spawn(move || deliver(application, proxy, order).response))
            .collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    for (order, response) in orders.iter().zip(&responses) {
        delivered(&application, order, response);
    }
}

/// `run` as a user calls it: both processes start, `run send` gets the licence, and ending `run` ends both.
pub(super) fn run_starts_both_processes(example: &'static Example, transport: Transport) {
    let mut application = Application::prepare(example, transport);
    let logs = Logs::default();
    let mut both = Group::start(application.run(""), &logs);
    let address = listening(&logs);
    application.read_secrets();
    let sent = within(START, "an answer to `run send`", || {
        let mut send = application.run("send");
        send.env("EXAMPLE_URL", format!("https://localhost:{}", address.port()));
        let sent = send.output().unwrap();
        sent.status.success().then_some(sent)
    });
    // The sample event is for three seats.
    let order = Order::new(Convention::Billing, 3);
    let printed = String::from_utf8(sent.stdout).unwrap();
    let printed: Vec<&str> = printed
        .lines()
        .map(|line| line.trim_end_matches(['\u{fffd}', '\r']))
        .collect();
    let expected = format!("200\n{}", order.answer(&application));
    assert_eq!(printed, expected.lines().collect::<Vec<_>>());
    assert_eq!(both.end().code(), Some(0), "{}", logs.text());
    assert!(!application.listens(), "the application still runs");
}

/// The framework's development server, which answers without chunks and often without a length: the answer ends with
/// the connection and is returned whole.
pub(super) fn development_server(example: &'static Example, status_line: &str) {
    let application = Application::with(example, Transport::Tcp, &[("EXAMPLE_SERVER", "development")]);
    let proxy = application.start_proxy("60s");
    let order = Order::new(Convention::Billing, 200);
    let direct = order
        .webhook(&application, &SenderKeys::genuine(&application))
        .header("X-Gateway-Token", &application.secrets["GATEWAY_TOKEN"])
        .header("X-Forwarded-Proto", "https");
    let direct = application.connect_directly().exchange(&direct.bytes());
    assert_eq!(direct.start, status_line);
    assert_eq!(
        (direct.header("Content-Length"), direct.header("Transfer-Encoding")),
        (None, None),
        "{direct:?}"
    );
    for _ in 0..3 {
        let order = Order::new(Convention::Billing, 200);
        delivered(&application, &order, &deliver(&application, &proxy, &order).response);
    }
}
