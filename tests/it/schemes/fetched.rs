//! Routes whose keys are fetched, with a key server of the test's own: rotation, floods, outages, hostile answers and hostile
//! addresses.

use crate::support::certificates::Authority;
use crate::support::upstream::{AfterAnswer, Recorded, answer};
use crate::support::wait::eventually;
use crate::support::{Setup, Upstream};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, Mutex};

const BODY: &str = r#"{"event":{"id":"1"}}"#;

/// A key pair with its id.
pub(super) struct Key {
    id: &'static str,
    pair: rcgen::KeyPair,
}

impl Key {
    pub(super) fn new(id: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        Self { id, pair }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key_raw();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "x": part(1..33), "y": part(33..65) })
    }

    /// A request to the route with a token of this key. `number` makes its body unique.
    pub(super) fn request(&self, number: usize) -> Vec<u8> {
        self.request_as(self.id, number)
    }

    fn request_as(&self, id: &str, number: usize) -> Vec<u8> {
        let body = BODY.replace('1', &number.to_string());
        let claims = json!({ "request_body_sha256": STANDARD.encode(Sha256::digest(&body)) });
        let header = Header {
            kid: Some(id.to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        let key = EncodingKey::from_ec_der(&self.pair.serialize_der());
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        post("/tokens", &format!("X-FusionAuth-Signature-JWT: {token}\r\n"), &body)
    }
}

pub(super) fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

pub(super) fn set(keys: &[&Key]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// What the key server answers.
#[derive(Clone)]
pub(super) struct Published(Arc<Mutex<Vec<u8>>>);

impl Published {
    pub(super) fn new(document: &str) -> Self {
        let published = Self(Arc::default());
        published.set(document);
        published
    }

    pub(super) fn set(&self, document: &str) {
        self.answer(answer("200 OK", &[], document.as_bytes()));
    }

    fn answer(&self, bytes: Vec<u8>) {
        *self.0.lock().unwrap() = bytes;
    }

    /// A server on this address.
    pub(super) fn serve(&self, address: &str) -> Upstream {
        let published = self.clone();
        Upstream::at(address, move |_, connection| {
            let bytes = published.0.lock().unwrap().clone();
            connection.send(&bytes);
            AfterAnswer::Close
        })
    }
}

pub(super) fn setup(upstream: &Upstream, keys: &str, more: &str) -> Setup {
    Setup::new(&upstream.url()).more(&format!(
        "[keys]\n{more}\n[[route]]\nname = \"tokens\"\npath = \"/tokens\"\nprovider = \"fusionauth\"\nkeys = {{ url = \"{keys}/jwks\" }}\nupstream = \"{}\"\n",
        upstream.url()
    ))
}

#[test]
fn a_rotation_under_load_refuses_no_webhook() {
    let upstream = Upstream::ok();
    let (old, new) = (Key::new("old"), Key::new("new"));
    let published = Published::new(&set(&[&old]));
    let server = published.serve("127.0.0.1:0");
    let gateway = setup(&upstream, &server.url(), "").start();
    let mut number = 0;
    let mut send = |key: &Key, count: usize| {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (gateway, first) = (&gateway, number + thread * count);
                scope.spawn(move || {
                    let mut client = gateway.connect();
                    for at in first..first + count {
                        let response = client.exchange(&key.request(at));
                        assert_eq!(response.status, 200, "{} {at}: {response:?}", key.id);
                    }
                });
            }
        });
        number += 4 * count;
    };
    send(&old, 25);
    published.set(&set(&[&old, &new]));
    // All four senders need the new key at the same time.
    send(&new, 25);
    send(&old, 5);
    assert_eq!(
        server.requests().len(),
        2,
        "one fetch at the start and one for the new key"
    );
    assert_eq!(upstream.requests().len(), number);
    assert_eq!(
        upstream.requests()[0].header("Hookgate-Key").as_deref(),
        Some("fetched")
    );
}

#[test]
fn a_flood_of_unknown_keys_costs_one_fetch() {
    let upstream = Upstream::ok();
    let (key, stranger) = (Key::new("known"), Key::new("stranger"));
    let server = Published::new(&set(&[&key])).serve("127.0.0.1:0");
    let gateway = setup(&upstream, &server.url(), "").start();
    server.wait_for(1);
    for number in 0..200 {
        let response = gateway.exchange(&stranger.request_as(&format!("unknown-{number}"), number));
        assert_eq!(
            (response.status, response.reason().as_str()),
            (401, "key_unknown"),
            "{number}"
        );
    }
    assert_eq!(server.requests().len(), 2);
    assert_eq!(gateway.exchange(&key.request(0)).status, 200);
    // The name of a known key on the token of another one.
    let response = gateway.exchange(&stranger.request_as("known", 1));
    assert_eq!(
        (response.status, response.reason().as_str()),
        (401, "signature_mismatch")
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_key_server_that_is_down_at_the_start_or_later_loses_no_webhook() {
    let upstream = Upstream::ok();
    let key = Key::new("key");
    let published = Published::new(&set(&[&key]));
    let server = published.serve("127.0.0.1:0");
    let (url, address) = (server.url(), server.url().replace("http://", ""));
    drop(server);
    let directory = tempfile::tempdir().unwrap();
    let kept = format!("directory = {:?}", directory.path());
    let gateway = setup(&upstream, &url, &kept).start();
    let response = gateway.exchange(&key.request(1));
    assert_eq!((response.status, response.reason().as_str()), (503, "key_unavailable"));
    assert!(response.header("Retry-After").is_some());
    let server = published.serve(&address);
    eventually("the keys are fetched", || {
        (gateway.exchange(&key.request(1)).status == 200).then_some(())
    });
    drop(server);
    assert_eq!(gateway.exchange(&key.request(2)).status, 200);
    drop(gateway);
    // The next process has the keys of the last one.
    let gateway = setup(&upstream, &url, &kept).start();
    assert_eq!(gateway.exchange(&key.request(3)).status, 200);
    // A key that is not known cannot be asked for.
    let other = Key::new("other");
    assert_eq!(gateway.exchange(&other.request(4)).status, 503);
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn hostile_answers_are_no_keys() {
    let upstream = Upstream::ok();
    let key = Key::new("key");
    let real = Published::new(&set(&[&key])).serve("127.0.0.1:0");
    let secret = json!({ "keys": [{ "kty": "oct", "k": "AAAA", "kid": "key", "alg": "HS256" }] }).to_string();
    let cases = [
        (
            "a redirect",
            answer("302 Found", &[("Location", &format!("{}/jwks", real.url()))], b""),
        ),
        (
            "too long",
            answer(
                "200 OK",
                &[],
                format!("{}{}", set(&[&key]), " ".repeat(300 << 10)).as_bytes(),
            ),
        ),
        (
            "cut off",
            answer("200 OK", &[], set(&[&key]).as_bytes())[..120].to_vec(),
        ),
        ("no keys", answer("200 OK", &[], b"{\"keys\":[]}")),
        ("a shared secret", answer("200 OK", &[], secret.as_bytes())),
        ("no JSON", answer("200 OK", &[], b"<html>")),
        ("an error", answer("500 No", &[], set(&[&key]).as_bytes())),
        ("not found", answer("404 No", &[], set(&[&key]).as_bytes())),
    ];
    for (what, bytes) in cases {
        let published = Published::new("");
        published.answer(bytes);
        let server = published.serve("127.0.0.1:0");
        let gateway = setup(&upstream, &server.url(), "").start();
        let response = gateway.exchange(&key.request(1));
        assert_eq!(
            (response.status, response.reason().as_str()),
            (503, "key_unavailable"),
            "{what}"
        );
    }
    assert_eq!(real.requests().len(), 0);
    upstream.assert_untouched();
}

/// A body whose certificate has this URL, and a signature of no meaning.
fn sns(url: &str) -> Vec<u8> {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let message = json!({
        "Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": "m", "Timestamp": now,
        "SignatureVersion": "2", "Signature": STANDARD.encode([1; 256]), "SigningCertURL": url,
    });
    post("/sns", "", &message.to_string())
}

#[test]
fn certificates_are_fetched_from_pinned_addresses_only() {
    let upstream = Upstream::ok();
    let authority = Authority::new();
    let certificate = authority.issue(&["localhost"]);
    let handler = |request: &Recorded, connection: &mut crate::support::upstream::Connection| {
        assert!(request.start.contains("SimpleNotificationService-"), "{request:?}");
        connection.send(&answer("200 OK", &[], b"-----BEGIN CERTIFICATE-----"));
        AfterAnswer::Close
    };
    let server = Upstream::tls(certificate.server(), handler);
    let host = server.url().replace("https://", "").replace("127.0.0.1", "localhost");
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, &authority.certificate.chain_pem).unwrap();
    let gateway = Setup::new(&upstream.url())
        .more(&format!(
            "[keys]\nca = {ca:?}\n[[route]]\nname = \"sns\"\npath = \"/sns\"\nprovider = \"aws-sns\"\nkeys = {{ hosts = [{host:?}], ca = {ca:?} }}\nupstream = \"{}\"\n",
            upstream.url()
        ))
        .start();
    let path = "SimpleNotificationService-0a.pem";
    for url in [
        format!("http://{host}/{path}"),
        format!("https://{host}/other/{path}"),
        format!("https://{host}/{path}?x"),
        format!("https://user@{host}/{path}"),
        format!("https://{host}.evil.example/{path}"),
        format!("https://evil.example/{path}#{host}"),
        String::from("https://169.254.169.254/latest/meta-data"),
        String::from("file:///etc/passwd"),
    ] {
        let response = gateway.exchange(&sns(&url));
        assert_eq!(
            (response.status, response.reason().as_str()),
            (401, "key_unknown"),
            "{url}"
        );
    }
    assert_eq!(server.connections(), 0);
    // An address of the right form is asked once, whatever the number of requests; what it answers is no certificate.
    for number in 0..20 {
        let url = format!("https://{host}/SimpleNotificationService-{number:x}.pem");
        assert_eq!(gateway.exchange(&sns(&url)).status, 503);
    }
    assert_eq!(server.requests().len(), 1);
    upstream.assert_untouched();
}

/// The extension with the address of the issuer's certificate (RFC 5280, 4.2.2.1).
fn issuer_at(url: &str) -> rcgen::CustomExtension {
    let part = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let method = part(6, &[0x2b, 6, 1, 5, 5, 7, 0x30, 2]);
    let access = part(0x30, &[method, part(0x86, url.as_bytes())].concat());
    rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], part(0x30, &access))
}

/// Signs a text with RSA and SHA-256, as openssl does.
pub(super) fn openssl_sign(key: &std::path::Path, text: &str) -> String {
    let file = key.with_extension("text");
    std::fs::write(&file, text).unwrap();
    let mut command = std::process::Command::new("openssl");
    let signed = command
        .args(["dgst", "-sha256", "-sign"])
        .arg(key)
        .arg(file)
        .output()
        .unwrap();
    STANDARD.encode(signed.stdout)
}

/// Amazon publishes its certificate without the one between it and the authority.
#[test]
fn a_chain_is_completed_from_a_pinned_host() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    // The authority, the certificate between, and the signer's.
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    root.distinguished_name.push(rcgen::DnType::CommonName, "root");
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let root = rcgen::Issuer::new(root, root_key);
    let between_key = rcgen::KeyPair::generate().unwrap();
    let mut between = rcgen::CertificateParams::new(Vec::new()).unwrap();
    between.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    between.distinguished_name.push(rcgen::DnType::CommonName, "between");
    let between_der = between.signed_by(&between_key, &root).unwrap().der().to_vec();
    let between = rcgen::Issuer::new(between, between_key);
    let published = Published::new("");
    published.answer(answer("200 OK", &[], &between_der));
    let issuers = published.serve("127.0.0.1:0");
    let issuer_host = issuers.url().replace("http://127.0.0.1", "localhost");
    let key_file = path("key.pem");
    let made = std::process::Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-out",
        ])
        .arg(&key_file)
        .stderr(std::process::Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let pair = rcgen::KeyPair::from_pem(&std::fs::read_to_string(&key_file).unwrap()).unwrap();
    let mut leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    leaf.custom_extensions
        .push(issuer_at(&format!("http://{issuer_host}/between.cer")));
    let leaf = leaf.signed_by(&pair, &between).unwrap().pem();
    // The server of the signer's certificate.
    let authority = Authority::new();
    let server = Upstream::tls(authority.issue(&["localhost"]).server(), move |_, connection| {
        connection.send(&answer("200 OK", &[], leaf.as_bytes()));
        AfterAnswer::Close
    });
    let host = server
        .url()
        .replace("https://127.0.0.1", "localhost")
        .replace("https://", "");
    std::fs::write(path("ca.pem"), &authority.certificate.chain_pem).unwrap();
    std::fs::write(path("root.pem"), root_pem).unwrap();
    let start = |hosts: &[&str]| {
        let (ca, root) = (path("ca.pem"), path("root.pem"));
        Setup::new(&upstream.url())
            .more(&format!(
                "[keys]\nca = {ca:?}\n[[route]]\nname = \"sns\"\npath = \"/sns\"\nprovider = \"aws-sns\"\nexpect = {{ TopicArn = \"arn:t\" }}\nkeys = {{ hosts = {hosts:?}, ca = {root:?} }}\nupstream = \"{}\"\n",
                upstream.url()
            ))
            .start()
    };
    let message = |topic: &str, id: &str| {
        let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
        let text = format!("Message\nm\nMessageId\n{id}\nTimestamp\n{now}\nTopicArn\n{topic}\nType\nNotification\n");
        let body = json!({
            "Type": "Notification", "MessageId": id, "TopicArn": topic, "Message": "m", "Timestamp": now, "SignatureVersion": "2",
            "Signature": openssl_sign(&key_file, &text),
            "SigningCertURL": format!("https://{host}/SimpleNotificationService-0a.pem"),
        });
        post("/sns", "", &body.to_string())
    };
    let gateway = start(&[&host, &issuer_host]);
    let response = gateway.exchange(&message("arn:t", "1"));
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(gateway.exchange(&message("arn:other", "2")).status, 401);
    assert_eq!((server.requests().len(), issuers.requests().len()), (1, 1));
    drop(gateway);
    // Without the host of the issuer the chain stays incomplete.
    let gateway = start(&[&host]);
    assert_eq!(gateway.exchange(&message("arn:t", "3")).status, 503);
    assert_eq!(issuers.requests().len(), 1);
    assert_eq!(upstream.requests().len(), 1);
}
