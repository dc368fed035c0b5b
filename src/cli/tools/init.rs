//! `hookgate init`: writes a configuration file with one route and comments, and shows how to try it.

use super::sample_route::{self, Application, CUSTOM};
use crate::cli::terminal;
use crate::cli::{CommandResult, Failure, inputs};
use crate::gateway::diagnosis::secret_place;
use crate::scheme::{facts, presets};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InitArguments {
    /// Provider of the webhooks, or custom; asked for on a terminal
    #[arg(long, value_name = "NAME", value_parser = inputs::provider_names())]
    provider: Option<String>,
    /// URL of the application, such as localhost:3000; asked for on a terminal
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Path at which the provider calls; by default /webhooks/ and the provider's name
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Host name at which the provider calls
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Environment variable that will hold the secret or the public key
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
    /// Address of the listener
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443", value_parser = inputs::listener_address)]
    listen: std::net::SocketAddr,
    /// Certificate chain in PEM
    #[arg(long, value_name = "FILE", default_value = "/etc/hookgate/tls/tls.crt")]
    certificate: String,
    /// Private key of the certificate in PEM
    #[arg(long, value_name = "FILE", default_value = "/etc/hookgate/tls/tls.key")]
    certificate_key: String,
    /// Without TLS, behind a proxy on this machine that terminates it
    #[arg(long, conflicts_with_all = ["certificate", "certificate_key"])]
    plaintext: bool,
    /// File to write, or - for standard output
    #[arg(long, short, value_name = "FILE", default_value = "gateway.toml")]
    output: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Writes the file and prints the next steps.
pub(in crate::cli) fn run(arguments: &InitArguments) -> CommandResult {
    let provider = answer(
        arguments.provider.as_deref(),
        "--provider",
        "Provider (`hookgate providers` lists them)",
        "",
    )?;
    sample_route::check_provider(&provider).map_err(Failure::Usage)?;
    let to = answer(
        arguments.to.as_deref(),
        "--to",
        "URL of the application",
        "localhost:3000",
    )?;
    let plan = Plan {
        application: Application::parse(&to).map_err(Failure::Usage)?,
        variable: arguments
            .secret_env
            .clone()
            .unwrap_or_else(|| sample_route::variable(&provider)),
        path: arguments
            .path
            .clone()
            .unwrap_or_else(|| format!("/webhooks/{provider}")),
        provider,
        arguments,
    };
    let text = plan.configuration();
    if arguments.output == Path::new("-") {
        terminal::emit(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    write(&arguments.output, &text, arguments.force)?;
    terminal::emit(&plan.next_steps())?;
    Ok(ExitCode::SUCCESS)
}

/// The value of an option, or what the user types for it on a terminal.
fn answer(given: Option<&str>, option: &str, question: &str, default: &str) -> Result<String, Failure> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::Usage(format!(
            "{option} is missing; write it like `hookgate init --provider stripe --to localhost:3000`"
        )));
    }
    let shown = if default.is_empty() {
        String::new()
    } else {
        format!(" [{default}]")
    };
    let mut line = String::new();
    // The question goes to standard error, so that the output can be redirected.
    let asked = write!(io::stderr(), "{question}{shown}: ").and_then(|()| io::stdin().lock().read_line(&mut line));
    asked.map_err(|error| Failure::Failed(format!("cannot read the answer: {error}")))?;
    let line = line.trim();
    Ok(if line.is_empty() { default } else { line }.to_owned())
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create(force).create_new(!force).truncate(force);
    match options.open(path).and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::Usage(format!(
            "{} exists; --force replaces it, and --output writes another file",
            path.display()
        ))),
        Err(error) => Err(Failure::Failed(inputs::unwritable(path, &error))),
    }
}

/// Everything that the file needs.
struct Plan<'a> {
    provider: String,
    application: Application,
    variable: String,
    path: String,
    arguments: &'a InitArguments,
}

impl Plan<'_> {
    fn configuration(&self) -> String {
        let Self {
            provider,
            application,
            variable,
            path,
            arguments,
        } = self;
        let mut text = format!(
            "# Webhooks of {provider} for {}. `hookgate check` checks this file, `hookgate serve` runs it.\n\
             # docs/configuration.md explains every key.\n\n\
             [listen]\n# Where the provider, or the proxy in front, connects.\naddress = \"{}\"\n",
            application.url(),
            arguments.listen
        );
        text.push_str(&if arguments.plaintext {
            String::from(
                "# A proxy terminates TLS. Its address, so that the sender's is read from X-Forwarded-For:\nplaintext = true\n\
                 trusted_proxies = [\"127.0.0.1\", \"::1\"]\n",
            )
        } else {
            let (certificate, key) = (quoted(&arguments.certificate), quoted(&arguments.certificate_key));
            format!(
                "# The certificate that the provider sees: the full chain, the leaf first, and its key, in PEM.\n\
                 tls = {{ certificate = {certificate}, key = {key} }}\n"
            )
        });
        let _ = write!(
            text,
            "\n[[route]]\nname = {}\n# The URL that you give to the provider ends with this path.\npath = {}\n",
            quoted(provider),
            quoted(path)
        );
        if let Some(host) = &arguments.host {
            let _ = writeln!(text, "host = {}", quoted(host));
        }
        let _ = writeln!(text, "provider = {}", quoted(provider));
        let place =
            secret_place(provider).map_or_else(String::new, |place| format!(" The provider shows it at: {place}."));
        let list = sample_route::key_list(provider);
        let _ = match sample_route::fetched_keys_line(provider) {
            Some(example) => writeln!(
                text,
                "# The provider's keys are fetched. Write what your account has in place of the example.\n{example}"
            ),
            None => writeln!(
                text,
                "# {} is read from this variable (or from a file: {{ file = \"/path\" }}).{place}\n{list} = [{{ env = {} }}]",
                match list {
                    "secrets" if presets::is_basic(provider) => "The text `user:password` of the URL",
                    "secrets" => "The signing secret",
                    _ => "The provider's public key",
                },
                quoted(variable)
            ),
        };
        if presets::signs_url(provider) {
            let _ = writeln!(
                text,
                "# The provider signs the URL that it was given. Write exactly that one.\npublic_url = {}",
                quoted(&format!(
                    "https://{}{path}",
                    arguments.host.as_deref().unwrap_or("hooks.example.com")
                ))
            );
        }
        text.push_str(sample_route::challenge_line(provider).unwrap_or_default());
        let _ = writeln!(
            text,
            "# The application. It gets the body unchanged, with `Hookgate-Verified: {provider}`.\nupstream = {}",
            application.upstream()
        );
        text.push_str(&self.remarks());
        if provider == CUSTOM {
            text.push_str(
                "\n# How the sender signs. docs/schemes.md has all keys and an example for each.\n[route.custom]\n\
                 signature = { header = \"X-Signature\" }\nalgorithm = \"hmac-sha256\"\nencoding = \"hex\"\npayload = \"{body}\"\n",
            );
        }
        text
    }

    /// What is known about the provider's deliveries, as comments.
    fn remarks(&self) -> String {
        let mut text = String::new();
        let Some(facts) = facts::find(&self.provider) else {
            return text;
        };
        if let Some(deadline) = &facts.deadline {
            let _ = writeln!(text, "# The provider waits {deadline} for an answer.");
        }
        if let Some(retries) = &facts.retries {
            let _ = writeln!(text, "# It tries again: {retries}.");
        }
        if facts.id.is_some() {
            text.push_str("# Forward each event once, although its retries are signed again:\n#dedupe = {}\n");
        }
        text
    }

    /// The command that makes a certificate for a test, where the file names one that does not exist.
    fn certificate_step(&self) -> String {
        let arguments = self.arguments;
        let certificate = Path::new(&arguments.certificate);
        if arguments.plaintext || beside(&arguments.output, certificate).exists() {
            return String::new();
        }
        let key = Path::new(&arguments.certificate_key);
        let [certificate, key] = [certificate, key].map(|path| beside(&arguments.output, path));
        let folders: BTreeSet<String> = [&certificate, &key]
            .iter()
            .filter_map(|path| path.parent())
            .filter(|folder| !folder.is_dir() && !folder.as_os_str().is_empty())
            .map(in_shell)
            .collect();
        let make_folders = match Vec::from_iter(folders) {
            none if none.is_empty() => String::new(),
            some => format!("mkdir -p {} && ", some.join(" ")),
        };
        let (certificate, key) = (in_shell(&certificate), in_shell(&key));
        let name = arguments.host.as_deref().filter(|name| !name.contains('*'));
        let more = name.map_or_else(String::new, |name| format!(",DNS:{name}"));
        format!(
            "  # There is no certificate in {certificate} yet. Copy the one of your host name to it, or order it from an ACME\n  \
             # server (docs/certificates.md). This makes a self-signed one for a test:\n  \
             {make_folders}openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
             -addext subjectAltName=DNS:localhost{more} -keyout {key} -out {certificate}\n"
        )
    }

    fn next_steps(&self) -> String {
        let file = self.arguments.output.display();
        let scheme = if self.arguments.plaintext { "http" } else { "https" };
        let insecure = if self.arguments.plaintext { "" } else { " --insecure" };
        let (variable, port) = (&self.variable, self.arguments.listen.port());
        let is_fetched = sample_route::fetched_keys_line(&self.provider).is_some();
        let first = if is_fetched {
            format!("write your account's values into {file}, then")
        } else {
            format!("export {variable}='…'")
        };
        let mut text = format!(
            "wrote {file}. Next:\n\n{}  {first}\n  hookgate check --config {file}\n  hookgate serve --config {file}\n",
            self.certificate_step()
        );
        if is_fetched
            || ["mailgun", "adyen"].contains(&self.provider.as_str())
            || presets::takes_public_keys(&self.provider)
        {
            text.push_str("\nThen send a test event from the provider's dashboard.\n");
        } else {
            let _ = write!(
                text,
                "\nand in another terminal, with the same variable, a genuine event:\n\n  \
                 hookgate send --config {file} --route {} {scheme}://localhost:{port}{}{insecure}\n",
                self.provider, self.path
            );
        }
        text
    }
}

/// A path of the configuration, as seen from the current directory: a relative one starts at the directory of `file`.
fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent()
        .map_or_else(|| path.to_owned(), |folder| folder.join(path))
}

/// A path as one word of a command line.
fn in_shell(path: impl AsRef<Path>) -> String {
    let text = path.as_ref().display().to_string();
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    match is_plain {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// A text in TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
