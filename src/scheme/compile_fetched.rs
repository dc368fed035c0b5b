//! The parts of a scheme that depend on what a route says besides its keys: what a token must say, and where fetched keys
//! are published.

use super::certificate::CertificateSource;
use super::compiled::{BodyTokens, FetchedKeys, JwtFormat, MessageFormat};
use super::description::{
    Algorithm, CertificateDescription, JwtDescription, SchemeDescription, SignatureEncoding, Texts,
    TimestampDescription,
};
use super::json::{JsonList, JsonPointer};
use super::key_source::KeySource;
use super::location;
use super::mac::HmacHash;
use super::message_parts::Required;
use super::route_context::RouteContext;
use super::template::{self, PayloadPart};
use super::types::{Expected, KeySettings};

/// What a token must say, and the parts of a request that it covers; `None` for a scheme without tokens.
///
/// # Errors
/// A sentence for each value that the route does not state.
pub(super) fn jwt(
    description: &SchemeDescription,
    expect: &Expected,
) -> Result<Option<(JwtFormat, Vec<PayloadPart>)>, Vec<String>> {
    let Some(jwt) = description.signature_token() else {
        return Ok(None);
    };
    let body = jwt.body_claim.clone();
    let body = body.map(|claim| (claim, jwt.body_encoding.unwrap_or(SignatureEncoding::Hex)));
    let mut covered = Vec::new();
    covered.extend(body.is_some().then_some(PayloadPart::Body));
    covered.extend(jwt.request_claim.is_some().then_some(PayloadPart::Target));
    let hmac = match description.algorithm() {
        Algorithm::HmacSha256 => HmacHash::Sha256,
        Algorithm::HmacSha512 => HmacHash::Sha512,
        Algorithm::HmacSha1
        | Algorithm::Ed25519
        | Algorithm::EcdsaP256
        | Algorithm::RsaSha1
        | Algorithm::RsaSha256
        | Algorithm::RsaPssSha256
        | Algorithm::Token
        | Algorithm::Basic
        | Algorithm::Md5
        | Algorithm::Sha1
        | Algorithm::Sha256
        | Algorithm::Sha512 => {
            return Err(vec![
                "A token names its algorithm: remove `algorithm`, or write `hmac-sha512` for tokens with HS512."
                    .to_owned(),
            ]);
        }
    };
    let format = JwtFormat {
        body,
        request: jwt.request_claim.clone(),
        ..claims(jwt, expect, hmac)
    };
    Ok(Some((format, covered)))
}

/// What the claims of a token must be.
fn claims(jwt: &JwtDescription, expect: &Expected, hmac: HmacHash) -> JwtFormat {
    let owned = |(name, values): (&String, &Texts)| (name.clone(), values.as_slice().to_vec());
    let of_preset = jwt.claims.iter().filter(|(name, _)| !expect.contains_key(*name));
    let mut claims: Vec<(String, Vec<String>)> = of_preset.map(owned).collect();
    claims.extend(expect.iter().map(|(name, values)| (name.clone(), values.clone())));
    JwtFormat {
        claims,
        any_claim: jwt.any_claim.iter().map(owned).collect(),
        body: None,
        request: None,
        hmac,
    }
}

/// The most different tokens in one body. Microsoft Graph sends one for each pair of application and tenant.
const MAX_BODY_TOKENS: usize = 16;

/// The tokens in the body that are verified besides the signature; `None` for other schemes, and on a route that says
/// nothing of them.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn body_tokens(description: &SchemeDescription, expect: &Expected) -> Result<Option<BodyTokens>, String> {
    let Some((jwt, pointer)) = description
        .jwt
        .as_ref()
        .and_then(|jwt| Some((jwt, jwt.pointer.as_ref()?)))
    else {
        return Ok(None);
    };
    let list = JsonList {
        array: JsonPointer::parse(pointer)?,
        text: None,
        most: MAX_BODY_TOKENS,
    };
    if jwt.body_claim.is_some() || jwt.request_claim.is_some() {
        return Err("A token in the body cannot have the hash of that body: remove `jwt.body_claim` and `jwt.request_claim`, or remove `jwt.pointer`.".to_owned());
    }
    let is_in_body = matches!(&description.signature, Some(signature) if signature.pointer.is_some());
    if !is_in_body || description.keys.as_ref().is_none_or(|keys| keys.jwks.is_none()) {
        return Err("Tokens in the body are verified besides a signature in the body, with published keys: write `signature = { pointer = … }` and `keys = { jwks = \"https://…\" }`.".to_owned());
    }
    Ok((!expect.is_empty()).then(|| BodyTokens {
        list,
        // A shared secret makes none of them.
        format: claims(jwt, expect, HmacHash::Sha256),
    }))
}

/// The components that a message signature must cover where a route says nothing else.
const USUAL: [&str; 5] = ["@method", "@authority", "@path", "@query", "content-digest"];
/// The parameters of a message signature that `expect` may name.
const PARAMETERS: [&str; 2] = ["tag", "keyid"];

/// What message signatures must cover, and the parts of a request that this is; `None` for other schemes.
///
/// # Errors
/// A sentence for each fault.
pub(super) fn message(
    description: &SchemeDescription,
    route: &RouteContext<'_>,
) -> Result<Option<(MessageFormat, Vec<PayloadPart>)>, Vec<String>> {
    let Some(message) = &description.message else {
        return Ok(None);
    };
    let mut faults = Vec::new();
    let usual = || USUAL.iter().map(|name| (*name).to_owned()).collect();
    let names: Vec<String> = message.required.clone().unwrap_or_else(usual);
    let mut required = Vec::new();
    let mut covered = vec![PayloadPart::Url];
    for name in &names {
        let part = Required::parse(name).and_then(|one| {
            let part = match &one {
                Required::Method => PayloadPart::Method,
                Required::TargetUri | Required::Authority | Required::Scheme => PayloadPart::Url,
                Required::RequestTarget => PayloadPart::Target,
                Required::Path => PayloadPart::Path,
                Required::Query => PayloadPart::Query,
                Required::ContentDigest => PayloadPart::Body,
                Required::Field(name) => PayloadPart::Header(template::header(name)?),
            };
            required.push(one);
            Ok(part)
        });
        part.map_or_else(|fault| faults.push(fault), |part| covered.push(part));
    }
    if route.url.public.is_none() {
        faults.push("Message signatures cover the URL, and what a request says of its own host proves nothing: write `public_url = \"https://…\"` with the URL that senders call.".to_owned());
    }
    if description.algorithm.is_some() || description.payload.is_some() || description.jwt.is_some() {
        faults.push(
            "A message signature names its algorithm and what it covers: remove `algorithm`, `payload` and `jwt`."
                .to_owned(),
        );
    }
    let is_created = |time: &TimestampDescription| time.claim.as_deref() == Some("created");
    if !description.timestamp.as_ref().is_some_and(is_created) {
        faults.push(
            "The time of a message signature is its parameter `created`: write `timestamp = { claim = \"created\" }`."
                .to_owned(),
        );
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let expect = route.expect.iter();
    let expect = expect.map(|(name, values)| (name.clone(), values.clone())).collect();
    Ok(Some((MessageFormat { required, expect }, covered)))
}

/// A sentence for each name of `expect` that the scheme does not read, and for each that is missing.
pub(super) fn expect_faults(name: &str, description: &SchemeDescription, expect: &Expected) -> Vec<String> {
    let payload = description.payload.as_deref().unwrap_or_default();
    let is_read = |wanted: &str| {
        description.jwt.is_some()
            || (description.message.is_some() && PARAMETERS.contains(&wanted))
            || payload.contains(&format!("{{expect:{wanted}}}"))
            || (payload.contains("{sns}") && wanted == "TopicArn")
    };
    let unread = expect.iter().filter(|(wanted, _)| !is_read(wanted));
    let mut faults: Vec<String> = unread
        .map(|(wanted, _)| format!("`expect` names `{wanted}`, which `{name}` does not read: remove it."))
        .collect();
    // Tokens in the body are verified only on a route that says something of them.
    let applies = |jwt: &&JwtDescription| !jwt.is_in_body() || !expect.is_empty();
    let required = description.jwt.iter().filter(applies).flat_map(|jwt| &jwt.required);
    let missing = required.filter(|wanted| !expect.contains_key(*wanted));
    faults.extend(missing.map(|wanted| {
        format!(
            "Anyone can get a token of `{name}` for another receiver: write the value of `{wanted}` in your tokens as `expect = {{ {wanted} = \"…\" }}`."
        )
    }));
    faults
}

/// Where the keys are published; `None` for a scheme with keys of its own. `has_keys`: whether the route has any.
///
/// # Errors
/// A sentence for each setting that is missing or has no effect.
pub(super) fn fetched(
    name: &str,
    description: &SchemeDescription,
    route: &RouteContext<'_>,
    has_keys: bool,
) -> Result<Option<FetchedKeys>, Vec<String>> {
    let settings = route.keys;
    let Some(keys) = &description.keys else {
        if *settings == KeySettings::default() {
            return Ok(None);
        }
        return Err(vec![format!(
            "`keys` belongs to schemes whose keys are fetched; `{name}` has none: remove it."
        )]);
    };
    let fault = |text: String| Err(vec![text]);
    let algorithm = description.algorithm();
    let has_body_tokens = description.jwt.as_ref().is_some_and(JwtDescription::is_in_body);
    if has_body_tokens && route.expect.is_empty() {
        return match *settings == KeySettings::default() {
            true => Ok(None),
            false => fault(format!(
                "`keys` has no effect without `expect`: write what the tokens of `{name}` must say, such as `expect = {{ aud = \"…\" }}`, or remove it."
            )),
        };
    }
    // The signature has its own keys there.
    let has_keys = has_keys && !has_body_tokens;
    match (&keys.jwks, &keys.plaid, &keys.certificate) {
        (Some(of_preset), None, None) => {
            let url = settings
                .url
                .clone()
                .or_else(|| (!of_preset.is_empty()).then(|| of_preset.clone()));
            let url = match (url, has_keys) {
                (None, true) => return Ok(None),
                (Some(_), true) if !of_preset.is_empty() || settings.url.is_some() => {
                    return fault(format!(
                        "`{name}` verifies with fetched keys: remove `secrets` and `public_keys`, or remove `keys`."
                    ));
                }
                (Some(url), _) => url,
                (None, false) => {
                    return fault(
                        "Write `secrets` for a shared secret, or `keys = { url = \"https://…\" }` for published keys."
                            .to_owned(),
                    );
                }
            };
            Ok(Some(FetchedKeys {
                source: KeySource::Jwks { url: checked(&url)? },
                named: None,
                algorithm,
            }))
        }
        (None, Some(of_preset), None) => {
            let (Some(client_id), Some(secret), false) = (&settings.client_id, &settings.secret, has_keys) else {
                return fault(format!(
                    "The keys of `{name}` are given to its customers only: write `keys = {{ client_id = \"…\", secret = {{ env = \"PLAID_SECRET\" }} }}` and neither `secrets` nor `public_keys`."
                ));
            };
            let url = settings.url.as_ref().unwrap_or(of_preset);
            Ok(Some(FetchedKeys {
                source: KeySource::Plaid {
                    url: checked(url)?,
                    client_id: client_id.clone(),
                    secret: secret.clone(),
                },
                named: None,
                algorithm,
            }))
        }
        (None, None, Some(certificate)) if !has_keys => Ok(Some(FetchedKeys {
            source: KeySource::Certificates(certificates(certificate, settings)?),
            named: Some(location::value("keys.certificate.url", certificate.url.clone()).map_err(|text| vec![text])?),
            algorithm,
        })),
        (None, None, Some(_)) => fault(format!(
            "`{name}` verifies with its own certificates: remove `secrets` and `public_keys`."
        )),
        _ => fault(
            "`keys` is one of `{ jwks = \"https://…\" }`, `{ plaid = \"https://…\" }`, `{ certificate = … }`."
                .to_owned(),
        ),
    }
}

/// A URL from which keys may be fetched.
fn checked(url: &str) -> Result<String, Vec<String>> {
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.contains(['@', '#', '"', '\\']);
    let is_local = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"]
        .iter()
        .any(|local| url.starts_with(local));
    let host = url
        .split_once("://")
        .map_or("", |(_, rest)| rest)
        .split('/')
        .next()
        .unwrap_or_default();
    if is_plain && !host.is_empty() && (url.starts_with("https://") || is_local) {
        Ok(url.to_owned())
    } else {
        Err(vec![format!(
            "`{url}` cannot be the URL of keys: write one with `https://`, without user and fragment."
        )])
    }
}

fn certificates(
    description: &CertificateDescription,
    settings: &KeySettings,
) -> Result<CertificateSource, Vec<String>> {
    let roots = match &settings.roots {
        Some(roots) => roots.clone(),
        None => CertificateSource::pinned(&description.roots).map_err(|name| {
            vec![format!(
                "No authority is called `{name}`: write the name of one in `keys.certificate.roots`."
            )]
        })?,
    };
    Ok(CertificateSource {
        hosts: match settings.hosts.is_empty() {
            true => description.hosts.clone(),
            false => settings.hosts.clone(),
        },
        issuers: match settings.hosts.is_empty() {
            true => description.issuers.clone(),
            false => settings.hosts.clone(),
        },
        path: description.path.clone(),
        names: description.names.clone(),
        roots,
    })
}
