//! Durable webhooks: how many a second, how long each waits, and what each mode of delivery costs.
//!
//! A sync takes 4 ms by the library of `tests/faults/io.c`, and then as long as it does on this disk. Beside hookgate stands a
//! Flask handler that inserts into SQLite. Generator and program share two cores.

use crate::Result;
use crate::process::ProcessTree;
use crate::webhook::{RequestKind, SECRET, Webhooks};
use std::fs;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Requests in flight: one on each connection.
const IN_FLIGHT: u64 = 64;
const BODY_BYTES: usize = 2048;
const WARM_UP: Duration = Duration::from_secs(1);
const SPAN: Duration = Duration::from_secs(5);
const REPETITIONS: usize = 3;

/// What is measured.
#[derive(Clone, Copy)]
enum Program {
    /// hookgate with this `delivery`; whether the application is there.
    Hookgate(&'static str, bool),
    /// A Flask handler that inserts into SQLite.
    Flask,
}

struct Figures {
    rate: f64,
    median: Duration,
    p99: Duration,
    cpu: Duration,
    disk_bytes: f64,
    memory_kib: u64,
}

/// Prints both tables.
pub fn measure(hookgate: &Path) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let library = directory.path().join("io.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/io.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()?;
    if !built.success() {
        return Err("the library of tests/faults cannot be built".into());
    }
    println!("A sync of this disk takes {:.2} ms.\n", sync_ms(directory.path())?);
    println!("| sync | program | webhooks a second | median | p99 |\n| --- | --- | --- | --- | --- |");
    for sync in [Some("4"), None] {
        for (name, program) in [
            ("hookgate, `queue`", Program::Hookgate("queue", false)),
            (
                "hookgate, `failover` in an outage",
                Program::Hookgate("failover", false),
            ),
            ("Flask and SQLite", Program::Flask),
        ] {
            let best = best(hookgate, program, &library, sync)?;
            println!(
                "| {} | {name} | {:.0} | {:.1} ms | {:.1} ms |",
                sync.map_or("real".to_owned(), |ms| format!("{ms} ms")),
                best.rate,
                best.median.as_secs_f64() * 1e3,
                best.p99.as_secs_f64() * 1e3,
            );
        }
    }
    println!(
        "\n| mode | application | CPU per webhook | written per webhook | memory of the process |\n| --- | --- | --- | --- | --- |"
    );
    for (delivery, answers) in [
        ("direct", true),
        ("failover", true),
        ("failover", false),
        ("queue", true),
    ] {
        let best = best(hookgate, Program::Hookgate(delivery, answers), &library, None)?;
        println!(
            "| `{delivery}` | {} | {:.1} µs | {:.1} KiB | {:.1} MiB |",
            if answers { "answers" } else { "is down" },
            best.cpu.as_secs_f64() * 1e6,
            best.disk_bytes / 1024.0,
            best.memory_kib as f64 / 1024.0,
        );
    }
    println!();
    Ok(())
}

/// The repetition with the highest rate: other programs on the machine only make it lower.
fn best(hookgate: &Path, program: Program, library: &Path, sync: Option<&str>) -> Result<Figures> {
    let mut best: Option<Figures> = None;
    for _ in 0..REPETITIONS {
        let figures = once(hookgate, program, library, sync)?;
        if best.as_ref().is_none_or(|best| figures.rate > best.rate) {
            best = Some(figures);
        }
    }
    best.ok_or_else(|| "no repetition".into())
}

fn once(hookgate: &Path, program: Program, library: &Path, sync: Option<&str>) -> Result<Figures> {
    let directory = tempfile::tempdir()?;
    let application = Application::start()?;
    let gone = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = match program {
        Program::Hookgate(delivery, answers) => {
            let text = include_str!("contenders/inbox.toml")
                .replace("@PORT@", &port.to_string())
                .replace("@ADMIN@", &admin.to_string())
                .replace("@DIR@", &directory.path().to_string_lossy())
                .replace("@DELIVERY@", delivery)
                .replace("@UPSTREAM@", &if answers { application.port } else { gone }.to_string());
            fs::write(directory.path().join("secret"), SECRET)?;
            fs::write(
                directory.path().join("key"),
                "5f0c4f3e6a1b8d7290e4c3b2a1f0e9d8c7b6a5948372615049382716f5e4d3c2",
            )?;
            fs::write(directory.path().join("gateway.toml"), text)?;
            let mut command = Command::new(hookgate);
            command
                .arg("serve")
                .arg("--config")
                .arg(directory.path().join("gateway.toml"));
            command
        }
        Program::Flask => {
            let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/apps/venv/bin/gunicorn");
            let mut command = Command::new(target);
            command.args([
                "--workers",
                "2",
                "--threads",
                "32",
                "--worker-class",
                "gthread",
                "--bind",
            ]);
            command.arg(format!("127.0.0.1:{port}"));
            command.args(["--keep-alive", "60", "--no-control-socket", "--log-level", "error"]);
            command.args([
                "--chdir",
                concat!(env!("CARGO_MANIFEST_DIR"), "/benches/side_by_side/contenders"),
            ]);
            command
                .arg("flask_sqlite:app")
                .env("STORE", directory.path().join("inbox.db"));
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            command
        }
    };
    command.env("LD_PRELOAD", library);
    if let Some(ms) = sync {
        command.env("IO_SYNC_MS", ms);
    }
    let log = fs::File::create(directory.path().join("log"))?;
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
    let child = Running(child);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + Duration::from_secs(20);
    // The first webhook that is answered 200 shows that the store is open.
    let mut first = Webhooks::new(BODY_BYTES, RequestKind::Signed)?;
    loop {
        let answered = TcpStream::connect(address).ok().and_then(|mut stream| {
            stream.write_all(&first.next_whole().ok()?).ok()?;
            answer(&mut stream, &mut Vec::new()).ok()
        });
        if answered == Some(200) {
            break;
        }
        if Instant::now() > deadline {
            return Err(format!("not ready: {}", fs::read_to_string(directory.path().join("log"))?).into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let tree = ProcessTree::of(child.0.id())?;
    let measured_from = Instant::now() + WARM_UP;
    let end = measured_from + SPAN;
    let senders: Vec<_> = (0..IN_FLIGHT)
        .map(|lane| std::thread::spawn(move || send(address, lane, measured_from, end)))
        .collect();
    std::thread::sleep(WARM_UP);
    let (cpu, disk) = (tree.cpu_times()?, written(&tree)?);
    std::thread::sleep(SPAN);
    let (cpu, disk) = (tree.cpu_times()?.since(&cpu).run, written(&tree)? - disk);
    let memory_kib = tree.memory_kib()?;
    let mut took = Vec::new();
    for sender in senders {
        took.extend(
            sender
                .join()
                .map_err(|_| "a sender ended early")?
                .map_err(|problem| problem.to_string())?,
        );
    }
    took.sort();
    let number = took.len();
    if number < 100 {
        return Err(format!("only {number} webhooks were answered").into());
    }
    Ok(Figures {
        rate: number as f64 / SPAN.as_secs_f64(),
        median: took[number / 2],
        p99: took[number - 1 - number / 100],
        cpu: cpu.div_f64(number as f64),
        disk_bytes: disk as f64 / number as f64,
        memory_kib,
    })
}

/// One connection: a request after the other until `end`. Returns how long each took that began after `from`.
fn send(
    address: SocketAddr,
    lane: u64,
    from: Instant,
    end: Instant,
) -> std::result::Result<Vec<Duration>, Box<dyn std::error::Error + Send + Sync>> {
    let text = |problem: Box<dyn std::error::Error>| problem.to_string();
    let mut webhooks = Webhooks::new(BODY_BYTES, RequestKind::Signed)
        .map_err(text)?
        .in_lane(lane + 1);
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut took, mut buffer) = (Vec::new(), Vec::new());
    while Instant::now() < end {
        let request = webhooks.next_whole().map_err(text)?;
        let begun = Instant::now();
        stream.write_all(&request)?;
        let status = answer(&mut stream, &mut buffer)?;
        if status != 200 {
            return Err(format!("answered {status}: {}", String::from_utf8_lossy(&buffer)).into());
        }
        if begun >= from {
            took.push(begun.elapsed());
        }
    }
    Ok(took)
}

/// Reads one answer; returns its status.
fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<u16> {
    buffer.clear();
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        buffer.extend_from_slice(&piece[..length]);
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..head]).to_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if buffer.len() >= head + 4 + length.unwrap_or(0) {
            return Ok(text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0));
        }
    }
}

/// Bytes that the processes have written to the disk so far.
fn written(tree: &ProcessTree) -> Result<u64> {
    let mut sum = 0;
    for pid in &tree.0 {
        let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("write_bytes:"));
        sum += line.ok_or("no write_bytes")?.trim().parse::<u64>()?;
    }
    Ok(sum)
}

/// The median time of `fdatasync` after a write of 4 KiB, in milliseconds.
fn sync_ms(directory: &Path) -> Result<f64> {
    let mut file = fs::File::create(directory.join("probe"))?;
    let mut took = Vec::new();
    for _ in 0..50 {
        file.write_all(&[1; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    took.sort();
    Ok(took[25].as_secs_f64() * 1e3)
}

/// An application that answers 200 to everything.
struct Application {
    port: u16,
    is_over: Arc<AtomicBool>,
}

impl Application {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = is_over.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::spawn(move || serve(stream));
            }
        });
        Ok(Self { port, is_over })
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn serve(mut stream: TcpStream) {
    let mut buffer: Vec<u8> = Vec::new();
    let mut piece = [0; 8192];
    let _ = stream.set_nodelay(true);
    loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(length) => buffer.extend_from_slice(&piece[..length]),
        }
        while let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&buffer[..head]).to_lowercase();
            let length: Option<usize> = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let whole = head + 4 + length.unwrap_or(0);
            if buffer.len() < whole {
                break;
            }
            buffer.drain(..whole);
            if stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .is_err()
            {
                return;
            }
        }
    }
}

/// A process that ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}
