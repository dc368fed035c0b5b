//! Why a signature does not fit: the list of all causes, and those outside the body.

use super::body_causes;
use super::case::Case;
use super::finding::Finding;
use crate::http::percent;
use crate::scheme::presets;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderName, HeaderValue};
use std::collections::BTreeSet;

/// A cause: a pure function that returns a finding if the cause explains the case.
type Cause = fn(&Case) -> Option<Finding>;

/// All causes with their names, in the order in which they are tried.
pub(super) const CAUSES: [(&str, Cause); 14] = [
    ("classic_payload", classic_payload),
    ("other_provider", other_provider),
    ("header_renamed", header_renamed),
    ("header_rewritten", header_rewritten),
    ("secret_spelled", secret_spelled),
    ("other_secret", other_secret),
    ("wrong_kind_of_secret", wrong_kind_of_secret),
    ("public_url", public_url),
    ("trailing_newline", body_causes::trailing_newline),
    ("line_ends", body_causes::line_ends),
    ("base64_body", body_causes::base64_body),
    ("charset", body_causes::charset),
    ("compression", body_causes::compression),
    ("json_reserialised", body_causes::json_reserialised),
];

/// Tries all causes. The first certain cause is the only result, since the list begins with the most specific causes.
/// Without a certain cause, all likely ones are returned; a wrong length is the last of them because it explains least.
pub(super) fn find(case: &Case) -> Vec<Finding> {
    let mut likely = Vec::new();
    for (_, cause) in CAUSES {
        match cause(case) {
            Some(finding) if finding.is_certain => return vec![finding],
            found => likely.extend(found),
        }
    }
    likely.extend(body_causes::length(case));
    likely
}

/// The difference between the signed time and the time of receipt exceeds the tolerance. `signed` is in Unix seconds.
/// Only called when the signature fits.
pub(super) fn clock(case: &Case, signed: u64) -> Option<Finding> {
    let (received, tolerance) = (case.received_at_unix?, case.tolerance_seconds?);
    let difference = received.abs_diff(signed);
    if difference <= tolerance {
        return None;
    }
    let (what, fix) = if signed > received {
        (
            format!(
                "The signature is genuine and was made {difference} s after the request was received: this machine's clock is behind by at least {} s.",
                difference - tolerance
            ),
            "synchronise the clock (timedatectl, chronyc tracking)",
        )
    } else {
        (
            format!(
                "The signature is genuine and was made {difference} s before the request was received, {} s more than the tolerance of {tolerance} s: it was delivered late or repeated, or this machine's clock is ahead.",
                difference - tolerance
            ),
            "compare the machine's clock with the provider's delivery log; raise `tolerance` only as far as the delivery log requires",
        )
    };
    Some(Finding::certain("clock", what, fix))
}

/// The body or query is a form with `p_signature`, which only Paddle Classic sends.
fn classic_payload(case: &Case) -> Option<Finding> {
    let query = case.target.split_once('?').map_or("", |(_, query)| query);
    let is_classic = [case.body.as_slice(), query.as_bytes()].iter().any(|form| {
        form.split(|byte| *byte == b'&')
            .any(|field| field.starts_with(b"p_signature="))
    });
    (is_classic && case.provider != "paddle-classic").then(|| {
        Finding::certain(
            "classic_payload",
            format!(
                "This is a Paddle Classic webhook (a form with p_signature), but it was verified as `{}`.",
                case.provider
            ),
            "create a route with `provider = \"paddle-classic\"` and the vendor's public key as `public_keys`",
        )
    })
}

/// The request has the signature header of another provider, but not that of the expected one.
fn other_provider(case: &Case) -> Option<Finding> {
    let own = case.verifier.signature_headers().first();
    if own.is_some_and(|own| case.headers.contains_key(own)) {
        return None;
    }
    let mut candidates: Vec<(&str, bool)> = presets::names()
        .filter(|name| *name != case.provider)
        .filter(|name| presets::signature_header(name).is_some_and(|header| case.headers.contains_key(header)))
        .map(|name| {
            (
                name,
                case.verifier_of(name)
                    .is_some_and(|verifier| case.fits_verifier(&verifier)),
            )
        })
        .collect();
    if candidates.iter().any(|(_, fits)| *fits) {
        candidates.retain(|(_, fits)| *fits);
    }
    let is_certain = candidates.first()?.1;
    let names: Vec<_> = candidates.iter().map(|(name, _)| format!("`{name}`")).collect();
    let what = format!(
        "The request has the signature header of {}, and none of `{}`{}.",
        names.join(" or "),
        case.provider,
        if is_certain {
            "; its signature fits that scheme"
        } else {
            ""
        },
    );
    let finding = Finding::likely(
        "other_provider",
        what,
        "set the route's `provider` to this provider, or send the request to a route that has it",
    );
    Some(Finding { is_certain, ..finding })
}

/// A signature header has another name, as some servers write it (`HTTP_PADDLE_SIGNATURE`, `X-Original-…`).
fn header_renamed(case: &Case) -> Option<Finding> {
    let own = case.verifier.signature_headers();
    let absent: Vec<&HeaderName> = own.iter().filter(|name| !case.headers.contains_key(*name)).collect();
    let normalized = |name: &str| {
        let name = name.to_ascii_lowercase().replace('_', "-");
        name.strip_prefix("http-")
            .or(name.strip_prefix("x-original-"))
            .unwrap_or(&name)
            .to_owned()
    };
    let mut headers = case.headers.clone();
    let mut renamed = BTreeSet::new();
    for name in absent {
        let other = case
            .headers
            .iter()
            .find(|(other, _)| normalized(other.as_str()) == name.as_str())?;
        headers.insert(name, other.1.clone());
        renamed.insert(format!("`{}` became `{}`", name, other.0));
    }
    if renamed.is_empty() {
        return None;
    }
    let what = format!(
        "A header was renamed: {}.",
        renamed.into_iter().collect::<Vec<_>>().join(", ")
    );
    let finding = Finding::likely(
        "header_renamed",
        what,
        "find the proxy or the code that renames it (WSGI and CGI write names with underscores), and forward the original",
    );
    Some(Finding {
        is_certain: case.fits_headers(&headers),
        ..finding
    })
}

/// The value of the signature header was changed: quoted, percent-encoded, in capitals, or with the header's name in
/// it.
fn header_rewritten(case: &Case) -> Option<Finding> {
    let name = case.verifier.signature_headers().first()?;
    let fix = "forward the header's value unchanged, as one string";
    if case.headers.get_all(name).iter().count() > 1 {
        let first = case.headers.get(name)?.clone();
        let is_same = case.headers.get_all(name).iter().all(|value| *value == first);
        let mut headers = case.headers.clone();
        headers.insert(name, first);
        let what = format!(
            "The header `{name}` occurs more than once{}.",
            if is_same { ", with the same value" } else { "" }
        );
        let finding = Finding::likely(
            "header_rewritten",
            what,
            "find the proxy that adds it again: two servers could read different values",
        );
        return Some(Finding {
            is_certain: case.fits_headers(&headers),
            ..finding
        });
    }
    let text = case.headers.get(name)?.to_str().ok()?.trim();
    let unquoted = text.trim_matches(['"', '\'', ' ']);
    let listed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let unnamed = text.split_once(": ").map_or(text, |(_, value)| value);
    let unescaped = String::from_utf8(percent::decode(text.as_bytes())).unwrap_or_default();
    let prefixed = presets::signature_prefix(&case.provider).map(|prefix| format!("{prefix}{text}"));
    let variants = [
        ("is in quotes", unquoted.to_owned()),
        (
            "was written as a list",
            listed.trim_matches(['"', '\'', ' ']).to_owned(),
        ),
        ("begins with its own name", unnamed.to_owned()),
        ("was converted to capitals", text.to_ascii_lowercase()),
        ("was percent-encoded", unescaped),
        ("has spaces instead of plus signs", text.replace(' ', "+")),
        ("has lost its prefix", prefixed.unwrap_or_default()),
    ];
    let (what, _) = variants
        .iter()
        .filter(|(_, variant)| variant != text)
        .find(|(_, variant)| {
            let mut headers = case.headers.clone();
            HeaderValue::from_str(variant).is_ok_and(|value| {
                headers.insert(name, value);
                case.fits_headers(&headers)
            })
        })?;
    Some(Finding::certain(
        "header_rewritten",
        format!("The value of `{name}` {what}."),
        fix,
    ))
}

/// The secret is the right one but in another form: quoted, with a newline, or in another encoding.
fn secret_spelled(case: &Case) -> Option<Finding> {
    for named in &case.secrets {
        let bytes = named.secret.expose();
        let trimmed = bytes.trim_ascii();
        let unquoted = trimmed
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""))
            .or_else(|| trimmed.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'")));
        let assigned = trimmed
            .iter()
            .position(|byte| *byte == b'=')
            .and_then(|at| trimmed.get(at + 1..));
        let unprefixed = [&b"whsec_"[..], b"pdl_ntfset_"]
            .iter()
            .find_map(|prefix| trimmed.strip_prefix(*prefix));
        let variants = [
            ("has white space or a newline around it", Some(trimmed.to_vec())),
            ("is in quotes", unquoted.map(<[u8]>::to_vec)),
            (
                "begins with a byte order mark",
                bytes.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec),
            ),
            (
                "begins with the name of a variable",
                assigned.map(|text| text.trim_ascii().trim_ascii_start().to_vec()),
            ),
            ("lacks the newline that is a part of it", Some([bytes, b"\n"].concat())),
            (
                "is the Base64 encoding of the real secret",
                STANDARD.decode(trimmed).ok(),
            ),
            (
                "is the hexadecimal encoding of the real secret",
                hex::decode(trimmed).ok(),
            ),
            (
                "has a prefix that is not a part of the key",
                unprefixed.map(<[u8]>::to_vec),
            ),
            ("has lost its prefix `whsec_`", Some([b"whsec_", trimmed].concat())),
        ];
        let found = variants
            .into_iter()
            .filter_map(|(what, variant)| Some((what, variant?)))
            .find(|(_, variant)| variant != bytes && case.fits_secret(variant.clone()));
        if let Some((what, _)) = found {
            return Some(Finding::certain(
                "secret_spelled",
                format!("The secret `{}` {what}.", named.name),
                "store the secret as the provider shows it, without quotes; only one newline at the end of a file is dropped (`printf %s \"$SECRET\" > file` writes none)",
            ));
        }
    }
    None
}

/// The request was signed with a secret of another route or another environment.
fn other_secret(case: &Case) -> Option<Finding> {
    let other = case
        .other_secrets
        .iter()
        .find(|other| case.fits_verifier(&other.verifier))?;
    Some(Finding::certain(
        "other_secret",
        format!("The signature was made with {}.", other.description),
        "each endpoint has its own secret, in test and in production: use that of the endpoint that sent the request",
    ))
}

/// The prefix of the secret shows that it is not a signing secret but another credential of the provider.
fn wrong_kind_of_secret(case: &Case) -> Option<Finding> {
    const KINDS: [(&str, &[u8], &str); 9] = [
        ("paddle", b"pdl_live_apikey_", "an API key"),
        ("paddle", b"pdl_sdbx_apikey_", "an API key"),
        ("paddle", b"live_", "a client-side token"),
        ("paddle", b"test_", "a client-side token"),
        ("paddle", b"ntfset_", "the id of the notification setting"),
        ("stripe", b"sk_", "an API key"),
        ("stripe", b"we_", "the id of the endpoint"),
        ("slack", b"xoxb-", "a bot token"),
        ("github", b"ghp_", "an access token"),
    ];
    case.secrets.iter().find_map(|named| {
        let text = named.secret.expose().trim_ascii();
        let kind = KINDS
            .iter()
            .find(|(provider, prefix, _)| *provider == case.provider && text.starts_with(prefix))?;
        Some(Finding::likely(
            "wrong_kind_of_secret",
            format!(
                "The secret `{}` looks like {}, not like a signing secret.",
                named.name, kind.2
            ),
            "use the secret that the provider shows for this webhook endpoint",
        ))
    })
}

/// The URL that was signed differs from `public_url`.
fn public_url(case: &Case) -> Option<Finding> {
    let url = case.public_url.as_deref()?;
    let (scheme, rest) = url.split_once("://")?;
    let (host, path) = rest
        .split_once('/')
        .map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    let other = if scheme == "https" { "http" } else { "https" };
    let slash = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
    let actual = case.target.split('?').next().unwrap_or_default();
    let named = case
        .headers
        .get(hyper::header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or(host);
    let variants = [
        ("its scheme", format!("{other}://{rest}")),
        ("the slash at its end", format!("{scheme}://{host}{slash}")),
        ("its path", format!("{scheme}://{host}{actual}")),
        ("its host", format!("{scheme}://{named}{path}")),
        ("its host and path", format!("{scheme}://{named}{actual}")),
    ];
    let (what, right) = variants
        .into_iter()
        .find(|(_, variant)| variant != url && case.fits_url(variant.clone()))?;
    Some(Finding::certain(
        "public_url",
        format!("The URL that was signed differs from `public_url` in {what}."),
        &format!("write `public_url = \"{right}\"`"),
    ))
}
