//! Why a TLS handshake with a sender failed, in words for the log.

use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible};
use std::io;

/// One sentence about the failure and, where there is one, what to do. It has no bytes that the sender chose.
#[must_use]
pub fn explain(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => explain_tls(error),
        None => "the sender closed the connection during the handshake",
    }
}

/// Whether the listener had no certificate for the handshake: it is still to be issued, or a challenge was checked that
/// nobody asked for.
#[must_use]
pub fn lacks_certificate(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(error, Some(Error::General(text)) if text == "no server certificate chain resolved")
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums of the TLS library are not exhaustive"
)]
fn explain_tls(error: &Error) -> &'static str {
    match error {
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate,
        ) => "the sender does not trust the certificate: check that the file has the complete chain",
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "the sender says that the certificate has expired"
        }
        Error::AlertReceived(_) => "the sender ended the handshake with an alert",
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => "the sender offers no TLS version that the listener accepts",
        Error::PeerIncompatible(PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon)
        | Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon) => {
            "no certificate of the listener has a kind of key that the sender accepts"
        }
        Error::PeerIncompatible(_) => "the sender and the listener have no cipher suite or key exchange in common",
        Error::NoCertificatesPresented => "the sender showed no client certificate",
        Error::InvalidCertificate(_) => "the sender's client certificate is not valid, or of another authority",
        Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => {
            "the sender offers no TLS version that the listener accepts"
        }
        Error::InvalidMessage(_) => "the sender's bytes are not valid TLS",
        Error::NoApplicationProtocol => "the sender offers neither HTTP/1.1 nor HTTP/2",
        _ => "the sender violated the TLS protocol",
    }
}
