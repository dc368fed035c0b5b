//! `credential:NAME` instead of a path.

use super::{Fixture, SECRET};

const TABLES: &str = r#"
[listen]
address = "0.0.0.0:8443"
tls = { certificate = "credential:tls.crt", key = "credential:tls.key" }

[[route]]
path = "/webhooks/paddle"
provider = "paddle"
secrets = [{ env = "PADDLE_WEBHOOK_SECRET" }, { file = "credential:next" }]
upstream = { url = "http://127.0.0.1:8000", headers = { X-A = "credential:next", X-B = { file = "credential:next" } } }
"#;

/// CASES I18: secrets, certificates and header values come from the service manager's directory. A literal value stays
/// literal.
#[test]
fn credentials_are_files_of_the_credentials_directory() {
    let fixture = Fixture::new(TABLES);
    let directory = fixture.path("").display().to_string();
    let fixture = fixture.variable("CREDENTIALS_DIRECTORY", directory.trim_end_matches('/'));
    fixture.write_private("next", format!("{SECRET}-next\n").as_bytes());
    let loaded = fixture.inspect().unwrap_or_else(|faults| panic!("{faults}"));
    let shown = fixture.printed().to_string();
    for file in ["tls.crt", "tls.key", "next"] {
        let path = fixture.path(file);
        assert!(
            loaded.files.contains(&path),
            "{} is not watched: {:?}",
            path.display(),
            loaded.files
        );
        assert!(shown.contains(path.to_str().unwrap()), "{shown}");
    }
    assert!(
        shown.contains(r#""name":"next""#),
        "the secret has the name of the credential: {shown}"
    );
    let headers: Vec<_> = loaded.config.routes[0]
        .upstream
        .headers
        .iter()
        .map(|(_, value)| value.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(headers, ["credential:next".to_owned(), format!("{SECRET}-next")]);
}

/// A person who runs `check` has no variable; the files are where the unit of the package loads them from.
#[test]
fn without_the_variable_credentials_are_beside_the_configuration() {
    let fixture = Fixture::new(TABLES);
    std::fs::create_dir(fixture.path("credentials")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        std::fs::rename(fixture.path(file), fixture.path("credentials").join(file)).unwrap();
    }
    fixture.write_private("credentials/next", format!("{SECRET}-next\n").as_bytes());
    let loaded = fixture.inspect().unwrap_or_else(|faults| panic!("{faults}"));
    assert!(loaded.files.contains(&fixture.path("credentials/tls.key")));
    // The variable comes first.
    let faults = fixture.variable("CREDENTIALS_DIRECTORY", "/nonexistent").faults();
    assert!(faults.to_string().contains("/nonexistent/tls.crt"), "{faults}");
}

/// Each credential is one fault at its key, without further faults.
#[test]
fn without_the_directory_each_credential_is_a_fault_with_its_fix() {
    let faults = Fixture::new(TABLES).faults();
    let keys: Vec<&str> = faults.faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "listen.tls.certificate",
            "listen.tls.key",
            "route.secrets[1].file",
            "route.upstream.headers.X-B.file"
        ]
        .map(|key| key.replace("route.", "route[0].")),
        "{faults}"
    );
    assert!(faults.to_string().contains("LoadCredential=tls.key:/path"), "{faults}");
}

#[test]
fn the_name_of_a_credential_is_a_file_name() {
    for name in ["", "..", "../../etc/shadow", "a/b", "a b", "/etc/shadow"] {
        let fixture = Fixture::minimal("", "")
            .variable("CREDENTIALS_DIRECTORY", "/run/credentials/hookgate.service")
            .option("route.0.secrets.0.file", &format!("credential:{name}"))
            .option("route.0.secrets.0.env", "PADDLE_WEBHOOK_SECRET");
        let faults = fixture.faults();
        assert!(
            faults.faults.len() == 1 && faults.to_string().contains("not the name of a credential"),
            "{name}: {faults}"
        );
    }
}

#[test]
fn a_missing_credential_is_reported_with_its_path() {
    let faults = Fixture::minimal("", "")
        .variable("CREDENTIALS_DIRECTORY", "/nonexistent/credentials")
        .option("route.0.secrets", "{ file = \"credential:paddle\" }")
        .faults();
    assert!(
        faults.faults.len() == 1 && faults.to_string().contains("/nonexistent/credentials/paddle"),
        "{faults}"
    );
}
