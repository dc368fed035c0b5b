//! H10: client certificates of senders, required or optional, and what is passed on to the application.

use crate::support::certificates::{self, Authority, Certificate};
use crate::support::client::Response;
use crate::support::{Client, Gateway, Setup, Upstream, Webhook, eventually};
use crate::tls::listener;
use rcgen::DnType;
use rustix::process::Signal;
use std::fs;
use std::io;

/// A gateway whose listener `mutual` trusts `authority`, with these other lines in `client_auth`.
fn start(upstream: &Upstream, authority: &Authority, lines: &str) -> Gateway {
    let setup = Setup::new(&upstream.url());
    authority.certificate.write(setup.directory(), "senders");
    let listener = format!(
        "[[listen]]\nname = \"mutual\"\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificate = \"tls.crt\", key = \"tls.key\" }}\nclient_auth = {{ ca = \"senders.crt\", {lines} }}\n"
    );
    setup.more(&listener).start()
}

fn sender(authority: &Authority, name: &str) -> Certificate {
    authority.issue_with(&[], |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, name);
    })
}

/// Sends one webhook on a new connection. Under TLS 1.3 a refused certificate is reported after the client's handshake
/// has ended, so the error may come with the answer.
fn send(gateway: &Gateway, own: Option<&Certificate>, webhook: &Webhook) -> io::Result<Response> {
    let trusted = &gateway.setup.certificate.der;
    let config = match own {
        Some(own) => certificates::client_showing(trusted, own),
        None => certificates::client(trusted, &[]),
    };
    let mut client = Client::try_tls(gateway.address("mutual"), "localhost", config)?;
    client.try_send(&webhook.bytes())?;
    client.try_response(false)
}

/// H10: a connection without a certificate is refused, and a certificate does not replace a signature.
#[test]
fn a_required_certificate_is_enforced() {
    let upstream = Upstream::ok();
    let (authority, other) = (Authority::new(), Authority::new());
    let gateway = start(&upstream, &authority, "mode = \"required\"");
    let good = sender(&authority, "sender-1");
    assert_eq!(send(&gateway, Some(&good), &Webhook::new("1")).unwrap().status, 200);
    let expired = authority.issue_with(&[], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    for (what, own) in [
        ("none", None),
        ("of another authority", Some(&sender(&other, "sender-1"))),
        ("expired", Some(&expired)),
    ] {
        assert!(send(&gateway, own, &Webhook::new(what)).is_err(), "{what}");
    }
    gateway.wait_for_metric("hookgate_tls_handshakes_total", &[("result", "failed")], 3.0);
    // A certificate does not replace the signature.
    let unsigned = Webhook::new("2").signature(None);
    assert_eq!(
        send(&gateway, Some(&good), &unsigned).unwrap().reason(),
        "signature_missing"
    );
    // The application does not get the subject, and no sender can set the header.
    let claimed = Webhook::new("3").header("Hookgate-Client-Subject", "CN=admin");
    assert_eq!(send(&gateway, Some(&good), &claimed).unwrap().status, 200);
    let requests = upstream.requests();
    assert_eq!(requests.len(), 2);
    assert!(
        requests
            .iter()
            .all(|request| request.header("Hookgate-Client-Subject").is_none())
    );
}

/// H10: with revocation lists, a certificate is refused that one of them names or whose authority has none, and every
/// certificate once the list is overdue. A reload reads the lists again.
#[test]
fn revoked_certificates_are_refused() {
    let upstream = Upstream::ok();
    let authority = Authority::new();
    let setup = Setup::new(&upstream.url());
    let list = setup.directory().join("senders.crl");
    fs::write(&list, authority.revocation_list(&[7], 4000)).unwrap();
    authority.certificate.write(setup.directory(), "senders");
    let listener = "[[listen]]\nname = \"mutual\"\naddress = \"127.0.0.1:0\"\n\
                    tls = { certificate = \"tls.crt\", key = \"tls.key\" }\n\
                    client_auth = { ca = \"senders.crt\", crl = \"senders.crl\" }\n";
    let gateway = setup.more(listener).start();
    let [seven, eight] = [7_u64, 8].map(|serial| {
        authority.issue_with(&[], |params| {
            params.serial_number = Some(rcgen::SerialNumber::from(serial));
        })
    });
    assert!(send(&gateway, Some(&seven), &Webhook::new("1")).is_err());
    assert_eq!(send(&gateway, Some(&eight), &Webhook::new("2")).unwrap().status, 200);
    let mut number = 10;
    for (content, is_accepted) in [
        (authority.revocation_list(&[8], 4000), [true, false]),
        (authority.revocation_list(&[], 2025), [false, false]),
        (authority.revocation_list(&[], 4000), [true, true]),
        (Authority::new().revocation_list(&[], 4000), [false, false]),
    ] {
        fs::write(&list, content).unwrap();
        gateway.signal(Signal::HUP);
        eventually("the new list to be in force", || {
            number += 1;
            let accepted = [&seven, &eight].map(|own| {
                let response = send(&gateway, Some(own), &Webhook::new(format!("{number} {own:p}")));
                response.is_ok_and(|response| response.status == 200)
            });
            (accepted == is_accepted).then_some(())
        });
    }
}

/// H10: connections without a certificate are accepted, and the subject of those with one is passed to the application.
#[test]
fn the_subject_of_an_optional_certificate_is_forwarded() {
    let upstream = Upstream::ok();
    let authority = Authority::new();
    let gateway = start(&upstream, &authority, "mode = \"optional\", forward_subject = true");
    let subject = || upstream.requests().last().unwrap().header("Hookgate-Client-Subject");
    let claimed = |body: &str| Webhook::new(body).header("Hookgate-Client-Subject", "CN=admin");
    assert_eq!(send(&gateway, None, &claimed("1")).unwrap().status, 200);
    assert_eq!(subject(), None);
    let odd = sender(&authority, "sender, O=1");
    assert_eq!(send(&gateway, Some(&odd), &claimed("2")).unwrap().status, 200);
    assert_eq!(subject().as_deref(), Some(r"CN=sender\, O\=1,O=Example"));
    let stranger = sender(&Authority::new(), "sender-1");
    assert!(send(&gateway, Some(&stranger), &Webhook::new("3")).is_err());
    assert_eq!(upstream.requests().len(), 2);
}

/// H10: a certificate of the old authority is refused after the change: in a full handshake, and with a session from
/// before.
#[test]
fn a_new_authority_replaces_the_old() {
    let upstream = Upstream::ok();
    let (authority, other) = (Authority::new(), Authority::new());
    let gateway = start(&upstream, &authority, "");
    let (before, after) = (sender(&authority, "before"), sender(&other, "after"));
    assert_eq!(send(&gateway, Some(&before), &Webhook::new("1")).unwrap().status, 200);
    // No session ticket is issued.
    let directory = gateway.setup.directory().to_owned();
    before.write(&directory, "before");
    let path = |name: &str| directory.join(name).display().to_string();
    let (crt, key, session) = (path("before.crt"), path("before.key"), path("session"));
    let request = Webhook::new("2").signature(None).header("Connection", "close").bytes();
    for version in ["-tls1_2", "-tls1_3"] {
        let shown = [version, "-ign_eof", "-cert", &crt, "-key", &key];
        let address = gateway.address("mutual");
        let first = listener::client(address, &[&shown[..], &["-sess_out", &session]].concat(), &request);
        assert!(first.contains("signature_missing"), "{version}:\n{first}");
        // OpenSSL writes no file for a session that cannot be resumed under TLS 1.3, and an empty ticket under 1.2.
        if fs::exists(&session).unwrap() {
            let second = listener::client(address, &[&shown[..], &["-sess_in", &session]].concat(), &request);
            assert!(!second.contains("Reused, TLSv1"), "{version}:\n{second}");
        }
    }
    other.certificate.write(&directory, "senders");
    gateway.signal(Signal::HUP);
    let mut number = 10;
    eventually("the new authority to be in force", || {
        number += 1;
        let response = send(&gateway, Some(&after), &Webhook::new(number.to_string()));
        response.is_ok_and(|response| response.status == 200).then_some(())
    });
    assert!(send(&gateway, Some(&before), &Webhook::new("4")).is_err());
}
