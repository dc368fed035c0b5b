//! Group H: what a TLS listener accepts, tested with OpenSSL's client, which can still offer obsolete options.

use crate::support::certificates::Certificate;
use crate::support::{Client, Setup, Upstream, WAIT_TIMEOUT, Webhook};
use std::io::{Read as _, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};

/// The ciphers from which a server may choose in Mozilla's "intermediate" profile (version 5.7).
const INTERMEDIATE: [&str; 9] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

/// Runs `openssl s_client` with these options and returns its output. A failed handshake shows no cipher.
pub(crate) fn client(address: SocketAddr, options: &[&str], send: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the openssl command is missing: run `make test-apps` once");
    let _ = child.stdin.take().unwrap().write_all(send);
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

pub(crate) fn chosen(printed: &str) -> Option<&str> {
    let cipher = printed.split("Cipher is ").nth(1)?.split_whitespace().next()?;
    (cipher != "(NONE)").then_some(cipher)
}

/// H01, H02: of all ciphers that OpenSSL can offer, one by one, only Mozilla's intermediate ones are accepted, under
/// TLS 1.2 and 1.3 only, without compression and without renegotiation.
#[test]
fn only_modern_tls_is_accepted() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    for version in ["-tls1", "-tls1_1"] {
        let printed = client(gateway.tls(), &[version, "-cipher", "ALL:@SECLEVEL=0"], b"");
        assert_eq!(chosen(&printed), None, "{version}:\n{printed}");
    }
    let all = Command::new("openssl")
        .args(["ciphers", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"])
        .output()
        .unwrap();
    let all = String::from_utf8(all.stdout).unwrap();
    let mut offered: Vec<&str> = all
        .trim()
        .split(':')
        .filter(|cipher| !cipher.starts_with("TLS_"))
        .collect();
    assert!(offered.len() > 50, "OpenSSL offers few ciphers: {offered:?}");
    let mut taken = Vec::new();
    // All ciphers at once, and again without the one that was chosen, until none is accepted.
    loop {
        let ciphers = format!("{}:@SECLEVEL=0", offered.join(":"));
        let printed = client(gateway.tls(), &["-tls1_2", "-cipher", &ciphers], b"");
        let Some(cipher) = chosen(&printed) else { break };
        taken.push(cipher.to_owned());
        offered.retain(|other| *other != cipher);
    }
    let printed = client(gateway.tls(), &["-tls1_3"], b"");
    taken.extend(chosen(&printed).map(str::to_owned));
    assert!(taken.len() >= 3, "{taken:?}");
    assert!(
        taken.iter().all(|cipher| INTERMEDIATE.contains(&cipher.as_str())),
        "{taken:?}"
    );
    let printed = client(gateway.tls(), &["-tls1_2"], b"");
    assert!(
        printed.contains("Compression: NONE") && printed.contains("Secure Renegotiation IS supported"),
        "{printed}"
    );
    // `R` asks for a renegotiation.
    let printed = client(gateway.tls(), &["-tls1_2"], b"R\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        !printed.contains("HTTP/1.1 "),
        "a request was served after a renegotiation:\n{printed}"
    );
    assert_eq!(gateway.connect_tls().exchange(&Webhook::new("{}").bytes()).status, 200);
}

/// H03: no early data: a webhook is not idempotent, and anyone can replay 0-RTT data.
#[test]
fn early_data_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let directory = tempfile::tempdir().unwrap();
    let session = directory.path().join("session");
    let session = session.to_str().unwrap();
    // Tickets follow the handshake: after an answered request they have been read.
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let printed = client(gateway.tls(), &["-tls1_3", "-ign_eof", "-sess_out", session], request);
    assert!(printed.contains("HTTP/1.1 404"), "{printed}");
    assert!(!printed.contains("Max Early Data: 1"), "{printed}");
    let early = directory.path().join("early");
    std::fs::write(&early, Webhook::new("early").bytes()).unwrap();
    let printed = client(
        gateway.tls(),
        &[
            "-tls1_3",
            "-ign_eof",
            "-sess_in",
            session,
            "-early_data",
            early.to_str().unwrap(),
        ],
        request,
    );
    assert!(!printed.contains("Early data was accepted"), "{printed}");
    upstream.assert_untouched();
}

/// H06, H08: names that the certificate does not have, no name, unknown protocols, and the wrong port.
#[test]
fn unusual_client_hellos_are_handled() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    for options in [
        &["-noservername"][..],
        &["-servername", "elsewhere.example"],
        &["-alpn", "http/1.0"],
        &["-alpn", "h3"],
    ] {
        let options: Vec<&str> = options.iter().chain(&["-tls1_3"]).copied().collect();
        let printed = client(gateway.tls(), &options, b"");
        assert!(
            chosen(&printed).is_some() || printed.contains("alert"),
            "{options:?}:\n{printed}"
        );
    }
    let printed = client(gateway.plain(), &["-tls1_3"], b"");
    assert_eq!(chosen(&printed), None);
    let response = crate::support::Client::tcp(gateway.tls()).exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(response.status, 400);
    assert!(gateway.runs());
    assert!(!gateway.logs.text().contains("ERROR"));
    upstream.assert_untouched();
}

/// With several certificates the requested name selects one, wildcards included; each client here trusts one
/// certificate only.
#[test]
fn the_name_chooses_the_certificate() {
    let upstream = Upstream::ok();
    let setup = Setup::new(&upstream.url());
    let certificates = [("one", "one.test"), ("two", "*.two.test"), ("three", "three.test")];
    let certificates = certificates.map(|(file, name)| (file, Certificate::new(&[name])));
    let mut pairs = Vec::new();
    for (file, certificate) in &certificates {
        certificate.write(setup.directory(), file);
        let path = |extension: &str| setup.directory().join(format!("{file}.{extension}"));
        pairs.push(format!(
            "{{ certificate = {:?}, key = {:?} }}",
            path("crt"),
            path("key")
        ));
    }
    let listener = format!(
        "[[listen]]\nname = \"named\"\naddress = \"127.0.0.1:0\"\ntls = [{}]",
        pairs.join(", ")
    );
    let gateway = setup.more(&listener).start();
    let address = gateway.address("named");
    for (asked, (_, certificate)) in ["one.test", "a.two.test", "THREE.test"].into_iter().zip(&certificates) {
        let mut client = Client::tls(address, asked, &certificate.der);
        assert_eq!(client.exchange(&Webhook::new(asked).bytes()).status, 200, "{asked}");
    }
    // A client that sends another name or none gets the first certificate.
    for options in [&["-noservername"][..], &["-servername", "other.test"]] {
        let printed = client(address, &[options, &["-showcerts"]].concat(), b"");
        let first: String = certificates[0].1.chain_pem.lines().nth(1).unwrap().to_owned();
        assert!(printed.contains(&first), "{options:?}:\n{printed}");
    }
}

/// A second connection resumes the session of the first, under both versions, and its request is verified as usual.
#[test]
fn sessions_are_resumed() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let directory = tempfile::tempdir().unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let session = directory.path().join(version);
        let session = session.to_str().unwrap();
        let unsigned = Webhook::new(version)
            .signature(None)
            .header("Connection", "close")
            .bytes();
        let first = client(gateway.tls(), &[version, "-ign_eof", "-sess_out", session], &unsigned);
        assert!(
            first.contains("New, TLSv1") && first.contains("signature_missing"),
            "{version}:\n{first}"
        );
        let second = client(gateway.tls(), &[version, "-ign_eof", "-sess_in", session], &unsigned);
        assert!(
            second.contains("Reused, TLSv1") && second.contains("signature_missing"),
            "{version}:\n{second}"
        );
    }
    upstream.assert_untouched();
}

/// H08: a client that still sends when its handshake fails, or when it speaks plain HTTP, reads the alert or the answer:
/// the gateway reads on for a while, because a socket that is closed with unread bytes is reset.
#[test]
fn an_alert_reaches_a_client_that_still_sends() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let rest = vec![b'x'; 200 << 10];
    // A record with a handshake message of an unknown type.
    let broken = [&[0x16, 3, 1, 0, 8, 0x63, 0, 0, 4, 1, 2, 3, 4][..], &rest].concat();
    let plain = [
        &b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 204800\r\n\r\n"[..],
        &rest,
    ]
    .concat();
    for (bytes, start) in [(&broken, &[0x15, 3][..]), (&plain, b"HTTP/1.1 400 ")] {
        let mut stream = TcpStream::connect(gateway.tls()).unwrap();
        stream.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(start), "{answer:?}");
    }
}
