//! A real ACME server: Debian's pebble, with a name server that leads every name to this machine. pebble forgets
//! everything when it ends, and refuses some requests at random, as its authors recommend for tests.

use super::certificates::Authority;
use super::client::Client;
use super::redis::free_port;
use super::wait::eventually;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The server with its name server; killed on drop.
pub(crate) struct Pebble {
    server: Option<Child>,
    names: Child,
    names_port: u16,
    directory: TempDir,
    port: u16,
    management: u16,
    authority: Authority,
}

impl Pebble {
    /// A server that checks TLS-ALPN-01 on the port `tls` and HTTP-01 on the port `http`, and issues certificates for
    /// `seconds`. It is not started yet.
    pub(crate) fn stopped(tls: u16, http: u16, seconds: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.certificate.write(directory.path(), "authority");
        authority.issue(&["localhost"]).write(directory.path(), "server");
        let (port, management, names_port) = (free_port(), free_port(), free_port());
        let at = |name: &str| directory.path().join(name);
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": at("server.crt"),
            "privateKey": at("server.key"),
            "tlsPort": tls,
            "httpPort": http,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "externalAccountMACKeys": {},
            "certificateValidityPeriod": seconds,
        }});
        fs::write(at("pebble.json"), config.to_string()).unwrap();
        let names = Command::new("pebble-challtestsrv")
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-dns01", &format!("127.0.0.1:{names_port}")])
            .args(["-management", &format!("127.0.0.1:{}", free_port())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the package pebble is installed");
        Self {
            server: None,
            names,
            names_port,
            directory,
            port,
            management,
            authority,
        }
    }

    /// Wants an external account: one of these, with their keys in base64url.
    pub(crate) fn with_external_accounts(self, accounts: &[(&str, &str)]) -> Self {
        let file = self.directory.path().join("pebble.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        config["pebble"]["externalAccountBindingRequired"] = true.into();
        for (id, key) in accounts {
            config["pebble"]["externalAccountMACKeys"][id] = (*key).into();
        }
        fs::write(file, config.to_string()).unwrap();
        self
    }

    /// The same, started.
    pub(crate) fn new(tls: u16, http: u16, seconds: u64) -> Self {
        let mut pebble = Self::stopped(tls, http, seconds);
        pebble.start();
        pebble
    }

    /// Starts the server. It has new authorities, and knows no account.
    pub(crate) fn start(&mut self) {
        let log = File::create(self.directory.path().join("pebble.log")).unwrap();
        let server = Command::new("pebble")
            .arg("-config")
            .arg(self.directory.path().join("pebble.json"))
            .args(["-dnsserver", &format!("127.0.0.1:{}", self.names_port)])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("the package pebble is installed");
        self.server = Some(server);
        for port in [self.port, self.management] {
            eventually("pebble to listen", || TcpStream::connect(("127.0.0.1", port)).ok());
        }
    }

    /// Kills the server.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// The keys of `acme` for this server, without a brace at the end.
    pub(crate) fn keys(&self, domains: &[&str]) -> String {
        format!(
            "domains = {domains:?}, contact = \"ops@example.com\", directory = \"https://localhost:{}/dir\", ca = {:?}",
            self.port,
            self.directory.path().join("authority.crt")
        )
    }

    /// The root that the certificates of this run chain to.
    pub(crate) fn root(&self) -> CertificateDer<'static> {
        let address = ([127, 0, 0, 1], self.management).into();
        let mut client = Client::tls(address, "localhost", &self.authority.certificate.der);
        let answer = client.exchange(b"GET /roots/0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(answer.status, 200, "{answer:?}");
        CertificateDer::from_pem_slice(&answer.body).unwrap()
    }

    /// How many certificates it has issued since its start.
    pub(crate) fn issued(&self) -> usize {
        self.log().matches("Issued certificate serial").count()
    }

    /// What it has written since its start.
    pub(crate) fn log(&self) -> String {
        let path: PathBuf = self.directory.path().join("pebble.log");
        fs::read_to_string(path).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        let _ = self.names.kill();
        let _ = self.names.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            println!(
                "--- pebble's last lines ---\n{}",
                lines[lines.len().saturating_sub(30)..].join("\n")
            );
        }
    }
}
