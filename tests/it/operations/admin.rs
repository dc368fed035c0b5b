//! Who may ask the admin listener, and what changes by which method.

use crate::support::{Client, Gateway, Setup, Upstream};

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
