//! The package under a real systemd: booted as the first process of a container that sees this machine's `/usr` with
//! the package laid over it, an empty `/etc` and a network of its own. The steps inside are in `boot/scenario.sh`.

use super::package;
use crate::support::wait::within;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The container; killed on drop.
struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Units that exist for the scenario only, in `/etc/systemd/system`.
const UNITS: [(&str, &str); 3] = [
    (
        "scenario.service",
        "[Unit]\nSuccessAction=exit-force\nFailureAction=exit-force\n[Service]\nType=oneshot\n\
         ExecStart=/run/scenario/scenario.sh\nStandardOutput=append:/run/scenario/output\nStandardError=inherit\n\
         TimeoutStartSec=150s\n",
    ),
    ("upstream.socket", "[Socket]\nListenStream=127.0.0.1:8000\nAccept=yes\n"),
    (
        "upstream@.service",
        "[Service]\nExecStart=/run/scenario/answer.sh\nStandardInput=socket\n",
    ),
];

/// I18, I08: readiness, sandbox, credentials, reload, restart under load, start by the socket, watchdog, exit code 2.
#[test]
fn systemd_runs_the_package() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let root = path("root");
    let unpacked = Command::new("dpkg-deb")
        .arg("-x")
        .arg(package::build(directory.path()))
        .arg(&root)
        .status();
    assert!(unpacked.unwrap().success());
    package::credentials(&root.join("etc/hookgate/credentials"));
    let scenario = path("scenario");
    fs::create_dir(&scenario).unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/deploy/systemd/boot");
    for script in ["scenario.sh", "answer.sh"] {
        fs::copy(scripts.join(script), scenario.join(script)).unwrap();
    }

    let mut command = Command::new("systemd-nspawn");
    // This also works where the machine itself still uses the older cgroup hierarchy.
    command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
    command.args(["--quiet", "--directory=/", "--volatile=yes", "--boot", "--console=pipe"]);
    command.args(["--register=no", "--keep-unit", "--private-network"]);
    command.arg(format!("--machine=hookgate-test-{}", std::process::id()));
    command.arg(format!("--overlay-ro=/usr:{}:/usr", root.join("usr").display()));
    command.arg(format!("--bind={}:/etc/hookgate", root.join("etc/hookgate").display()));
    command.arg(format!("--bind={}:/run/scenario", scenario.display()));
    for (name, unit) in UNITS {
        fs::write(path(name), unit).unwrap();
        command.arg(format!("--bind-ro={}:/etc/systemd/system/{name}", path(name).display()));
    }
    command.args(["systemd.unit=scenario.service", "systemd.firstboot=off"]);
    let console = File::create(path("console")).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(console.try_clone().unwrap())
        .stderr(console);
    let mut container = Container(command.spawn().unwrap());
    let output = || fs::read_to_string(scenario.join("output")).unwrap_or_default();
    let printed = || format!("{}\n{}", fs::read_to_string(path("console")).unwrap(), output());
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        within(Duration::from_secs(100), "the end of the scenario", || {
            container.0.try_wait().unwrap()
        })
    }));
    assert!(
        ended.is_ok() && output().ends_with("all steps passed\n"),
        "{}",
        printed()
    );
}
