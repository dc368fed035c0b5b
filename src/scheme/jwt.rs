//! Schemes whose signature is a token (RFC 7519): its algorithm, the key that it names, its claims, and the claims that
//! bind the token to one request.
//!
//! The algorithm belongs to the key and never to the token: a token with another one is malformed. Addresses of keys in a
//! token's header (`jku`, `x5u`, `jwk`) are not read.

use super::compiled::{CompiledScheme, JwtFormat};
use super::fetched::FetchedKey;
use super::header;
use super::identity::IdentityHash;
use super::jwt_request;
use super::keys::VerificationKey;
use super::location::{SignatureLocation, TimestampLocation, TimestampSource};
use super::mac::HmacHash;
use super::private_key::PrivateKey;
use super::tenant::ChosenTenant;
use super::types::{HeadRef, Verified};
use crate::outcome::Rejection;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use subtle::{Choice, ConstantTimeEq};

/// Longest token in bytes. Those of Microsoft have about 2,000.
pub(super) const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Accepted difference between the clocks of sender and receiver for a token whose age is not judged, in seconds.
const LEEWAY_SECONDS: u64 = 60;

/// A token whose form and claims are accepted; its signature is not verified yet.
#[derive(Debug)]
pub(super) struct JwtCheck {
    /// The tenant whose keys are used in place of those of the scheme.
    pub(super) tenant: Option<ChosenTenant>,
    scheme: Arc<CompiledScheme>,
    algorithm: Algorithm,
    /// The id of the key; empty for a token without one.
    kid: String,
    /// The signed text: header and claims.
    signed: String,
    /// The signature in base64url.
    signature: String,
    times: Times,
    /// The SHA-256 of the body by the token, and that of the body itself, which grows as the body arrives.
    body: Option<(Vec<u8>, Sha256)>,
    /// Whether the claim of the request is right.
    is_request: bool,
    key: Option<Arc<FetchedKey>>,
}

/// The times of a token, Unix seconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    expires: Option<u64>,
    not_before: Option<u64>,
    issued: Option<u64>,
}

impl JwtCheck {
    /// Reads the token of a request and its claims.
    ///
    /// # Errors
    /// `SignatureMissing`, and as [`JwtCheck::parse`].
    pub(super) fn read(
        scheme: &Arc<CompiledScheme>,
        format: &JwtFormat,
        head: &HeadRef<'_>,
    ) -> Result<Self, Rejection> {
        let request = format.request.is_some().then(|| jwt_request::hash(head));
        Self::parse(scheme, format, token(scheme, head)?, request.as_deref())
    }

    /// Reads a token and its claims. `request` is the hash of the request, where the token has one.
    ///
    /// # Errors
    /// `SignatureMalformed`, and `SignatureMismatch` for claims of another sender or receiver: no key is looked for then.
    pub(super) fn parse(
        scheme: &Arc<CompiledScheme>,
        format: &JwtFormat,
        token: &str,
        request: Option<&str>,
    ) -> Result<Self, Rejection> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Rejection::SignatureMalformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejection::SignatureMalformed)?;
        let (_, claims) = signed.split_once('.').ok_or(Rejection::SignatureMalformed)?;
        let header: Header = jsonwebtoken::decode_header(token).map_err(|_| Rejection::SignatureMalformed)?;
        let is_allowed = match hmac_of(header.alg) {
            Some(hash) => !scheme.is_fetched() && hash == format.hmac,
            None => scheme.is_fetched() && !matches!(header.alg, Algorithm::HS384),
        };
        // A critical extension that is not understood changes the meaning of the token (RFC 7515, 4.1.11).
        if !is_allowed || header.crit.is_some() || header.enc.is_some() || header.extras.inner().contains_key("b64") {
            return Err(Rejection::SignatureMalformed);
        }
        let kid = header.kid.unwrap_or_default();
        let claims = URL_SAFE_NO_PAD
            .decode(claims)
            .map_err(|_| Rejection::SignatureMalformed)?;
        let claims: Map<String, Value> = serde_json::from_slice(&claims).map_err(|_| Rejection::SignatureMalformed)?;
        let times = Times::read(&claims)?;
        if time_claim(scheme).is_some() && times.issued.is_none() {
            return Err(Rejection::SignatureMalformed);
        }
        let judge = |(name, values): &(String, Vec<String>)| claims.get(name).map(|value| is_one_of(value, values));
        let are_right = format.claims.iter().all(|claim| judge(claim) == Some(true));
        let mut any = format.any_claim.iter().filter_map(judge).peekable();
        if !are_right || (!format.any_claim.is_empty() && any.peek().is_none()) || !any.all(|is_right| is_right) {
            return Err(Rejection::SignatureMismatch);
        }
        let body = match &format.body {
            None => None,
            Some((name, encoding)) => {
                let text = claims
                    .get(name)
                    .and_then(Value::as_str)
                    .ok_or(Rejection::SignatureMalformed)?;
                let hash = header::decode(text, *encoding).ok_or(Rejection::SignatureMalformed)?;
                Some((hash, Sha256::new()))
            }
        };
        let is_request = format.request.as_ref().is_none_or(|name| {
            let text = claims.get(name).and_then(Value::as_str);
            let both = text.zip(request);
            both.is_some_and(|(text, request)| request.as_bytes().ct_eq(text.as_bytes()).into())
        });
        Ok(Self {
            tenant: None,
            scheme: Arc::clone(scheme),
            algorithm: header.alg,
            kid,
            signed: signed.to_owned(),
            signature: signature.to_owned(),
            times,
            body,
            is_request,
            key: None,
        })
    }

    /// Compares the times of the token with `now_unix` (seconds). `tolerance` is that of the route, where the scheme judges
    /// the age; `None` accepts every age.
    ///
    /// # Errors
    /// `TimestampStale`, `TimestampFuture`.
    pub(super) fn age(&self, now_unix: u64, tolerance: Option<u64>) -> Result<(), Rejection> {
        let is_judged = time_claim(&self.scheme).is_some();
        let Some(leeway) = (if is_judged { tolerance } else { Some(LEEWAY_SECONDS) }) else {
            return Ok(());
        };
        let Times {
            expires,
            not_before,
            issued,
        } = self.times;
        let latest = |time: Option<u64>| time.is_some_and(|time| time > now_unix.saturating_add(leeway));
        if latest(not_before) || latest(issued) {
            return Err(Rejection::TimestampFuture);
        }
        let is_past = |time: Option<u64>| time.is_some_and(|time| time.saturating_add(leeway) < now_unix);
        if is_past(expires) || (is_judged && is_past(issued)) {
            return Err(Rejection::TimestampStale);
        }
        Ok(())
    }

    /// The id of the fetched key that made the token; `None` where the scheme has shared secrets, and once the key is given.
    pub(super) fn wanted_key(&self) -> Option<&str> {
        (self.scheme.is_fetched() && self.key.is_none()).then_some(self.kid.as_str())
    }

    /// Gives the fetched key.
    pub(super) fn use_key(&mut self, key: Arc<FetchedKey>) {
        self.key = Some(key);
    }

    /// Absorbs the next piece of the body.
    pub(super) fn update(&mut self, piece: &[u8]) {
        if let Some((_, hash)) = &mut self.body {
            hash.update(piece);
        }
    }

    /// Verifies the signature, and that the token is about this request.
    ///
    /// # Errors
    /// `SignatureMismatch`.
    pub(super) fn finish(self, identity: IdentityHash) -> Result<Verified, Rejection> {
        let (found, secret) = self.search();
        let is_of_body = self
            .body
            .is_none_or(|(claimed, hash)| hash.finalize().as_slice().ct_eq(&claimed).into());
        if !found || !is_of_body || !self.is_request {
            return Err(Rejection::SignatureMismatch);
        }
        Ok(Verified {
            secret,
            timestamp: self.times.issued.filter(|_| time_claim(&self.scheme).is_some()),
            identity: identity.of([self.signed.as_bytes()]),
            tenant: self.tenant.as_ref().map_or([0; 32], ChosenTenant::digest),
            sealed: (),
        })
    }

    /// Whether the given key made a token that says nothing of a request.
    pub(super) fn is_genuine(&self) -> bool {
        self.key.is_some() && self.search().0
    }

    /// Whether a key made the signature, and the first such key's index.
    fn search(&self) -> (bool, usize) {
        if let Some(key) = &self.key {
            return (key.verifies_token(self.algorithm, &self.signed, &self.signature), 0);
        }
        let Ok(signature) = URL_SAFE_NO_PAD.decode(&self.signature) else {
            return (false, 0);
        };
        let mut found = (Choice::from(0), 0);
        let of_tenant = self.tenant.as_ref().map(|tenant| tenant.keys(&self.scheme));
        let of_scheme = self.scheme.keys.iter().filter(|_| self.tenant.is_none());
        for (index, key) in of_tenant.into_iter().flatten().chain(of_scheme).enumerate() {
            let VerificationKey::Mac(mac) = &key.key else {
                continue;
            };
            let mut mac = mac.clone();
            mac.update(self.signed.as_bytes());
            let hit = mac.finish().matches(&signature);
            if bool::from(hit & !found.0) {
                found = (hit, index);
            }
        }
        (found.0.into(), found.1)
    }
}

impl Times {
    /// The times among the claims. Fractions of a second are dropped.
    ///
    /// # Errors
    /// `SignatureMalformed` for a time that is not a number.
    fn read(claims: &Map<String, Value>) -> Result<Self, Rejection> {
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                let whole = number.as_u64();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "the bounds are checked"
                )]
                let cut = number
                    .as_f64()
                    .filter(|time| (0.0..1e12).contains(time))
                    .map(|time| time as u64);
                whole.or(cut).map(Some).ok_or(Rejection::SignatureMalformed)
            }
            Some(Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                Err(Rejection::SignatureMalformed)
            }
        };
        Ok(Self {
            expires: time("exp")?,
            not_before: time("nbf")?,
            issued: time("iat")?,
        })
    }
}

/// The token of a request, without the text before it. The name of an authentication scheme has no case (RFC 9110, 11.1).
///
/// # Errors
/// `SignatureMissing`, `SignatureMalformed`.
fn token<'h>(scheme: &CompiledScheme, head: &HeadRef<'h>) -> Result<&'h str, Rejection> {
    let SignatureLocation::Header(names, _) = &scheme.signature else {
        return Err(Rejection::SignatureMalformed);
    };
    let name = names.first().ok_or(Rejection::SignatureMissing)?;
    let text = header::only_within(head.headers, name, MAX_TOKEN_BYTES)?;
    let prefix = scheme.prefixes.first().map_or("", String::as_str);
    let (before, token) = text
        .split_at_checked(prefix.len())
        .ok_or(Rejection::SignatureMalformed)?;
    if before.eq_ignore_ascii_case(prefix) {
        Ok(token)
    } else {
        Err(Rejection::SignatureMalformed)
    }
}

/// The hash of an algorithm with a shared secret that is supported; `None` for every other algorithm.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's list of algorithms is open")]
const fn hmac_of(algorithm: Algorithm) -> Option<HmacHash> {
    match algorithm {
        Algorithm::HS256 => Some(HmacHash::Sha256),
        Algorithm::HS512 => Some(HmacHash::Sha512),
        _ => None,
    }
}

/// The claim with the time that the scheme judges.
fn time_claim(scheme: &CompiledScheme) -> Option<&str> {
    match &scheme.timestamp {
        Some(TimestampSource {
            location: TimestampLocation::Claim(name),
            ..
        }) => Some(name),
        Some(_) | None => None,
    }
}

/// Whether a claim has one of these values. Of several values of the claim one is enough.
fn is_one_of(value: &Value, wanted: &[String]) -> bool {
    let has = |value: &Value| wanted.iter().any(|wanted| is_text(value, wanted));
    match value {
        Value::Array(several) => several.iter().any(has),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => has(value),
    }
}

/// Whether a claim's value is written like this text.
fn is_text(value: &Value, text: &str) -> bool {
    match value {
        Value::String(value) => value == text,
        Value::Bool(value) => text == if *value { "true" } else { "false" },
        Value::Number(value) => value.to_string() == text,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Writes a token with this key, for the commands that sign.
pub(super) fn sign(
    scheme: &CompiledScheme,
    format: &JwtFormat,
    key: &VerificationKey,
    private: Option<&PrivateKey>,
    head: &HeadRef<'_>,
    body: &[u8],
    now_unix: u64,
) -> Option<String> {
    let mut claims = Map::new();
    for (name, values) in &format.claims {
        claims.insert(name.clone(), values.first()?.clone().into());
    }
    claims.insert("iat".to_owned(), now_unix.into());
    claims.insert("exp".to_owned(), now_unix.saturating_add(300).into());
    if let Some((name, encoding)) = &format.body {
        claims.insert(name.clone(), header::encode(&Sha256::digest(body), *encoding).into());
    }
    if let Some(name) = &format.request {
        claims.insert(name.clone(), jwt_request::hash(head).into());
    }
    let header = match private {
        Some(private) => {
            serde_json::json!({ "alg": private.token_algorithm().0, "typ": "JWT", "kid": private.id()? })
        }
        None => serde_json::json!({ "alg": hmac_name(format.hmac), "typ": "JWT" }),
    };
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(Value::Object(claims)));
    let signature = match (key, private) {
        (VerificationKey::Mac(mac), None) => {
            let mut mac = mac.clone();
            mac.update(signed.as_bytes());
            mac.finish().as_slice().to_vec()
        }
        (VerificationKey::Fetched, Some(private)) => private.sign(private.token_algorithm().1, signed.as_bytes())?,
        (
            VerificationKey::Mac(_)
            | VerificationKey::Public(_)
            | VerificationKey::Token(..)
            | VerificationKey::Digest(..)
            | VerificationKey::Message(_)
            | VerificationKey::Fetched,
            _,
        ) => return None,
    };
    let prefix = scheme.prefixes.first().map_or("", String::as_str);
    Some(format!("{prefix}{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The name of the algorithm of tokens with a shared secret (RFC 7518, 3.1).
const fn hmac_name(hash: HmacHash) -> &'static str {
    match hash {
        HmacHash::Sha512 => "HS512",
        HmacHash::Sha1 | HmacHash::Sha256 => "HS256",
    }
}
