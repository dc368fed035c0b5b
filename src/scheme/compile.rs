//! From a description and keys to a scheme that runs: every fault is found here, at load, and all at once.
//!
//! What comes out is valid by construction: keys are expanded, templates parsed, pointers split, and it is decided
//! whether the body can be hashed as it arrives or must be complete first.

use super::NamedSecret;
use super::custom::{self, Algorithm, Custom, Encoding, Fields, FormDigest, SecretPosition};
use super::delivery::DeliveryId;
use super::json::Pointer;
use super::keys::{self, Key};
use super::mac::Hash;
use super::place::{self, Layout, Shape, Time, TimePlace};
use super::template::{self, Names, Part};
use super::url::PublicUrl;
use hyper::header::HeaderName;
use std::time::Duration;

/// A scheme with its keys, ready to judge requests.
#[derive(Debug)]
pub(super) struct Scheme {
    pub(super) name: String,
    pub(super) key_names: Vec<String>,
    /// In configuration order; never empty.
    pub(super) keys: Vec<SchemeKey>,
    /// What stands before a signature, by [`SchemeKey::family`]; one or two.
    pub(super) prefixes: Vec<String>,
    pub(super) layout: Layout,
    pub(super) encoding: Encoding,
    pub(super) strict: bool,
    pub(super) time: Option<Time>,
    pub(super) tolerance: Option<Duration>,
    pub(super) delivery_id: Option<DeliveryId>,
    pub(super) payload: Payload,
    pub(super) url: Option<PublicUrl>,
    pub(super) body_digest: Option<String>,
    pub(super) single: Option<Pointer>,
    pub(super) values: Values,
    /// Every header that the verdict depends on, the one with the signature first.
    pub(super) headers: Vec<HeaderName>,
    pub(super) warnings: Vec<String>,
}

/// A key, and which of the scheme's prefixes its signatures have.
#[derive(Debug)]
pub(super) struct SchemeKey {
    pub(super) family: usize,
    pub(super) key: Key,
}

/// How the payload is put together.
#[derive(Debug)]
pub(super) enum Payload {
    /// Hashed as it arrives: parts of the head, the body, parts of the head; all keys are HMAC keys of one hash.
    Stream {
        before: Vec<Part>,
        after: Vec<Part>,
        hash: Hash,
    },
    /// Put together when the body is complete.
    Whole(Vec<Part>),
}

impl Payload {
    /// All parts, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        let (before, body, after): (&[Part], _, &[Part]) = match self {
            Self::Stream { before, after, .. } => (before, Some(&Part::Body), after),
            Self::Whole(parts) => (parts, None, &[]),
        };
        before.iter().chain(body).chain(after)
    }
}

/// The form digest's options.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) hash_field: String,
    pub(super) fields: Fields,
    pub(super) separator: String,
    pub(super) secret_position: SecretPosition,
    pub(super) leave_out: Vec<String>,
}

/// Compiles a scheme.
///
/// # Errors
/// All faults, each a sentence.
pub(super) fn compile(
    name: &str,
    mut description: Custom,
    secrets: &[NamedSecret],
    public_url: Option<&str>,
) -> Result<Scheme, Vec<String>> {
    let mut faults = Faults(keys::faults(secrets));
    let values = digest_values(&mut description, &mut faults);
    let algorithm = description.algorithm.unwrap_or(Algorithm::HmacSha256);
    let signature = description.signature.take().unwrap_or_default();
    let prefix = signature.prefix.clone().unwrap_or_default();
    let layout = faults.keep(place::layout(signature));
    let listed = matches!(layout, Some(Layout::Header(_, Shape::List(..))));
    let time = description
        .timestamp
        .take()
        .and_then(|time| faults.keep(place::time(time, listed)));
    let delivery_id = description
        .delivery_id
        .take()
        .and_then(|id| faults.keep(DeliveryId::new("delivery_id", id)));
    let tolerance = description
        .tolerance
        .take()
        .and_then(|text| faults.keep(tolerance(&text)));
    if tolerance.is_some() && time.is_none() {
        faults.push("`tolerance` needs a time: say where it stands with `timestamp`, or remove it.");
    }
    let single = description
        .single
        .take()
        .and_then(|text| faults.keep(Pointer::parse(&text)));
    let url = public_url.and_then(|text| {
        faults.keep(PublicUrl::parse(
            text,
            description.url_unescape.as_deref().unwrap_or_default(),
            description.url_ports,
        ))
    });

    let names = Names {
        timestamp: time.as_ref().map(place::timestamp_part),
        id: delivery_id.as_ref().map(|id| place::id_part(&id.0)),
        url: public_url.is_some(),
    };
    let template = match (description.payload.as_deref(), algorithm) {
        (Some(_), Algorithm::Token) => {
            faults.push("A token signs nothing: remove `payload`.");
            Some(Vec::new())
        }
        (None, Algorithm::Token) => Some(Vec::new()),
        (None, _) if values.is_some() => Some(vec![Part::Values]),
        (text, _) => faults.keep(template::parse(text.unwrap_or("{body}"), &names)),
    };
    let parts = template.unwrap_or_default();
    let has_secret = parts.iter().any(|part| matches!(part, Part::Secret | Part::Values));
    if is_digest(algorithm) != has_secret && faults.0.is_empty() {
        faults.push("A plain digest (`md5`, `sha1`, `sha256`) needs `{secret}` in its payload, and no other algorithm may have it.");
    }
    if parts
        .iter()
        .any(|part| matches!(part, Part::Field(_) | Part::Listed(_)))
        && !listed
    {
        faults.push("`{field:…}` and `{headers:…}` read the signature header's list: write `signature = { header = …, field = … }`.");
    }
    if public_url.is_some() && !parts.contains(&Part::Url) && faults.0.is_empty() {
        faults.push(&format!(
            "`public_url` belongs to schemes that sign the URL; `{name}` does not: remove it."
        ));
    }

    let mut prefixes = vec![prefix];
    let mut expanded = Vec::new();
    let format = description.key.clone().unwrap_or_default();
    for secret in secrets
        .iter()
        .filter(|secret| !secret.secret.expose().trim_ascii().is_empty())
    {
        let alternative = description.alternative.as_ref();
        let (family, key) =
            match alternative.filter(|other| secret.secret.expose().starts_with(other.key_prefix.as_bytes())) {
                Some(other) => (
                    1,
                    keys::expand(other.algorithm, Some(&other.key_prefix), format.encoding, secret),
                ),
                None => (
                    0,
                    keys::expand(algorithm, format.prefix.as_deref(), format.encoding, secret),
                ),
            };
        expanded.extend(faults.keep(key).map(|key| SchemeKey { family, key }));
    }
    prefixes.extend(description.alternative.take().map(|other| other.prefix));

    let Some(layout) = layout.filter(|_| faults.0.is_empty()) else {
        return Err(faults.0);
    };
    let in_time = matches!(
        time.as_ref().map(|time| &time.place),
        None | Some(TimePlace::Header(_) | TimePlace::Field(_) | TimePlace::Json(_))
    );
    let streams = in_time && !description.url_ports && description.body_digest.is_none() && single.is_none();
    let payload = payload(parts, &expanded, streams && matches!(layout, Layout::Header(..)));
    let warnings = warnings(name, algorithm, &payload);
    Ok(Scheme {
        name: name.to_owned(),
        key_names: secrets.iter().map(|key| key.name.clone()).collect(),
        headers: headers(&layout, time.as_ref(), &payload),
        keys: expanded,
        prefixes,
        layout,
        encoding: description.encoding.unwrap_or(Encoding::Hex),
        strict: description.strict,
        time,
        tolerance,
        delivery_id,
        payload,
        url,
        body_digest: description.body_digest,
        single,
        values: values.unwrap_or_else(|| Values::new(FormDigest::default())),
        warnings,
    })
}

/// Sentences, collected.
struct Faults(Vec<String>);

impl Faults {
    fn push(&mut self, fault: &str) {
        self.0.push(fault.to_owned());
    }

    fn keep<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|fault| self.0.push(fault)).ok()
    }
}

impl Values {
    fn new(digest: FormDigest) -> Self {
        Self {
            hash_field: digest.hash_field.unwrap_or_else(|| "msg_id".to_owned()),
            fields: digest.fields.unwrap_or(Fields::Order(custom::FieldOrder::Posted)),
            separator: digest.separator.unwrap_or_default(),
            secret_position: digest.secret_position.unwrap_or(SecretPosition::Last),
            leave_out: digest.leave_out,
        }
    }
}

/// `form_digest` in the words of the general description.
fn digest_values(description: &mut Custom, faults: &mut Faults) -> Option<Values> {
    let digest = description.form_digest.take()?;
    if description.signature.is_some() || description.payload.is_some() || description.algorithm.is_some() {
        faults.push("`form_digest` says all of `signature`, `algorithm` and `payload`: remove those, or remove it.");
    }
    let algorithm = digest.algorithm.unwrap_or(Algorithm::Md5);
    if !is_digest(algorithm) {
        faults.push("`form_digest.algorithm` is one of `md5`, `sha1`, `sha256`.");
    }
    description.algorithm = Some(algorithm);
    description.payload = None;
    let values = Values::new(digest);
    description.signature = Some(custom::Signature {
        form: Some(values.hash_field.clone()),
        ..custom::Signature::default()
    });
    Some(values)
}

const fn is_digest(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::Md5 | Algorithm::Sha1 | Algorithm::Sha256)
}

fn tolerance(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .ok()
        .filter(|duration| duration.as_secs() > 0);
    duration.ok_or_else(|| format!("`{text}` is no tolerance: write a duration such as `\"300s\"`."))
}

/// Streams when everything before and after the body is known from the head and every key is an HMAC key of one hash.
fn payload(parts: Vec<Part>, keys: &[SchemeKey], allowed: bool) -> Payload {
    let mut hashes = keys.iter().map(|key| match &key.key {
        Key::Mac(mac) if key.family == 0 => Some(mac.hash()),
        Key::Mac(_) | Key::Public(_) | Key::Token(..) | Key::Digest(..) => None,
    });
    let hash = hashes
        .next()
        .flatten()
        .filter(|first| hashes.all(|hash| hash == Some(*first)));
    let bodies = parts.iter().filter(|part| **part == Part::Body).count();
    match (hash, parts.iter().position(|part| *part == Part::Body)) {
        (Some(hash), Some(at)) if allowed && bodies == 1 && !parts.iter().any(Part::looks_inside) => {
            let mut before = parts;
            let after = before.split_off(at).into_iter().skip(1).collect();
            Payload::Stream { before, after, hash }
        }
        _ => Payload::Whole(parts),
    }
}

fn headers(layout: &Layout, time: Option<&Time>, payload: &Payload) -> Vec<HeaderName> {
    let mut headers = Vec::new();
    let mut add = |name: &HeaderName| {
        if !headers.contains(name) {
            headers.push(name.clone());
        }
    };
    if let Layout::Header(name, _) = layout {
        add(name);
    }
    if let Some(Time {
        place: TimePlace::Header(name),
        ..
    }) = time
    {
        add(name);
    }
    for part in payload.parts() {
        if let Part::Header(name) = part {
            add(name);
        }
    }
    headers
}

/// What an operator should know of the scheme itself, whatever the keys are.
fn warnings(name: &str, algorithm: Algorithm, payload: &Payload) -> Vec<String> {
    let mut warnings = Vec::new();
    if algorithm == Algorithm::Token {
        warnings.push(format!(
            "`{name}` compares a token and signs nothing: whoever has seen one request can send any other."
        ));
    } else if !payload
        .parts()
        .any(|part| matches!(part, Part::Body | Part::Form | Part::Php | Part::Values))
    {
        warnings.push(format!(
            "`{name}` does not sign the whole body: only the values in its payload can be trusted."
        ));
    }
    let weak = match algorithm {
        Algorithm::Md5 => {
            "a plain MD5 digest, which is broken: whoever can choose what a sender signs may forge other requests"
        }
        Algorithm::Sha1 => "a plain SHA-1 digest, which is weak: an HMAC would separate the key from the text",
        Algorithm::Sha256 => {
            "a plain SHA-256 digest: with the secret first, whoever has seen one request can append to it; an HMAC would prevent that"
        }
        Algorithm::RsaSha1 => {
            "RSA with SHA-1, for which collisions can be bought: prefer a newer scheme where the provider offers one"
        }
        Algorithm::HmacSha1 => "HMAC-SHA1: no attack on it is known, but prefer SHA-256 where the provider offers it",
        Algorithm::HmacSha256
        | Algorithm::HmacSha512
        | Algorithm::Ed25519
        | Algorithm::EcdsaP256
        | Algorithm::Token => return warnings,
    };
    warnings.push(format!("`{name}` uses {weak}."));
    warnings
}
