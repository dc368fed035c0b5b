//! One listening address with what its connections need on every worker.

use super::Word;
use crate::connection::Bounds;
use crate::gateway::Gateway;
use crate::listener::{Connections, Listener};
use crate::settings::{self, Limits};
use crate::telemetry::metrics::Metrics;
use crate::tls::{self, Certificates};
use crate::transport::Patience;
use rustls::ServerConfig;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// One listening address.
pub(super) struct Entrance {
    pub(super) settings: settings::Listener,
    tls: Option<(Arc<Certificates>, Arc<ServerConfig>)>,
}

impl Entrance {
    /// Reads the certificates of `settings`.
    ///
    /// # Errors
    /// One sentence for each file that cannot be used.
    pub(super) fn open(settings: settings::Listener) -> Result<Self, Vec<String>> {
        let tls = match &settings.tls {
            None => None,
            Some(tls) => {
                let certificates = Arc::new(Certificates::load(tls)?);
                let config = tls::server(tls, certificates.clone()).map_err(|error| vec![error.to_string()])?;
                Some((certificates, config))
            }
        };
        Ok(Self { settings, tls })
    }

    /// What can be replaced while serving; `None` without TLS.
    pub(super) fn certificates(&self) -> Option<&Certificates> {
        self.tls.as_ref().map(|(certificates, _)| &**certificates)
    }

    /// What one worker's accept loop needs.
    pub(super) fn listener(
        &self,
        gateway: &Arc<Gateway>,
        worker: usize,
        limits: &Limits,
        open: &Arc<Connections>,
        word: &Word,
    ) -> Listener {
        Listener {
            gateway: gateway.clone(),
            worker,
            tls: self.tls.as_ref().map(|(_, config)| TlsAcceptor::from(config.clone())),
            trusted_proxies: self.settings.trusted_proxies.clone().into(),
            bounds: Bounds {
                head_bytes: limits.head_bytes,
                headers: limits.headers,
                streams: limits.http2_streams,
                patience: Patience {
                    head: limits.head_timeout,
                    idle: limits.idle_timeout,
                    write: limits.write_timeout,
                },
            },
            handshake_timeout: limits.handshake_timeout,
            open: open.clone(),
            metrics: gateway.recorder.metrics.listener(&self.settings.name),
            drain: word.drain.clone(),
        }
    }
}

/// Brings the expiry metric up to date with what is served.
pub(super) fn show_certificates(metrics: &Metrics, entrances: &[Entrance]) {
    let shown: Vec<_> = entrances
        .iter()
        .filter_map(Entrance::certificates)
        .flat_map(Certificates::expiries)
        .map(|(path, expires)| (path.display().to_string(), expires))
        .collect();
    metrics.certificates(shown.iter().map(|(path, expires)| (path.as_str(), *expires)));
}
