use hookgate::settings::*;
use hookgate::scheme::*;
use hookgate::secret::Secret;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

fn config(upstream: u16) -> Config {
    let s = Duration::from_secs;
    let key = NamedSecret { name: "a".into(), secret: Secret::new(b"pdl_ntfset_0123456789_abcdefghij".to_vec()) };
    Config {
        listeners: vec![Listener { name: "l".into(), address: Address::Tcp("127.0.0.1:0".parse().unwrap()), tls: None, trusted_proxies: vec![] }],
        admin: Some("127.0.0.1:0".parse().unwrap()),
        workers: 2,
        limits: Limits { connections: 100, in_flight_bytes: 1 << 26, head_bytes: 32768, headers: 100, handshake_timeout: s(10), head_timeout: s(10), idle_timeout: s(75), write_timeout: s(30), http2_streams: 100 },
        drain: Drain { delay: s(0), grace: s(5) },
        replay: Replay { capacity: 1000 },
        log: Log { format: LogFormat::Human, filter: "info".into(), audit: Audit::All },
        routes: vec![Route {
            name: "p".into(), host: None, path: "/hook".into(), methods: vec![hyper::Method::POST], allow: vec![],
            verifier: Verifier::new("paddle", None, vec![key], None).unwrap(), tolerance: Some(s(5)),
            replay: ReplayPolicy { window: None, acknowledge: false }, report_only: false, body_limit: 1 << 20, body_timeout: s(10),
            reject_status: None, refusal_detail: true,
            upstream: Arc::new(Upstream { target: Target::Tcp { host: "127.0.0.1".into(), port: upstream }, base_path: String::new(), connect_timeout: s(2), timeout: s(30), idle_connections: 10, idle_timeout: s(60), max_connections: 100, headers: vec![] }),
        }],
        warnings: vec![],
    }
}

#[test]
fn smoke() {
    let up = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = up.local_addr().unwrap().port();
    std::thread::spawn(move || for s in up.incoming() {
        let mut s = s.unwrap();
        std::thread::spawn(move || loop {
            let mut b = vec![0; 65536];
            let n = s.read(&mut b).unwrap();
            if n == 0 { println!("upstream: closed"); return; }
            println!("upstream saw: {:?}", String::from_utf8_lossy(&b[..n]));
            s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello").unwrap();
        });
    });
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (tx, addr) = std::sync::mpsc::channel();
    let (_keep, reloads) = tokio::sync::mpsc::channel(1);
    let t = std::thread::spawn(move || rt.block_on(hookgate::server::serve(config(port), std::io::stdout(), reloads, |s| tx.send(s.clone()).unwrap(), async { let _ = stopped.await; })));
    let started = addr.recv().unwrap();
    let Address::Tcp(a) = started.listeners[0].1.clone() else { panic!() };
    let key = NamedSecret { name: "a".into(), secret: Secret::new(b"pdl_ntfset_0123456789_abcdefghij".to_vec()) };
    let v = Verifier::new("paddle", None, vec![key], None).unwrap();
    let body = b"{}";
    let h = v.sign(0, &SignRequest { method: &hyper::Method::POST, target: "/hook", delivery_id: None, body }, hookgate::clock::unix_now()).unwrap();
    let mut c = std::net::TcpStream::connect(a).unwrap();
    for sig in [h[0].1.to_str().unwrap(), h[0].1.to_str().unwrap(), "ts=1;h1=00", "x"] {
        write!(c, "POST /hook HTTP/1.1\r\nHost: x\r\nPaddle-Signature: {sig}\r\nContent-Length: 2\r\n\r\n{{}}").unwrap();
        let mut b = vec![0; 65536];
        let n = c.read(&mut b).unwrap();
        println!("{}", String::from_utf8_lossy(&b[..n]));
    }
    drop(c);
    let mut m = std::net::TcpStream::connect(started.admin.unwrap()).unwrap();
    write!(m, "GET /metrics HTTP/1.1\r\nHost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new(); m.read_to_string(&mut text).unwrap();
    println!("{}", text.lines().filter(|l| !l.starts_with('#') && !l.contains("bucket") && !l.ends_with(" 0")).collect::<Vec<_>>().join("\n"));
    stop.send(()).unwrap();
    println!("{:?}", t.join().unwrap());
}
