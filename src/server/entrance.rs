//! One listening address with what its connections need on every worker.

use super::Word;
use crate::gateway::Gateway;
use crate::gateway::snapshot::Snapshot;
use crate::http::http1::request;
use crate::listener::connection::{Bounds, Patience};
use crate::listener::{Connections, Listener};
use crate::settings::{self, Limits, Target};
use crate::telemetry::metrics::Metrics;
use crate::time::clock;
use crate::tls;
use std::sync::Arc;

/// One listening address.
pub(super) struct Entrance {
    pub(super) settings: settings::Listener,
    /// `None` for plaintext; what is in it is replaced while serving.
    pub(super) tls: Option<Arc<tls::Server>>,
}

impl Entrance {
    /// Reads the certificates of `settings`.
    ///
    /// # Errors
    /// One sentence for each file that cannot be used.
    pub(super) fn open(settings: settings::Listener) -> Result<Self, Vec<String>> {
        let tls = settings.tls.as_ref().map(tls::Server::load).transpose()?.map(Arc::new);
        Ok(Self { settings, tls })
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
            tls: self.tls.clone(),
            trusted_proxies: self.settings.trusted_proxies.clone().into(),
            proxy_protocol: self.settings.proxy_protocol,
            bounds: Bounds {
                head: request::Limits {
                    bytes: limits.head_bytes,
                    fields: limits.headers,
                },
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

/// Brings up to date what metrics tell of the configuration itself.
pub(super) fn show(metrics: &Metrics, entrances: &[Entrance], snapshot: &Snapshot) {
    show_certificates(metrics, entrances, snapshot);
    let routes = snapshot.routes().iter().map(|route| &route.settings);
    metrics.retired(routes.flat_map(|route| {
        let retired = route.retired.iter();
        retired.map(|secret| (route.name.as_str(), secret.as_str()))
    }));
}

/// The expiry metric: what is served, and what upstreams are shown. What has expired stays in
/// use, since the other side may not mind, and is warned of.
fn show_certificates(metrics: &Metrics, entrances: &[Entrance], snapshot: &Snapshot) {
    let served = entrances.iter().filter_map(|entrance| entrance.tls.as_deref());
    let mut shown: Vec<_> = served.flat_map(tls::Server::expiries).collect();
    for upstream in snapshot.upstreams() {
        // All servers of an upstream are shown the same one.
        let client = upstream
            .settings()
            .servers
            .iter()
            .find_map(|server| match &server.target {
                Target::Tls { client, .. } => client.as_ref(),
                Target::Tcp { .. } | Target::Unix(_) => None,
            });
        if let Some(files) = client
            && let Ok(certificate) = tls::certificate(files)
        {
            shown.push((files.certificate.clone(), certificate.expires));
        }
    }
    let now = clock::unix_now().cast_signed();
    for (path, _) in shown.iter().filter(|(_, expires)| *expires < now) {
        tracing::warn!(certificate = %path.display(), "the certificate has expired");
    }
    let shown: Vec<_> = shown
        .into_iter()
        .map(|(path, expires)| (path.display().to_string(), expires))
        .collect();
    metrics.certificates(shown.iter().map(|(path, expires)| (path.as_str(), *expires)));
}
