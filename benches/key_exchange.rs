//! What the key exchange of a listener costs: full TLS 1.3 handshakes in memory, with a P-256 certificate, and only the
//! server's side is timed. Prints the time of one handshake for each group, and its ratio to X25519.
//!
//! `cargo bench --bench key_exchange`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs
)]

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Handshakes of each group in one round, and rounds. The groups take turns, so that a busy machine hits all of them.
const HANDSHAKES: u32 = 300;
const ROUNDS: u32 = 7;

fn main() {
    let made = rcgen::generate_simple_self_signed(vec![String::from("localhost")]).unwrap();
    let groups: [(&str, &'static dyn SupportedKxGroup); 3] = [
        ("x25519", kx_group::X25519),
        ("x25519mlkem768", kx_group::X25519MLKEM768),
        ("secp256r1", kx_group::SECP256R1),
    ];
    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        for ((_, group), best) in groups.iter().zip(&mut best) {
            *best = (*best).min(round(&made, *group));
        }
    }
    for ((name, _), time) in groups.iter().zip(best) {
        let ratio = time.as_secs_f64() / best[0].as_secs_f64();
        println!(
            "{name}: {:.1} us for each handshake, {ratio:.2} of x25519",
            time.as_secs_f64() * 1e6
        );
    }
}

/// The server's time for one handshake, on average over a round.
fn round(made: &rcgen::CertifiedKey<rcgen::KeyPair>, group: &'static dyn SupportedKxGroup) -> Duration {
    let provider = Arc::new(CryptoProvider {
        kx_groups: vec![group],
        ..aws_lc_rs::default_provider()
    });
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let versions = [&rustls::version::TLS13];
    let server = ServerConfig::builder_with_provider(provider.clone());
    let server = server.with_protocol_versions(&versions).unwrap().with_no_client_auth();
    let mut server = server.with_single_cert(vec![certificate.clone()], key).unwrap();
    server.send_tls13_tickets = 0;
    let server = Arc::new(server);
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider);
    let client = client
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut client = client.with_no_client_auth();
    client.resumption = rustls::client::Resumption::disabled();
    let client = Arc::new(client);
    let mut spent = Duration::ZERO;
    for _ in 0..HANDSHAKES {
        spent += handshake(&server, &client);
    }
    spent / HANDSHAKES
}

/// The server's time for one handshake.
fn handshake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Duration {
    let mut client = ClientConnection::new(client.clone(), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut spent = Duration::ZERO;
    let start = Instant::now();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    spent += start.elapsed();
    while client.is_handshaking() || server.is_handshaking() {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        let mut answer = Vec::new();
        let start = Instant::now();
        let mut sent = sent.as_slice();
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            server.process_new_packets().unwrap();
        }
        while server.wants_write() {
            server.write_tls(&mut answer).unwrap();
        }
        spent += start.elapsed();
        let mut answer = answer.as_slice();
        while !answer.is_empty() {
            client.read_tls(&mut answer).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    spent
}
