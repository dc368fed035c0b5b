//! I19: the PROXY protocol header of a balancer, before the first byte of TLS or HTTP: accepted from trusted proxies
//! only, required where it is configured, and refused where it is not.

use crate::support::redis::free_port;
use crate::support::wait::{WAIT_TIMEOUT, eventually};
use crate::support::{Client, Gateway, Setup, Upstream, Webhook};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// An address on the allow list. The connections of these tests really come from loopback.
const SENDER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n";

/// A header of version 2 of the protocol.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

/// `PROXY`, TCP over IPv4, from `source`, with TLV fields of this many bytes.
fn from(source: Ipv4Addr, vectors: usize) -> Vec<u8> {
    let ports = [0x12, 0x34, 0x01, 0xbb];
    let block = [&source.octets()[..], &[192, 0, 2, 1], &ports, &vec![0; vectors]].concat();
    v2(0x21, 0x11, &block)
}

/// A gateway that requires the header, trusts `trusted`, and lets only [`SENDER`] deliver.
fn gateway(upstream: &Upstream, trusted: &str) -> Gateway {
    Setup::new(&upstream.url())
        .listener(&format!("proxy_protocol = true\ntrusted_proxies = [{trusted:?}]"))
        .limits("head_timeout = \"1s\"")
        .route(&format!("allow = [\"{SENDER}\"]"))
        .start()
}

fn delivered(gateway: &Gateway, header: &[u8], webhook: &Webhook) -> u16 {
    let request = [header, &webhook.bytes()].concat();
    gateway.exchange(&request).status
}

/// Asserts that the connection is closed without an answer.
fn assert_closed(gateway: &Gateway, what: &str, bytes: &[u8]) {
    let assert_closed = [("listener", "plain"), ("result", "proxy_header")];
    let before = gateway.metrics().sum("hookgate_connections_total", &assert_closed);
    let mut client = gateway.connect();
    // The gateway may close the connection before everything is sent.
    let _ = client.try_send(bytes);
    let (received_bytes, _) = client.rest();
    assert!(
        received_bytes.is_empty(),
        "{what}: {}",
        String::from_utf8_lossy(&received_bytes)
    );
    gateway.wait_for_metric("hookgate_connections_total", &assert_closed, before + 1.0);
}

/// I19: the address in the header is the peer for the allow list, `X-Forwarded-For` and the audit line; forwarding
/// headers of the sender are not used.
#[test]
fn the_header_names_the_peer() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream, "127.0.0.1");
    for (count, header) in [LINE.to_vec(), from(SENDER, 0), from(SENDER, 9_000)].iter().enumerate() {
        let webhook = Webhook::new(format!("{{\"n\":{count}}}")).header("X-Forwarded-For", "198.51.100.9");
        assert_eq!(delivered(&gateway, header, &webhook), 200);
        let seen = upstream.wait_for(count + 1);
        assert_eq!(seen[count].header("X-Forwarded-For"), Some(SENDER.to_string()));
    }
    // Other addresses are refused, and cannot claim in a header to be the allowed one.
    let other = Webhook::new("other").header("X-Forwarded-For", &SENDER.to_string());
    for header in [
        &from(Ipv4Addr::new(198, 51, 100, 9), 0)[..],
        b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
    ] {
        assert_eq!(delivered(&gateway, header, &other), 403);
    }
    // Lines of two workers are in no particular order.
    let lines = gateway.wait_for_audit_lines("peer_not_allowed", 2);
    let mut peers: Vec<_> = lines.iter().filter_map(|line| line["peer"].as_str()).collect();
    peers.sort_unstable();
    assert_eq!(peers, ["198.51.100.9", "2001:db8::1"]);
    // The header in pieces, and two requests on one connection.
    let mut client = gateway.connect();
    for byte in LINE {
        client.send(&[*byte]);
    }
    for body in ["first", "second"] {
        assert_eq!(client.exchange(&Webhook::new(body).bytes()).status, 200);
    }
    let accepted = [("listener", "plain"), ("result", "accepted")];
    gateway.wait_for_metric("hookgate_connections_total", &accepted, 6.0);
}

/// I19: `LOCAL` connections keep the balancer's address, and its forwarding headers are accepted; `UNKNOWN` connections
/// have its address, but their forwarding headers are not accepted.
#[test]
fn local_and_unknown_keep_the_balancers_address() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream, "127.0.0.1");
    let claiming = |body: &str| Webhook::new(body).header("X-Forwarded-For", &SENDER.to_string());
    for header in [v2(0x20, 0x00, &[]), v2(0x20, 0x11, &[1; 12])] {
        assert_eq!(delivered(&gateway, &header, &claiming(&format!("{header:?}"))), 200);
    }
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 203.0.113.7 192.0.2.1 4711 443\r\n".to_vec(),
        v2(0x21, 0x00, &[]),
        v2(0x21, 0x31, &[b'a'; 216]),
        v2(0x21, 0x12, &[1; 12]),
    ] {
        assert_eq!(delivered(&gateway, &header, &claiming("unknown")), 403);
    }
    for line in gateway.wait_for_audit_lines("peer_not_allowed", 5) {
        assert_eq!(line["peer"], "127.0.0.1");
    }
    assert_eq!(upstream.requests().len(), 2);
}

/// I19: a connection without a valid header is closed without an answer and counted.
#[test]
fn absent_broken_and_late_headers_end_the_connection() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream, "127.0.0.1");
    let webhook = Webhook::new("{}").bytes();
    let with = |header: &[u8]| [header, &webhook].concat();
    assert_closed(&gateway, "absent", &webhook);
    assert_closed(
        &gateway,
        "a line without an end",
        &[b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat(),
    );
    assert_closed(
        &gateway,
        "an invalid address",
        &with(b"PROXY TCP4 shop.example 192.0.2.1 1 2\r\n"),
    );
    assert_closed(&gateway, "version 3", &with(&v2(0x31, 0x11, &[1; 12])));
    assert_closed(&gateway, "no such command", &with(&v2(0x22, 0x11, &[1; 12])));
    assert_closed(&gateway, "no such family", &with(&v2(0x21, 0x41, &[1; 12])));
    assert_closed(&gateway, "short addresses", &with(&v2(0x21, 0x11, &[1; 11])));
    assert_closed(&gateway, "64 KiB of vectors", &with(&from(SENDER, 65_535 - 12)));
    // An incomplete header is waited for as long as a request head.
    assert_closed(&gateway, "silence", b"");
    assert_closed(&gateway, "a truncated line", &LINE[..20]);
    assert_closed(&gateway, "a truncated block", &from(SENDER, 40)[..40]);
    let mut ended = gateway.connect();
    ended.send(&from(SENDER, 0)[..20]);
    ended.finish_sending();
    assert!(ended.closed_within(WAIT_TIMEOUT));
    upstream.assert_untouched();
    assert_eq!(delivered(&gateway, LINE, &Webhook::new("{}")), 200);
}

/// I19: connections from addresses that are not trusted proxies are closed, with and without a header.
#[test]
fn untrusted_proxies_are_refused() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream, "192.0.2.0/24");
    let webhook = Webhook::new("{}").bytes();
    assert_closed(&gateway, "version 1", &[LINE, &webhook].concat());
    assert_closed(&gateway, "version 2", &[&from(SENDER, 0)[..], &webhook].concat());
    assert_closed(&gateway, "local", &[&v2(0x20, 0x00, &[])[..], &webhook].concat());
    assert_closed(&gateway, "none", &webhook);
    upstream.assert_untouched();
}

/// I19: where the protocol is not configured, its header is neither HTTP nor TLS, also from a trusted proxy.
#[test]
fn an_unexpected_header_is_a_bad_request() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .listener("trusted_proxies = [\"127.0.0.1\"]")
        .start();
    for address in [gateway.plain(), gateway.tls()] {
        for header in [LINE.to_vec(), from(SENDER, 0)] {
            let request = [&header[..], &Webhook::new("{}").bytes()].concat();
            assert_eq!(Client::tcp(address).exchange(&request).status, 400);
        }
    }
    upstream.assert_untouched();
}

/// HAProxy, killed on drop.
struct HaProxy(Child);

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// I19: HAProxy in front of a plain and a TLS listener, in both versions, from an address of its own; its health checks
/// (`LOCAL`) are accepted too.
#[test]
fn haproxy_passes_sender_addresses() {
    let upstream = Upstream::ok();
    let introduced = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.9\"]";
    let setup = Setup::new(&upstream.url())
        .listener(introduced)
        .route("allow = [\"127.0.0.1\"]");
    let tls = setup.directory().join("tls");
    let (certificate, key) = (tls.with_extension("crt"), tls.with_extension("key"));
    let listener = format!(
        "[[listen]]\nname = \"introduced\"\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = {certificate:?}, key = {key:?} }}\n{introduced}"
    );
    let gateway = setup.more(&listener).start();
    let secure = gateway.address("introduced");
    let ports = [free_port(), free_port(), free_port()];
    let mut text =
        String::from("defaults\n mode tcp\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n");
    for (port, server, option) in [
        (ports[0], gateway.plain(), "send-proxy check inter 200ms"),
        (ports[1], gateway.plain(), "send-proxy-v2 check inter 200ms"),
        (ports[2], secure, "send-proxy-v2-ssl"),
    ] {
        text.push_str(&format!(
            "listen to-{port}\n bind 127.0.0.1:{port}\n server gateway {server} source 127.0.0.9 {option}\n"
        ));
    }
    let file = gateway.setup.directory().join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let child = Command::new("/usr/sbin/haproxy")
        .args(["-db", "-q", "-f"])
        .arg(&file)
        .stdin(Stdio::null())
        .spawn()
        .expect("HAProxy is missing: run `make test-apps` once");
    let _haproxy = HaProxy(child);
    let address = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for port in ports {
        eventually("HAProxy", || TcpStream::connect(address(port)).ok());
    }
    let genuine = |body: &str| Webhook::new(body).header("X-Forwarded-For", "198.51.100.9").bytes();
    assert_eq!(Client::tcp(address(ports[0])).exchange(&genuine("1")).status, 200);
    assert_eq!(Client::tcp(address(ports[1])).exchange(&genuine("2")).status, 200);
    let mut client = Client::tls(address(ports[2]), "localhost", &gateway.setup.certificate.der);
    assert_eq!(client.exchange(&genuine("3")).status, 200);
    for seen in upstream.wait_for(3) {
        assert_eq!(seen.header("X-Forwarded-For").as_deref(), Some("127.0.0.1"));
    }
    let plain = |result| {
        gateway.metrics().sum(
            "hookgate_connections_total",
            &[("listener", "plain"), ("result", result)],
        )
    };
    eventually("the health checks of HAProxy", || {
        (plain("accepted") >= 8.0).then_some(())
    });
    assert_eq!(plain("proxy_header"), 0.0);
    // A connection that does not come through HAProxy is refused.
    assert_closed(&gateway, "from 127.0.0.1", &[LINE, &genuine("4")].concat());
}
