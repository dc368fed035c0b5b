//! P-256 certificates for the listeners and upstreams of the tests, self-signed or by an authority, and clients that
//! trust exactly one certificate.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    RevokedCertParams, SerialNumber,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A certificate for the given names, and its key.
pub(crate) struct Certificate {
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
    pub(crate) der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// Signs certificates; a client that trusts `certificate` trusts them all.
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let made = params.self_signed(&key).unwrap();
        Self {
            certificate: Certificate::of(&made, &key),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for these names, valid for thousands of years.
    pub(crate) fn issue(&self, names: &[&str]) -> Certificate {
        self.issue_with(names, |_| ())
    }

    /// The same after `change` has modified its parameters.
    pub(crate) fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        Certificate::of(&params.signed_by(&key, &self.issuer).unwrap(), &key)
    }
}

impl Authority {
    /// A revocation list in PEM with these serial numbers, valid until the beginning of `year`.
    pub(crate) fn revocation_list(&self, revoked: &[u64], year: i32) -> String {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2024, 1, 2),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// Lets a certificate expire in so many days.
pub(crate) fn expire_in(params: &mut CertificateParams, days: u64) {
    let then = SystemTime::now() + Duration::from_secs(days * 86_400);
    let date = humantime::format_rfc3339_seconds(then).to_string();
    let date: Vec<u16> = date[..10].split('-').map(|part| part.parse().unwrap()).collect();
    params.not_after = rcgen::date_time_ymd(i32::from(date[0]), date[1] as u8, date[2] as u8);
}

impl Certificate {
    fn of(made: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            chain_pem: made.pem(),
            key_pem: key.serialize_pem(),
            der: made.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }

    pub(crate) fn new(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Self::of(&made.cert, &made.signing_key)
    }

    /// The same, valid for so many days.
    pub(crate) fn expiring(names: &[&str], days: u64) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        expire_in(&mut params, days);
        Self::of(&params.self_signed(&key).unwrap(), &key)
    }

    /// Writes `NAME.crt` and `NAME.key` into `directory`.
    pub(crate) fn write(&self, directory: &Path, name: &str) {
        std::fs::write(directory.join(format!("{name}.crt")), &self.chain_pem).unwrap();
        std::fs::write(directory.join(format!("{name}.key")), &self.key_pem).unwrap();
    }

    /// A server that presents this certificate.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server_asking(WebPkiClientVerifier::no_client_auth())
    }

    /// A server that presents this certificate and accepts the holder of `client` only.
    pub(crate) fn server_for(&self, client: &Certificate) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(client.der.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        self.server_asking(verifier.build().unwrap())
    }

    fn server_asking(&self, verifier: Arc<dyn ClientCertVerifier>) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = builder
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.der.clone()], self.key.clone_key());
        Arc::new(config.unwrap())
    }
}

/// A client that trusts `certificate` only and offers `alpn`.
pub(crate) fn client(certificate: &CertificateDer<'static>, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A client that trusts every certificate, even one that has ended.
pub(crate) fn client_of_any() -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let trust = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider())));
    Arc::new(trust.with_no_client_auth())
}

/// Accepts every certificate; the signatures of the handshake are checked.
#[derive(Debug)]
struct AnyServer(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The same, presenting `own` when the server requests a certificate.
pub(crate) fn client_showing(certificate: &CertificateDer<'static>, own: &Certificate) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let chain = vec![own.der.clone()];
    let config = builder
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, own.key.clone_key());
    Arc::new(config.unwrap())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
