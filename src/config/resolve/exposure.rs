//! Warnings of what is more exposed than it need be. None of it prevents the start.

use super::Resolver;
use super::upstream_url::is_loopback;
use crate::config::credential::is_world_readable;
use crate::secret::Secret;
use crate::settings::{Address, Listener, Route, StoreServer};
use crate::tls::CertificateNames;
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use std::path::Path;

impl Resolver<'_> {
    /// Warns of a secret that another route has too: a webhook of one route is then genuine on the other.
    pub(super) fn check_shared_secret(&mut self, place: &str, secret: &Secret) {
        let digest: [u8; 32] = Sha256::digest(secret.expose()).into();
        match self.known_secrets.get(&digest) {
            Some(other) => {
                let text = format!(
                    "{other} is the same secret, so a webhook of one route is genuine on the other, and a copy is delivered by each; use one secret for each route"
                );
                self.report.warn(place, text);
            }
            None => drop(self.known_secrets.insert(digest, place.to_owned())),
        }
    }

    /// Warns of routes whose senders send the secret itself, where a listener of other machines has no TLS.
    pub(super) fn check_tokens_in_plaintext(&mut self, routes: &[Route], listeners: &[Listener]) {
        let is_open = |listener: &&Listener| match listener.address {
            Address::Tcp(address) => listener.tls.is_none() && !address.ip().to_canonical().is_loopback(),
            Address::Unix(..) => false,
        };
        let Some(listener) = listeners.iter().find(is_open) else {
            return;
        };
        for (index, route) in routes.iter().enumerate() {
            if route.verifier.compares_token() {
                self.report.warn(
                    format_args!("route[{index}].provider"),
                    format_args!(
                        "the sender sends the secret itself, and the listener {} has no TLS, so everyone on the way can read it; write `tls`, or listen on a loopback address behind a proxy that terminates TLS",
                        listener.name
                    ),
                );
            }
        }
    }

    /// Warns of a route's host that is in no certificate of a listener, because every listener serves every route. A
    /// listener without TLS stands behind a proxy, which has the certificate.
    pub(super) fn check_hosts_in_certificates(&mut self, routes: &[Route]) {
        for (index, route) in routes.iter().enumerate() {
            let Some(host) = &route.host else {
                continue;
            };
            let lacks = |(_, certificates): &&(String, Vec<CertificateNames>)| {
                !certificates.is_empty() && !certificates.iter().any(|certificate| certificate.covers(host))
            };
            for (listener, _) in self.certificates.iter().filter(lacks) {
                self.report.warn(
                    format_args!("route[{index}].host"),
                    format_args!(
                        "no certificate of `{listener}` is for `{host}`, so senders that connect there will not trust it; add a certificate with this name to `{listener}.tls`, or correct `host`"
                    ),
                );
            }
        }
    }

    /// Warns of a private TLS key that every user of the machine can read.
    pub(super) fn check_private_key(&mut self, key: &str, path: &Path) {
        if is_world_readable(path) {
            self.report.warn(
                key,
                format_args!(
                    "every user of this machine can read the private key {0}; run `chmod o= {0}`",
                    path.display()
                ),
            );
        }
    }

    /// Warns of an admin listener on all addresses.
    pub(super) fn check_admin_address(&mut self, address: SocketAddr) {
        if address.ip().to_canonical().is_unspecified() {
            self.report.warn(
                "admin.address",
                format_args!(
                    "everyone who reaches this machine can read metrics and probes; write \"127.0.0.1:{}\" or the address of a private network",
                    address.port()
                ),
            );
        }
    }

    /// Warns of a Redis on other machines without TLS or without a password. `key` is that of its URLs.
    pub(super) fn check_store(&mut self, key: &str, servers: &[StoreServer], tls: bool, has_password: bool) {
        let is_remote = |server: &StoreServer| match server {
            StoreServer::Tcp { host, .. } => !is_loopback(host),
            StoreServer::Unix(_) => false,
        };
        if !servers.iter().any(is_remote) {
            return;
        }
        if !tls {
            self.report.warn(
                key,
                "the store is on another machine and the connection has no TLS, so everyone on the way can read and change what is stored; write a `rediss://` URL",
            );
        }
        if !has_password {
            self.report.warn(
                key,
                "the store is on another machine and has no password, so everyone who reaches it can change what is stored; write `password = { env = \"REDIS_PASSWORD\" }`",
            );
        }
    }
}
