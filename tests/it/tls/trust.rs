//! Which certificates of a server `send` trusts with `--ca`, and what it says about the others. Upstreams and the replay
//! store are trusted by the same rules.

use crate::support::gateway::binary;
use crate::support::paddle::SECRET;
use crate::support::setup::Setup;
use crate::support::upstream::Upstream;
use std::path::Path;
use std::process::Command;

/// Makes a self-signed certificate as people do, with these further arguments.
fn openssl(directory: &Path, further: &[&str]) {
    let mut command = Command::new("openssl");
    command
        .current_dir(directory)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    command
        .args(["-nodes", "-keyout", "tls.key", "-out", "tls.crt"])
        .args(further);
    let made = command
        .output()
        .expect("the openssl command is missing: run `make test-apps` once");
    assert!(made.status.success(), "{made:?}");
}

/// Sends one webhook with `--ca`, and returns the exit code and the output.
fn send(url: &str, ca: &Path) -> (Option<i32>, String) {
    let mut command = binary();
    command
        .args(["send", url, "--secret-env", "PADDLE_SECRET", "--ca"])
        .arg(ca);
    let output = command.env("PADDLE_SECRET", SECRET).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// openssl's default certificate is an authority and the server's certificate at once, without alternative names. curl
/// accepts it with `--cacert`, and so does `send`.
#[test]
fn a_listed_self_signed_certificate_is_trusted_as_curl_trusts_it() {
    let upstream = Upstream::ok();
    for (further, host, expected) in [
        (&["-subj", "/CN=localhost"][..], "localhost", None),
        (
            &["-subj", "/CN=x", "-addext", "subjectAltName=DNS:localhost"],
            "localhost",
            None,
        ),
        (&["-subj", "/CN=127.0.0.1"], "127.0.0.1", None),
        (
            &["-subj", "/CN=hooks.example.com"],
            "localhost",
            Some("another host name"),
        ),
        (
            &["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:x"],
            "localhost",
            Some("another host name"),
        ),
        (
            &[
                "-subj",
                "/CN=localhost",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ],
            "localhost",
            None,
        ),
    ] {
        let setup = Setup::new(&upstream.url());
        openssl(setup.directory(), further);
        let gateway = setup.start();
        let ca = gateway.setup.directory().join("tls.crt");
        let port = gateway.tls().port();
        let curl = Command::new("curl")
            .args(["--silent", "--output", "/dev/null", "--cacert"])
            .arg(&ca)
            .arg(format!("https://{host}:{port}/"))
            .status()
            .unwrap();
        assert_eq!(curl.success(), expected.is_none(), "curl: {further:?}");
        let (code, text) = send(&format!("https://{host}:{port}/webhooks/paddle"), &ca);
        match expected {
            None => assert_eq!(code, Some(0), "{further:?}: {text}"),
            Some(reason) => {
                assert_eq!(code, Some(1), "{further:?}: {text}");
                assert!(text.contains(reason), "{further:?}: {text}");
            }
        }
    }
}

#[test]
fn a_certificate_that_is_not_listed_is_refused_in_plain_words() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let other = tempfile::tempdir().unwrap();
    openssl(other.path(), &["-subj", "/CN=localhost"]);
    let port = gateway.tls().port();
    let plain = gateway.admin().port();
    for (url, reason) in [
        (
            format!("https://localhost:{port}/webhooks/paddle"),
            "is not trusted; use --ca FILE with the certificate of the authority",
        ),
        (format!("https://localhost:{plain}/"), "does not speak TLS"),
    ] {
        let (code, text) = send(&url, &other.path().join("tls.crt"));
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(reason) && !text.contains("Other("), "{text}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

/// Makes an authority in `ca.crt`, and a certificate that it issued, with these alternative names, in `tls.crt`.
fn private_authority(directory: &Path, names: Option<&str>) {
    let authority = ["-subj", "/CN=Company authority", "-days", "30"];
    openssl(directory, &authority);
    std::fs::rename(directory.join("tls.crt"), directory.join("ca.crt")).unwrap();
    std::fs::rename(directory.join("tls.key"), directory.join("ca.key")).unwrap();
    let mut further = vec!["-subj", "/CN=localhost", "-CA", "ca.crt", "-CAkey", "ca.key"];
    further.extend(["-addext", "basicConstraints=critical,CA:FALSE"]);
    further.extend(names.into_iter().flat_map(|names| ["-addext", names]));
    openssl(directory, &further);
}

/// A private authority issued the gateway's certificate: its file is enough, and so is the file of the certificate alone.
#[test]
fn the_certificate_of_a_private_authority_is_trusted_and_the_words_say_which_file() {
    let upstream = Upstream::ok();
    for (names, ca, expected) in [
        (Some("subjectAltName=DNS:localhost"), "ca.crt", Ok(())),
        (Some("subjectAltName=DNS:localhost"), "tls.crt", Ok(())),
        (Some("subjectAltName=DNS:localhost"), "ca.key", Err("--ca: ")),
        (
            Some("subjectAltName=DNS:localhost"),
            "missing.crt",
            Err("--ca: the file "),
        ),
        (None, "ca.crt", Err("has no alternative name")),
        (None, "tls.crt", Ok(())),
    ] {
        let setup = Setup::new(&upstream.url());
        private_authority(setup.directory(), names);
        let gateway = setup.start();
        let file = gateway.setup.directory().join(ca);
        let port = gateway.tls().port();
        let (code, text) = send(&format!("https://localhost:{port}/webhooks/paddle"), &file);
        match expected {
            Ok(()) => assert_eq!(code, Some(0), "{names:?} {ca}: {text}"),
            Err(words) => {
                assert!(code.is_some_and(|code| code > 0), "{names:?} {ca}: {text}");
                assert!(text.contains(words), "{names:?} {ca}: {text}");
                let is_for_a_key = text.contains("configuration file") || text.contains("`key`");
                assert!(!is_for_a_key, "{names:?} {ca}: {text}");
            }
        }
    }
}
