//! Who may ask the admin listener, and what changes by which method.

use crate::support::paddle::SECRET;
use crate::support::{Client, Gateway, Setup, Upstream};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

fn status(gateway: &Gateway, method: &str, path: &str, headers: &str) -> u16 {
    let request = format!("{method} {path} HTTP/1.1\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n");
    Client::tcp(gateway.admin()).exchange(request.as_bytes()).status
}

/// A page that an operator looks at can make the browser send requests to the operator's own machine and network: by a
/// name of its own that resolves to a local address, or as a form. Neither gets an answer, and neither changes anything.
#[test]
fn requests_that_a_foreign_page_can_cause_are_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .admin("hosts = [\"gate.example.com\"]")
        .start();
    assert_eq!(status(&gateway, "GET", "/unknown", "Host: evil.example\r\n"), 404);
    for path in ["/metrics", "/livez", "/readyz", "/stopping"] {
        assert_eq!(
            status(&gateway, "GET", path, "Host: evil.example:9464\r\n"),
            403,
            "{path}"
        );
    }
    for host in [
        "127.0.0.1:9464",
        "[::1]",
        "localhost",
        "hookgate.shop.svc",
        "gate.example.com",
    ] {
        assert_eq!(
            status(&gateway, "GET", "/livez", &format!("Host: {host}\r\n")),
            200,
            "{host}"
        );
    }
    for browser in [
        "Origin: https://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
    ] {
        let headers = format!("Host: localhost\r\n{browser}\r\n");
        assert_eq!(status(&gateway, "POST", "/stopping", &headers), 403, "{browser}");
    }
    assert_eq!(status(&gateway, "GET", "/stopping", "Host: localhost\r\n"), 405);
    assert_eq!(status(&gateway, "POST", "/stopping", "Host: localhost\r\n"), 200);
}

fn wait_for_line(gateway: &Gateway, text: &str) {
    gateway.logs.wait_for(text, |line| line.contains(text).then_some(()));
}

/// A reload reads files that may be slow, and a scrape may have many routes: probes are answered meanwhile.
#[test]
fn probes_are_answered_while_a_reload_reads_and_a_scrape_waits_for_its_reader() {
    let upstream = Upstream::ok();
    let setup = Setup::new(&upstream.url());
    let secret = setup.directory().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let gateway = setup
        .secret_list(&format!(
            "{{ file = {:?}, name = \"current\" }}",
            secret.display().to_string()
        ))
        .start();
    // A reader that takes nothing of a scrape.
    let mut scrape = Client::tcp(gateway.admin());
    scrape.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // Reading this pipe waits until something writes to it.
    std::fs::remove_file(&secret).unwrap();
    mknodat(CWD, &secret, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    gateway.signal(Signal::HUP);
    wait_for_line(&gateway, "SIGHUP: reloading");
    for _ in 0..20 {
        assert_eq!(gateway.ask("/livez").status, 200);
        assert_eq!(gateway.ask("/readyz").status, 200);
    }
    let text = gateway.logs.text();
    assert!(
        !text.contains("configuration reloaded") && !text.contains("reload failed"),
        "the reload did not wait"
    );
    // A file again; who waits for the pipe reads its end.
    let pipe = secret.with_extension("pipe");
    std::fs::rename(&secret, &pipe).unwrap();
    std::fs::write(&secret, SECRET).unwrap();
    drop(std::fs::OpenOptions::new().write(true).open(&pipe).unwrap());
    wait_for_line(&gateway, "configuration reloaded");
}
