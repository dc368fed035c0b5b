//! Runs a test in Linux namespaces of its own: a network with only a loopback interface, and an `/etc/resolv.conf` that
//! names a server of the test. The test's process starts itself again inside; its child processes are in the same
//! namespaces.

use std::process::{Command, Stdio};

/// The variable that is set inside.
const INSIDE: &str = "HOOKGATE_TEST_INSIDE";

/// Prepares the namespaces before the test continues: loopback, a resolver at 127.0.0.1 that is asked once with a
/// timeout of two seconds, and host names from the file and from DNS only.
const PREPARE: &str = r#"
set -e
ip link set lo up
printf 'nameserver 127.0.0.1\noptions timeout:2 attempts:1\n' > "$SCRATCH/resolv.conf"
mount --bind "$SCRATCH/resolv.conf" /etc/resolv.conf
if [ -e /etc/nsswitch.conf ]; then
  echo 'hosts: files dns' > "$SCRATCH/nsswitch.conf"
  mount --bind "$SCRATCH/nsswitch.conf" /etc/nsswitch.conf
fi
exec "$@"
"#;

/// Runs `body` inside. `test` is the full name of the calling test.
pub(crate) fn inside(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--fork", "--kill-child"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args(["sh", "-c", PREPARE, "sh"])
        .arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command
        .env("SCRATCH", scratch.path())
        .env(INSIDE, "1")
        .stdin(Stdio::null());
    let output = command
        .output()
        .expect("util-linux is missing: run `make test-apps` once");
    let printed = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "inside the namespace:\n{printed}");
    assert!(
        printed.contains("1 passed"),
        "`{test}` is not the test's name:\n{printed}"
    );
}
