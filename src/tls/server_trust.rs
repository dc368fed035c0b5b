//! Which certificates of a server a client trusts.
//!
//! A certificate of the operator's own file is also accepted as the server's own certificate, as curl and OpenSSL accept
//! it. `openssl req -x509` makes a self-signed certificate that is an authority and the server's certificate at once, and
//! the library alone refuses those.

use super::names::CertificateNames;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Accepts a certificate that chains to an authority, and each listed one itself.
#[derive(Debug)]
pub(super) struct ServerTrust {
    authorities: Arc<WebPkiServerVerifier>,
    /// The certificates of the operator's file; empty for the platform's authorities.
    listed: Vec<CertificateDer<'static>>,
}

impl ServerTrust {
    pub(super) const fn new(authorities: Arc<WebPkiServerVerifier>, listed: Vec<CertificateDer<'static>>) -> Self {
        Self { authorities, listed }
    }
}

/// Checks names and dates of a listed certificate.
fn check(leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let now = now.as_secs().cast_signed();
    let validity = leaf.validity();
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired);
    }
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet);
    }
    if CertificateNames::or_common_names(&leaf).covers(&name.to_str()) {
        Ok(())
    } else {
        Err(CertificateError::NotValidForName)
    }
}

impl ServerCertVerifier for ServerTrust {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.listed.contains(leaf) {
            return Ok(check(leaf, name, now).map(|()| ServerCertVerified::assertion())?);
        }
        self.authorities.verify_server_cert(leaf, chain, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
