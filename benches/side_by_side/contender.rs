//! The contenders: their configuration, their start on one core, and their end.

use crate::Result;
use crate::cpu::{CONTENDER_CORE, pinned_command};
use crate::process::ProcessTree;
use crate::upstream::Upstream;
use crate::webhook::SECRET;
use base64::Engine;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The program that a contender runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// hookgate: the built binary, or another build to compare with.
    Hookgate(PathBuf, Variation),
    /// nginx with TLS and proxy only; it verifies nothing.
    Nginx,
    /// nginx that verifies with Lua and libcrypto.
    NginxLua,
    /// HAProxy that verifies with its `hmac` converter.
    Haproxy,
}

/// How a configuration of hookgate differs from the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variation {
    /// In nothing.
    Default,
    /// No audit lines.
    WithoutAudit,
    /// 10,000 routes, of which the last is asked for.
    Routes,
    /// Two active secrets, of which the second signs.
    Secrets,
    /// 100 endpoints of the upstream.
    Endpoints,
    /// A million keys in the replay guard, which webhooks have made.
    Keys,
    /// The upstream listens on a Unix socket.
    UnixSocket,
    /// The replay guard is in a redis-server on the same core.
    Redis,
}

/// Endpoints of [`Variation::Endpoints`].
const ENDPOINTS: u8 = 100;

impl Variation {
    /// Routes before the one that is asked for.
    fn routes(self) -> String {
        if self != Self::Routes {
            return String::new();
        }
        (1..10_000)
            .map(|number| {
                format!(
                    "[[route]]\npath = \"/hooks/tenant-{number}/paddle\"\nprovider = \"paddle\"\n\
                     secrets = [{{ file = \"@SECRET@\" }}]\nupstream = \"http://127.0.0.1:@UPSTREAM@\"\n"
                )
            })
            .collect()
    }

    /// Secrets before the one that signs.
    fn secrets(self) -> &'static str {
        if self == Self::Secrets {
            "{ file = \"@OTHER_SECRET@\" }, "
        } else {
            ""
        }
    }

    /// The value of the route's `upstream`; further addresses and the Unix socket are opened here.
    fn upstream(self, upstream: &mut Upstream, listener: usize, directory: &Path) -> Result<String> {
        let port = upstream.port(listener)?;
        match self {
            Self::Endpoints => {
                let mut urls = Vec::new();
                for host in 1..=ENDPOINTS {
                    if host > 1 {
                        upstream.listen_also(listener, SocketAddr::from(([127, 0, 0, host], port)))?;
                    }
                    urls.push(format!("\"http://127.0.0.{host}:{port}\""));
                }
                Ok(format!("[{}]", urls.join(", ")))
            }
            Self::UnixSocket => {
                let path = directory.join("app.sock");
                upstream.listen_on_socket(listener, &path)?;
                Ok(format!("\"unix:{}\"", path.display()))
            }
            Self::Default | Self::WithoutAudit | Self::Routes | Self::Secrets | Self::Keys | Self::Redis => {
                Ok(format!("\"http://127.0.0.1:{port}\""))
            }
        }
    }

    /// Webhooks to serve before the measurement.
    pub fn webhooks_before(self) -> u64 {
        if self == Self::Keys { 1_000_000 } else { 0 }
    }
}

/// A contender before its start: its name and its program.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Name in the tables and of its files.
    pub name: String,
    /// The program to start.
    pub kind: Kind,
}

impl Entry {
    /// Whether it must refuse requests that are not genuine.
    pub fn verifies(&self) -> bool {
        self.kind != Kind::Nginx
    }
}

/// Directory with the certificate, the secret and the configurations of one run; removed on drop.
pub struct RunFiles {
    directory: tempfile::TempDir,
    /// The certificate of every contender, in DER.
    pub certificate: Vec<u8>,
}

impl RunFiles {
    /// Creates the directory and a P-256 certificate.
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let certificate = rcgen::CertificateParams::new(vec!["hooks.example.com".to_owned()])?.self_signed(&key)?;
        let path = directory.path();
        fs::write(path.join("tls.crt"), certificate.pem())?;
        fs::write(path.join("tls.key"), key.serialize_pem())?;
        fs::write(path.join("tls.pem"), certificate.pem() + &key.serialize_pem())?;
        fs::write(path.join("secret"), SECRET)?;
        fs::write(path.join("other-secret"), format!("{SECRET}-of-before"))?;
        fs::write(path.join("verify.lua"), include_str!("contenders/verify.lua"))?;
        let certificate = certificate.der().to_vec();
        Ok(Self { directory, certificate })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// A running contender.
pub struct Contender {
    /// Name from its entry.
    pub name: String,
    /// Whether it must refuse requests that are not genuine.
    pub verifies: bool,
    /// Address on which it listens.
    pub address: SocketAddr,
    /// Index of the upstream's listener to which only this contender forwards.
    pub upstream: usize,
    /// Webhooks to serve before the measurement.
    pub webhooks_before: u64,
    /// Its processes.
    pub tree: ProcessTree,
    _child: ChildGuard,
    _store: Option<ChildGuard>,
}

impl Contender {
    /// Writes the configuration, starts the program on its core and waits until it accepts connections.
    pub fn start(entry: &Entry, run_files: &RunFiles, upstream: &mut Upstream, listener: usize) -> Result<Self> {
        let port = free_port()?;
        let directory = run_files.path();
        let at = |name: &str| directory.join(name).to_string_lossy().into_owned();
        let variation = match &entry.kind {
            Kind::Hookgate(_, variation) => *variation,
            Kind::Nginx | Kind::NginxLua | Kind::Haproxy => Variation::Default,
        };
        let (template, modules, init, verify) = match &entry.kind {
            Kind::Hookgate(..) => (include_str!("contenders/hookgate.toml"), "", String::new(), ""),
            Kind::Haproxy => (include_str!("contenders/haproxy.cfg"), "", String::new(), ""),
            Kind::Nginx => (include_str!("contenders/nginx.conf"), "", String::new(), ""),
            Kind::NginxLua => (
                include_str!("contenders/nginx.conf"),
                "load_module modules/ndk_http_module.so;\nload_module modules/ngx_http_lua_module.so;",
                format!(
                    "lua_package_path \"{}/?.lua;;\"; init_by_lua_block {{ verify = require \"verify\"; verify.key(\"{SECRET}\") }}",
                    directory.display()
                ),
                "access_by_lua_block { verify.check(5) }",
            ),
        };
        let store = if variation == Variation::Redis {
            Some(free_port()?)
        } else {
            None
        };
        let (replay, tolerance) = match (variation, store) {
            (_, Some(port)) => (format!("store = \"redis://127.0.0.1:{port}\"\ntimeout = \"1s\""), ""),
            // A key is kept as long as its webhook could be sent again.
            (Variation::Keys, None) => ("capacity = 20_000_000".to_owned(), "tolerance = \"1h\""),
            (_, None) => (String::new(), ""),
        };
        let store = store.map(redis).transpose()?;
        let audit = if variation == Variation::WithoutAudit {
            "off"
        } else {
            "all"
        };
        let text = template
            .replace("@ROUTES@", &variation.routes())
            .replace("@SECRETS@", variation.secrets())
            .replace("@UPSTREAM_URL@", &variation.upstream(upstream, listener, directory)?)
            .replace("@OTHER_SECRET@", &at("other-secret"))
            .replace("@AUDIT@", audit)
            .replace("@REPLAY@", &replay)
            .replace("@TOLERANCE@", tolerance)
            .replace("@DIR@", &directory.to_string_lossy())
            .replace("@NAME@", &entry.name)
            .replace("@MODULES@", modules)
            .replace("@INIT@", &init)
            .replace("@VERIFY@", verify)
            .replace("@PORT@", &port.to_string())
            .replace("@ADMIN@", &free_port()?.to_string())
            .replace("@UPSTREAM@", &upstream.port(listener)?.to_string())
            .replace("@CERTIFICATE@", &at("tls.crt"))
            .replace("@KEY@", &at("tls.key"))
            .replace("@PEM@", &at("tls.pem"))
            .replace("@SECRET@", &at("secret"))
            .replace("@KEY64@", &base64::engine::general_purpose::STANDARD.encode(SECRET));
        let file = directory.join(format!("{}.conf", entry.name));
        fs::write(&file, text)?;
        let mut command = pinned_command(CONTENDER_CORE)?;
        let log = fs::File::create(directory.join(format!("{}.out", entry.name)))?;
        let output = match &entry.kind {
            Kind::Hookgate(binary, _) => {
                command.arg(binary).arg("--config").arg(&file).arg("serve");
                // Audit lines go to standard output; written to a file they cost the same.
                Stdio::null()
            }
            Kind::Haproxy => {
                command.args(["haproxy", "-db", "-f"]).arg(&file);
                log.try_clone()?.into()
            }
            Kind::Nginx | Kind::NginxLua => {
                command.args(["nginx", "-c"]).arg(&file);
                log.try_clone()?.into()
            }
        };
        command.stdin(Stdio::null()).stdout(output).stderr(log);
        let mut child = ChildGuard(command.spawn()?);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if let Err(problem) = child.wait_for(address) {
            let output = fs::read_to_string(directory.join(format!("{}.out", entry.name)))?;
            return Err(format!("{} did not start: {problem}\n{output}", entry.name).into());
        }
        // nginx listens before its worker process exists.
        let processes = match entry.kind {
            Kind::Nginx | Kind::NginxLua => 2,
            Kind::Hookgate(..) | Kind::Haproxy => 1,
        };
        let mut tree = ProcessTree::of(child.0.id())?;
        while tree.0.len() < processes {
            sleep(Duration::from_millis(20));
            tree = ProcessTree::of(child.0.id())?;
        }
        Ok(Self {
            name: entry.name.clone(),
            verifies: entry.verifies(),
            address,
            upstream: listener,
            webhooks_before: variation.webhooks_before(),
            tree,
            _child: child,
            _store: store,
        })
    }

    /// Text that the contender has written to its outputs, for the error of a failed check.
    pub fn output(&self, run_files: &RunFiles) -> String {
        let directory = run_files.path();
        [format!("{}.out", self.name), format!("{}.log", self.name)]
            .iter()
            .filter_map(|name| fs::read_to_string(directory.join(name)).ok())
            .collect()
    }
}

/// Starts a redis-server on the contender's core, so that the CPU time of the store takes from the contender's rate.
fn redis(port: u16) -> Result<ChildGuard> {
    let mut command = pinned_command(CONTENDER_CORE)?;
    command.args([
        "redis-server",
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = ChildGuard(command.spawn()?);
    child.wait_for(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(child)
}

/// A child process that is stopped on drop.
pub struct ChildGuard(pub Child);

impl ChildGuard {
    fn wait_for(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(15);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.0.try_wait()? {
                return Err(format!("it ended with {status}").into());
            }
            if Instant::now() > deadline {
                return Err("nothing listens".into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        let Some(pid) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) else {
            return;
        };
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of the loopback interface that nothing uses now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
