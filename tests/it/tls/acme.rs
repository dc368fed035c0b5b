//! Certificates from a real ACME server (pebble): the first one by both challenges, renewal under load, a server that is
//! not there, replicas that share a storage, and keys that encrypt it.

use crate::support::pebble::Pebble;
use crate::support::redis::free_port;
use crate::support::upstream::answer;
use crate::support::wait::within;
use crate::support::{Client, Gateway, Setup, Upstream, Webhook, certificates, eventually};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// The longest time of a first order: the wait after a server that was not there, and two orders.
const ORDER: Duration = Duration::from_secs(60);
/// A key that encrypts the storage.
pub(super) const KEY: &str = "4b1f6f0a7a1d4a9f8f5ea6c5c4c4e3f2a1b2c3d4e5f60718";
pub(super) const NAMES: [&str; 2] = ["a.example.test", "b.example.test"];
/// Numbers the webhooks, so that none is a repetition.
static SENT: AtomicUsize = AtomicUsize::new(0);
const MONTH: u64 = 30 * 86_400;

/// A listener `acme` on this port with a certificate of these keys.
pub(super) fn listener(port: u16, acme: &str) -> String {
    format!("[[listen]]\nname = \"acme\"\naddress = \"127.0.0.1:{port}\"\ntls = {{ acme = {{ {acme} }} }}\n")
}

/// The setup with a listener `acme`, whose storage is `storage`.
fn setup(upstream: &Upstream, port: u16, storage: &Path, keys: &str) -> Setup {
    let keys = format!("{keys}, storage = {storage:?}, keys = [{{ env = \"ACME_KEY\" }}]");
    Setup::new(&upstream.url())
        .more(&listener(port, &keys))
        .variable("ACME_KEY", KEY)
}

fn at(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

pub(super) fn connect(port: u16, name: &str, root: &CertificateDer<'static>) -> std::io::Result<Client> {
    Client::try_tls(at(port), name, certificates::client(root, &["http/1.1"]))
}

/// Waits until the listener serves a certificate of this root for the name, and sends a webhook there.
pub(super) fn serves(
    gateway: &Gateway,
    port: u16,
    name: &str,
    root: &CertificateDer<'static>,
) -> CertificateDer<'static> {
    let what = format!("a certificate for {name}\n{}", gateway.logs.text());
    let mut client = within(ORDER, &what, || connect(port, name, root).ok());
    let certificate = client.server_certificate();
    let number = SENT.fetch_add(1, Ordering::Relaxed);
    let webhook = Webhook::new(format!("{{\"number\":{number}}}")).bytes();
    assert_eq!(client.exchange(&webhook).status, 200);
    certificate
}

pub(super) fn orders(gateway: &Gateway, result: &str) -> f64 {
    gateway
        .metrics()
        .sum("hookgate_acme_orders_total", &[("result", result)])
}

/// While the server is not there, hookgate starts, is ready, and every handshake fails with a reason; then the first
/// certificate is issued by TLS-ALPN-01. A restart needs no server, and an end of the server harms nothing.
#[test]
fn the_first_certificate_is_issued_when_the_server_is_there() {
    let (upstream, port) = (Upstream::ok(), free_port());
    let storage = tempfile::tempdir().unwrap();
    let mut pebble = Pebble::stopped(port, free_port(), MONTH);
    let gateway = setup(&upstream, port, storage.path(), &pebble.keys(&NAMES)).start();
    gateway.logs.wait_for("a failed order", |line| {
        (line.contains("could not be ordered") && line.contains("no connection to localhost")).then_some(())
    });
    assert!(connect(port, NAMES[0], &gateway.setup.certificate.der).is_err());
    gateway.wait_for_metric("hookgate_tls_handshakes_total", &[("result", "no_certificate")], 1.0);
    gateway.logs.wait_for("the reason of the handshake", |line| {
        line.contains("has not issued the certificate of this listener yet")
            .then_some(())
    });
    assert_eq!(
        gateway.readiness(),
        Some(200),
        "the server checks the challenge of a ready process only"
    );

    pebble.start();
    let root = pebble.root();
    let certificate = serves(&gateway, port, NAMES[0], &root);
    assert_eq!(
        serves(&gateway, port, NAMES[1], &root),
        certificate,
        "one certificate has both names"
    );
    assert_eq!((pebble.issued(), orders(&gateway, "ok")), (1, 1.0));
    assert!(orders(&gateway, "failed") >= 1.0);
    let labels = [("certificate", "acme:a.example.test")];
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("hookgate_acme_failures", &labels), 0.0);
    let expiry = metrics.sum("hookgate_tls_certificate_expiry_timestamp_seconds", &labels);
    let issued = metrics.sum("hookgate_acme_last_success_timestamp_seconds", &labels);
    assert!((expiry - issued - MONTH as f64).abs() < 100_000.0, "{expiry} {issued}");
    assert!(metrics.sum("hookgate_tls_handshakes_total", &[("result", "acme")]) >= 2.0);
    // A handshake for a challenge that nobody asked for gets nothing.
    let challenge = certificates::client(&root, &["acme-tls/1"]);
    assert!(Client::try_tls(at(port), NAMES[0], challenge).is_err());
    gateway.wait_for_metric("hookgate_tls_handshakes_total", &[("result", "failed")], 1.0);
    for entry in std::fs::read_dir(storage.path()).unwrap() {
        let entry = entry.unwrap();
        let content = std::fs::read(entry.path()).unwrap();
        let text = String::from_utf8_lossy(&content);
        assert!(
            !text.contains("PRIVATE KEY") && !text.contains("key_pkcs8"),
            "{:?}",
            entry.path()
        );
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o077,
            0,
            "{:?}",
            entry.path()
        );
    }

    pebble.stop();
    assert_eq!(serves(&gateway, port, NAMES[0], &root), certificate);
    drop(gateway);
    let gateway = setup(&upstream, port, storage.path(), &pebble.keys(&NAMES)).start();
    let now = connect(port, NAMES[0], &root).expect("the stored certificate is there with the first handshake");
    assert_eq!(now.server_certificate(), certificate);
    assert_eq!(
        (orders(&gateway, "ok"), orders(&gateway, "failed")),
        (0.0, 0.0),
        "it is not due"
    );
}

/// HTTP-01 on an address of its own, and on a listener without TLS. Only what a server has asked for is answered.
#[test]
fn the_challenge_http_01_is_answered_on_an_address_of_its_own_and_without_tls() {
    for own_address in [true, false] {
        let (upstream, port, http) = (Upstream::ok(), free_port(), free_port());
        let storage = tempfile::tempdir().unwrap();
        let pebble = Pebble::new(free_port(), http, MONTH);
        let mut keys = format!("{}, challenge = \"http-01\"", pebble.keys(&NAMES));
        if own_address {
            keys += &format!(", http = \"127.0.0.1:{http}\"");
        }
        let mut setup = setup(&upstream, port, storage.path(), &keys);
        if !own_address {
            setup = setup.more(&format!(
                "[[listen]]\nname = \"http\"\naddress = \"127.0.0.1:{http}\"\nplaintext = true\n"
            ));
        }
        let gateway = setup.start();
        serves(&gateway, port, NAMES[0], &pebble.root());
        let request =
            b"GET /.well-known/acme-challenge/unknown HTTP/1.1\r\nHost: a.example.test\r\nConnection: close\r\n\r\n";
        assert_eq!(Client::tcp(at(http)).exchange(request).status, 404);
        let webhook = Webhook::new("{}").bytes();
        let status = Client::tcp(at(http)).exchange(&webhook).status;
        assert_eq!(
            status,
            if own_address { 404 } else { 200 },
            "the own address serves no webhooks"
        );
    }
}

/// A certificate of 18 seconds is renewed again and again, with the server gone for a while, and no handshake fails.
#[test]
fn renewals_under_load_lose_no_handshake_and_survive_a_server_that_is_gone() {
    let (upstream, port) = (Upstream::ok(), free_port());
    let storage = tempfile::tempdir().unwrap();
    let mut pebble = Pebble::new(port, free_port(), 24);
    let gateway = setup(&upstream, port, storage.path(), &pebble.keys(&NAMES[..1])).start();
    let root = pebble.root();
    let first = serves(&gateway, port, NAMES[0], &root);
    let (stop, handshakes) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // The certificates are short: whether one has ended meanwhile does not matter here.
                let any = certificates::client_of_any();
                let client = Client::try_tls(at(port), NAMES[0], any);
                assert!(client.is_ok(), "{:?}", client.err());
                handshakes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _stop = StopOnDrop(&stop);
        let mut known = vec![first];
        let renewed = |known: &mut Vec<CertificateDer<'static>>, what: &str| {
            let new = within(ORDER, what, || {
                let client = Client::try_tls(at(port), NAMES[0], certificates::client_of_any()).ok()?;
                Some(client.server_certificate()).filter(|now| !known.contains(now))
            });
            known.push(new);
        };
        renewed(&mut known, "a renewal");
        // The server forgets its accounts with its end: a new one is made.
        pebble.stop();
        eventually("failed orders", || (orders(&gateway, "failed") >= 1.0).then_some(()));
        pebble.start();
        renewed(&mut known, "a renewal by the server that was gone");
    });
    assert!(handshakes.load(Ordering::Relaxed) > 10, "too little load");
    let failed = gateway
        .metrics()
        .sum("hookgate_tls_handshakes_total", &[("result", "failed")]);
    assert_eq!(failed, 0.0);
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Two replicas with one storage order once, and both serve the certificate. The server asks the second one about the
/// challenge that the first one was given, or the other way round: either answers.
#[test]
fn replicas_with_one_storage_order_once() {
    let (upstream, ports) = (Upstream::ok(), [free_port(), free_port()]);
    let storage = tempfile::tempdir().unwrap();
    let mut pebble = Pebble::stopped(ports[0], free_port(), MONTH);
    let replicas = ports.map(|port| setup(&upstream, port, storage.path(), &pebble.keys(&NAMES)).start());
    pebble.start();
    let root = pebble.root();
    let certificates = [0, 1].map(|at| serves(&replicas[at], ports[at], NAMES[0], &root));
    assert_eq!(certificates[0], certificates[1]);
    assert_eq!(orders(&replicas[0], "ok") + orders(&replicas[1], "ok"), 1.0);
    assert_eq!(pebble.issued(), 1);
}

/// With another key nothing starts, and nothing is overwritten; `check` says what to do.
#[test]
fn a_storage_with_another_key_is_a_fault_at_the_start() {
    let (upstream, port) = (Upstream::ok(), free_port());
    let storage = tempfile::tempdir().unwrap();
    let pebble = Pebble::new(port, free_port(), MONTH);
    let gateway = setup(&upstream, port, storage.path(), &pebble.keys(&NAMES)).start();
    let certificate = serves(&gateway, port, NAMES[0], &pebble.root());
    drop(gateway);
    let other = setup(&upstream, port, storage.path(), &pebble.keys(&NAMES))
        .variable("ACME_KEY", "another key of the storage, long enough for it");
    other.write();
    let output = Gateway::command(&other, &[], None).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("was encrypted with another key"), "{printed}");
    assert!(printed.contains("acme.storage"), "{printed}");
    let gateway = setup(&upstream, port, storage.path(), &pebble.keys(&NAMES)).start();
    assert_eq!(serves(&gateway, port, NAMES[0], &pebble.root()), certificate);
    assert_eq!(pebble.issued(), 1);
}

/// A reload takes one more name into force. Until it is issued, the certificate of the other name is served.
#[test]
fn a_reload_orders_a_certificate_for_one_more_name() {
    let (upstream, port) = (Upstream::ok(), free_port());
    let storage = tempfile::tempdir().unwrap();
    let mut pebble = Pebble::new(port, free_port(), MONTH);
    let gateway = setup(&upstream, port, storage.path(), &pebble.keys(&NAMES[..1])).start();
    let root = pebble.root();
    let first = serves(&gateway, port, NAMES[0], &root);
    assert!(connect(port, NAMES[1], &root).is_err());
    pebble.stop();
    let text = std::fs::read_to_string(gateway.setup.file()).unwrap();
    let text = text.replace(&format!("{:?}", &NAMES[..1]), &format!("{NAMES:?}"));
    std::fs::write(gateway.setup.file(), text).unwrap();
    gateway.signal(rustix::process::Signal::HUP);
    eventually("a failed order", || (orders(&gateway, "failed") >= 1.0).then_some(()));
    assert_eq!(serves(&gateway, port, NAMES[0], &root), first);
    pebble.start();
    serves(&gateway, port, NAMES[1], &pebble.root());
    serves(&gateway, port, NAMES[0], &pebble.root());
}

/// The new key stands in front of the old one: what is stored is encrypted with it without an order, and the old one can
/// be removed. The account is encrypted with it too, so that the next order uses it.
#[test]
fn a_key_of_the_storage_is_replaced_without_an_order() {
    let (upstream, port) = (Upstream::ok(), free_port());
    let storage = tempfile::tempdir().unwrap();
    let pebble = Pebble::new(port, free_port(), MONTH);
    let with = |names: &[&str], keys: &str| {
        let keys = format!(
            "{}, storage = {:?}, keys = [{keys}]",
            pebble.keys(names),
            storage.path()
        );
        Setup::new(&upstream.url())
            .more(&listener(port, &keys))
            .variable("OLD", KEY)
            .variable("NEW", "the next key of the storage, long enough for it")
    };
    let root = pebble.root();
    let gateway = with(&NAMES[..1], "{ env = \"OLD\" }").start();
    let certificate = serves(&gateway, port, NAMES[0], &root);
    drop(gateway);
    let gateway = with(&NAMES[..1], "{ env = \"NEW\" }, { env = \"OLD\" }").start();
    assert_eq!(serves(&gateway, port, NAMES[0], &root), certificate);
    gateway.logs.wait_for("the new key to be used", |line| {
        line.contains("encrypted with the first of `keys` now").then_some(())
    });
    drop(gateway);
    let gateway = with(&NAMES[..1], "{ env = \"NEW\" }").start();
    assert_eq!(serves(&gateway, port, NAMES[0], &root), certificate);
    assert_eq!(pebble.issued(), 1);
    drop(gateway);
    // One more name needs an order, with the account that is stored.
    let gateway = with(&NAMES, "{ env = \"NEW\" }").start();
    assert_ne!(serves(&gateway, port, NAMES[1], &root), certificate);
    assert!(!gateway.logs.text().contains("ACME account created"));
}

/// A server that wants an external account: with its key the account is made, with another one the log has its reason.
#[test]
fn an_external_account_is_bound_with_its_key_only() {
    let wrong = "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH";
    for (key, is_right) in [(wrong, false), (EAB_KEY, true)] {
        let (upstream, port) = (Upstream::ok(), free_port());
        let storage = tempfile::tempdir().unwrap();
        let mut pebble = Pebble::stopped(port, free_port(), MONTH).with_external_accounts(&[("kid-1", EAB_KEY)]);
        pebble.start();
        let keys = format!(
            "{}, external_account = {{ id = \"kid-1\", key = {{ env = \"EAB\" }} }}",
            pebble.keys(&NAMES)
        );
        let gateway = setup(&upstream, port, storage.path(), &keys)
            .variable("EAB", key)
            .start();
        if is_right {
            serves(&gateway, port, NAMES[0], &pebble.root());
        } else {
            gateway.logs.wait_for("the server's refusal", |line| {
                (line.contains("could not be ordered") && line.contains("the server refuses")).then_some(())
            });
        }
        assert!(!gateway.logs.text().contains(key));
    }
}

/// The key that the server has for the external account.
const EAB_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// A server that is overloaded says when to ask again, in both forms of `Retry-After`.
#[test]
fn the_wait_that_a_server_asks_for_is_kept() {
    for (header, shortest) in [("7200", 7_200), ("Fri, 31 Dec 2100 23:59:59 GMT", 80_000)] {
        let (upstream, port) = (Upstream::ok(), free_port());
        let storage = tempfile::tempdir().unwrap();
        let authority = certificates::Authority::new();
        authority.certificate.write(storage.path(), "authority");
        let busy = Upstream::tls(authority.issue(&["localhost"]).server(), move |_, connection| {
            let problem = br#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many orders"}"#;
            connection.send(&answer(
                "429 Too Many Requests",
                &[("Retry-After", header), ("Content-Type", "application/problem+json")],
                problem,
            ))
        });
        let keys = format!(
            "domains = {NAMES:?}, directory = \"https://localhost:{}/dir\", ca = {:?}",
            busy.url().rsplit(':').next().unwrap(),
            storage.path().join("authority.crt")
        );
        let gateway = setup(&upstream, port, storage.path(), &keys).start();
        let wait = gateway.logs.wait_for("the wait", |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            line["next_attempt_seconds"].as_u64()
        });
        assert!((shortest..=90_000).contains(&wait), "{header}: {wait}");
        assert_eq!(busy.connections(), 1);
    }
}
