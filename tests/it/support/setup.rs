//! A configuration file in a temporary directory: two listeners (plain and TLS) and an admin listener on ports that the
//! system chooses, one Paddle route, and the lines that a test adds to each table.

use super::certificates::Certificate;
use super::gateway::Gateway;
use super::paddle::{PATH, SECRET};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The configuration to start a gateway with.
pub(crate) struct Setup {
    directory: TempDir,
    pub(crate) certificate: Certificate,
    top: String,
    listener: String,
    admin: String,
    log: String,
    limits: String,
    drain: String,
    replay: String,
    secrets: String,
    route: String,
    upstream: String,
    more: String,
    replacements: Vec<(String, String)>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) descriptors: Option<u32>,
    /// The status of `/readyz` to wait for at the start.
    pub(super) readiness: u16,
}

impl Setup {
    /// One route `paddle` on [`PATH`] to `upstream` (see [`super::Upstream::url`]), whose secret is [`SECRET`]. The
    /// tolerance is a minute, because a loaded machine may take more than Paddle's five seconds between two lines of a
    /// test; the tests of the default set it back with `tolerance(None)`.
    pub(crate) fn new(upstream: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certificate = Certificate::new(&["localhost"]);
        certificate.write(directory.path(), "tls");
        Self {
            directory,
            certificate,
            top: String::new(),
            listener: String::new(),
            admin: String::new(),
            log: r#"format = "json""#.into(),
            limits: String::new(),
            drain: String::new(),
            replay: String::new(),
            secrets: r#"{ env = "PADDLE_WEBHOOK_SECRET", name = "current" }"#.into(),
            route: r#"tolerance = "60s""#.into(),
            upstream: format!("{upstream:?}"),
            more: String::new(),
            replacements: Vec::new(),
            environment: vec![("PADDLE_WEBHOOK_SECRET".into(), SECRET.into())],
            descriptors: None,
            readiness: 200,
        }
    }

    /// Lines before the first table.
    pub(crate) fn top(mut self, lines: &str) -> Self {
        push(&mut self.top, lines);
        self
    }

    /// Lines of the plain listener's table.
    pub(crate) fn listener(mut self, lines: &str) -> Self {
        push(&mut self.listener, lines);
        self
    }

    /// Lines of `[log]`, in place of `format = "json"`.
    pub(crate) fn log(mut self, lines: &str) -> Self {
        self.log = lines.to_owned();
        self
    }

    /// Lines of `[limits]`.
    pub(crate) fn limits(mut self, lines: &str) -> Self {
        push(&mut self.limits, lines);
        self
    }

    /// Lines of `[drain]`.
    pub(crate) fn drain(mut self, lines: &str) -> Self {
        push(&mut self.drain, lines);
        self
    }

    /// Lines of `[replay]`.
    pub(crate) fn replay(mut self, lines: &str) -> Self {
        push(&mut self.replay, lines);
        self
    }

    /// Lines of the route's table, except its tolerance.
    pub(crate) fn route(mut self, lines: &str) -> Self {
        push(&mut self.route, lines);
        self
    }

    /// The route's tolerance; `None` leaves the provider's default.
    pub(crate) fn tolerance(mut self, tolerance: Option<&str>) -> Self {
        let rest: Vec<&str> = self
            .route
            .lines()
            .filter(|line| !line.starts_with("tolerance"))
            .collect();
        self.route = rest.join("\n");
        if let Some(tolerance) = tolerance {
            push(&mut self.route, &format!("tolerance = {tolerance:?}"));
        }
        self
    }

    /// The route's secrets, in order, in place of [`SECRET`]; each gets the name `secret-N`.
    pub(crate) fn secrets(mut self, secrets: &[&str]) -> Self {
        let mut entries = Vec::new();
        for (at, secret) in secrets.iter().enumerate() {
            entries.push(format!(r#"{{ env = "PADDLE_SECRET_{at}", name = "secret-{at}" }}"#));
            self = self.variable(&format!("PADDLE_SECRET_{at}"), secret);
        }
        self.secrets = entries.join(", ");
        self
    }

    /// The route's secrets as the file writes them.
    pub(crate) fn secret_list(mut self, entries: &str) -> Self {
        self.secrets = entries.into();
        self
    }

    /// The route's upstream as a list.
    pub(crate) fn upstreams(self, urls: &[String]) -> Self {
        self.upstream_text(&format!("{urls:?}"))
    }

    /// The route's upstream as written in the file: a text in quotes, a list or a table.
    pub(crate) fn upstream_text(mut self, text: &str) -> Self {
        self.upstream = text.to_owned();
        self
    }

    /// Lines of `[admin]`.
    pub(crate) fn admin(mut self, lines: &str) -> Self {
        push(&mut self.admin, lines);
        self
    }

    /// The route's upstream as a table: `url` and the given lines, comma-separated.
    pub(crate) fn upstream(mut self, settings: &str) -> Self {
        self.upstream = format!("{{ url = {}, {settings} }}", self.upstream);
        self
    }

    /// Any other text, at the end of the file (more routes).
    pub(crate) fn more(mut self, text: &str) -> Self {
        push(&mut self.more, text);
        self
    }

    /// Replaces a text of the file.
    pub(crate) fn replacing(mut self, text: &str, by: &str) -> Self {
        self.replacements.push((text.to_owned(), by.to_owned()));
        self
    }

    /// A variable of the gateway's environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The limit of open files of the process.
    pub(crate) fn descriptors(mut self, limit: u32) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// Waits for this status of `/readyz` at the start, in place of 200.
    pub(crate) fn expecting_readiness(mut self, status: u16) -> Self {
        self.readiness = status;
        self
    }

    /// A certificate that is valid for so many days, in files of this name.
    pub(crate) fn certificate(mut self, name: &str, days: u64) -> Self {
        self.certificate = Certificate::expiring(&["localhost"], days);
        self.certificate.write(self.directory(), name);
        self.replacements.push(("/tls.".into(), format!("/{name}.")));
        self
    }

    /// The directory that holds `gateway.toml`, `tls.crt` and `tls.key`.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory().join("gateway.toml")
    }

    /// Writes the file; also used again after a change, for a reload.
    pub(crate) fn write(&self) {
        std::fs::write(self.file(), self.text()).unwrap();
    }

    /// Starts the binary and waits until it is ready.
    pub(crate) fn start(self) -> Gateway {
        self.write();
        Gateway::start(self)
    }

    fn text(&self) -> String {
        let Self {
            top,
            listener,
            admin,
            log,
            limits,
            drain,
            replay,
            secrets,
            route,
            upstream,
            more,
            replacements,
            ..
        } = self;
        let directory = self.directory().display();
        let text = format!(
            r#"{top}

[[listen]]
name = "plain"
address = "127.0.0.1:0"
plaintext = true
{listener}

[[listen]]
name = "tls"
address = "127.0.0.1:0"
tls = {{ certificate = "{directory}/tls.crt", key = "{directory}/tls.key" }}

[admin]
address = "127.0.0.1:0"
{admin}

[log]
{log}

[limits]
{limits}

[drain]
{drain}

[replay]
{replay}

[[route]]
name = "paddle"
path = "{PATH}"
provider = "paddle"
secrets = [{secrets}]
upstream = {upstream}
{route}

{more}
"#
        );
        replacements
            .iter()
            .fold(text, |text, (from, to)| text.replace(from, to))
    }
}

fn push(text: &mut String, lines: &str) {
    text.push('\n');
    text.push_str(lines);
}
