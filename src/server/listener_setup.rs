//! The settings and certificates of one listener, and the metrics that show the configuration.

use super::signals::ShutdownSignals;
use crate::gateway::Gateway;
use crate::gateway::snapshot::Snapshot;
use crate::http::http1::request::RequestHeadLimits;
use crate::listener::connection::{ConnectionLimits, Timeouts};
use crate::listener::{Connections, LineRate, Listener};
use crate::remote::acme::Certificates;
use crate::settings::{self, ProcessLimits, UpstreamTarget};
use crate::telemetry::metrics::Metrics;
use crate::time::clock;
use crate::tls;
use std::sync::Arc;

/// The settings of one listener and its TLS configuration.
pub(super) struct ListenerSetup {
    pub(super) settings: settings::Listener,
    /// `None` for plaintext. A reload replaces its content.
    pub(super) tls: Option<Arc<tls::Acceptor>>,
}

impl ListenerSetup {
    /// Reads the certificates of `settings`; those that are issued by a server come from `issued`.
    ///
    /// # Errors
    /// One sentence with the path for each file that cannot be used.
    pub(super) fn load(settings: settings::Listener, issued: &Certificates) -> Result<Self, Vec<String>> {
        let load = |tls| tls::Acceptor::load(tls, |acme| issued.certificate(acme));
        let tls = settings.tls.as_ref().map(load).transpose()?.map(Arc::new);
        Ok(Self { settings, tls })
    }

    /// The state that the accept loop of one worker needs for this listener.
    pub(super) fn listener(
        &self,
        gateway: &Arc<Gateway>,
        worker: usize,
        limits: &ProcessLimits,
        open: &Arc<Connections>,
        signals: &ShutdownSignals,
        issued: &Certificates,
    ) -> Listener {
        Listener {
            gateway: gateway.clone(),
            worker,
            name: self.settings.name.as_str().into(),
            handshake_log: LineRate::default(),
            tls: self.tls.clone(),
            trusted_proxies: self.settings.trusted_proxies.clone().into(),
            trusts_unix_peers: self.settings.trusts_unix_peers,
            proxy_protocol: self.settings.proxy_protocol,
            health: self.settings.health.as_deref().map(Arc::from),
            acme_answers: self.tls.is_none().then(|| issued.answers().clone()),
            limits: ConnectionLimits {
                head: RequestHeadLimits {
                    bytes: limits.head_bytes,
                    fields: limits.headers,
                },
                streams: limits.http2_streams,
                timeouts: Timeouts {
                    head: limits.head_timeout,
                    idle: limits.idle_timeout,
                    write: limits.write_timeout,
                },
            },
            handshake_timeout: limits.handshake_timeout,
            connections: open.clone(),
            metrics: gateway.recorder.metrics.listener(&self.settings.name),
            drain: signals.finish_connections.clone(),
        }
    }
}

/// Updates the metrics that show the configuration: expiry times of certificates, and secrets marked as retired.
pub(super) fn update_metrics(metrics: &Metrics, listeners: &[ListenerSetup], snapshot: &Snapshot) {
    update_certificate_metrics(metrics, listeners, snapshot);
    let now_unix = clock::unix_now();
    for route in snapshot.routes() {
        let seconds = route.settings.expect_every.map_or(0, |time| time.as_secs());
        route.metrics.expect(seconds, now_unix);
    }
    let routes = snapshot.routes().iter().map(|route| &route.settings);
    metrics.retired(routes.flat_map(|route| {
        let retired = route.retired_secrets();
        retired.map(|secret| (route.name.as_str(), secret))
    }));
}

/// Sets the expiry times of the served certificates and of the client certificates for upstreams. An expired one stays in
/// use, because some peers still accept it; the configuration warns of it.
fn update_certificate_metrics(metrics: &Metrics, listeners: &[ListenerSetup], snapshot: &Snapshot) {
    let served = listeners.iter().filter_map(|listener| listener.tls.as_deref());
    let mut certificates: Vec<_> = served.flat_map(tls::Acceptor::expiries).collect();
    for upstream in snapshot.upstreams() {
        // All servers of an upstream have the same client certificate.
        let client = upstream
            .settings()
            .servers
            .iter()
            .find_map(|server| match &server.target {
                UpstreamTarget::Tls { client, .. } => client.as_ref(),
                UpstreamTarget::Tcp { .. } | UpstreamTarget::Unix(_) => None,
            });
        if let Some(files) = client
            && let Ok(certificate) = tls::certificate(files)
        {
            certificates.push((files.certificate.clone(), certificate.expires_unix));
        }
    }
    let certificates: Vec<_> = certificates
        .into_iter()
        .map(|(path, expires_unix)| (path.display().to_string(), expires_unix))
        .collect();
    metrics.certificates(
        certificates
            .iter()
            .map(|(path, expires_unix)| (path.as_str(), *expires_unix)),
    );
}
