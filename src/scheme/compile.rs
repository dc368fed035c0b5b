//! From a description and keys to a scheme that can run. Every fault is found here, when a route is loaded, and all
//! faults are reported together.
//!
//! A [`CompiledScheme`] is valid by construction: keys are parsed, templates and pointers are split, and it is decided
//! whether the body can be hashed while it arrives or must be complete first.

use super::boundary::Boundaries;
use super::compiled::{CompiledScheme, Coverage, FormDigest, PayloadPlan, SchemeKey};
use super::delivery::DeliveryId;
use super::description::{Algorithm, DigestFields, SchemeDescription, SignatureDescription, SignatureEncoding, Texts};
use super::given_keys::{self, GivenKeys};
use super::json::{JsonPlan, JsonPointer};
use super::keys::{self, VerificationKey};
use super::location::{self, SignatureHeaderFormat, SignatureLocation, TimestampLocation, TimestampSource};
use super::presets;
use super::signed_parts::SignedParts;
use super::template::{self, PayloadPart, PlaceholderValues};
use super::types::SchemeFault;
use super::url::{PublicUrl, UrlOfRoute};
use super::weaknesses;
use hyper::header::HeaderName;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Compiles a scheme. The stages that do not depend on each other report their faults together.
///
/// # Errors
/// All faults, each a sentence.
pub(super) fn compile(
    name: &str,
    description: SchemeDescription,
    given: &GivenKeys,
    url: UrlOfRoute<'_>,
) -> Result<CompiledScheme, Vec<SchemeFault>> {
    let usable = both(
        no_faults(keys::faults(&given.keys)),
        located(check_form_digest(&description)),
    );
    let description = spell_out_basic(spell_out_form_digest(description));
    let parsed = parse(&description, url).and_then(|parsed| check(name, &description, parsed));
    let (_, (parsed, keys)) = both(usable, both(located(parsed), given.expand(name, &description)))?;
    let mut scheme = assemble(name, description, parsed, keys, given);
    scheme.is_path_fixed = url.is_path_fixed;
    Ok(scheme)
}

/// Turns sentences about the description into faults.
fn located<T>(result: Result<T, Vec<String>>) -> Result<T, Vec<SchemeFault>> {
    result.map_err(|faults| faults.into_iter().map(SchemeFault::from).collect())
}

/// The description after every text in it was parsed; see the fields of [`CompiledScheme`].
struct Parsed {
    signature: SignatureLocation,
    timestamp: Option<TimestampSource>,
    tolerance: Option<Duration>,
    delivery_id: Option<DeliveryId>,
    public_url: Option<PublicUrl>,
    single_element_array: Option<JsonPointer>,
    parts: Vec<PayloadPart>,
    boundaries: Boundaries,
}

/// Returns both values, or the faults of both.
fn both<A, B, E>(a: Result<A, Vec<E>>, b: Result<B, Vec<E>>) -> Result<(A, B), Vec<E>> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(faults), Ok(_)) | (Ok(_), Err(faults)) => Err(faults),
        (Err(mut all), Err(more)) => {
            all.extend(more);
            Err(all)
        }
    }
}

/// Fails when there is a fault.
fn no_faults<E>(faults: Vec<E>) -> Result<(), Vec<E>> {
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Collects faults of parts that are parsed independently.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    /// Records a fault.
    fn push(&mut self, fault: &str) {
        self.0.push(fault.to_owned());
    }

    /// Returns the value, or records the fault.
    fn keep<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|fault| self.0.push(fault)).ok()
    }
}

/// Checks that `form_digest` is not combined with the keys that it replaces, and that it uses a plain digest.
fn check_form_digest(description: &SchemeDescription) -> Result<(), Vec<String>> {
    let Some(digest) = &description.form_digest else {
        return Ok(());
    };
    let mut faults = Faults::default();
    if description.signature.is_some() || description.payload.is_some() || description.algorithm.is_some() {
        faults.push(
            "`form_digest` includes `signature`, `algorithm` and `payload`: remove those, or remove `form_digest`.",
        );
    }
    if digest.algorithm.is_some_and(|algorithm| !algorithm.is_plain_digest()) {
        faults.push("`form_digest.algorithm` is one of `md5`, `sha1`, `sha256`, `sha512`.");
    }
    no_faults(faults.0)
}

/// Writes `form_digest` as the `signature` and `algorithm` that it implies, so that later stages know one form only.
fn spell_out_form_digest(mut description: SchemeDescription) -> SchemeDescription {
    if let Some(digest) = &description.form_digest {
        description.algorithm = Some(digest.algorithm.unwrap_or(Algorithm::Md5));
        description.payload = None;
        description.signature = Some(SignatureDescription {
            form: Some(FormDigest::new(digest.clone()).hash_field),
            ..SignatureDescription::default()
        });
    }
    description
}

/// Writes the header and the prefix of Basic authentication, unless the description has a `signature`.
fn spell_out_basic(mut description: SchemeDescription) -> SchemeDescription {
    if description.algorithm == Some(Algorithm::Basic) && description.signature.is_none() {
        description.signature = Some(SignatureDescription {
            header: Some(Texts::One("Authorization".to_owned())),
            prefix: Some("Basic ".to_owned()),
            ..SignatureDescription::default()
        });
    }
    description
}

/// Parses every text of the description.
///
/// # Errors
/// All faults, each a sentence.
fn parse(description: &SchemeDescription, of_route: UrlOfRoute<'_>) -> Result<Parsed, Vec<String>> {
    let mut faults = Faults::default();
    let signature = faults.keep(location::signature(description.signature.clone().unwrap_or_default()));
    let has_list = signature.as_ref().is_some_and(is_list);
    let timestamp = description.timestamp.clone();
    let timestamp = timestamp.and_then(|timestamp| faults.keep(location::timestamp(timestamp, signature.as_ref())));
    let delivery_id = description.delivery_id.clone();
    let delivery_id = delivery_id.and_then(|id| faults.keep(DeliveryId::new("delivery_id", id)));
    let delivery_id = delivery_id.map(|id| id.in_forms(description.forms));
    let tolerance = description.tolerance.as_deref();
    let tolerance = tolerance.and_then(|text| faults.keep(parse_tolerance(text)));
    if tolerance.is_some() && timestamp.is_none() {
        faults.push("`tolerance` needs a time: configure its location with `timestamp`, or remove `tolerance`.");
    }
    let single_element_array = description.single.as_deref();
    let single_element_array = single_element_array.and_then(|text| faults.keep(JsonPointer::parse(text)));
    let unescape = description.url_unescape.as_deref().unwrap_or_default();
    let url = of_route.public.and_then(|text| {
        let url = PublicUrl::parse(text, unescape, description.url_ports);
        faults.keep(url.and_then(|url| url.with_credentials(of_route.credentials)))
    });
    let values = PlaceholderValues {
        timestamp: timestamp.as_ref().map(location::timestamp_part),
        id: delivery_id.as_ref().and_then(|id| location::id_part(&id.location)),
        has_url: of_route.public.is_some(),
    };
    let parts = faults.keep(parse_payload(description, &values)).unwrap_or_default();
    let reads_list = |part: &PayloadPart| matches!(part, PayloadPart::Field(_) | PayloadPart::ListedHeaders(_));
    if !has_list && parts.iter().any(reads_list) {
        faults.push("`{field:…}` and `{headers:…}` read the signature header's list: write `signature = { header = …, field = … }`.");
    }
    match signature.filter(|_| faults.0.is_empty()) {
        Some(signature) => Ok(Parsed {
            signature,
            timestamp,
            tolerance,
            delivery_id,
            public_url: url,
            single_element_array,
            parts,
            boundaries: Boundaries::default(),
        }),
        None => Err(faults.0),
    }
}

/// Parses a tolerance of at least one second.
fn parse_tolerance(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .ok()
        .filter(|duration| duration.as_secs() > 0);
    duration.ok_or_else(|| format!("`{text}` is no tolerance: write a duration such as `\"300s\"`."))
}

/// Parses the payload's template. It is empty for a token, which signs nothing, and `{body}` by default.
fn parse_payload(description: &SchemeDescription, values: &PlaceholderValues) -> Result<Vec<PayloadPart>, String> {
    match description.payload.as_deref() {
        Some(_) if description.algorithm().is_token() => Err("A token signs nothing: remove `payload`.".to_owned()),
        None if description.algorithm().is_token() => Ok(Vec::new()),
        None if description.form_digest.is_some() => Ok(vec![PayloadPart::FormDigest]),
        text => template::parse(text.unwrap_or("{body}"), values),
    }
}

/// Checks what the payload needs of the rest of the description, and the reverse.
///
/// # Errors
/// All faults, each a sentence.
fn check(name: &str, description: &SchemeDescription, mut parsed: Parsed) -> Result<Parsed, Vec<String>> {
    let mut faults = Faults::default();
    let signed = SignedParts {
        algorithm: description.algorithm(),
        parts: &parsed.parts,
        form_digest: &FormDigest::new(description.form_digest.clone().unwrap_or_default()),
    };
    if let Some(time) = &parsed.timestamp {
        faults.keep(signed.check_time(time));
    }
    // The presets name ids that their providers do not sign; docs/schemes.md and docs/security.md say what this means.
    if let Some(id) = parsed.delivery_id.as_ref().filter(|_| name == presets::CUSTOM) {
        faults.keep(signed.check_id(id));
    }
    let any_text = description.any_text.as_deref();
    let any_text = any_text.and_then(|text| faults.keep(any_text_part(text, &parsed)));
    let time = parsed.timestamp.as_ref();
    let boundaries = Boundaries::new(&parsed.parts, time, any_text.as_ref(), description.undivided);
    parsed.boundaries = faults.keep(boundaries).unwrap_or_default();
    let is_digest = description.algorithm().is_plain_digest();
    if description.form_digest.is_none() && is_digest != parsed.parts.contains(&PayloadPart::Secret) {
        faults.push("A plain digest (`md5`, `sha1`, `sha256`, `sha512`) needs `{secret}` in its payload, and no other algorithm may have it.");
    }
    if description.forms && (json_plan(&parsed).is_empty() || description.single.is_some()) {
        faults.push("`forms` is for schemes that read values of a JSON body, without `single`: write a `pointer` or `{json:…}`, or remove `forms`.");
    }
    if parsed.public_url.is_some() && !parsed.parts.contains(&PayloadPart::Url) {
        faults.push(&format!(
            "`public_url` belongs to schemes that sign the URL; `{name}` does not: remove it."
        ));
    }
    no_faults(faults.0).map(|()| parsed)
}

/// The part of the payload that `any_text` names.
///
/// # Errors
/// A sentence for the operator.
fn any_text_part(text: &str, parsed: &Parsed) -> Result<PayloadPart, String> {
    let written = format!("{{{text}}}");
    let known = parsed.parts.iter().find(|part| part.to_string() == written);
    known.cloned().ok_or_else(|| {
        format!(
            "`any_text` names `{text}`, and the payload has no such placeholder: write one of `payload` without its braces."
        )
    })
}

/// Puts the parsed parts together and derives what follows from them. Cannot fail.
fn assemble(
    name: &str,
    description: SchemeDescription,
    parsed: Parsed,
    keys: Vec<SchemeKey>,
    given: &GivenKeys,
) -> CompiledScheme {
    let algorithm = description.algorithm();
    let weak = |(index, secret)| {
        Some((
            index,
            keys::weakness(given_keys::rules(&description, secret).1, secret)?,
        ))
    };
    let weak_keys = given.keys.iter().enumerate().filter_map(weak).collect();
    let payload = plan(&description, &parsed, &keys);
    let json = json_plan(&parsed);
    let coverage = coverage(&description, &parsed, &payload);
    let prefix = description.signature.and_then(|signature| signature.prefix);
    let mut prefixes = vec![prefix.unwrap_or_default()];
    prefixes.extend(description.alternative.map(|other| other.prefix));
    CompiledScheme {
        name: name.to_owned(),
        key_names: given.keys.iter().map(|key| key.name.clone()).collect(),
        headers: signed_headers(&parsed.signature, parsed.timestamp.as_ref(), &payload),
        warnings: weaknesses::warnings(name, algorithm, &payload, description.undivided),
        weak_keys,
        json,
        coverage,
        boundaries: parsed.boundaries,
        is_path_fixed: false,
        keys,
        refuses_plain_payloads: AtomicBool::new(false),
        prefixes,
        signature: parsed.signature,
        encoding: description.encoding.unwrap_or(SignatureEncoding::Hex),
        strict: description.strict,
        timestamp: parsed.timestamp,
        tolerance: parsed.tolerance,
        delivery_id: parsed.delivery_id,
        payload,
        public_url: parsed.public_url,
        forms: description.forms,
        body_digest: description.body_digest,
        is_single_element: parsed.single_element_array.is_some(),
        form_digest: FormDigest::new(description.form_digest.unwrap_or_default()),
    }
}

/// Everything that a check of the complete body reads of its JSON.
fn json_plan(parsed: &Parsed) -> JsonPlan {
    let signature = match &parsed.signature {
        SignatureLocation::Json(pointer) => Some(pointer),
        SignatureLocation::Header(..) | SignatureLocation::Query(_) | SignatureLocation::Form(_) => None,
    };
    let time = parsed
        .timestamp
        .as_ref()
        .and_then(|timestamp| match &timestamp.location {
            TimestampLocation::Json(pointer) => Some(pointer),
            TimestampLocation::Header(_)
            | TimestampLocation::Field(_)
            | TimestampLocation::Position(_)
            | TimestampLocation::Query(_)
            | TimestampLocation::Form(_) => None,
        });
    let signed = parsed.parts.iter().filter_map(|part| {
        if let PayloadPart::Json(pointer, _) = part {
            Some(pointer)
        } else {
            None
        }
    });
    let texts = signature.into_iter().chain(time).chain(signed);
    JsonPlan::new(texts, parsed.single_element_array.as_ref())
}

/// Whether signatures are in a header that is a list of `key=value`, or of values with other meanings.
const fn is_list(signature: &SignatureLocation) -> bool {
    matches!(
        signature,
        SignatureLocation::Header(
            _,
            SignatureHeaderFormat::KeyValueList(..) | SignatureHeaderFormat::Positions(..)
        )
    )
}

/// Decides whether the payload is hashed while the body arrives. It is when everything before and after the body is
/// known from the head and every key is an HMAC key of one hash.
fn plan(description: &SchemeDescription, parsed: &Parsed, keys: &[SchemeKey]) -> PayloadPlan {
    let mut hashes = keys.iter().map(|key| match &key.key {
        VerificationKey::Mac(mac) if key.family == 0 => Some(mac.hash()),
        VerificationKey::Mac(_)
        | VerificationKey::Public(_)
        | VerificationKey::Token(..)
        | VerificationKey::Digest(..) => None,
    });
    let hash = hashes
        .next()
        .flatten()
        .filter(|first| hashes.all(|hash| hash == Some(*first)));
    let time_in_form = parsed
        .timestamp
        .as_ref()
        .is_some_and(|timestamp| matches!(timestamp.location, TimestampLocation::Form(_)));
    let allowed = matches!(
        parsed.signature,
        SignatureLocation::Header(..) | SignatureLocation::Query(_)
    ) && !time_in_form
        && !description.url_ports
        && description.body_digest.is_none()
        && parsed.single_element_array.is_none()
        && !parsed.parts.iter().any(PayloadPart::needs_whole_body);
    let mut bodies = parsed
        .parts
        .iter()
        .enumerate()
        .filter(|(_, part)| **part == PayloadPart::Body);
    match (hash, bodies.next(), bodies.next()) {
        (Some(hash), Some((at, _)), None) if allowed => {
            let (before, after) = parsed.parts.split_at(at);
            PayloadPlan::Streamed {
                before: before.to_vec(),
                after: after.iter().skip(1).cloned().collect(),
                hash,
            }
        }
        _ => PayloadPlan::Buffered(parsed.parts.clone()),
    }
}

/// Every header that the result depends on, the signature header first.
fn signed_headers(
    signature: &SignatureLocation,
    timestamp: Option<&TimestampSource>,
    payload: &PayloadPlan,
) -> Vec<HeaderName> {
    let mut headers = Vec::new();
    let mut add = |name: &HeaderName| {
        if !headers.contains(name) {
            headers.push(name.clone());
        }
    };
    if let SignatureLocation::Header(names, _) = signature {
        names.iter().for_each(&mut add);
    }
    if let Some(TimestampLocation::Header(name)) = timestamp.map(|timestamp| &timestamp.location) {
        add(name);
    }
    for part in payload.parts() {
        if let PayloadPart::Header(name) = part {
            add(name);
        }
    }
    headers
}

/// What the signature covers.
fn coverage(description: &SchemeDescription, parsed: &Parsed, payload: &PayloadPlan) -> Coverage {
    // A form digest over some of the fields leaves the others open.
    let digest = description.form_digest.as_ref();
    let leaves_fields_out = digest
        .is_some_and(|digest| matches!(digest.fields, Some(DigestFields::Named(_))) || !digest.leave_out.is_empty());
    let is_fixed = |part: &PayloadPart| matches!(part, PayloadPart::Literal(_) | PayloadPart::Secret);
    if payload.parts().any(PayloadPart::covers_body) && !leaves_fields_out {
        if payload.parts().all(|part| *part == PayloadPart::Body || is_fixed(part)) {
            Coverage::BodyOnly
        } else {
            Coverage::Whole
        }
    } else {
        let id = parsed
            .delivery_id
            .as_ref()
            .and_then(|id| location::id_part(&id.location));
        let signs_id = id.is_some_and(|id| payload.parts().any(|part| *part == id));
        if signs_id && parsed.timestamp.is_some() {
            Coverage::SingleUseToken
        } else {
            Coverage::Part
        }
    }
}
