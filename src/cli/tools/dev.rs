//! `hookgate dev`: runs the gateway for development, without a file. It has one route, a self-signed certificate, and a log
//! for people; everything that it writes is in a directory that only the current user can read, and removed at the end.

use super::files::{PrivateDirectory, preferred_address, random_bytes, random_hex};
use super::sample_route::{self, Application, CUSTOM};
use crate::cli::{CommandResult, Environment, Failure, inputs, serve, terminal};
use crate::config::{Sources, is_key_variable};
use crate::scheme::{KeyEncoding, presets};
use crate::time::clock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Arguments of `dev`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DevArguments {
    /// Provider of the webhooks
    #[arg(long, value_name = "NAME", value_parser = inputs::provider_names())]
    provider: String,
    /// URL of the application, such as localhost:3000
    #[arg(long, value_name = "URL")]
    to: String,
    /// Path at which the provider calls; by default /webhooks/ and the provider's name
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Environment variable that holds the provider's secret or public key; by default a secret is made
    #[arg(long, value_name = "NAME", conflicts_with = "secret_file")]
    secret_env: Option<String>,
    /// File that holds the provider's secret or public key
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// URL that the provider was given, for providers that sign it; by default the one that is printed
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Address of the listener; by default 127.0.0.1:8443, or another port if that one is in use
    #[arg(long, value_name = "ADDRESS", value_parser = inputs::listener_address)]
    listen: Option<SocketAddr>,
    /// Without TLS, for a tunnel that terminates it
    #[arg(long)]
    plaintext: bool,
}

/// Serves until Ctrl-C.
pub(in crate::cli) fn run(arguments: &DevArguments, environment: &Environment) -> CommandResult {
    let provider = &arguments.provider;
    if provider == CUSTOM {
        return Err(Failure::Usage(String::from(
            "`custom` needs a file with the description of its scheme: `hookgate init --provider custom --to localhost:3000` writes one",
        )));
    }
    sample_route::check_provider(provider).map_err(Failure::Usage)?;
    let application = Application::parse(&arguments.to).map_err(Failure::Usage)?;
    let files = PrivateDirectory::create("dev").map_err(Failure::Failed)?;
    files.write_certificate(clock::unix_now()).map_err(Failure::Failed)?;
    let key = Key::new(arguments, &files)?;
    let listen = arguments.listen.unwrap_or_else(|| preferred_address(8443));
    let listen = free(listen).map_err(Failure::Failed)?;
    let scheme = if arguments.plaintext { "http" } else { "https" };
    let path = arguments
        .path
        .clone()
        .unwrap_or_else(|| format!("/webhooks/{provider}"));
    let url = format!("{scheme}://{}:{}{path}", host(listen), listen.port());
    let token = random_hex::<16>().map_err(Failure::Failed)?;
    files
        .write("console-token", token.as_bytes())
        .map_err(Failure::Failed)?;
    let console = free(preferred_address(9465)).map_err(Failure::Failed)?;
    let text = configuration(
        arguments,
        &application,
        &files,
        &key,
        Places { listen, console },
        &path,
        &url,
    );
    files.write("gateway.toml", text.as_bytes()).map_err(Failure::Failed)?;
    let shown = introduction(arguments, &application, &files, &key, &url);
    terminal::emit(&format!(
        "{shown}What arrives, and why it is refused: http://{console}/ (token {token})\n\n"
    ))?;
    // The variables of the user do not change the configuration of this command.
    let environment = environment.iter().filter(|(name, _)| !is_key_variable(name));
    serve::run(Sources {
        file: Some(files.file("gateway.toml")),
        environment: environment.cloned().collect(),
        overrides: Vec::new(),
    })
}

/// Where the key is that webhooks are verified with.
enum Key {
    Variable(String),
    File(PathBuf),
    /// A file with a secret that was made.
    Made(PathBuf),
}

impl Key {
    fn new(arguments: &DevArguments, files: &PrivateDirectory) -> Result<Self, Failure> {
        let provider = &arguments.provider;
        if sample_route::fetched_keys_line(provider).is_some() {
            return Err(Failure::Usage(format!(
                "the keys of {provider} are fetched, and its route needs values of your account: write a file with `hookgate init --provider {provider}`"
            )));
        }
        if let Some(name) = &arguments.secret_env {
            return Ok(Self::Variable(name.clone()));
        }
        if let Some(path) = &arguments.secret_file {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            return Ok(Self::File(path));
        }
        if presets::takes_public_keys(provider) {
            return Err(Failure::Usage(format!(
                "{provider} signs with a private key that only it has: write its public key into a file, and name that with --secret-file FILE"
            )));
        }
        let secret = made_secret(provider).map_err(Failure::Failed)?;
        files.write("secret", secret.as_bytes()).map_err(Failure::Failed)?;
        Ok(Self::Made(files.file("secret")))
    }

    /// The source in the configuration.
    fn source(&self) -> String {
        match self {
            Self::Variable(name) => format!("{{ env = {} }}", quoted(name)),
            Self::File(path) | Self::Made(path) => {
                format!("{{ file = {}, name = \"dev\" }}", quoted(&path.to_string_lossy()))
            }
        }
    }

    /// The option of `send`.
    fn option(&self) -> String {
        match self {
            Self::Variable(name) => format!("--secret-env {name}"),
            Self::File(path) | Self::Made(path) => format!("--secret-file {}", path.display()),
        }
    }
}

/// A random secret in the format of the provider.
fn made_secret(provider: &str) -> Result<String, String> {
    if provider == "paddle" {
        return Ok(format!("pdl_ntfset_{}_{}", random_hex::<13>()?, random_hex::<16>()?));
    }
    if presets::is_basic(provider) {
        return Ok(format!("dev:{}", random_hex::<32>()?));
    }
    let format = presets::description(provider)
        .and_then(|row| row.key.clone())
        .unwrap_or_default();
    let prefixes = format.prefix.as_ref().map_or(&[][..], |prefix| prefix.as_slice());
    let shortest = prefixes.iter().min_by_key(|prefix| prefix.len());
    let secret = match format.encoding {
        Some(KeyEncoding::Base64) => STANDARD.encode(random_bytes::<32>()?),
        Some(KeyEncoding::Hex | KeyEncoding::Verbatim | KeyEncoding::Pem) | None => random_hex::<32>()?,
    };
    Ok(format!("{}{secret}", shortest.map_or("", String::as_str)))
}

/// The address with a fixed port, so that the URL can be shown before the gateway listens.
fn free(address: SocketAddr) -> Result<SocketAddr, String> {
    if address.port() != 0 {
        return Ok(address);
    }
    let listener = std::net::TcpListener::bind(address).and_then(|listener| listener.local_addr());
    listener.map_err(|error| format!("cannot listen on {address}: {}", inputs::in_words(&error)))
}

/// The host of the URL: the certificate is for `localhost`.
fn host(address: SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        String::from("localhost")
    } else if address.is_ipv6() {
        format!("[{}]", address.ip())
    } else {
        address.ip().to_string()
    }
}

/// Where the process listens.
struct Places {
    listen: SocketAddr,
    console: SocketAddr,
}

fn configuration(
    arguments: &DevArguments,
    application: &Application,
    files: &PrivateDirectory,
    key: &Key,
    Places { listen, console }: Places,
    path: &str,
    url: &str,
) -> String {
    let provider = &arguments.provider;
    let file = |name: &str| quoted(&files.file(name).to_string_lossy());
    let tls = if arguments.plaintext {
        String::from("plaintext = true\ntrusted_proxies = [\"127.0.0.1\", \"::1\"]")
    } else {
        format!(
            "tls = {{ certificate = {}, key = {} }}",
            file("tls.crt"),
            file("tls.key")
        )
    };
    let public_url = if presets::signs_url(provider) {
        format!(
            "public_url = {}\n",
            quoted(arguments.public_url.as_deref().unwrap_or(url))
        )
    } else {
        String::new()
    };
    let list = sample_route::key_list(provider);
    let challenge = sample_route::challenge_line(provider).unwrap_or_default();
    format!(
        "[listen]\nname = \"dev\"\naddress = \"{listen}\"\n{tls}\n[admin]\naddress = \"{}\"\n[drain]\ngrace = \"2s\"\n[limits]\nconnections = 256\n\
         [console]\naddress = \"{console}\"\ntokens = [{{ name = \"dev\", role = \"operate\", file = {} }}]\n\
         [log]\nformat = \"human\"\nfilter = \"warn,hookgate=info\"\n[[route]]\nname = {}\npath = {}\nprovider = {}\n{list} = [{}]\n\
         {public_url}{challenge}capture = \"full\"\nupstream = {}\n",
        preferred_address(9464),
        file("console-token"),
        quoted(provider),
        quoted(path),
        quoted(provider),
        key.source(),
        application.upstream()
    )
}

fn introduction(
    arguments: &DevArguments,
    application: &Application,
    files: &PrivateDirectory,
    key: &Key,
    url: &str,
) -> String {
    let provider = &arguments.provider;
    let trust = if arguments.plaintext {
        String::new()
    } else {
        format!(" --ca {}", files.file("tls.crt").display())
    };
    let made = match key {
        Key::Made(path) => format!(
            "The secret of this run is in {}. Name your own with --secret-env or --secret-file.\n",
            path.display()
        ),
        Key::Variable(_) | Key::File(_) => String::new(),
    };
    let public = if presets::signs_url(provider) {
        format!(" --public-url {url}")
    } else {
        String::new()
    };
    let test = if ["mailgun", "adyen"].contains(&provider.as_str()) || presets::takes_public_keys(provider) {
        String::from("Send a test event from the provider's dashboard.\n")
    } else {
        format!(
            "A genuine event, from another terminal:\n\n  hookgate send {url} --provider {provider} {}{trust}{public}\n",
            key.option()
        )
    };
    format!("{url} -> {}\n{made}{test}\n", application.url())
}

/// A text in TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
