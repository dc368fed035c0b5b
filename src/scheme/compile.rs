//! From a description and keys to a scheme that can run. Every fault is found here, when a route is loaded, and all
//! faults are reported together.
//!
//! A [`CompiledScheme`] is valid by construction: keys are parsed, templates and pointers are split, and it is decided
//! whether the body can be hashed while it arrives or must be complete first.

use super::boundary::Boundaries;
use super::compile_fetched;
use super::compiled::{CompiledScheme, FormDigest, SchemeKey};
use super::delivery::DeliveryId;
use super::derived::{self, Parsed};
use super::description::{
    Algorithm, JwtDescription, SchemeDescription, SignatureDescription, SignatureEncoding, Texts,
};
use super::given_keys::{self, GivenKeys};
use super::json::JsonPointer;
use super::keys;
use super::location::{self, SignatureHeaderFormat, SignatureLocation};
use super::presets;
use super::route_context::RouteContext;
use super::signed_parts::SignedParts;
use super::template::{self, PayloadPart, PlaceholderValues};
use super::types::SchemeFault;
use super::url::PublicUrl;
use super::weaknesses;
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
    route: &RouteContext<'_>,
) -> Result<CompiledScheme, Vec<SchemeFault>> {
    let fetched = compile_fetched::fetched(name, &description, route, !given.keys.is_empty());
    let has_body_tokens = description.jwt.as_ref().is_some_and(JwtDescription::is_in_body);
    let mut key_faults = match &fetched {
        Ok(Some(_)) if !has_body_tokens => Vec::new(),
        Ok(_) => keys::faults(&given.keys),
        Err(_) => Vec::new(),
    };
    let expect_faults = compile_fetched::expect_faults(name, &description, route.expect);
    let form_digest = located(check_form_digest(&description));
    let description = spell_out_basic(spell_out_form_digest(description));
    let keys = given.expand(name, &description);
    if let Err(faults) = &keys {
        // A key in the wrong list has this one fault.
        key_faults.retain(|fault| fault.key.is_none() || faults.iter().all(|other| other.key != fault.key));
    }
    let usable = both(
        both(no_faults(key_faults), form_digest),
        both(located(fetched), located(no_faults(expect_faults))),
    );
    let parsed = parse(&description, route).and_then(|parsed| check(name, &description, parsed));
    let ((_, (fetched, ())), (parsed, keys)) = both(usable, both(located(parsed), keys))?;
    let mut scheme = assemble(name, description, parsed, keys, given);
    scheme.is_path_fixed = route.url.is_path_fixed;
    if let Some(fetched) = fetched {
        scheme.fetch_keys(fetched);
    }
    Ok(scheme)
}

/// Turns sentences about the description into faults.
fn located<T>(result: Result<T, Vec<String>>) -> Result<T, Vec<SchemeFault>> {
    result.map_err(|faults| faults.into_iter().map(SchemeFault::from).collect())
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
fn parse(description: &SchemeDescription, route: &RouteContext<'_>) -> Result<Parsed, Vec<String>> {
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
    let of_route = route.url;
    let url = of_route.public.and_then(|text| {
        let url = PublicUrl::parse(text, unescape, description.url_ports);
        faults.keep(url.and_then(|url| url.with_credentials(of_route.credentials)))
    });
    let values = PlaceholderValues {
        timestamp: timestamp.as_ref().map(location::timestamp_part),
        id: delivery_id.as_ref().and_then(|id| location::id_part(&id.location)),
        has_url: of_route.public.is_some(),
        expect: Some(route.expect),
    };
    let mut parts = faults.keep(parse_payload(description, &values)).unwrap_or_default();
    let tokens = faults
        .keep(compile_fetched::body_tokens(description, route.expect))
        .flatten();
    let jwt = match compile_fetched::jwt(description, route.expect) {
        Ok(None) => None,
        Ok(Some((format, covered))) => {
            parts = covered;
            Some(format)
        }
        Err(found) => {
            faults.0.extend(found);
            None
        }
    };
    let message = match compile_fetched::message(description, route) {
        Ok(None) => None,
        Ok(Some((format, covered))) => {
            parts = covered;
            Some(format)
        }
        Err(found) => {
            faults.0.extend(found);
            None
        }
    };
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
            jwt,
            tokens,
            message,
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
fn parse_payload(description: &SchemeDescription, values: &PlaceholderValues<'_>) -> Result<Vec<PayloadPart>, String> {
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
    // A message signature has each value on a line of its own, after its name.
    if parsed.message.is_none() {
        let boundaries = Boundaries::new(&parsed.parts, time, any_text.as_ref(), description.undivided);
        parsed.boundaries = faults.keep(boundaries).unwrap_or_default();
    }
    let is_digest = description.algorithm().is_plain_digest();
    if description.form_digest.is_none() && is_digest != parsed.parts.contains(&PayloadPart::Secret) {
        faults.push("A plain digest (`md5`, `sha1`, `sha256`, `sha512`) needs `{secret}` in its payload, and no other algorithm may have it.");
    }
    if matches!(parsed.signature, SignatureLocation::EachJson(_)) && !description.algorithm().is_token() {
        faults.push(
            "`signature.each` is for schemes that compare a token: write `algorithm = \"token\"`, or remove `each`.",
        );
    }
    if description.forms && (derived::json_plan(&parsed).is_empty() || description.single.is_some()) {
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
    mut parsed: Parsed,
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
    let payload = derived::plan(&description, &mut parsed, &keys);
    let json = derived::json_plan(&parsed);
    let coverage = derived::coverage(&description, &parsed, &payload);
    let prefix = description.signature.and_then(|signature| signature.prefix);
    let mut prefixes = vec![prefix.unwrap_or_default()];
    prefixes.extend(description.alternative.map(|other| other.prefix));
    CompiledScheme {
        name: name.to_owned(),
        key_names: given.keys.iter().map(|key| key.name.clone()).collect(),
        headers: derived::signed_headers(&parsed.signature, parsed.timestamp.as_ref(), &payload),
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
        fetched: None,
        tokens: parsed.tokens,
    }
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
