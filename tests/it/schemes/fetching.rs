//! How keys are fetched: through a proxy, from a slow server, and what happens when a key is withdrawn.

use super::fetched::{Key, Published, set, setup};
use crate::support::certificates::Authority;
use crate::support::upstream::{AfterAnswer, answer};
use crate::support::{Setup, Upstream, WAIT_TIMEOUT};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A proxy that makes tunnels to this machine. Keeps the heads of the requests for them.
struct Proxy {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = seen.clone();
                std::thread::spawn(move || Self::serve(client, &seen));
            }
        });
        Self { port, heads }
    }

    fn serve(mut client: TcpStream, seen: &Mutex<Vec<String>>) {
        client.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let port = head.split([' ', ':']).nth(2).and_then(|port| port.parse::<u16>().ok());
        seen.lock().unwrap().push(head);
        let Some(mut server) = port.and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok()) else {
            return;
        };
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let upwards = std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
        });
        let _ = std::io::copy(&mut server, &mut client);
        drop((client, server));
        let _ = upwards.join();
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

#[test]
fn keys_are_fetched_through_the_proxy_of_the_environment() {
    let upstream = Upstream::ok();
    let key = Key::new("key");
    let document = set(&[&key]);
    let authority = Authority::new();
    let server = Upstream::tls(authority.issue(&["localhost"]).server(), move |_, connection| {
        connection.send(&answer("200 OK", &[], document.as_bytes()));
        AfterAnswer::Close
    });
    let url = server.url().replace("127.0.0.1", "localhost");
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, &authority.certificate.chain_pem).unwrap();
    let proxy = Proxy::new();
    let address = format!("http://user:password@127.0.0.1:{}", proxy.port);
    let with = |variables: &[(&str, &str)], more: &str| -> Setup {
        let setup = setup(&upstream, &url, &format!("ca = {ca:?}\n{more}"));
        let with = |setup: Setup, (name, value): &(&str, &str)| setup.variable(name, value);
        variables.iter().fold(setup, with)
    };
    let gateway = with(&[("HTTPS_PROXY", &address)], "").start();
    assert_eq!(gateway.exchange(&key.request(1)).status, 200);
    let [head] = &proxy.heads()[..] else {
        panic!("{:?}", proxy.heads())
    };
    let wanted = url.replace("https://", "");
    assert!(
        head.starts_with(&format!("CONNECT {wanted} HTTP/1.1\r\nHost: {wanted}\r\n")),
        "{head}"
    );
    // base64 of user:password.
    assert!(
        head.contains("Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n"),
        "{head}"
    );
    drop(gateway);
    // Not for a name of NO_PROXY, nor where the file turns it off.
    let gateway = with(&[("HTTPS_PROXY", &address), ("NO_PROXY", "example.com, localhost")], "").start();
    assert_eq!(gateway.exchange(&key.request(2)).status, 200);
    drop(gateway);
    let gateway = with(&[("HTTPS_PROXY", &address)], "proxy = \"off\"").start();
    assert_eq!(gateway.exchange(&key.request(3)).status, 200);
    drop(gateway);
    assert_eq!((proxy.heads().len(), server.requests().len()), (1, 3));
    // Without the authority the server is not believed.
    let gateway = setup(&upstream, &url, "").start();
    assert_eq!(gateway.exchange(&key.request(4)).status, 503);
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn a_slow_key_server_holds_no_request_longer_than_its_timeout_and_no_other_route() {
    let upstream = Upstream::ok();
    let key = Key::new("key");
    let server = Upstream::new(|_, connection| {
        connection.wait_for_close();
        AfterAnswer::Close
    });
    let gateway = setup(&upstream, &server.url(), "timeout = \"1s\"")
        .top("workers = 1")
        .start();
    server.wait_for(1);
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..20)
            .map(|number| {
                let (gateway, key) = (&gateway, &key);
                scope.spawn(move || gateway.exchange(&key.request(number)))
            })
            .collect();
        // The worker serves others meanwhile.
        let webhook = crate::support::Webhook::new("{\"event_id\":\"1\"}");
        assert_eq!(gateway.exchange(&webhook.bytes()).status, 200);
        for one in waiting {
            let response = one.join().unwrap();
            assert_eq!((response.status, response.reason().as_str()), (503, "key_unavailable"));
        }
    });
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_key_that_is_withdrawn_is_refused_after_the_next_fetch() {
    let upstream = Upstream::ok();
    let (old, new) = (Key::new("old"), Key::new("new"));
    let published = Published::new(&set(&[&old]));
    let server = published.serve("127.0.0.1:0");
    let gateway = setup(&upstream, &server.url(), "").start();
    assert_eq!(gateway.exchange(&old.request(1)).status, 200);
    published.set(&set(&[&new]));
    // The new key makes hookgate fetch the set, which no longer has the old one.
    assert_eq!(gateway.exchange(&new.request(2)).status, 200);
    let response = gateway.exchange(&old.request(3));
    assert_eq!((response.status, response.reason().as_str()), (401, "key_unknown"));
    assert_eq!((upstream.requests().len(), server.requests().len()), (2, 2));
}
