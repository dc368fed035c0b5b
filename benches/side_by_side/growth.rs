//! A process with one route and one with 10,000, each route with an upstream and a secret of its own: how long a
//! start and a reload take, what the idle process uses, and how long `/livez` waits meanwhile.

use crate::Result;
use crate::contender::{ChildGuard, RunFiles, free_port};
use crate::process::ProcessTree;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Length of the measurement of an idle process.
const IDLE: Duration = Duration::from_secs(5);
/// The whole of a start or a reload must end within this time.
const DEADLINE: Duration = Duration::from_secs(60);

/// What one process needed.
pub struct Grown {
    /// Number of its routes.
    pub routes: u16,
    /// From the start of the program to the first 200 of `/readyz`.
    pub start: Duration,
    /// CPU time of the idle process in a second.
    pub idle: Duration,
    /// From the signal to the log line that says that the new configuration is in use.
    pub reload: Duration,
    /// Longest wait for `/livez` during the reload.
    pub livez_in_reload: Duration,
    /// Length of a scrape.
    pub scrape: Duration,
    /// Longest wait for `/livez` during the scrape.
    pub livez_in_scrape: Duration,
    /// Memory afterwards, in KiB of proportional set size.
    pub memory_kib: u64,
}

/// Starts `binary` with `routes` routes and measures it.
pub fn measure(binary: &Path, run_files: &RunFiles, routes: u16) -> Result<Grown> {
    let directory = run_files.path();
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let file = directory.join(format!("grown-{routes}.toml"));
    fs::write(&file, configuration(directory, admin, routes)?)?;
    let log = directory.join(format!("grown-{routes}.log"));
    let begun = Instant::now();
    let mut command = Command::new(binary);
    command.arg("--config").arg(&file).arg("serve").stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(fs::File::create(&log)?);
    let child = ChildGuard(command.spawn()?);
    until(|| Ok(get(admin, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))))?;
    let start = begun.elapsed();
    let tree = ProcessTree::of(child.0.id())?;
    // The work after a start, such as the first look at the files, is not of the idle process.
    sleep(Duration::from_secs(2));
    let before = tree.cpu_times()?;
    sleep(IDLE);
    let idle = tree.cpu_times()?.since(&before).run / u32::try_from(IDLE.as_secs())?;

    let pid = rustix::process::Pid::from_raw(child.0.id().cast_signed()).ok_or("no process id")?;
    let begun = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP)?;
    let mut livez_in_reload = Duration::ZERO;
    until(|| {
        livez_in_reload = livez_in_reload.max(livez(admin)?);
        Ok(fs::read_to_string(&log)?.contains("configuration reloaded"))
    })?;
    let reload = begun.elapsed();

    let scrape = std::thread::spawn(move || {
        let begun = Instant::now();
        let length = get(admin, "/metrics")
            .map(|answer| answer.len())
            .map_err(|error| error.to_string());
        (begun.elapsed(), length)
    });
    let mut livez_in_scrape = Duration::ZERO;
    while !scrape.is_finished() {
        livez_in_scrape = livez_in_scrape.max(livez(admin)?);
    }
    let (scrape, length) = scrape.join().map_err(|_| "the scrape failed")?;
    if length? == 0 {
        return Err("an empty scrape".into());
    }
    Ok(Grown {
        routes,
        start,
        idle,
        reload,
        livez_in_reload,
        scrape,
        livez_in_scrape,
        memory_kib: tree.memory_kib()?,
    })
}

fn configuration(directory: &Path, admin: SocketAddr, routes: u16) -> Result<String> {
    let at = |name: &str| PathBuf::from(directory).join(name).display().to_string();
    let mut text = format!(
        "workers = 1\n[listen]\naddress = \"127.0.0.1:{}\"\ntls = {{ certificate = \"{}\", key = \"{}\" }}\n[admin]\naddress = \"{admin}\"\n",
        free_port()?,
        at("tls.crt"),
        at("tls.key"),
    );
    let secrets = directory.join("secrets");
    fs::create_dir_all(&secrets)?;
    for number in 0..routes {
        let secret = secrets.join(number.to_string());
        let mut file = fs::OpenOptions::new();
        let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&secret)?;
        write!(file, "pdl_ntfset_0123456789abcdef0123456789ab{number:05}")?;
        write!(
            text,
            "[[route]]\npath = \"/hooks/tenant-{number}/paddle\"\nprovider = \"paddle\"\nsecrets = [{{ file = \"{}\" }}]\n\
             upstream = \"http://127.0.0.1:{}\"\n",
            secret.display(),
            20_000 + number,
        )?;
    }
    Ok(text)
}

fn livez(admin: SocketAddr) -> Result<Duration> {
    let begun = Instant::now();
    let answer = get(admin, "/livez")?;
    if !answer.starts_with("HTTP/1.1 200") {
        return Err(format!("/livez answered {answer}").into());
    }
    Ok(begun.elapsed())
}

fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Repeats `done` every millisecond until it is true.
fn until(mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    while !done()? {
        if Instant::now() > deadline {
            return Err("not ready within a minute".into());
        }
        sleep(Duration::from_millis(1));
    }
    Ok(())
}
