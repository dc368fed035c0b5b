//! The contenders: how each is configured, started on its core, and stopped.

use crate::Result;
use crate::place::{CONTENDER_CORE, pinned};
use crate::process::Tree;
use crate::upstream::Upstream;
use crate::webhook::SECRET;
use base64::Engine;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What is raced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours: the built binary, or another build of it to compare with.
    Hookgate(PathBuf),
    /// Ours, with its replay guard in a redis-server that shares its core.
    HookgateRedis(PathBuf),
    /// nginx, TLS and proxy only, verifying nothing.
    Nginx,
    /// nginx verifying with Lua and libcrypto.
    NginxLua,
    /// HAProxy verifying with its `hmac` converter.
    Haproxy,
}

/// A name for the tables, and what it stands for.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Shown in tables; also names its files.
    pub name: String,
    /// What to start.
    pub kind: Kind,
}

impl Entry {
    /// Whether it is expected to refuse what is not genuine.
    pub fn verifies(&self) -> bool {
        match self.kind {
            Kind::Hookgate(_) | Kind::HookgateRedis(_) | Kind::NginxLua | Kind::Haproxy => true,
            Kind::Nginx => false,
        }
    }
}

/// Certificate, secret and configurations of one run, removed with it.
pub struct Workshop {
    directory: tempfile::TempDir,
    /// The certificate that every contender shows, DER.
    pub certificate: Vec<u8>,
}

impl Workshop {
    /// Makes the P-256 certificate.
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let certificate = rcgen::CertificateParams::new(vec!["hooks.example.com".to_owned()])?.self_signed(&key)?;
        let path = directory.path();
        fs::write(path.join("tls.crt"), certificate.pem())?;
        fs::write(path.join("tls.key"), key.serialize_pem())?;
        fs::write(path.join("tls.pem"), certificate.pem() + &key.serialize_pem())?;
        fs::write(path.join("secret"), SECRET)?;
        fs::write(path.join("verify.lua"), include_str!("contenders/verify.lua"))?;
        let certificate = certificate.der().to_vec();
        Ok(Self { directory, certificate })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// A running contender.
pub struct Contender {
    /// From its entry.
    pub name: String,
    /// Whether it must refuse what is not genuine.
    pub verifies: bool,
    /// Where it listens.
    pub address: SocketAddr,
    /// Index of the upstream's listener that only it forwards to.
    pub upstream: usize,
    /// Its processes.
    pub tree: Tree,
    _child: Running,
    _store: Option<Running>,
}

impl Contender {
    /// Writes the configuration, starts the program on its core and waits until it accepts connections.
    pub fn start(entry: &Entry, workshop: &Workshop, upstream: &Upstream, listener: usize) -> Result<Self> {
        let port = free_port()?;
        let directory = workshop.path();
        let at = |name: &str| directory.join(name).to_string_lossy().into_owned();
        let (template, modules, init, verify) = match &entry.kind {
            Kind::Hookgate(_) | Kind::HookgateRedis(_) => {
                (include_str!("contenders/hookgate.toml"), "", String::new(), "")
            }
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
        let (store, replay) = match &entry.kind {
            Kind::HookgateRedis(_) => {
                let port = free_port()?;
                (
                    Some(redis(port)?),
                    format!("store = \"redis://127.0.0.1:{port}\"\ntimeout = \"1s\""),
                )
            }
            Kind::Hookgate(_) | Kind::Nginx | Kind::NginxLua | Kind::Haproxy => (None, String::new()),
        };
        let text = template
            .replace("@REPLAY@", &replay)
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
        let mut command = pinned(CONTENDER_CORE)?;
        match &entry.kind {
            Kind::Hookgate(binary) | Kind::HookgateRedis(binary) => {
                command.arg(binary).arg("--config").arg(&file).arg("serve")
            }
            Kind::Nginx | Kind::NginxLua => command.args(["nginx", "-c"]).arg(&file),
            Kind::Haproxy => command.args(["haproxy", "-db", "-f"]).arg(&file),
        };
        let log = fs::File::create(directory.join(format!("{}.out", entry.name)))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = Running(command.spawn()?);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if let Err(problem) = child.wait_for(address) {
            let said = fs::read_to_string(directory.join(format!("{}.out", entry.name)))?;
            return Err(format!("{} did not start: {problem}\n{said}", entry.name).into());
        }
        // nginx listens before its worker exists.
        let processes = match entry.kind {
            Kind::Nginx | Kind::NginxLua => 2,
            Kind::Hookgate(_) | Kind::HookgateRedis(_) | Kind::Haproxy => 1,
        };
        let mut tree = Tree::of(child.0.id())?;
        while tree.0.len() < processes {
            sleep(Duration::from_millis(20));
            tree = Tree::of(child.0.id())?;
        }
        Ok(Self {
            name: entry.name.clone(),
            verifies: entry.verifies(),
            address,
            upstream: listener,
            tree,
            _child: child,
            _store: store,
        })
    }

    /// What it has written to its outputs; for a failed check.
    pub fn said(&self, workshop: &Workshop) -> String {
        let directory = workshop.path();
        [format!("{}.out", self.name), format!("{}.log", self.name)]
            .iter()
            .filter_map(|name| fs::read_to_string(directory.join(name)).ok())
            .collect()
    }
}

/// A store on the contender's core: what it takes there is part of what sharing costs.
fn redis(port: u16) -> Result<Running> {
    let mut command = pinned(CONTENDER_CORE)?;
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
    let mut child = Running(command.spawn()?);
    child.wait_for(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(child)
}

/// A child that is stopped when it goes out of scope.
struct Running(Child);

impl Running {
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

impl Drop for Running {
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

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
