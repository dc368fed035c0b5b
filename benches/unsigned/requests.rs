//! Unsigned requests that are slow to refuse, for every preset: bodies that are slow to read, and as many well-formed
//! signatures under no key as the preset accepts. They are made from the description of the preset, so that a new preset
//! is covered without a line here.

use base64::Engine as _;
use bytes::Bytes;
use hookgate::http::message::Headers;
use hookgate::scheme::{
    Algorithm, HeadRef, KeyEncoding, NamedSecret, SignRequest, SignatureEncoding, TimeUnit, Verifier, presets,
};
use hookgate::secret::Secret;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=b";

/// The time of all requests, in Unix seconds.
pub(crate) const NOW: u64 = 1_700_000_000;

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HEX_SECRET: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const BASIC: &str = "hooks:MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ED25519_HEX: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
const ED25519_BASE64: &str = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
/// Signatures of other messages: a signature that no message can have would be refused without a hash.
const ED25519_SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
const DER_SIGNATURE: &str =
    "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";

/// One preset with keys of one kind, and its requests.
pub(crate) struct Case {
    /// The preset, and the kind of key where it has two.
    pub(crate) name: String,
    pub(crate) verifier: Verifier,
    target: String,
    pub(crate) requests: Vec<Unsigned>,
}

/// One request.
pub(crate) struct Unsigned {
    /// What makes its body slow to read.
    pub(crate) name: &'static str,
    headers: Headers,
    pub(crate) body: Bytes,
}

impl Case {
    pub(crate) fn head<'a>(&'a self, request: &'a Unsigned) -> HeadRef<'a> {
        HeadRef {
            method: &Method::POST,
            target: &self.target,
            headers: &request.headers,
        }
    }
}

/// The requests of every preset, with bodies of about this length. Presets whose keys are fetched, or whose signature is a
/// token, are not among them.
pub(crate) fn all(body_bytes: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for provider in presets::names() {
        let Some(plain) = Key::of(provider, None) else {
            continue;
        };
        let alternative = plain.verifier.description().alternative.clone();
        cases.extend(plain.case(format!("`{provider}`"), body_bytes));
        if let Some(alternative) = alternative {
            let prefix = alternative.key_prefix.as_slice().first().cloned().unwrap_or_default();
            let other = (prefix.clone(), alternative.algorithm, alternative.prefix);
            let case = Key::of(provider, Some(other))
                .and_then(|key| key.case(format!("`{provider}` with `{prefix}`"), body_bytes));
            cases.extend(case);
        }
    }
    cases
}

/// A preset with a key of one algorithm.
struct Key {
    verifier: Verifier,
    algorithm: Algorithm,
    /// The text before a signature.
    prefix: String,
}

impl Key {
    fn of(provider: &'static str, alternative: Option<(String, Algorithm, String)>) -> Option<Self> {
        let row = presets::description(provider)?;
        if row.jwt.is_some() || row.keys.is_some() {
            return None;
        }
        let is_digest = row.form_digest.is_some();
        let own = row.algorithm.unwrap_or(if is_digest {
            Algorithm::Md5
        } else {
            Algorithm::HmacSha256
        });
        let encoding = row.key.as_ref().and_then(|key| key.encoding);
        let (key_prefix, algorithm, prefix) = alternative.unwrap_or_else(|| {
            let prefix = row.signature.as_ref().and_then(|signature| signature.prefix.clone());
            (String::new(), own, prefix.unwrap_or_default())
        });
        let key = key_prefix + &key_text(algorithm, encoding);
        let signs_url = row.payload.as_deref().is_some_and(|payload| payload.contains("{url}"));
        let named = NamedSecret {
            name: "k".to_owned(),
            secret: Secret::new(key.into_bytes()),
        };
        let url = signs_url.then(|| "https://h.example/p".to_owned());
        Some(Self {
            verifier: Verifier::new(provider, None, vec![named], url).ok()?,
            algorithm,
            prefix,
        })
    }

    fn case(self, name: String, body_bytes: usize) -> Option<Case> {
        let (target, fields) = self.head()?;
        let bodies = self.bodies(body_bytes);
        let requests = bodies.into_iter().map(|(name, content_type, body)| {
            let mut fields = fields.clone();
            let value = HeaderValue::from_static(content_type);
            fields.push((HeaderName::from_static("content-type"), value));
            Unsigned {
                name,
                headers: fields.into_iter().collect(),
                body,
            }
        });
        Some(Case {
            name,
            requests: requests.collect(),
            verifier: self.verifier,
            target,
        })
    }

    /// Target and header fields.
    fn head(&self) -> Option<(String, Vec<(HeaderName, HeaderValue)>)> {
        // The most signatures that the preset accepts.
        for count in (1..=8).rev() {
            let (target, fields) = self.head_with(count);
            let headers = fields.iter().cloned().collect();
            let head = HeadRef {
                method: &Method::POST,
                target: &target,
                headers: &headers,
            };
            if self.verifier.present(&head).is_ok() {
                return Some((target, fields));
            }
        }
        None
    }

    fn head_with(&self, count: usize) -> (String, Vec<(HeaderName, HeaderValue)>) {
        let description = self.verifier.description();
        let signature = description.signature.clone().unwrap_or_default();
        let mut query = Vec::new();
        let mut fields = Vec::new();
        // The sender's side of hookgate writes everything but signatures under public keys.
        let request = SignRequest {
            method: &Method::POST,
            target: "/p",
            delivery_id: Some("id-1"),
            body: b"another body",
        };
        // A token would be the right one.
        let is_token = matches!(self.algorithm, Algorithm::Token | Algorithm::Basic);
        let is_other = is_token || key_is_public(self.algorithm);
        if let Some(signed) = self.verifier.sign(0, &request, NOW).filter(|_| !is_other) {
            fields = signed;
        } else if let Some(names) = &signature.header {
            let each = format!("{}{}", self.prefix, self.signature());
            let each = signature
                .field
                .as_ref()
                .map_or(each.clone(), |field| format!("{field}={each}"));
            let mut parts = vec![each; if signature.separator.is_some() { count } else { 1 }];
            let time = description.timestamp.clone().unwrap_or_default();
            if let Some(field) = &time.field {
                parts.insert(0, format!("{field}={}", self.now()));
            }
            let separator = signature.separator.unwrap_or(' ').to_string();
            let mut set = |name: &str, value: String| {
                let name = HeaderName::try_from(name).unwrap();
                fields.push((name, HeaderValue::try_from(value).unwrap()));
            };
            set(&names.as_slice()[0], parts.join(&separator));
            if let Some(name) = &time.header {
                set(name, self.now());
            }
            if let Some(name) = description.delivery_id.as_ref().and_then(|id| id.header.as_ref()) {
                set(name, "id-1".to_owned());
            }
        }
        if let Some(name) = &signature.query {
            query.push(format!("{name}={}{}", self.prefix, self.signature()));
        }
        if let Some(name) = description.timestamp.as_ref().and_then(|time| time.query.as_ref()) {
            query.push(format!("{name}={}", self.now()));
        }
        let target = format!("/p{}{}", if query.is_empty() { "" } else { "?" }, query.join("&"));
        (target, fields)
    }

    /// A signature that is well formed and made by no key of ours.
    fn signature(&self) -> String {
        let bytes = match self.algorithm {
            Algorithm::HmacSha1 | Algorithm::Sha1 => vec![1; 20],
            Algorithm::HmacSha256 | Algorithm::Sha256 => vec![1; 32],
            Algorithm::HmacSha512 | Algorithm::Sha512 => vec![1; 64],
            Algorithm::Md5 => vec![1; 16],
            Algorithm::Ed25519 => hex::decode(ED25519_SIGNATURE).unwrap(),
            Algorithm::EcdsaP256 => from_base64(DER_SIGNATURE),
            Algorithm::RsaSha1 | Algorithm::RsaSha256 | Algorithm::RsaPssSha256 => vec![1; 512],
            Algorithm::Token | Algorithm::Basic => return "another-token-of-some-length".to_owned(),
        };
        match self.verifier.description().encoding.unwrap_or(SignatureEncoding::Hex) {
            SignatureEncoding::Hex => hex::encode(bytes),
            SignatureEncoding::HexUpper => hex::encode_upper(bytes),
            SignatureEncoding::Base64 => base64(&bytes),
            SignatureEncoding::Base64url => base64(&bytes).replace('+', "-").replace('/', "_"),
        }
    }

    /// The time as this preset's sender writes it.
    fn now(&self) -> String {
        let unit = self
            .verifier
            .description()
            .timestamp
            .as_ref()
            .and_then(|time| time.unit);
        match unit.unwrap_or(TimeUnit::Seconds) {
            TimeUnit::Seconds => NOW.to_string(),
            TimeUnit::Milliseconds => format!("{NOW}000"),
            TimeUnit::Rfc3339 => "2023-11-14T22:13:20Z".to_owned(),
            TimeUnit::DateTime => "2023-11-14 22:13:20".to_owned(),
            TimeUnit::HttpDate => "Tue, 14 Nov 2023 22:13:20 GMT".to_owned(),
        }
    }

    /// Bodies with everything that the preset reads, and then a filling that is slow to read.
    fn bodies(&self, bytes: usize) -> Vec<(&'static str, &'static str, Bytes)> {
        let values = self.values();
        let mut bodies = Vec::new();
        let pointers: Vec<&(Place, String)> = values
            .iter()
            .filter(|(place, _)| matches!(place, Place::Json(_)))
            .collect();
        let mut document = serde_json::Value::Null;
        for (place, value) in &pointers {
            if let Place::Json(pointer) = place {
                set(&mut document, pointer, value);
            }
        }
        let skeleton = if pointers.is_empty() {
            "{\"k\":1}".to_owned()
        } else {
            document.to_string()
        };
        // A key of the same length as one that is read.
        let last = pointers.last().map_or("key", |(place, _)| match place {
            Place::Json(pointer) => pointer.rsplit('/').next().unwrap_or("key"),
            Place::Form(_) => "key",
        });
        let alike = format!(",\"{}\":0", "~".repeat(last.len()));
        let shortest = ",\"\":0".to_owned();
        let fillings = [
            (
                "JSON: text",
                ",\"long key\":\"and a value of ordinary length\"".to_owned(),
            ),
            ("JSON: escaped keys", ",\"\\u0061\":0".to_owned()),
            ("JSON: short keys", ",\"a\":0".to_owned()),
            ("JSON: empty keys", shortest),
            ("JSON: keys as long as a known one", alike),
            ("JSON: keys beyond ASCII", ",\"\u{e9}\":0".to_owned()),
        ];
        // In the innermost object with a value, in the one around it, and so on.
        let closing = skeleton.len() - skeleton.trim_end_matches(['}', ']']).len();
        for depth in 0..closing {
            let (open, close) = skeleton.split_at(skeleton.len() - closing + depth);
            if !close.starts_with('}') {
                continue;
            }
            for (name, unit) in &fillings {
                bodies.push((*name, JSON, fill(open, unit, close, bytes)));
            }
            for (name, unit) in [
                ("JSON: numbers", ",0"),
                ("JSON: floats", ",1e1"),
                ("JSON: arrays", ",[]"),
            ] {
                bodies.push((
                    name,
                    JSON,
                    fill(&format!("{open},\"~\":[0"), unit, &format!("]{close}"), bytes),
                ));
            }
        }
        // Where a form may stand in place of the JSON, the last part of the pointer is the name of the field.
        let mut form = String::new();
        let mut parts = String::new();
        for (place, value) in &values {
            let name = match place {
                Place::Form(name) => name,
                Place::Json(pointer) => pointer.rsplit('/').next().unwrap_or_default(),
            };
            form.push_str(&format!("{name}={}&", value.replace('+', "%2B").replace('=', "%3D")));
            parts.push_str(&part(name, value));
        }
        let each = bytes / 1000;
        let fields: String = (0..950)
            .map(|number| format!("{}{number:03}=1&", "%41".repeat(each / 3)))
            .collect();
        let fields = format!("{form}{}", fields.trim_end_matches('&'));
        bodies.push(("form: escapes", FORM, Bytes::from(fields)));
        let text = "a=xxxxxxxxxxxxxxxxxxxxxxxxxxx";
        bodies.push(("form: plain text", FORM, fill(&form, text, "", bytes)));
        if self.verifier.reads_forms() {
            let end = "--b--\r\n";
            let many: String = (0..950)
                .map(|number| part(&format!("n{number}"), &"x".repeat(each.saturating_sub(60))))
                .collect();
            bodies.push((
                "multipart: many fields",
                MULTIPART,
                Bytes::from(format!("{parts}{many}{end}")),
            ));
            let lines = part("n", &"\r\n--".repeat(bytes / 4));
            bodies.push((
                "multipart: lines",
                MULTIPART,
                Bytes::from(format!("{parts}{lines}{end}")),
            ));
        }
        bodies.push(("text", "text/plain", fill("", "x", "", bytes)));
        bodies
    }

    /// Everything that the preset reads of a body: the place and the value.
    fn values(&self) -> Vec<(Place, String)> {
        let description = self.verifier.description();
        let mut values = Vec::new();
        let payload = description.payload.clone().unwrap_or_default();
        for part in payload.split('{').skip(1).filter_map(|part| part.split('}').next()) {
            if let Some(pointer) = part.strip_prefix("json:").or_else(|| part.strip_prefix("json?:")) {
                values.push((Place::Json(pointer.to_owned()), "v1".to_owned()));
            } else if let Some(name) = part.strip_prefix("form:") {
                values.push((Place::Form(name.to_owned()), "v1".to_owned()));
            }
        }
        let time = description.timestamp.clone().unwrap_or_default();
        values.extend(time.pointer.map(|pointer| (Place::Json(pointer), self.now())));
        values.extend(time.form.map(|name| (Place::Form(name), self.now())));
        let digest = description.form_digest.as_ref();
        let hash_field = digest.map(|digest| digest.hash_field.clone().unwrap_or_else(|| "msg_id".to_owned()));
        let signature = description.signature.clone().unwrap_or_default();
        let text = format!("{}{}", self.prefix, self.signature());
        values.extend(signature.pointer.map(|pointer| (Place::Json(pointer), text.clone())));
        values.extend(signature.form.or(hash_field).map(|name| (Place::Form(name), text)));
        values
    }
}

/// Where a value of a body is.
enum Place {
    Json(String),
    Form(String),
}

/// One field of a multipart form.
fn part(name: &str, value: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

/// Puts a value into a document, with the objects and arrays on its way.
fn set(document: &mut serde_json::Value, pointer: &str, value: &str) {
    let mut place = document;
    for token in pointer.split('/').skip(1) {
        place = if token == "0" {
            if !place.is_array() {
                *place = serde_json::json!([null]);
            }
            &mut place[0]
        } else {
            if !place.is_object() {
                *place = serde_json::json!({});
            }
            &mut place[token]
        };
    }
    *place = value.into();
}

/// A body of about `bytes` bytes.
fn fill(open: &str, unit: &str, close: &str, bytes: usize) -> Bytes {
    let times = bytes.saturating_sub(open.len() + close.len()) / unit.len();
    Bytes::from([open, &unit.repeat(times), close].concat())
}

fn key_is_public(algorithm: Algorithm) -> bool {
    match algorithm {
        Algorithm::Ed25519
        | Algorithm::EcdsaP256
        | Algorithm::RsaSha1
        | Algorithm::RsaSha256
        | Algorithm::RsaPssSha256 => true,
        Algorithm::HmacSha1
        | Algorithm::HmacSha256
        | Algorithm::HmacSha512
        | Algorithm::Token
        | Algorithm::Basic
        | Algorithm::Md5
        | Algorithm::Sha1
        | Algorithm::Sha256
        | Algorithm::Sha512 => false,
    }
}

/// A usable key.
fn key_text(algorithm: Algorithm, encoding: Option<KeyEncoding>) -> String {
    let is_hex = encoding == Some(KeyEncoding::Hex);
    match algorithm {
        Algorithm::Basic => BASIC.to_owned(),
        Algorithm::Ed25519 if is_hex => ED25519_HEX.to_owned(),
        Algorithm::Ed25519 => ED25519_BASE64.to_owned(),
        Algorithm::EcdsaP256 => P256.to_owned(),
        Algorithm::RsaSha1 | Algorithm::RsaSha256 | Algorithm::RsaPssSha256 => {
            let vectors: serde_json::Value =
                serde_json::from_str(include_str!("../../tests/vectors/paddle-classic.json")).unwrap();
            vectors[0]["public_key_pem"].as_str().unwrap().to_owned()
        }
        Algorithm::HmacSha1
        | Algorithm::HmacSha256
        | Algorithm::HmacSha512
        | Algorithm::Token
        | Algorithm::Md5
        | Algorithm::Sha1
        | Algorithm::Sha256
        | Algorithm::Sha512 => if is_hex { HEX_SECRET } else { SECRET }.to_owned(),
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
