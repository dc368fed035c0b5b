//! The shipped units, checked by systemd's own tools.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The units in a directory of their own, with the binary under test at the path of the package.
fn units(service: &str) -> (tempfile::TempDir, [PathBuf; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["hookgate.service", "hookgate.socket"].map(|name| directory.path().join(name));
    let service = service.replace("/usr/bin/hookgate", env!("CARGO_BIN_EXE_hookgate"));
    std::fs::write(&paths[0], service).unwrap();
    std::fs::write(&paths[1], shipped("hookgate.socket")).unwrap();
    (directory, paths)
}

fn verify(service: &str) -> Output {
    let (_directory, paths) = units(service);
    let mut command = Command::new("systemd-analyze");
    command
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(paths);
    command.output().unwrap()
}

/// The exposure in tenths of points, 0 to 100.
fn exposure(service: &str) -> u32 {
    let (_directory, [path, _]) = units(service);
    let mut command = Command::new("systemd-analyze");
    command
        .args(["security", "--offline=yes", "--no-pager", "--json=off"])
        .arg(path);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let level = text
        .split("Overall exposure level for hookgate.service: ")
        .nth(1)
        .unwrap();
    let level = level.split_whitespace().next().unwrap().replace('.', "");
    level.parse().unwrap()
}

/// I18: systemd knows every key and accepts every value; a mistake would be found.
#[test]
fn systemd_verifies_the_units() {
    let service = shipped("hookgate.service");
    let output = verify(&service);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let mistaken = verify(&service.replace("ProtectClock=yes", "ProtectClok=yes"));
    assert!(
        String::from_utf8_lossy(&mistaken.stderr).contains("ProtectClok"),
        "{mistaken:?}"
    );
}

/// I18: the bound of the exposure is 2.0; without the hardening it is far higher.
#[test]
fn the_exposure_of_the_units_is_low() {
    let service = shipped("hookgate.service");
    assert!(exposure(&service) <= 20, "{}", exposure(&service));
    let (open, _) = service.split_once("DynamicUser=").unwrap();
    assert!(exposure(open) > 80, "{}", exposure(open));
}

/// The units, the packaged configuration and the manual page use the same names and paths.
#[test]
fn units_and_configuration_agree() {
    let (service, socket, configuration) = (
        shipped("hookgate.service"),
        shipped("hookgate.socket"),
        shipped("gateway.toml"),
    );
    let name = socket
        .split("FileDescriptorName=")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    assert!(
        configuration.contains(&format!("\nname = \"{name}\"\n")),
        "no listener takes {name}"
    );
    let port = socket.split("\nListenStream=").nth(1).unwrap().lines().next().unwrap();
    assert!(configuration.contains(&format!("address = \"[::]:{port}\"")));
    let mut credentials = 0;
    for line in service.lines().filter_map(|line| line.strip_prefix("LoadCredential=")) {
        let (credential, path) = line.split_once(':').unwrap();
        assert!(
            configuration.contains(&format!("\"credential:{credential}\"")),
            "{credential} is unused"
        );
        assert_eq!(path, format!("/etc/hookgate/credentials/{credential}"));
        credentials += 1;
    }
    assert_eq!(credentials, configuration.matches("\"credential:").count());
    assert!(credentials >= 3);
}
