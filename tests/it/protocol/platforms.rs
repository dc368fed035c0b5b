//! Clouds, tunnels and meshes, as far as they can be simulated: the bytes and fields that each of them documents lead to the
//! sender's own address, and none of its fields keeps a webhook out. `docs/platforms.md` has a row for each.

use crate::support::{Client, Gateway, Setup, Upstream, Webhook};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Numbers the webhooks, so that none is a repetition.
static SENT: AtomicUsize = AtomicUsize::new(0);
/// The sender, as the platform names it, and what the sender itself claimed to be.
const SENDER: &str = "203.0.113.7";
const CLAIMED: &str = "198.51.100.66";

fn webhook() -> Webhook {
    let number = SENT.fetch_add(1, Ordering::Relaxed);
    Webhook::new(format!("{{\"number\":{number}}}"))
}

/// A gateway that only the sender may use, with these lines for its listener without TLS.
fn gateway(upstream: &Upstream, listener: &str) -> Gateway {
    Setup::new(&upstream.url())
        .listener(listener)
        .route(&format!("allow = [{SENDER:?}]"))
        .start()
}

/// The PROXY protocol header of an AWS NLB, version 2: TCP over IPv4, a CRC-32C, and (type 0xEA) the id of the VPC endpoint,
/// as AWS documents them; padding (NOOP) follows.
fn network_load_balancer() -> Vec<u8> {
    let endpoint = b"vpce-08d2bf15fac5001c9";
    let addresses = [203, 0, 113, 7, 10, 0, 1, 23, 0xc3, 0x50, 0x01, 0xbb];
    let length = u8::try_from(endpoint.len() + 1).unwrap();
    let aws = [&[0xea, 0, length, 0x01][..], endpoint].concat();
    let noop = [0x04, 0, 3, 0, 0, 0];
    let mut block = [&addresses[..], &[0x03, 0, 4, 0, 0, 0, 0], &aws, &noop].concat();
    let total = u16::try_from(block.len()).unwrap().to_be_bytes();
    let mut header = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &total[..]].concat();
    let checksum = crc32c(&[&header[..], &block].concat()).to_be_bytes();
    block[15..19].copy_from_slice(&checksum);
    header.extend(block);
    header
}

/// CRC-32C (Castagnoli) of a header whose own field is zero.
fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}

/// AWS NLB: the header of the PROXY protocol with the fields of AWS names the sender, also before TLS; its TCP health check
/// is a connection without data.
#[test]
fn a_network_load_balancer_names_the_sender_with_its_vpc_endpoint() {
    let upstream = Upstream::ok();
    let listener = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]\nhealth = \"/healthz\"";
    let gateway = gateway(&upstream, listener);
    let header = network_load_balancer();
    let request = [&header[..], &webhook().header("X-Forwarded-For", CLAIMED).bytes()].concat();
    assert_eq!(gateway.exchange(&request).status, 200);
    assert_eq!(
        upstream.only().message.header("x-forwarded-for").as_deref(),
        Some(SENDER)
    );
    // The HTTP health check of a target group comes with a header too, from the balancer's own address.
    let check = b"GET /healthz HTTP/1.1\r\nHost: 10.0.1.23:443\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n";
    assert_eq!(gateway.exchange(&[&header[..], check].concat()).status, 200);
    let mut tcp = gateway.connect();
    tcp.finish_sending();
    assert!(tcp.rest().0.is_empty());
    let errors = [("listener", "plain"), ("result", "proxy_header")];
    assert_eq!(gateway.metrics().sum("hookgate_connections_total", &errors), 0.0);
}

/// The name of a platform, what else must be trusted, and the fields that it sends.
type Platform<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// Platforms that terminate TLS and send fields: for each, the fields of one request as documented, and what else must be
/// trusted. The sender's own `X-Forwarded-For` stays in front, and is not believed.
#[test]
fn fields_of_each_platform_lead_to_the_sender() {
    let from_claimed = format!("{CLAIMED}, {SENDER}");
    let with_balancer = format!("{CLAIMED}, {SENDER}, 34.120.1.2");
    let cases: [Platform<'_>; 6] = [
        (
            "AWS ALB",
            "",
            &[
                ("X-Forwarded-For", &from_claimed),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Port", "443"),
                ("X-Amzn-Trace-Id", "Root=1-67891233-abcdef012345678912345678"),
            ],
        ),
        (
            "Google Cloud",
            ", \"34.120.1.2\"",
            &[
                ("X-Forwarded-For", &with_balancer),
                ("X-Forwarded-Proto", "https"),
                ("Via", "1.1 google"),
                ("X-Cloud-Trace-Context", "105445aa7843bc8bf206b12000100000/1;o=1"),
            ],
        ),
        (
            "Cloudflare",
            "",
            &[
                ("X-Forwarded-For", &from_claimed),
                ("CF-Connecting-IP", SENDER),
                ("CF-IPCountry", "DE"),
                ("CF-RAY", "230b030023ae2822-SJC"),
                ("CF-Visitor", "{\"scheme\":\"https\"}"),
                ("CDN-Loop", "cloudflare; loops=1"),
            ],
        ),
        (
            "ngrok",
            "",
            &[
                ("X-Forwarded-For", SENDER),
                ("X-Forwarded-Host", "abc.ngrok.app"),
                ("X-Forwarded-Proto", "https"),
            ],
        ),
        (
            "Istio",
            "",
            &[
                ("X-Forwarded-For", &from_claimed),
                ("X-Request-Id", "9f1c1f0e-43c9-9d5b-8e6a-0d7a4c5e2b11"),
                ("X-Envoy-External-Address", SENDER),
                (
                    "X-Forwarded-Client-Cert",
                    "By=spiffe://cluster.local/ns/a/sa/b;Hash=00;URI=spiffe://cluster.local/ns/c/sa/d",
                ),
                ("X-B3-TraceId", "463ac35c9f6413ad48485a3953bb6124"),
            ],
        ),
        (
            "Linkerd",
            "",
            &[
                ("X-Forwarded-For", SENDER),
                (
                    "l5d-client-id",
                    "gateway.default.serviceaccount.identity.linkerd.cluster.local",
                ),
                ("l5d-dst-canonical", "hookgate.default.svc.cluster.local:8080"),
                ("l5d-orig-proto", "HTTP/1.1"),
            ],
        ),
    ];
    for (platform, more, fields) in cases {
        let upstream = Upstream::ok();
        let gateway = gateway(&upstream, &format!("trusted_proxies = [\"127.0.0.1\"{more}]"));
        let send = |fields: &[(&str, &str)]| {
            let webhook = fields
                .iter()
                .fold(webhook(), |webhook, (name, value)| webhook.header(name, value));
            gateway.exchange(&webhook.bytes()).status
        };
        assert_eq!(send(fields), 200, "{platform}");
        let seen = upstream.only().message;
        let chain = seen.header("x-forwarded-for").unwrap();
        assert!(chain.contains(SENDER), "{platform}: {chain}");
        for (name, value) in fields
            .iter()
            .filter(|(name, _)| name.starts_with("CF-") || name.starts_with("l5d-"))
        {
            assert_eq!(
                seen.header(name).as_deref(),
                Some(*value),
                "{platform}: the application sees {name}"
            );
        }
        // Somebody else behind the same platform, who claims to be the sender.
        let of_others = [
            ("X-Forwarded-For", "203.0.113.7, 192.0.2.99"),
            ("CF-Connecting-IP", SENDER),
        ];
        assert_eq!(send(&of_others), 403, "{platform}");
    }
}

/// Health checks of balancers with the fields that they send, on a listener with TLS as well.
#[test]
fn health_checks_of_clouds_get_200() {
    let upstream = Upstream::ok();
    let gateway = gateway(&upstream, "trusted_proxies = [\"127.0.0.1\"]\nhealth = \"/healthz\"");
    for check in [
        "GET /healthz HTTP/1.1\r\nHost: 10.0.1.23:8080\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\nAccept-Encoding: gzip, compressed\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: 10.128.0.9\r\nUser-Agent: GoogleHC/1.0\r\nConnection: Keep-alive\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: 10.1.2.3:8080\r\nUser-Agent: kube-probe/1.31\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        "HEAD /healthz HTTP/1.0\r\n\r\n",
    ] {
        let status = Client::tcp(gateway.plain()).exchange(check.as_bytes()).status;
        assert_eq!(status, 200, "{check}");
    }
    upstream.assert_untouched();
}
