//! Uploads of real clients that are answered before the body was read: the client shows the answer, not an error of the
//! connection. The clients are curl, Node and Python's httpx.

use crate::support::apps::installed;
use crate::support::tools::{repository, run, succeeds};
use crate::support::{Gateway, Setup, Upstream, assert_invariants};
use std::path::Path;
use std::process::Command;

const TRIES: usize = 20;
/// Below the bound of what is discarded, and more than one window of flow control.
const SIZES: [usize; 2] = [100 * 1024, 900 * 1024];

/// A gateway, and uploads without a signature.
struct Uploads {
    upstream: Upstream,
    gateway: Gateway,
}

impl Uploads {
    fn new() -> Self {
        let upstream = Upstream::ok();
        let gateway = Setup::new(&upstream.url()).start();
        Self { upstream, gateway }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/webhooks/paddle", self.gateway.tls().port())
    }

    fn certificate(&self) -> std::path::PathBuf {
        self.gateway.setup.directory().join("tls.crt")
    }

    /// Runs a script that sends [`TRIES`] uploads of each size over both versions, and prints a line for each.
    fn every_answer_is_shown(mut self, program: &Path, script: &str) {
        for version in ["http2", "http1"] {
            for bytes in SIZES {
                let mut command = Command::new(program);
                command.arg(repository(script)).arg(version).arg(self.url());
                command.arg(self.certificate());
                command.args([bytes.to_string(), TRIES.to_string()]);
                let printed = succeeds(command.env("PYTHONDONTWRITEBYTECODE", "1"), b"");
                let lines: Vec<&str> = printed.lines().collect();
                assert_eq!(lines, ["401 signature_missing"; TRIES], "{version}, {bytes} bytes");
            }
        }
        self.nothing_was_forwarded();
    }

    fn nothing_was_forwarded(&mut self) {
        self.upstream.assert_untouched();
        assert_invariants(&mut self.gateway, &self.upstream);
    }
}

/// Debian's curl 7.88 reports a framing error when a reset follows the answer.
#[test]
fn curl_shows_an_early_refusal() {
    let mut uploads = Uploads::new();
    for version in ["--http2", "--http1.1"] {
        for (bytes, answer) in [(SIZES[0], "401"), (SIZES[1], "401"), (5 << 20, "413")] {
            for number in 1..=TRIES {
                let mut curl = Command::new("curl");
                curl.args(["--silent", "--show-error", "--noproxy", "*", version, "--cacert"])
                    .arg(uploads.certificate())
                    .args(["--output", "/dev/null", "--write-out", "%{http_version} %{http_code}"])
                    .args(["--data-binary", "@-"])
                    .arg(uploads.url());
                let output = run(&mut curl, &vec![b'x'; bytes]);
                let shown = String::from_utf8_lossy(&output.stdout).into_owned();
                let error = String::from_utf8_lossy(&output.stderr);
                let expected = format!("{} {answer}", version.trim_start_matches("--http"));
                assert_eq!(
                    (output.status.code(), shown),
                    (Some(0), expected),
                    "upload {number} of {bytes} bytes: {error}"
                );
            }
        }
    }
    uploads.nothing_was_forwarded();
}

#[test]
fn node_shows_an_early_refusal() {
    Uploads::new().every_answer_is_shown(Path::new("node"), "tests/apps/node/refused.cjs");
}

#[test]
fn httpx_shows_an_early_refusal() {
    Uploads::new().every_answer_is_shown(&installed("venv/bin/python"), "tests/apps/python/refused.py");
}
