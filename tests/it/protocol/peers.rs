//! Who a request came from and which host it named, where the socket or the version of HTTP does not say it.

use crate::support::{Client, Setup, Upstream, Webhook};

/// B06: on a Unix socket, whose peers have no address, forwarding headers are believed only where the configuration says
/// so: a proxy that passes on what its client wrote would let anyone choose the sender's address.
#[test]
fn peers_of_a_unix_socket_are_believed_only_when_configured() {
    for (trusted, status) in [("", 403), ("trusted_proxies = \"unix\"", 200)] {
        let upstream = Upstream::ok();
        let setup = Setup::new(&upstream.url()).route("allow = [\"203.0.113.7\"]");
        let path = setup.directory().join("in.sock");
        let listener = format!("[[listen]]\nname = \"unix\"\nunix = {path:?}\nplaintext = true\n{trusted}");
        let gateway = setup.more(&listener).start();
        let claimed = Webhook::new("{}").header("X-Forwarded-For", "198.51.100.1, 203.0.113.7");
        let claimed = claimed.header("X-Request-Id", "from-the-proxy");
        assert_eq!(
            Client::unix(&path).exchange(&claimed.bytes()).status,
            status,
            "{trusted}"
        );
        if status == 200 {
            let seen = upstream.only();
            assert_eq!(seen.header("X-Request-Id").as_deref(), Some("from-the-proxy"));
        }
        assert_eq!(Client::unix(&path).exchange(&Webhook::new("x").bytes()).status, 403);
        drop(gateway);
    }
}

/// HTTP/1.0 allows a request without `Host`. The application, which is asked with HTTP/1.1, gets its own.
#[test]
fn an_http_10_request_without_host_is_forwarded_with_one() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let mut webhook = Webhook::new("{}");
    webhook.headers.clear();
    let request = String::from_utf8(webhook.bytes()).unwrap();
    let request = request.replacen("HTTP/1.1", "HTTP/1.0", 1);
    assert_eq!(gateway.exchange(request.as_bytes()).status, 200);
    let seen = upstream.only();
    assert_eq!(seen.all("Host"), [upstream.url().replace("http://", "")]);
    assert_eq!(seen.header("X-Forwarded-Host"), None);
}
