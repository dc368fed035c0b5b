//! What `check` says about files of certificates and keys that TLS cannot use, or that senders would not trust. The
//! files are real ones, made with rcgen and openssl.

use crate::support::certificates::{Authority, Certificate};
use crate::support::gateway::binary;
use crate::support::setup::Setup;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Words of the libraries, which no message may have.
const LIBRARY_WORDS: [&str; 11] = [
    "os error",
    "I/O error",
    "KeyMismatch",
    "OtherError",
    "InvalidCharacter",
    "Other(",
    "UnsupportedCertVersion",
    "base64",
    "unexpected error",
    "NoItemsFound",
    "inconsistent",
];

fn openssl(directory: &Path, arguments: &str) {
    let made = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(directory)
        .output();
    let made = made.expect("the openssl command is missing: run `make test-apps` once");
    assert!(
        made.status.success(),
        "{arguments}: {}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// What `check` prints for these two files, and whether the configuration is valid. `route` is a line of the route.
fn check(directory: &Path, certificate: &str, key: &str, route: &str) -> (bool, String) {
    let text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"{certificate}\", key = \"{key}\" }}\n[[route]]\npath = \"/a\"\nprovider = \"github\"\nreplay = {{ window = \"1h\" }}\nsecrets = {{ env = \"S\" }}\nupstream = \"http://127.0.0.1:9\"\n{route}\n"
    );
    let file = directory.join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    let output = binary()
        .args(["check", "--quiet", "--config"])
        .arg(file)
        .env("S", "f00dfeed0123456789abcdef01234567")
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    for words in LIBRARY_WORDS {
        assert!(!text.contains(words), "{words:?} in:\n{text}");
    }
    (output.status.success(), text)
}

/// Writes the files of the tables below.
fn files(directory: &Path) {
    let authority = Authority::new();
    let leaf = authority.issue(&["hooks.example.com", "*.apps.example.com"]);
    leaf.write(directory, "leaf");
    Certificate::new(&["hooks.example.com"]).write(directory, "self");
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).unwrap();
    let root = &authority.certificate.chain_pem;
    write("full.crt", format!("{}{root}", leaf.chain_pem));
    write("reversed.crt", format!("{root}{}", leaf.chain_pem));
    write("cut.crt", leaf.chain_pem[..leaf.chain_pem.len() / 2].to_owned());
    write("cut.key", leaf.key_pem[..leaf.key_pem.len() / 2].to_owned());
    let utf16: Vec<u8> = leaf.chain_pem.encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(directory.join("utf16.crt"), [&[0xff, 0xfe][..], &utf16].concat()).unwrap();
    write("empty.crt", String::new());
    write("text.crt", String::from("not a certificate\n"));
    let expired = authority.issue_with(&["hooks.example.com"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    });
    expired.write(directory, "expired");
    write("expired.crt", format!("{}{root}", expired.chain_pem));
    let early = authority.issue_with(&["hooks.example.com"], |params| {
        params.not_before = rcgen::date_time_ymd(2999, 1, 2);
    });
    early.write(directory, "early");
    write("early.crt", format!("{}{root}", early.chain_pem));
    std::fs::create_dir(directory.join("folder")).unwrap();
    for arguments in [
        "pkcs8 -topk8 -in leaf.key -passout pass:x -out pkcs8.key",
        "ec -in leaf.key -aes128 -passout pass:x -out older.key",
        "pkey -in leaf.key -pubout -out public.key",
        "x509 -in leaf.crt -outform der -out der.crt",
        "pkey -in leaf.key -outform der -out der.key",
        "x509 -in leaf.crt -trustout -out trusted.crt",
        "req -new -key leaf.key -subj /CN=a -out request.csr",
        "x509 -req -in request.csr -signkey leaf.key -out v1.crt",
        "req -x509 -newkey rsa:1024 -nodes -subj /CN=a -keyout rsa.key -out rsa.crt",
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out small.key",
    ] {
        openssl(directory, arguments);
    }
    private(directory);
}

/// Lets only the owner read the files, because `check` warns of a key that everyone can read.
fn private(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        }
    }
}

#[test]
fn check_explains_each_file_that_tls_cannot_use() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    for (certificate, key, words) in [
        (
            "gone.crt",
            "leaf.key",
            &["gone.crt does not exist", "write the path"][..],
        ),
        ("full.crt", "gone.key", &["gone.key does not exist", "write the path"]),
        (
            "gone.crt",
            "gone.key",
            &["gone.crt and ", "gone.key do not exist", "copy the certificate chain"],
        ),
        ("full.crt", "folder", &["folder is a directory", "write the path"]),
        (
            "full.crt",
            "self.key",
            &["do not belong together", "write the key that", "openssl pkey -pubout"],
        ),
        (
            "reversed.crt",
            "leaf.key",
            &["do not belong together", "certificate 2 of", "leaf is first"],
        ),
        (
            "full.crt",
            "pkcs8.key",
            &["encrypted with a passphrase", "openssl pkey -in"],
        ),
        (
            "full.crt",
            "older.key",
            &["encrypted with a passphrase", "openssl pkey -in"],
        ),
        (
            "leaf.key",
            "leaf.crt",
            &["are exchanged", "leaf.crt\"` and `key = \"", "leaf.key\"`"],
        ),
        (
            "full.crt",
            "full.crt",
            &["a certificate and no private key", "privkey.pem"],
        ),
        (
            "leaf.key",
            "leaf.key",
            &["a private key and no certificate", "certificate chain here"],
        ),
        (
            "full.crt",
            "public.key",
            &["a public key", "the private key that belongs"],
        ),
        (
            "full.crt",
            "small.key",
            &["of a kind that TLS cannot use", "openssl genpkey"],
        ),
        (
            "v1.crt",
            "leaf.key",
            &["X.509 version 1", "issue it again", "subjectAltName"],
        ),
        (
            "rsa.crt",
            "rsa.key",
            &["RSA key of 1024 bits", "2048", "openssl genpkey"],
        ),
        ("der.crt", "leaf.key", &["is binary", "openssl x509 -inform der"]),
        ("full.crt", "der.key", &["is binary", "openssl pkey -inform der"]),
        ("trusted.crt", "leaf.key", &["only openssl reads", "openssl x509 -in"]),
        (
            "request.csr",
            "leaf.key",
            &["a certificate request", "that the authority issued"],
        ),
        ("cut.crt", "leaf.key", &["damaged or cut off", "copy the file again"]),
        ("full.crt", "cut.key", &["damaged or cut off", "copy the file again"]),
        ("utf16.crt", "leaf.key", &["UTF-16", "save it again"]),
        ("empty.crt", "leaf.key", &["is empty", "write the path"]),
        (
            "text.crt",
            "leaf.key",
            &["no certificate in PEM", "-----BEGIN CERTIFICATE-----"],
        ),
    ] {
        let (is_valid, text) = check(directory, certificate, key, "");
        assert!(!is_valid && text.contains(" 1 fault"), "{certificate}, {key}:\n{text}");
        for words in words {
            assert!(
                text.contains(words),
                "{certificate}, {key}: {words:?} is not in:\n{text}"
            );
        }
    }
}

#[test]
fn check_warns_of_certificates_that_senders_would_not_trust() {
    const INCOMPLETE: &[&str] = &["is incomplete", "an authority of the tests", "fullchain.pem"];
    const NO_HOST: &[&str] = &["route[0].host: no certificate", "add a certificate"];
    const NONE: &[&str] = &[];
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    for (certificate, key, host, words) in [
        ("full.crt", "leaf.key", "", NONE),
        ("self.crt", "self.key", "", NONE),
        ("leaf.crt", "leaf.key", "", INCOMPLETE),
        (
            "expired.crt",
            "expired.key",
            "",
            &["expired at 2020-01-02T00:00:00Z", "renew it"],
        ),
        (
            "early.crt",
            "early.key",
            "",
            &["not valid before 2999-01-02T00:00:00Z", "clock"],
        ),
        ("full.crt", "leaf.key", "Hooks.example.com", NONE),
        ("full.crt", "leaf.key", "a.apps.example.com", NONE),
        ("full.crt", "leaf.key", "*.apps.example.com", NONE),
        ("full.crt", "leaf.key", "*.example.com", NONE),
        ("full.crt", "leaf.key", "hook.example.com", NO_HOST),
        ("full.crt", "leaf.key", "apps.example.com", NO_HOST),
        ("full.crt", "leaf.key", "a.b.apps.example.com", NO_HOST),
        ("full.crt", "leaf.key", "*.hooks.example.com", NO_HOST),
        ("full.crt", "leaf.key", "127.0.0.1", NO_HOST),
    ] {
        let route = if host.is_empty() {
            String::new()
        } else {
            format!("host = {host:?}")
        };
        let (is_valid, text) = check(directory, certificate, key, &route);
        assert!(is_valid, "{certificate}:\n{text}");
        let warnings = text.matches("warning").count();
        assert_eq!(
            warnings,
            usize::from(!words.is_empty()),
            "{certificate}, {host}:\n{text}"
        );
        for words in words {
            assert!(
                text.contains(words),
                "{certificate}, {host}: {words:?} is not in:\n{text}"
            );
        }
    }
    // An authority with the same name and another key is not the issuer, if the certificate names the key.
    let leaf = Authority::new().issue_with(&["hooks.example.com"], |params| {
        params.use_authority_key_identifier_extension = true;
    });
    leaf.write(directory, "named");
    let other = Authority::new().certificate.chain_pem;
    std::fs::write(directory.join("named.crt"), format!("{}{other}", leaf.chain_pem)).unwrap();
    let (_, text) = check(directory, "named.crt", "named.key", "");
    assert!(text.contains("is incomplete"), "{text}");
}

/// Every listener serves every route, so a certificate of another listener helps no sender.
#[test]
fn the_certificates_of_each_listener_are_judged_by_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    Certificate::new(&["internal.example.com"]).write(directory, "internal");
    private(directory);
    let text = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"full.crt\", key = \"leaf.key\" }\n\
        client_auth = { ca = \"expired.crt\" }\n\
        [[listen]]\nname = \"inner\"\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"internal.crt\", key = \"internal.key\" }\n\
        [[listen]]\nname = \"behind\"\naddress = \"127.0.0.1:0\"\nplaintext = true\n\
        [[route]]\npath = \"/a\"\nhost = \"hooks.example.com\"\nprovider = \"github\"\nsecrets = { env = \"S\" }\nupstream = \"app\"\n\
        [upstreams.app]\nurl = \"https://127.0.0.1:9\"\nca = \"self.crt\"\nclient = { certificate = \"expired.crt\", key = \"expired.key\" }\n";
    let file = directory.join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    let output = binary()
        .args(["check", "--quiet", "--config"])
        .arg(&file)
        .env("S", "f00dfeed0123456789abcdef01234567")
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    for words in [
        "route[0].host: no certificate of `listen[1]` is for `hooks.example.com`",
        "`listen[1].tls`",
        "expired at 2020-01-02T00:00:00Z, so no certificate that it signed is accepted",
        "upstreams.app.client",
        "so the application will not trust it",
    ] {
        assert_eq!(text.matches(words).count(), 1, "{words:?}:\n{text}");
    }
    assert!(!text.contains("`listen[0]`") && !text.contains("`listen[2]`"), "{text}");
}

#[test]
fn serve_says_once_that_a_certificate_has_expired() {
    let directory = tempfile::tempdir().unwrap();
    files(directory.path());
    let certificate = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let setup = Setup::new("http://127.0.0.1:9").expecting_readiness(200);
    std::fs::write(setup.directory().join("tls.crt"), certificate("expired.crt")).unwrap();
    std::fs::write(setup.directory().join("tls.key"), certificate("expired.key")).unwrap();
    let gateway = setup.start();
    let log = gateway.logs.text();
    assert_eq!(log.matches("expired").count(), 1, "{log}");
}
