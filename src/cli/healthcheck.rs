//! `hookgate healthcheck`: asks the admin listener of a running gateway for `/readyz`, for containers without a shell.
//!
//! It reads nothing but the admin listener's address. A probe that loaded the whole configuration would fail, and have a
//! good process restarted, as soon as someone saved a broken file that the process itself would have refused to reload.

use super::{Ended, Failure, block_on, terminal};
use crate::config::Sources;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Arguments of `healthcheck`.
#[derive(Debug, clap::Args)]
pub(super) struct HealthcheckArguments {
    /// The admin listener; by default admin.address of the configuration
    #[arg(long, value_name = "IP:PORT")]
    address: Option<SocketAddr>,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Exit code 0 when the gateway is ready, 1 when it is not or does not answer.
pub(super) fn run(arguments: &HealthcheckArguments, sources: &Sources) -> Ended {
    let address = match arguments.address {
        Some(address) => address,
        None => configured(sources)?,
    };
    let address = reachable(address);
    let answer = block_on(async { timeout(arguments.timeout, ask(address)).await })?;
    let (status, text) = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(problem)) => return Err(Failure::Failed(format!("{address} {problem}"))),
        Err(_) => {
            let limit = humantime::format_duration(arguments.timeout);
            return Err(Failure::Failed(format!("{address} did not answer within {limit}")));
        }
    };
    if status == StatusCode::OK {
        terminal::emit(&terminal::harmless(&text))?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = terminal::harmless(text.trim_end());
    Err(Failure::Failed(format!("{address} is not ready: {status}, {text}")))
}

async fn ask(address: SocketAddr) -> Result<(StatusCode, String), String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("cannot be connected to: {error}; is hookgate running, with this admin.address?"))?;
    let broken = |error: hyper::Error| format!("does not answer with HTTP: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let driver = tokio::spawn(connection);
    let request = Request::get("/readyz")
        .header("host", address.to_string())
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
    driver.abort();
    let body = body
        .map_err(|error| format!("broke off its answer: {error}"))?
        .to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// `admin.address`, in the order of the configuration: command line, environment, file, default.
fn configured(sources: &Sources) -> Result<SocketAddr, Failure> {
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
    let Some(text) = option.or_else(variable).or_else(|| in_file(sources)) else {
        return Ok(DEFAULT);
    };
    text.parse().map_err(|_| {
        Failure::Usage(format!(
            "admin.address is `{text}`, where there is nothing to ask; write --address IP:PORT"
        ))
    })
}

/// A file that cannot be read or parsed says nothing: the process in question runs on what it read at its start.
fn in_file(sources: &Sources) -> Option<String> {
    let text = std::fs::read_to_string(sources.file.as_deref()?).ok()?;
    let file: toml::Table = text.parse().ok()?;
    Some(file.get("admin")?.get("address")?.as_str()?.to_owned())
}

/// An address that listens on all interfaces is asked on the loopback one.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

const VARIABLE: &str = "HOOKGATE_ADMIN__ADDRESS";
/// The configuration's own default.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);
const LARGEST_ANSWER: usize = 4096;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::server::admin::{Readiness, State, serve};
    use crate::telemetry::metrics::Metrics;
    use std::future::pending;
    use std::sync::Arc;

    fn arguments(address: SocketAddr) -> HealthcheckArguments {
        HealthcheckArguments {
            address: Some(address),
            timeout: Duration::from_secs(20),
        }
    }

    #[test]
    fn the_address_comes_from_where_the_configuration_comes_from() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gateway.toml");
        let mut sources = Sources {
            file: Some(file.clone()),
            ..Sources::default()
        };
        assert_eq!(configured(&sources).unwrap(), DEFAULT);
        std::fs::write(&file, "[admin\nbroken").unwrap();
        assert_eq!(configured(&sources).unwrap(), DEFAULT);
        std::fs::write(&file, "unknown_key = 1\n[admin]\naddress = \"127.0.0.1:1001\"\n").unwrap();
        assert_eq!(configured(&sources).unwrap().port(), 1001);
        sources.environment.push((VARIABLE.into(), "127.0.0.1:1002".into()));
        assert_eq!(configured(&sources).unwrap().port(), 1002);
        sources.overrides.push(("admin.address".into(), "[::]:1003".into()));
        assert_eq!(reachable(configured(&sources).unwrap()), "[::1]:1003".parse().unwrap());
        sources.overrides.push(("admin.address".into(), "off".into()));
        assert!(configured(&sources).is_err());
    }

    #[test]
    fn the_exit_code_follows_the_readiness() {
        let (address, addresses) = std::sync::mpsc::channel();
        let state = Arc::new(State::new(Metrics::new(), Box::new(|| {})));
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
    fn silence_and_absence_are_failures() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let impatient = HealthcheckArguments {
            address: Some(address),
            timeout: Duration::from_millis(50),
        };
        assert!(
            run(&impatient, &Sources::default())
                .unwrap_err()
                .to_string()
                .contains("did not answer within 50ms")
        );
        drop(silent);
        assert!(
            run(&arguments(address), &Sources::default())
                .unwrap_err()
                .to_string()
                .contains("is hookgate running")
        );
    }
}
