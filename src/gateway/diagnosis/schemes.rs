//! Other schemes and other secrets under which the signature may fit: another provider, another encoding of the
//! signature or of the key, a published secret, a secret of another route, the older header of the provider.

use super::case::Case;
use super::finding::Change;
use super::providers::{OLDER_HEADERS, PUBLISHED_SECRETS, guess, has_signature_header};
use crate::scheme::{Algorithm, KeyEncoding, KeyFormat, SignatureEncoding, Texts, Verifier, presets};

/// A scheme to verify the request with, and what it would mean if the signature fits.
pub(super) type Candidate = (Change, Verifier);

/// Secrets of other routes and environments.
pub(super) fn other_secrets(case: &Case) -> Vec<Candidate> {
    let others = case.other_secrets.iter().map(|other| {
        let change = Change::new(
            "other_secret",
            format!("The signature was made with {}.", other.description),
            "each endpoint has its own secret, in test and in production: use that of the endpoint that sent the request",
        );
        (change, other.verifier.clone())
    });
    others.collect()
}

/// Secrets that are published in the provider's documentation, such as that of a test button.
pub(super) fn published_secrets(case: &Case) -> Vec<Candidate> {
    let known = PUBLISHED_SECRETS.iter().filter(|known| known.provider == case.provider);
    let candidates = known.filter_map(|known| {
        let verifier = case.with_secrets(&[known.secret.as_bytes().to_vec()])?;
        let change = Change::new(
            "published_secret",
            format!("The signature was made with a published secret and not with yours: {}. This is a test and no real webhook.", known.place),
            "save the webhook and send a real event; never configure a published secret, because everybody can sign with it",
        );
        Some((change, verifier))
    });
    candidates.collect()
}

/// The same scheme with the signature or the key in another encoding.
pub(super) fn encodings(case: &Case) -> Vec<Candidate> {
    let own = case.verifier.description();
    let mut found = Vec::new();
    let written = own.encoding.unwrap_or(SignatureEncoding::Hex);
    for (encoding, name) in [
        (SignatureEncoding::Hex, "hexadecimal digits"),
        (SignatureEncoding::Base64, "Base64"),
        (SignatureEncoding::Base64url, "Base64 for URLs"),
    ] {
        if encoding == written {
            continue;
        }
        let mut description = own.clone();
        description.encoding = Some(encoding);
        if let Some(verifier) = case.with_description(description) {
            let change = Change::new(
                "signature_encoding",
                format!(
                    "The MAC is right, but the signature is written in {name}, another encoding than this provider uses."
                ),
                "let the sender encode the signature as the provider does, or describe the scheme with `provider = \"custom\"` and this `encoding`",
            );
            found.push((change, verifier));
        }
    }
    let key = own.key.clone().unwrap_or_default();
    for (encoding, prefix, what) in [
        (KeyEncoding::Verbatim, None, "The key was used as text, with its prefix"),
        (
            KeyEncoding::Verbatim,
            Some("whsec_"),
            "The key was used as text without its prefix",
        ),
        (KeyEncoding::Base64, Some("whsec_"), "The key was decoded from Base64"),
        (KeyEncoding::Hex, None, "The key was decoded from hexadecimal digits"),
    ] {
        let own_encoding = key.encoding.unwrap_or(KeyEncoding::Verbatim);
        let is_own = |prefix: &str| {
            key.prefix
                .as_ref()
                .is_some_and(|own| own.as_slice().iter().any(|own| own == prefix))
        };
        if encoding == own_encoding && prefix.is_none_or(is_own) {
            continue;
        }
        let mut description = own.clone();
        description.key = Some(KeyFormat {
            encoding: Some(encoding),
            prefix: prefix.map(|prefix| Texts::One(prefix.to_owned())),
        });
        if let Some(verifier) = case.with_description(description) {
            let change = Change::new(
                "key_encoding",
                format!(
                    "{what}, which this provider does not do: the sender and this scheme read the same secret in different ways."
                ),
                "let the sender use the secret as the provider documents it, or describe the scheme with `provider = \"custom\"` and this `key`",
            );
            found.push((change, verifier));
        }
    }
    for (algorithm, name) in [
        (Algorithm::HmacSha1, "HMAC with SHA-1"),
        (Algorithm::HmacSha256, "HMAC with SHA-256"),
        (Algorithm::HmacSha512, "HMAC with SHA-512"),
    ] {
        let is_mac = matches!(
            own.algorithm,
            None | Some(Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512)
        );
        if !is_mac || own.algorithm.unwrap_or(Algorithm::HmacSha256) == algorithm {
            continue;
        }
        let mut description = own.clone();
        description.algorithm = Some(algorithm);
        if let Some(verifier) = case.with_description(description) {
            let change = Change::new(
                "other_algorithm",
                format!("The signature is an {name}, which this provider does not use."),
                "let the sender use the provider's algorithm, or describe the scheme with `provider = \"custom\"` and this `algorithm`",
            );
            found.push((change, verifier));
        }
    }
    found
}

/// Schemes of other providers whose signature header the request has, where the expected one is absent.
pub(super) fn other_providers(case: &Case) -> Vec<Candidate> {
    if has_own_header(case) {
        return Vec::new();
    }
    let guessed = guess(&case.headers, &case.body);
    let mut names: Vec<&str> = presets::names()
        .filter(|name| *name != case.provider)
        .filter(|name| presets::signature_header(name).is_some_and(|header| case.headers.contains_key(header)))
        .collect();
    names.sort_by_key(|name| Some(*name) != guessed);
    let candidates = names.into_iter().filter_map(|name| {
        let change = Change::new(
            "other_provider",
            format!(
                "The request has the signature header of `{name}`, and none of `{}`; its signature fits that scheme.",
                case.provider
            ),
            FIX_PROVIDER,
        );
        Some((change, case.verifier_of(name)?))
    });
    candidates.collect()
}

const FIX_PROVIDER: &str = "set the route's `provider` to this provider, or send the request to a route that has it";

/// Whether the request has the expected signature header.
fn has_own_header(case: &Case) -> bool {
    case.verifier
        .signature_headers()
        .first()
        .is_none_or(|own| case.headers.contains_key(own))
}

/// The body or query is a form with `p_signature`, which only Paddle Classic sends.
pub(super) fn classic_payload(case: &Case) -> Option<Change> {
    let query = case.target.split_once('?').map_or("", |(_, query)| query);
    let is_classic = [case.body.as_slice(), query.as_bytes()].iter().any(|form| {
        form.split(|byte| *byte == b'&')
            .any(|field| field.starts_with(b"p_signature="))
    });
    (is_classic && case.provider != "paddle-classic").then(|| {
        Change::new(
            "classic_payload",
            format!(
                "This is a Paddle Classic webhook (a form with p_signature), but it was verified as `{}`.",
                case.provider
            ),
            "create a route with `provider = \"paddle-classic\"` and the vendor's public key as `public_keys`",
        )
    })
}

/// Only the provider's older signature header is there.
pub(super) fn older_header(case: &Case) -> Option<Change> {
    if has_own_header(case) {
        return None;
    }
    let older = OLDER_HEADERS
        .iter()
        .find(|older| older.provider == case.provider && case.headers.contains_key(older.header))?;
    let own = case.verifier.signature_headers().first()?;
    Some(Change::new(
        "older_header",
        format!(
            "The request has only `{}`, {}; the header `{own}`, which is verified, is missing.",
            older.header, older.what
        ),
        older.fix,
    ))
}

/// The request has the signature header of another provider, under which the signature does not fit either.
pub(super) fn header_of_another(case: &Case) -> Option<Change> {
    if has_own_header(case) {
        return None;
    }
    let names: Vec<String> = presets::names()
        .filter(|name| *name != case.provider)
        .filter(|name| presets::signature_header(name).is_some_and(|header| case.headers.contains_key(header)))
        .map(|name| format!("`{name}`"))
        .collect();
    if names.is_empty() {
        return None;
    }
    Some(Change::new(
        "other_provider",
        format!(
            "The request has the signature header of {}, and none of `{}`.",
            names.join(" or "),
            case.provider
        ),
        FIX_PROVIDER,
    ))
}

/// The request has no signature header of any provider.
pub(super) fn missing_header(case: &Case) -> Option<Change> {
    let own = case.verifier.signature_headers().first()?;
    let missing: Vec<String> = case
        .verifier
        .signature_headers()
        .iter()
        .filter(|name| !case.headers.contains_key(*name))
        .map(|name| format!("`{name}`"))
        .collect();
    if missing.is_empty() {
        let value = case.headers.get(own)?;
        return value
            .as_bytes()
            .trim_ascii()
            .is_empty()
            .then(|| Change::new("header_missing", format!("The header `{own}` is empty."), FIX_MISSING));
    }
    let any = case.headers.keys().any(|name| has_signature_header(name.as_str()));
    let (verb, noun) = if missing.len() == 1 {
        ("is", "header")
    } else {
        ("are", "headers")
    };
    let rest = if any || missing.len() < case.verifier.signature_headers().len() {
        ""
    } else {
        " The request has no other signature header: it was not sent by the provider, or a proxy, a tunnel or the logging code dropped it."
    };
    Some(Change::new(
        "header_missing",
        format!(
            "The {noun} {} {verb} missing in the request.{rest}",
            missing.join(" and ")
        ),
        FIX_MISSING,
    ))
}

const FIX_MISSING: &str = "compare with the headers in the provider's delivery log, and let each proxy and tunnel on the way pass all headers on";
