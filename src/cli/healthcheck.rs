//! `hookgate healthcheck`: requests `/readyz` from the admin listener of a running gateway, for probes in containers
//! without a shell.
//!
//! It reads only the admin listener's address from the configuration. A probe that validated the whole configuration
//! would fail after someone saved an invalid file, and a healthy process would be restarted although it refuses such a
//! reload.

use super::client::{ClientResponse, Connection};
use super::{CommandResult, Failure, block_on, inputs, terminal};
use crate::config::Sources;
use crate::settings::defaults::ADMIN_ADDRESS;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Arguments of `healthcheck`.
#[derive(Debug, clap::Args)]
pub(super) struct HealthcheckArguments {
    /// Address of the admin listener; the default is admin.address of the configuration
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    address: Option<String>,
    /// Longest wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Prints the answer. The exit code is 0 when the gateway is ready, and 1 when it is not ready or does not answer in
/// time.
pub(super) fn run(arguments: &HealthcheckArguments, sources: &Sources) -> CommandResult {
    ask(arguments, sources, Method::GET, "/readyz", "is not ready")
}

/// Sends a request to the admin listener and prints the answer. An answer other than 200 is a failure; `refused` is then
/// what the message says of the address.
pub(super) fn ask(
    arguments: &HealthcheckArguments,
    sources: &Sources,
    method: Method,
    path: &str,
    refused: &str,
) -> CommandResult {
    let address = match &arguments.address {
        Some(address) => address.clone(),
        None => configured_address(sources)?.to_string(),
    };
    let address = loopback_if_unspecified(address);
    let answer = block_on(request(&address, method, path, arguments.timeout))?;
    let ClientResponse { status, body } = answer.map_err(|problem| Failure::Failed(format!("{address}: {problem}")))?;
    let text = String::from_utf8_lossy(&body);
    if status == StatusCode::OK {
        terminal::emit(&terminal::sanitize(&text))?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = terminal::sanitize(text.trim_end());
    Err(Failure::Failed(format!("{address} {refused}: {status}, {text}")))
}

/// Sends a request without a body. Connecting and the answer take at most `limit` each.
///
/// # Errors
/// No complete answer.
async fn request(address: &str, method: Method, path: &str, limit: Duration) -> Result<ClientResponse, String> {
    let connected = timeout(limit, TcpStream::connect(address)).await;
    let stream = connected
        .map_err(|_| format!("no connection within {}", humantime::format_duration(limit)))?
        .map_err(|error| {
            let error = inputs::in_words(&error);
            format!("no connection: {error}; check that hookgate runs with this admin.address")
        })?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address)
        .header("connection", "close")
        .body(Full::default())
        .map_err(|error| error.to_string())?;
    Connection::new(stream).await?.exchange(request, limit).await
}

/// `admin.address`, in the order of the configuration: command line, environment, file, default.
fn configured_address(sources: &Sources) -> Result<SocketAddr, Failure> {
    let option = sources
        .overrides
        .iter()
        .rev()
        .find(|(key, _)| key == "admin.address")
        .map(|(_, value)| value.clone());
    let variable = || {
        let found = sources.environment.iter().find(|(name, _)| name == VARIABLE);
        found.and_then(|(_, value)| value.to_str()).map(str::to_owned)
    };
    let Some(text) = option.or_else(variable).or_else(|| address_in_file(sources)) else {
        return Ok(ADMIN_ADDRESS);
    };
    text.parse().map_err(|_| {
        Failure::Usage(format!(
            "admin.address is `{text}`, which is not an address to connect to; name the admin listener with --address IP:PORT"
        ))
    })
}

/// `admin.address` in the file; `None` if the file cannot be read or parsed. This is not an error, because the running
/// process uses what it read at its start.
fn address_in_file(sources: &Sources) -> Option<String> {
    let text = std::fs::read_to_string(sources.file.as_deref()?).ok()?;
    let file: toml::Table = text.parse().ok()?;
    Some(file.get("admin")?.get("address")?.as_str()?.to_owned())
}

/// The loopback address in place of the unspecified one (`0.0.0.0`, `[::]`), on which a listener accepts connections of
/// all interfaces.
fn loopback_if_unspecified(address: String) -> String {
    let Ok(mut socket) = address.parse::<SocketAddr>() else {
        return address;
    };
    if socket.ip().is_unspecified() {
        socket.set_ip(match socket.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    socket.to_string()
}

/// Parses an address or a name, with a port.
fn host_and_port(text: &str) -> Result<String, String> {
    let is_name = |host: &str| !host.is_empty() && !host.contains([':', '/', '@']);
    let is_named = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| is_name(host) && port.parse::<u16>().is_ok());
    if is_named || text.parse::<SocketAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(String::from("write HOST:PORT, such as 127.0.0.1:9464"))
}

/// The variable that sets `admin.address`.
const VARIABLE: &str = "HOOKGATE_ADMIN__ADDRESS";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::server::admin::{AdminState, Readiness, serve};
    use crate::telemetry::metrics::Metrics;
    use std::future::pending;
    use std::sync::Arc;

    fn arguments(address: SocketAddr) -> HealthcheckArguments {
        HealthcheckArguments {
            address: Some(address.to_string()),
            timeout: Duration::from_secs(20),
        }
    }

    #[test]
    fn the_address_comes_from_option_variable_file_or_default() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        let mut sources = Sources {
            file: Some(file.clone()),
            ..Sources::default()
        };
        assert_eq!(configured_address(&sources).unwrap(), ADMIN_ADDRESS);
        std::fs::write(&file, "[admin\nbroken").unwrap();
        assert_eq!(configured_address(&sources).unwrap(), ADMIN_ADDRESS);
        std::fs::write(&file, "unknown_key = 1\n[admin]\naddress = \"127.0.0.1:1001\"\n").unwrap();
        assert_eq!(configured_address(&sources).unwrap().port(), 1001);
        sources.environment.push((VARIABLE.into(), "127.0.0.1:1002".into()));
        assert_eq!(configured_address(&sources).unwrap().port(), 1002);
        sources.overrides.push(("admin.address".into(), "[::]:1003".into()));
        assert_eq!(
            loopback_if_unspecified(configured_address(&sources).unwrap().to_string()),
            "[::1]:1003"
        );
        sources.overrides.push(("admin.address".into(), "off".into()));
        assert!(configured_address(&sources).is_err());
    }

    #[test]
    fn an_address_is_an_ip_or_a_name_with_a_port() {
        for address in ["127.0.0.1:1", "[::1]:9464", "hooks-admin.shop:9464"] {
            assert_eq!(host_and_port(address).as_deref(), Ok(address));
        }
        for other in [
            "127.0.0.1",
            "hooks",
            "http://hooks:1",
            ":1",
            "hooks:",
            "hooks:70000",
            "::1:9464:x",
        ] {
            assert!(host_and_port(other).is_err(), "{other}");
        }
    }

    #[test]
    fn the_exit_code_depends_on_readiness() {
        let (address, addresses) = std::sync::mpsc::channel();
        let state = Arc::new(AdminState::new(Metrics::new(), Box::new(|| {})));
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                address.send(listener.local_addr().unwrap()).unwrap();
                serve(listener, served, pending()).await;
            })
        });
        let address = addresses.recv().unwrap();
        let error = run(&arguments(address), &Sources::default()).unwrap_err();
        assert!(
            error.to_string().contains("503") && error.to_string().contains("starting"),
            "{error}"
        );
        state.set_readiness(Readiness::Ready);
        assert_eq!(
            run(&arguments(address), &Sources::default()).unwrap(),
            ExitCode::SUCCESS
        );
    }

    #[test]
    fn no_answer_and_no_listener_are_failures() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let short_timeout = HealthcheckArguments {
            address: Some(address.to_string()),
            timeout: Duration::from_millis(50),
        };
        assert!(
            run(&short_timeout, &Sources::default())
                .unwrap_err()
                .to_string()
                .contains("no answer within 50ms")
        );
        drop(silent);
        assert!(
            run(&arguments(address), &Sources::default())
                .unwrap_err()
                .to_string()
                .contains("check that hookgate runs")
        );
    }
}
