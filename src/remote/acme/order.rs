//! One order: account, authorizations, challenges, request, certificate (RFC 8555, 7.1). Read from top to bottom.

use super::connection::{Connection, Failure, is_account_unknown, printable};
use super::store::{Answer, Challenges, Lock, Store, StoreError, StoredCertificate};
use crate::settings::{Acme, AcmeChallenge};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::time::Duration;

/// How often and how long the server is asked for its decision.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(90));

/// The account of the storage, or a new one.
///
/// # Errors
/// Why there is none.
pub(super) async fn account(
    settings: &Acme,
    connection: &Connection,
    store: &Store,
    lock: &Lock,
) -> Result<Account, Failure> {
    let unstored = |fault: StoreError| Failure::unreachable(fault.into_text());
    let builder = || Account::builder_with_http(Box::new(connection.clone()));
    if let Some(known) = store.account().await.map_err(unstored)? {
        let account = builder().from_credentials(known).await;
        return account.map_err(|error| connection.explain(&error));
    }
    let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let binding = settings.external_account.as_ref().map(|account| {
        let written = account.key.secret.expose().trim_ascii();
        let decoded = URL_SAFE_NO_PAD.decode(written.trim_ascii_end());
        let key = decoded.or_else(|_| STANDARD.decode(written));
        key.map(|key| ExternalAccountKey::new(account.id.clone(), &key))
            .map_err(|_| Failure::refused("the key of `external_account` is not base64url"))
    });
    let binding = binding.transpose()?;
    let created = builder().create(&new, settings.directory.clone(), binding.as_ref());
    let (account, credentials) = created.await.map_err(|error| connection.explain(&error))?;
    store.write_account(lock, &credentials).await.map_err(unstored)?;
    tracing::info!(certificate = %settings.label(), account = %printable(account.id()), "ACME account created");
    Ok(account)
}

/// An order that the server has accepted, and what must be answered to its challenges.
pub(super) struct Placed {
    order: Order,
    /// What must be answered before [`complete`].
    pub(super) challenges: Challenges,
}

/// Places an order for the names of the settings.
///
/// # Errors
/// Why there is none. An account that the server does not know is removed from the storage.
pub(super) async fn place(
    settings: &Acme,
    connection: &Connection,
    store: &Store,
    lock: &Lock,
    account: &Account,
) -> Result<Placed, Failure> {
    let explain = |error: Error| connection.explain(&error);
    let names: Vec<_> = settings.domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = match account.new_order(&NewOrder::new(&names)).await {
        Ok(order) => order,
        Err(error) => {
            if is_account_unknown(&error) {
                store.remove_account(lock).await;
            }
            return Err(explain(error));
        }
    };
    let mut challenges = Challenges::default();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(explain)?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let Some(challenge) = authorization.challenge(kind(settings.challenge)) else {
            let text = "the server does not offer this challenge: write another `challenge`, or another `directory`";
            return Err(Failure::refused(text));
        };
        let answer = Answer {
            name: challenge.identifier().to_string().to_ascii_lowercase(),
            key_authorization: challenge.key_authorization().as_str().to_owned(),
        };
        challenges.0.insert(challenge.token.clone(), answer);
    }
    Ok(Placed { order, challenges })
}

/// Lets the server check the challenges, and fetches the certificate.
///
/// # Errors
/// Why there is none.
pub(super) async fn complete(
    settings: &Acme,
    connection: &Connection,
    placed: Placed,
    now_unix: impl Fn() -> u64,
) -> Result<StoredCertificate, Failure> {
    let mut order = placed.order;
    let explain = |error: Error| connection.explain(&error);
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(explain)?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        if let Some(mut challenge) = authorization.challenge(kind(settings.challenge)) {
            challenge.set_ready().await.map_err(explain)?;
        }
    }
    match order.poll_ready(&POLLING).await {
        Ok(OrderStatus::Ready | OrderStatus::Valid | OrderStatus::Processing) => {}
        Ok(OrderStatus::Invalid | OrderStatus::Pending) | Err(Error::Api(_)) => {
            return Err(Failure::refused(why_invalid(&mut order).await));
        }
        Err(error) => return Err(explain(error)),
    }
    let (request, key) =
        request(&settings.domains).map_err(|_| Failure::refused("the request for the certificate cannot be made"))?;
    order.finalize_csr(&request).await.map_err(explain)?;
    let chain = order.poll_certificate(&POLLING).await.map_err(explain)?;
    Ok(StoredCertificate {
        chain,
        key,
        issued_unix: now_unix(),
    })
}

/// What the server says about the names that it could not validate.
async fn why_invalid(order: &mut Order) -> String {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let name = state.identifier().to_string();
        let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        let details = errors.filter_map(|error| error.detail.as_deref());
        reasons.extend(details.map(|detail| format!("{name}: {detail}")));
    }
    let reasons = if reasons.is_empty() {
        String::from("no reason given")
    } else {
        reasons.join("; ")
    };
    printable(&format!("the server could not validate the names: {reasons}"))
}

/// The request for a certificate (DER) with a new P-256 key (PEM).
fn request(names: &[String]) -> Result<(Vec<u8>, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate()?;
    let request = params.serialize_request(&key)?;
    Ok((request.der().to_vec(), key.serialize_pem()))
}

const fn kind(challenge: AcmeChallenge) -> ChallengeType {
    match challenge {
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        AcmeChallenge::Http01 => ChallengeType::Http01,
    }
}
