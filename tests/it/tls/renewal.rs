//! H04, H05, H07: certificates, secrets and ticket keys that change while webhooks are served.

use crate::operations::clock;
use crate::support::certificates::{self, Authority, Certificate};
use crate::support::paddle::{self, SECRET};
use crate::support::upstream::answer;
use crate::support::wait::within;
use crate::support::{Client, Setup, Upstream, WAIT_TIMEOUT, Webhook, eventually};
use crate::tls::listener;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How a certificate's files are replaced, by the tool that does it so.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The kubelet: files are links into `..data`, which is itself a link and is replaced by a rename.
    Kubernetes,
    /// certbot: links in `live/` to numbered files in `archive/`, removed and created again one after the other.
    Certbot,
    /// A script with `cp`: the files themselves are overwritten.
    Overwritten,
}

const WAYS: [Way; 3] = [Way::Kubernetes, Way::Certbot, Way::Overwritten];

/// A directory with certificates that are renewed in one way.
struct Store {
    way: Way,
    directory: PathBuf,
    renewals: usize,
}

impl Store {
    fn new(setup: &Setup, way: Way, first: &Certificate) -> Self {
        let directory = setup.directory().join(format!("{way:?}"));
        fs::create_dir_all(directory.join("archive")).unwrap();
        let mut store = Self {
            way,
            directory,
            renewals: 0,
        };
        if let Way::Kubernetes = way {
            symlink("..data/tls.crt", store.path("tls.crt")).unwrap();
            symlink("..data/tls.key", store.path("tls.key")).unwrap();
        }
        store.renew(first);
        store
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn renew(&mut self, next: &Certificate) {
        self.renewals += 1;
        let parts = [("tls.crt", &next.chain_pem), ("tls.key", &next.key_pem)];
        match self.way {
            Way::Kubernetes => {
                let fresh = format!("..2026_11_22.{}", self.renewals);
                fs::create_dir(self.path(&fresh)).unwrap();
                for (name, pem) in parts {
                    fs::write(self.path(&fresh).join(name), pem).unwrap();
                }
                let old = fs::read_link(self.path("..data"));
                symlink(&fresh, self.path("..data_tmp")).unwrap();
                fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
                if let Ok(old) = old {
                    fs::remove_dir_all(self.path(old.to_str().unwrap())).unwrap();
                }
            }
            Way::Certbot => {
                for (name, pem) in parts {
                    let numbered = format!("archive/{}-{name}", self.renewals);
                    fs::write(self.path(&numbered), pem).unwrap();
                    let _ = fs::remove_file(self.path(name));
                    symlink(&numbered, self.path(name)).unwrap();
                }
            }
            Way::Overwritten => {
                for (name, pem) in parts {
                    fs::write(self.path(name), pem).unwrap();
                }
            }
        }
    }

    /// A listener of its own for these certificates.
    fn listener(&self) -> String {
        format!(
            "[[listen]]\nname = \"{:?}\"\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = {:?}, key = {:?} }}\n",
            self.way,
            self.path("tls.crt"),
            self.path("tls.key")
        )
    }
}

fn server_certificate(address: SocketAddr, authority: &CertificateDer<'static>) -> CertificateDer<'static> {
    Client::tls(address, "localhost", authority).server_certificate()
}

/// H04: fifty renewals in three ways while three senders open one connection after another: each new handshake gets the
/// new certificate, none fails, and no webhook is lost. Most renewals are announced with SIGHUP, the last three are
/// noticed by the file watcher.
#[test]
fn fifty_renewals_under_load() {
    const RENEWALS: usize = 50;
    let upstream = Upstream::ok();
    let authority = Authority::new();
    let root = &authority.certificate.der;
    let setup = Setup::new(&upstream.url());
    let mut stores = WAYS.map(|way| Store::new(&setup, way, &authority.issue(&["localhost"])));
    let listeners: String = stores.iter().map(Store::listener).collect();
    let gateway = setup.more(&listeners).start();
    let addresses = WAYS.map(|way| gateway.address(&format!("{way:?}")));
    let (stop, delivered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for address in addresses {
            let (stop, delivered) = (&stop, &delivered);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = delivered.fetch_add(1, Ordering::Relaxed);
                    let webhook = Webhook::new(format!("{{\"number\":{number}}}")).bytes();
                    let response = Client::tls(address, "localhost", root).exchange(&webhook);
                    assert_eq!(response.status, 200, "{response:?}");
                }
            });
        }
        // Stops the senders however this test ends, so that a failure is reported instead of a hang.
        let _stop = SetOnDrop(&stop);
        for renewal in 0..RENEWALS {
            let (store, address) = (&mut stores[renewal % 3], addresses[renewal % 3]);
            let next = authority.issue(&["localhost"]);
            store.renew(&next);
            if renewal < RENEWALS - 3 {
                gateway.signal(Signal::HUP);
            }
            let what = format!("renewal {renewal}, {:?}", store.way);
            within(WAIT_TIMEOUT * 2, &what, || {
                (server_certificate(address, root) == next.der).then_some(())
            });
        }
    });
    let delivered = delivered.load(Ordering::Relaxed);
    assert!(delivered >= 3, "too little load: {delivered} webhooks");
    assert_eq!(upstream.requests().len(), delivered);
    let metrics = gateway.metrics();
    for result in ["failed", "timeout", "plaintext"] {
        assert_eq!(
            metrics.sum("hookgate_tls_handshakes_total", &[("result", result)]),
            0.0,
            "{result}"
        );
    }
    gateway.wait_for_metric("hookgate_config_last_reload_successful", &[], 1.0);
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// H04: with any fault of the new pair the old one stays in use, a gauge shows it until the fault is fixed, and the
/// error names the file.
#[test]
fn a_broken_pair_keeps_the_old_one() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let (crt, key) = (
        gateway.setup.directory().join("tls.crt"),
        gateway.setup.directory().join("tls.key"),
    );
    let good = &gateway.setup.certificate;
    let other = Certificate::new(&["localhost"]);
    let half = good.chain_pem[..good.chain_pem.len() / 2].to_owned();
    let write = |path: &Path, text: &str| fs::write(path, text).unwrap();
    let breakages: [(&str, &Path, &dyn Fn()); 6] = [
        ("a key of another certificate", &key, &|| write(&key, &other.key_pem)),
        ("half a certificate", &crt, &|| write(&crt, &half)),
        ("an empty file", &crt, &|| write(&crt, "")),
        ("not PEM", &key, &|| write(&key, "-----BEGIN PRIVATE KEY-----\nAA==\n")),
        ("no file", &crt, &|| fs::remove_file(&crt).unwrap()),
        ("a circle of links", &crt, &|| {
            fs::remove_file(&crt).unwrap();
            symlink("tls.crt", &crt).unwrap();
        }),
    ];
    for (what, path, breakage) in breakages {
        let seen = gateway.logs.lines().len();
        breakage();
        gateway.signal(Signal::HUP);
        gateway.wait_for_metric("hookgate_config_last_reload_successful", &[], 0.0);
        eventually(&format!("{what}: an error that names {}", path.display()), || {
            let lines = gateway.logs.lines();
            let named = |line: &String| line.contains("ERROR") && line.contains(&path.display().to_string());
            lines[seen..].iter().any(named).then_some(())
        });
        assert_eq!(server_certificate(gateway.tls(), &good.der), good.der, "{what}");
        let _ = fs::remove_file(&crt);
        write(&crt, &good.chain_pem);
        write(&key, &good.key_pem);
        gateway.signal(Signal::HUP);
        gateway.wait_for_metric("hookgate_config_last_reload_successful", &[], 1.0);
    }
    // The fault and its end are noticed without a signal.
    write(&key, &other.key_pem);
    gateway.wait_for_metric("hookgate_config_last_reload_successful", &[], 0.0);
    write(&crt, &other.chain_pem);
    gateway.wait_for_metric("hookgate_config_last_reload_successful", &[], 1.0);
    assert_eq!(server_certificate(gateway.tls(), &other.der), other.der);
}

/// H05: the expiry of every certificate is exported by file; an expired one is served, and a warning is logged.
#[test]
fn certificate_expiries_are_exported() {
    let upstream = Upstream::ok();
    let authority = Authority::new();
    let expiring = |year| {
        authority.issue_with(&["localhost"], |params| {
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        })
    };
    let setup = Setup::new(&upstream.url());
    expiring(2020).write(setup.directory(), "past");
    expiring(2100).write(setup.directory(), "future");
    let pair = |name: &str| format!("{{ certificate = \"{name}.crt\", key = \"{name}.key\" }}");
    let listener = format!(
        "[[listen]]\nname = \"two\"\naddress = \"127.0.0.1:0\"\ntls = [{}, {}]",
        pair("past"),
        pair("future")
    );
    let gateway = setup.more(&listener).start();
    let directory = gateway.setup.directory();
    let expiry = |name: &str| {
        let path = directory.join(name).display().to_string();
        gateway.metrics().sum(
            "hookgate_tls_certificate_expiry_timestamp_seconds",
            &[("certificate", &path)],
        )
    };
    assert_eq!(
        (expiry("past.crt"), expiry("future.crt")),
        (1_577_836_800.0, 4_102_444_800.0)
    );
    gateway.logs.wait_for("a warning of the expired one", |line| {
        (line.contains("WARN") && line.contains("past.crt")).then_some(())
    });
    let printed = listener::client(gateway.address("two"), &["-tls1_3"], b"");
    assert!(listener::chosen(&printed).is_some(), "{printed}");
    expiring(2101).write(directory, "past");
    gateway.signal(Signal::HUP);
    eventually("the new expiry", || {
        (expiry("past.crt") == 4_133_980_800.0).then_some(())
    });
}

/// H07: ticket keys are used for at most six hours, tickets for twelve; no session is resumed after a change of the
/// listener's TLS settings.
#[test]
fn ticket_keys_rotate() {
    let upstream = Upstream::ok();
    let (gateway, clock) = clock::start(&upstream, "60s");
    let start = paddle::now();
    let directory = tempfile::tempdir().unwrap();
    let request = Webhook::new("{}").signature(None).header("Connection", "close").bytes();
    let connect = |version: &str, options: &[&str]| {
        let options = [&[version, "-ign_eof"], options].concat();
        let printed = listener::client(gateway.tls(), &options, &request);
        assert!(printed.contains("signature_missing"), "{printed}");
        assert_ne!(
            printed.contains("New, TLSv1"),
            printed.contains("Reused, TLSv1"),
            "{printed}"
        );
        printed.contains("Reused, TLSv1")
    };
    for (version, since) in [("-tls1_2", 0), ("-tls1_3", 100)] {
        let session = directory.path().join(version);
        let session = session.to_str().unwrap();
        let hours = |hours: u64| clock.set(start + (since + hours) * 3600);
        hours(0);
        assert!(!connect(version, &["-sess_out", session]));
        hours(7);
        assert!(
            connect(version, &["-sess_in", session]),
            "{version}: the previous key still decrypts"
        );
        hours(14);
        assert!(
            !connect(version, &["-sess_in", session]),
            "{version}: the key before the previous one is discarded"
        );
    }
    // A reload without changes keeps the keys, a new certificate does not.
    let session = directory.path().join("reload");
    let session = session.to_str().unwrap();
    assert!(!connect("-tls1_3", &["-sess_out", session]));
    gateway.signal(Signal::HUP);
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", "ok")], 1.0);
    assert!(connect("-tls1_3", &["-sess_in", session]));
    let next = Certificate::new(&["localhost"]);
    next.write(gateway.setup.directory(), "tls");
    gateway.signal(Signal::HUP);
    eventually("the new certificate to be served", || {
        Client::try_tls(gateway.tls(), "localhost", certificates::client(&next.der, &[])).ok()
    });
    assert!(!connect("-tls1_3", &["-sess_in", session]));
}

/// A reload applies the oldest accepted version.
#[test]
fn the_oldest_version_can_be_raised() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let takes = |version: &str| listener::chosen(&listener::client(gateway.tls(), &[version], b"")).is_some();
    assert!(takes("-tls1_2") && takes("-tls1_3"));
    let text = fs::read_to_string(gateway.setup.file()).unwrap();
    fs::write(
        gateway.setup.file(),
        text.replace("name = \"tls\"", "name = \"tls\"\ntls_minimum = \"1.3\""),
    )
    .unwrap();
    gateway.signal(Signal::HUP);
    eventually("TLS 1.2 to be refused", || (!takes("-tls1_2")).then_some(()));
    assert!(takes("-tls1_3"));
}

/// I06: a secret file that is replaced as the kubelet does it is noticed. A secret file that the configuration names
/// before the file exists keeps the old configuration in force until it appears: a cluster may update the two in any
/// order.
#[test]
fn secret_files_rotate() {
    const NEXT: &str = "pdl_ntfset_01next00000000000000000000_abcdefghijklmnopqrstuvwxyz012345";
    let upstream = Upstream::ok();
    let setup = Setup::new(&upstream.url());
    let volume = setup.directory().join("secrets");
    let project = |number: usize, files: &[(&str, &str)]| {
        let fresh = volume.join(format!("..{number}"));
        fs::create_dir_all(&fresh).unwrap();
        for (name, secret) in files {
            fs::write(fresh.join(name), secret).unwrap();
            let _ = symlink(format!("..data/{name}"), volume.join(name));
        }
        symlink(format!("..{number}"), volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    };
    project(1, &[("paddle", SECRET)]);
    let gateway = setup.start();
    let edit = |from: &str, to: &str| {
        let text = fs::read_to_string(gateway.setup.file()).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(gateway.setup.file(), text.replace(from, to)).unwrap();
    };
    let mut number = 0;
    let mut sent = |secret: &str| {
        number += 1;
        let webhook = Webhook::signed(format!("{{\"number\":{number}}}"), secret, paddle::now());
        gateway.exchange(&webhook.bytes()).status
    };
    let first = format!("{{ file = {:?}, name = \"first\" }}", volume.join("paddle"));
    edit("{ env = \"PADDLE_WEBHOOK_SECRET\", name = \"current\" }", &first);
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", "ok")], 1.0);
    assert_eq!((sent(SECRET), sent(NEXT)), (200, 401));
    let second = format!("{first}, {{ file = {:?}, name = \"second\" }}", volume.join("next"));
    edit(&first, &second);
    gateway.wait_for_metric("hookgate_config_last_reload_successful", &[], 0.0);
    assert_eq!(
        (sent(SECRET), sent(NEXT)),
        (200, 401),
        "the old configuration is in force"
    );
    project(2, &[("paddle", SECRET), ("next", NEXT)]);
    gateway.wait_for_metric("hookgate_config_last_reload_successful", &[], 1.0);
    assert_eq!((sent(SECRET), sent(NEXT)), (200, 200));
    edit("name = \"first\" }", "name = \"first\", retired = true }");
    gateway.wait_for_metric(
        "hookgate_secret_retired",
        &[("route", "paddle"), ("secret", "first")],
        1.0,
    );
    assert_eq!(
        (sent(SECRET), sent(NEXT)),
        (200, 200),
        "a secret that retires later is still accepted"
    );
    edit(
        &second.replace("\"first\"", "\"first\", retired = true"),
        &second.replace(&format!("{first}, "), ""),
    );
    gateway.wait_for_metric("hookgate_secret_retired", &[], 0.0);
    eventually("the first secret to be refused", || (sent(SECRET) == 401).then_some(()));
    assert_eq!(sent(NEXT), 200);
}

/// hookgate's own certificate towards an upstream is renewed like any other: new connections present the new one.
#[test]
fn a_client_certificate_is_renewed() {
    let (application, ours, next) = (
        Certificate::new(&["localhost"]),
        Certificate::new(&["hookgate"]),
        Certificate::new(&["hookgate"]),
    );
    let upstream = Upstream::tls(application.server_for(&next), |_, connection| {
        connection.send(&answer("200 OK", &[], b"ok"))
    });
    let setup = Setup::new(&upstream.url());
    application.write(setup.directory(), "app");
    ours.write(setup.directory(), "client");
    let gateway = setup
        .upstream("ca = \"app.crt\", client = { certificate = \"client.crt\", key = \"client.key\" }")
        .start();
    assert_eq!(gateway.exchange(&Webhook::new("1").bytes()).status, 502);
    next.write(gateway.setup.directory(), "client");
    gateway.signal(Signal::HUP);
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", "ok")], 1.0);
    assert_eq!(gateway.exchange(&Webhook::new("2").bytes()).status, 200);
}
