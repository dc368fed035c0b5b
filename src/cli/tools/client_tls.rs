//! The TLS of the client of `send` and `demo`: which certificates it accepts, and why a handshake failed, in words.

use crate::tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, PeerIncompatible, SignatureScheme,
};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Which server certificates the client accepts.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    /// Certificates that chain to the platform's root certificates.
    Platform,
    /// The certificates of this PEM file, and those that chain to one of them.
    File(PathBuf),
    /// Any certificate, for tests with self-signed certificates.
    AnyCertificate,
}

/// The TLS client configuration for `trust`, with ALPN `http/1.1`.
///
/// # Errors
/// The file, the fault and what to do.
pub(super) fn configuration(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::AnyCertificate => Arc::new(AcceptAnyCertificate(provider.signature_verification_algorithms)),
        Trust::File(path) => tls::server_trust(Some(path)).map_err(|fault| {
            // The fix of the fault is written for a key of the configuration.
            format!(
                "--ca: {}; write the path of a PEM file with the certificate of the authority that issued the server's, or \
                 with the server's own",
                fault.problem
            )
        })?,
        Trust::Platform => tls::server_trust(None).map_err(|fault| fault.to_string())?,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| "no version of TLS is available: install another build of hookgate")?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// One sentence about a failed handshake with `address`, with what to do.
pub(super) fn explain(address: &str, error: &io::Error) -> String {
    let reason = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => explain_tls(error),
        None => "the server closed the connection; check that the URL names a port with TLS",
    };
    format!("the TLS handshake with {address} failed: {reason}")
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums of the TLS library are not exhaustive"
)]
const fn explain_tls(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the server's certificate has expired; renew it, or use --insecure for a test"
        }
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet; check the clock of this machine, or use --insecure for a test"
        }
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })
            if presented.is_empty() =>
        {
            "the server's certificate has no alternative name, and an authority's certificates need one; issue it with subjectAltName=DNS:HOST, use --ca FILE with the server's own certificate, or --insecure for a test"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "the server's certificate is for another host name; write the URL with a name of the certificate, or use --insecure for a test"
        }
        Error::InvalidCertificate(_) => {
            "the server's certificate is not trusted; use --ca FILE with the certificate of the authority that issued it, or with the server's own if it is self-signed, or --insecure for a test"
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS; write the URL with http://, or check its port"
        }
        Error::AlertReceived(_) => {
            "the server ended it with an alert; it may ask for a client certificate, which send does not have"
        }
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )
        | Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => {
            "the server offers no TLS version from 1.2 on"
        }
        Error::PeerIncompatible(_) => "the server and this client have no cipher suite or key exchange in common",
        _ => "the server violated the TLS protocol",
    }
}

/// The verifier of `--insecure`: it accepts any certificate, but still checks the signatures of the TLS handshake.
#[derive(Debug)]
struct AcceptAnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, leaf, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, leaf, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
