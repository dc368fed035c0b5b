//! The container images: their recipes are linted and equal where they must be, their build context is checked, and the
//! image FROM scratch is built without an engine and run by runc as Kubernetes would run it.

use crate::support::apps::installed;
use crate::support::logs::{self, Logs};
use crate::support::paddle::SECRET;
use crate::support::tools::{copy, repository, run, succeeds, tool};
use crate::support::upstream::answer;
use crate::support::wait::eventually;
use crate::support::{Client, Upstream, Webhook};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const NOBODY: u32 = 65532;

/// The lines of a recipe from the last `FROM` on, without the copy of the files.
fn last_stage(recipe: &str) -> Vec<String> {
    let text = fs::read_to_string(repository(recipe)).unwrap();
    let from = text.rfind("\nFROM ").unwrap() + 1;
    let lines = text[from..].lines().filter(|line| !line.starts_with("COPY "));
    lines.map(str::to_owned).collect()
}

/// hadolint reports nothing, and the image around an existing binary equals the last stage of the whole recipe.
#[test]
fn the_recipes_are_clean_and_agree() {
    let mut hadolint = tool("venv/bin/hadolint");
    hadolint.arg("--failure-threshold=style");
    for recipe in [
        "container/Dockerfile",
        "container/Dockerfile.prebuilt",
        "compose/application.Dockerfile",
    ] {
        hadolint.arg(repository("deploy").join(recipe));
    }
    assert_eq!(succeeds(&mut hadolint, b""), "");

    let whole = last_stage("deploy/container/Dockerfile");
    assert!(whole.len() > 10 && whole[0] == "FROM scratch AS static", "{whole:?}");
    assert_eq!(whole, last_stage("deploy/container/Dockerfile.prebuilt"));
    let version = format!("ARG VERSION={}", env!("CARGO_PKG_VERSION"));
    assert!(whole.contains(&version), "{whole:?}");
}

/// `.dockerignore` lets through what cargo needs and nothing else.
#[test]
fn the_build_context_is_the_source_alone() {
    let work = Work::new();
    // A copy of the repository's top level, with files that must be ignored.
    let tree = work.path("tree");
    for path in ["src", "benches", "docs", ".config"] {
        copy(&repository(path), &tree.join(path));
    }
    for path in [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        ".dockerignore",
    ] {
        fs::copy(repository(path), tree.join(path)).unwrap();
    }
    if repository("build.rs").exists() {
        fs::copy(repository("build.rs"), tree.join("build.rs")).unwrap();
    }
    fs::write(tree.join("secret.env"), "SECRET=1").unwrap();
    let out = work.path("out");
    // The stage before the first compilation; it needs nothing of its base image.
    let mut build = work.buildah(&["build", "--target=source", "--build-arg=RUST_IMAGE=scratch"]);
    build.arg("--output").arg(format!("type=local,dest={}", out.display()));
    build
        .arg("--file")
        .arg(repository("deploy/container/Dockerfile"))
        .arg(&tree);
    succeeds(&mut build, b"");
    let mut names: Vec<String> = fs::read_dir(out.join("source"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    // cargo finds a build script by its name: without the file cargo would build without it and report nothing.
    let script = repository("build.rs").exists().then_some("build.rs");
    let source = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "benches",
    ];
    let expected: Vec<&str> = source.into_iter().chain(script).chain(["src"]).collect();
    assert_eq!(names, expected);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version=1",
        "--manifest-path",
    ]);
    succeeds(cargo.arg(out.join("source/Cargo.toml")), b"");
}

/// I16: the image FROM scratch with the static binary serves a signed webhook as an unprivileged user on a read-only
/// root, in namespaces of its own, answers its health check, and drains on SIGTERM.
#[test]
fn the_image_from_scratch_serves() {
    let work = Work::new();
    let context = work.path("context");
    fs::create_dir_all(context.join("etc/ssl/certs")).unwrap();
    fs::copy(installed("static/hookgate"), context.join("hookgate")).unwrap();
    fs::copy(
        "/etc/ssl/certs/ca-certificates.crt",
        context.join("etc/ssl/certs/ca-certificates.crt"),
    )
    .unwrap();
    let recipe = repository("deploy/container/Dockerfile.prebuilt");
    // Docker's own format, because OCI's has no field for a health check.
    let mut build = work.buildah(&[
        "build",
        "--isolation",
        "chroot",
        "--format",
        "docker",
        "--tag",
        "hookgate",
    ]);
    succeeds(
        build
            .args(["--build-arg", "REVISION=abc", "--file"])
            .arg(recipe)
            .arg(&context),
        b"",
    );
    let described = succeeds(&mut work.buildah(&["inspect", "--type", "image", "hookgate"]), b"");
    let described: Value = serde_json::from_str(&described).unwrap();
    let settings = &described["Docker"]["config"];
    assert_eq!(
        settings["Healthcheck"]["Test"],
        json!(["CMD", "/hookgate", "healthcheck"]),
        "{settings:#}"
    );
    assert_eq!(settings["User"], "65532:65532");
    assert_eq!(settings["Labels"]["org.opencontainers.image.revision"], "abc");
    let layout = work.path("layout");
    let push = format!("oci:{}:hookgate", layout.display());
    succeeds(&mut work.buildah(&["push", "hookgate", &push]), b"");
    let bundle = work.path("bundle");
    let mut unpack = as_root("umoci");
    unpack
        .args(["unpack", "--image"])
        .arg(format!("{}:hookgate", layout.display()))
        .arg(&bundle);
    succeeds(&mut unpack, b"");

    // The mounts of a pod: the configuration, and a directory for the sockets on both sides.
    let sockets = work.path("run");
    fs::create_dir(&sockets).unwrap();
    chown(&sockets, Some(NOBODY), Some(NOBODY)).unwrap();
    let upstream = Upstream::unix(&sockets.join("application.sock"), |request, connection| {
        connection.send(&answer("200 OK", &[], &request.body))
    });
    fs::set_permissions(sockets.join("application.sock"), fs::Permissions::from_mode(0o666)).unwrap();
    let configuration = work.path("configuration");
    fs::create_dir(&configuration).unwrap();
    fs::write(configuration.join("gateway.toml"), CONFIGURATION).unwrap();
    fs::write(configuration.join("secret"), SECRET).unwrap();
    let hosts = work.path("hosts");
    fs::write(&hosts, "127.0.0.1 localhost application.internal\n").unwrap();

    let mut container = Container::start(
        &work,
        &bundle,
        &[(&configuration, "/etc/hookgate"), (&hosts, "/etc/hosts")],
        &sockets,
    );
    eventually("the container to be healthy", || container.healthy().then_some(()));
    let socket = sockets.join("hookgate.sock");
    let response = Client::unix(&socket).exchange(&Webhook::new("genuine").bytes());
    assert_eq!((response.status, response.body.as_slice()), (200, &b"genuine"[..]));
    let forged = Webhook::new("forged").signature(Some("ts=1;h1=00"));
    assert_eq!(Client::unix(&socket).exchange(&forged.bytes()).status, 401);
    assert_eq!(upstream.requests().len(), 1);
    // The resolver of the C library works without its shared parts: the name resolves to the admin listener, which does
    // not have the path.
    let named = Client::unix(&socket).exchange(&Webhook::new("named").path("/named").bytes());
    assert_eq!(named.status, 404, "{named:?}");
    assert!(String::from_utf8_lossy(&named.body).contains("/readyz"), "{named:?}");

    container.is_confined();
    container.signal("TERM");
    assert_eq!(container.wait_for_exit(), Some(0), "{}", container.logs.text());
}

const CONFIGURATION: &str = r#"
[listen]
unix = "/run/hookgate/hookgate.sock"
mode = "0666"
plaintext = true

[[route]]
path = "/webhooks/paddle"
provider = "paddle"
tolerance = "60s"
secrets = [{ file = "/etc/hookgate/secret" }]
upstream = "unix:/run/hookgate/application.sock"

[[route]]
path = "/named"
provider = "paddle"
tolerance = "60s"
secrets = [{ file = "/etc/hookgate/secret" }]
upstream = "http://application.internal:9464"
"#;

/// Only root builds without user namespaces and starts containers; other users need sudo, as for the installation of
/// the packages.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// A directory for one test, with an image store of its own.
struct Work {
    directory: tempfile::TempDir,
}

impl Work {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The unprivileged user inside must be able to enter.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn buildah(&self, arguments: &[&str]) -> Command {
        let mut command = as_root("buildah");
        command
            .arg("--storage-driver=vfs")
            .arg("--root")
            .arg(self.path("store"));
        command.arg("--runroot").arg(self.path("store-run")).args(arguments);
        command
    }
}

/// A container that runc runs; killed and deleted on drop.
struct Container {
    child: Child,
    logs: Logs,
    state: PathBuf,
}

impl Container {
    /// Runs an unpacked image as a pod with the chart's security context would.
    fn start(work: &Work, bundle: &Path, files: &[(&PathBuf, &str)], sockets: &Path) -> Self {
        let file = bundle.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(config["process"]["user"]["uid"], NOBODY, "the image's own user");
        assert_eq!(config["process"]["args"], json!(["/hookgate", "serve"]));
        config["process"]["terminal"] = json!(false);
        config["process"]["noNewPrivileges"] = json!(true);
        for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
            config["process"]["capabilities"][set] = json!([]);
        }
        config["root"]["readonly"] = json!(true);
        let mounts = config["mounts"].as_array_mut().unwrap();
        for (from, to) in files {
            mounts.push(json!({ "destination": to, "source": from, "type": "bind", "options": ["bind", "ro", "nosuid", "nodev"] }));
        }
        mounts.push(
            json!({ "destination": "/run/hookgate", "source": sockets, "type": "bind", "options": ["bind", "rw"] }),
        );
        fs::write(&file, config.to_string()).unwrap();

        let state = work.path("runc");
        let mut command = as_root("runc");
        command
            .arg("--root")
            .arg(&state)
            .args(["run", "--bundle"])
            .arg(bundle)
            .arg("hookgate");
        let (child, logs) = logs::spawn(&mut command);
        Self { child, logs, state }
    }

    fn runc(&self, arguments: &[&str]) -> Command {
        let mut command = as_root("runc");
        command.arg("--root").arg(&self.state).args(arguments);
        command
    }

    /// Runs the image's own health check inside the container.
    fn healthy(&mut self) -> bool {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the container ended with {status}:\n{}", self.logs.text());
        }
        run(&mut self.runc(&["exec", "hookgate", "/hookgate", "healthcheck"]), b"")
            .status
            .success()
    }

    /// Checks the restrictions of the process as the kernel reports them.
    fn is_confined(&self) {
        let state: Value = serde_json::from_str(&succeeds(&mut self.runc(&["state", "hookgate"]), b"")).unwrap();
        let process = PathBuf::from(format!("/proc/{}", state["pid"]));
        let status = fs::read_to_string(process.join("status")).unwrap();
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.split_whitespace().collect::<Vec<_>>()
        };
        assert_eq!(value("Uid:"), ["65532"; 4]);
        assert_eq!(value("Gid:"), ["65532"; 4]);
        assert_eq!(value("CapEff:"), ["0000000000000000"]);
        assert_eq!(value("NoNewPrivs:"), ["1"]);
        let mounts = fs::read_to_string(process.join("mountinfo")).unwrap();
        let root = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields[4] == "/");
        assert!(root.unwrap()[5].split(',').any(|option| option == "ro"), "{mounts}");
    }

    fn signal(&self, signal: &str) {
        succeeds(&mut self.runc(&["kill", "hookgate", signal]), b"");
    }

    fn wait_for_exit(&mut self) -> Option<i32> {
        let child = &mut self.child;
        eventually("the end of the container", || child.try_wait().unwrap()).code()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self
            .runc(&["delete", "--force", "hookgate"])
            .stderr(Stdio::null())
            .status();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- the container's lines ---\n{}", self.logs.text());
        }
    }
}
