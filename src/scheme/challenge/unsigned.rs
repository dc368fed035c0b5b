//! Unsigned challenges: what the request must have, and the answer.

use super::ChallengeReply;
use super::description::{AnswerDescription, ChallengeDescription};
use super::text::{self, Charset, MAX_CHALLENGE_BYTES};
use crate::outcome::Rejection;
use crate::scheme::json::JsonPointer;
use crate::scheme::types::contiguous;
use crate::scheme::{HeadRef, SignatureEncoding, Verifier, template};
use crate::secret::Secret;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Longest number that `{number}` stands for, in digits.
const MAX_NUMBER_DIGITS: usize = 20;

/// Headers that an answer never repeats a value in, because senders and proxies act on them.
const FORBIDDEN: [&str; 8] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "location",
    "set-cookie",
    "trailer",
    "transfer-encoding",
];

/// An unsigned challenge, compiled.
#[derive(Clone, Debug)]
pub struct UnsignedChallenge {
    method: Method,
    ask: Ask,
    /// Parameters of the query that must have these values.
    fixed: Vec<(&'static str, &'static str)>,
    token: Option<VerifyToken>,
    charset: Charset,
    answer: Answer,
    code: Option<Code>,
}

/// What the request asks to be repeated, or the whole of what it has.
#[derive(Clone, Debug)]
enum Ask {
    /// No body.
    Nothing,
    /// Exactly this body: the texts, with a number between each two.
    Body(Vec<String>),
    /// The value of a parameter of the query.
    Query(String),
    /// The value of a header.
    Header(HeaderName),
    /// A value of the JSON body.
    Json(JsonPointer),
}

/// Where the answer has the value.
#[derive(Clone, Debug)]
enum Answer {
    Empty,
    Text,
    /// Under this key of an object; under the second one, the value that the request has.
    Json(String, Option<String>),
    Header(HeaderName),
}

/// The HMAC that the answer has in place of the value.
#[derive(Clone, Debug)]
struct Code {
    /// Index of the key.
    key: usize,
    encoding: SignatureEncoding,
    prefix: String,
}

/// The parameter of the query with the token, and the token's SHA-256, so that a comparison takes the same time for every
/// received token.
#[derive(Clone)]
struct VerifyToken {
    parameter: String,
    digest: [u8; 32],
}

impl std::fmt::Debug for VerifyToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl UnsignedChallenge {
    /// A HEAD request, answered 200.
    pub(super) const fn head() -> Self {
        Self {
            method: Method::HEAD,
            ask: Ask::Nothing,
            fixed: Vec::new(),
            token: None,
            charset: Charset::Plain,
            answer: Answer::Empty,
            code: None,
        }
    }

    /// A GET request with a parameter of the query that the answer repeats.
    pub(super) fn parameter(name: &str) -> Self {
        Self {
            method: Method::GET,
            ask: Ask::Query(name.to_owned()),
            answer: Answer::Text,
            ..Self::head()
        }
    }

    /// The same as a POST, with a value that may be a sentence.
    pub(super) fn posted(self) -> Self {
        Self {
            method: Method::POST,
            charset: Charset::Printable,
            ..self
        }
    }

    /// An OPTIONS request with a header that the answer repeats in another one.
    pub(super) fn header(name: &'static str, answer: &'static str) -> Self {
        let answer = HeaderName::from_bytes(answer.as_bytes()).map_or(Answer::Empty, Answer::Header);
        Self {
            method: Method::OPTIONS,
            ask: HeaderName::from_bytes(name.as_bytes()).map_or(Ask::Nothing, Ask::Header),
            answer,
            ..Self::head()
        }
    }

    /// The same with the HMAC of the value under the key of this index as JSON, and the value too where `echo` names its key.
    pub(super) fn with_code(
        self,
        key: usize,
        encoding: SignatureEncoding,
        prefix: &str,
        json: &str,
        echo: Option<&str>,
    ) -> Self {
        Self {
            answer: Answer::Json(json.to_owned(), echo.map(str::to_owned)),
            code: Some(Code {
                key,
                encoding,
                prefix: prefix.to_owned(),
            }),
            ..self
        }
    }

    /// The same with a parameter that has this value, and one that has the token.
    pub(super) fn guarded(self, fixed: (&'static str, &'static str), parameter: &str, token: &Secret) -> Self {
        Self {
            fixed: vec![fixed],
            token: Some(VerifyToken::new(parameter, token)),
            ..self
        }
    }

    /// Compiles a description. `key` is the index of the secret whose HMAC is asked for, and `token` the route's
    /// `verify_token`.
    ///
    /// # Errors
    /// All faults: the key below `challenge`, and a sentence for the operator.
    pub(super) fn new(
        description: &ChallengeDescription,
        key: usize,
        verifier: &Verifier,
        token: Option<&Secret>,
    ) -> Result<Self, Vec<(&'static str, String)>> {
        let mut faults = Vec::new();
        let ask = ask(description).map_err(|fault| faults.push(fault)).ok();
        let method = method(description).map_err(|fault| faults.push(fault)).ok();
        let answer = description.answer.clone().unwrap_or_default();
        let code = answer.hmac.map(|encoding| Code {
            key,
            encoding,
            prefix: answer.prefix.clone().unwrap_or_default(),
        });
        if code.is_some() && verifier.hmac(key, b"", SignatureEncoding::Hex).is_none() {
            faults.push((
                "answer.hmac",
                "the provider's scheme has no HMAC key: remove `hmac`, the value itself is then repeated".to_owned(),
            ));
        }
        if code.is_none() && answer.prefix.is_some() {
            faults.push((
                "answer.prefix",
                "this is the text before an HMAC: write `hmac = \"hex\"`, or remove it".to_owned(),
            ));
        }
        let repeats = !matches!(ask, Some(Ask::Nothing | Ask::Body(_)));
        let place = place(&answer, repeats).map_err(|fault| faults.push(fault)).ok();
        let token = match (&description.token_query, token) {
            (Some(parameter), Some(token)) => Some(VerifyToken::new(parameter, token)),
            (None, None) => None,
            (Some(_), None) => {
                faults.push((
                    "token_query",
                    "this parameter has a token that you chose: write it as `verify_token = { env = \"VERIFY_TOKEN\" }`"
                        .to_owned(),
                ));
                None
            }
            (None, Some(_)) => {
                faults.push((
                    "token_query",
                    "the route has a `verify_token`: write the parameter of the query that has it, such as `token_query = \"hub.verify_token\"`"
                        .to_owned(),
                ));
                None
            }
        };
        match (ask, method, place) {
            (Some(ask), Some(method), Some(answer)) if faults.is_empty() => Ok(Self {
                method,
                ask,
                fixed: Vec::new(),
                token,
                charset: match code {
                    Some(_) => Charset::Plain,
                    None => Charset::Printable,
                },
                answer,
                code,
            }),
            _ => Err(faults),
        }
    }

    /// The method of the challenge.
    pub(super) const fn method(&self) -> &Method {
        &self.method
    }

    /// Whether the answer is an HMAC under a secret of the route.
    pub(super) const fn has_code(&self) -> bool {
        self.code.is_some()
    }

    /// Whether the challenge is in the body, so that the body must be read to know it.
    pub(super) fn is_in_body(&self) -> bool {
        match &self.ask {
            Ask::Body(texts) => !matches!(&texts[..], [one] if one.is_empty()),
            Ask::Json(_) => true,
            Ask::Nothing | Ask::Query(_) | Ask::Header(_) => false,
        }
    }

    /// The answer to an unsigned request; `None` when it is not this challenge. `body` in pieces, empty where it was not
    /// read.
    ///
    /// # Errors
    /// `SignatureMismatch` for a challenge with another token.
    pub(super) fn answer(
        &self,
        head: &HeadRef<'_>,
        body: &[Bytes],
        verifier: &Verifier,
    ) -> Option<Result<ChallengeReply, Rejection>> {
        let body_bytes: usize = body.iter().map(Bytes::len).sum();
        if *head.method != self.method
            || body_bytes > MAX_CHALLENGE_BYTES
            || (body_bytes > 0) != self.is_in_body()
            || verifier.carries_signature(head)
        {
            return None;
        }
        let query = head.target.split_once('?').map_or("", |(_, query)| query);
        let is_fixed =
            |(name, value): &(&str, &str)| text::parameter(query, name).is_some_and(|found| found == value.as_bytes());
        if !self.fixed.iter().all(is_fixed) {
            return None;
        }
        let value = match &self.ask {
            Ask::Nothing => Vec::new(),
            Ask::Body(texts) => matches_body(texts, &contiguous(body)).then(Vec::new)?,
            Ask::Query(name) => text::parameter(query, name)?,
            Ask::Header(name) => {
                let mut values = head.headers.named(name.as_str());
                let value = values.next()?;
                values.next().is_none().then(|| value.to_vec())?
            }
            Ask::Json(pointer) => pointer.text(&contiguous(body)).ok()??.into_bytes(),
        };
        let reply = self.reply(&value, verifier)?;
        match &self.token {
            None => Some(Ok(reply)),
            Some(token) => {
                let received = text::parameter(query, &token.parameter)?;
                Some(match token.is(&received) {
                    true => Ok(reply),
                    false => Err(Rejection::SignatureMismatch),
                })
            }
        }
    }

    /// The answer that repeats this value; `None` when it may not be repeated.
    fn reply(&self, value: &[u8], verifier: &Verifier) -> Option<ChallengeReply> {
        if let Answer::Empty = self.answer {
            return Some(ChallengeReply::empty());
        }
        let plain = self.charset.accept(value)?;
        let echoed = plain.clone();
        let text = match &self.code {
            None => plain,
            Some(code) => {
                let hmac = verifier.hmac(code.key, plain.as_bytes(), code.encoding)?;
                format!("{}{hmac}", code.prefix)
            }
        };
        match &self.answer {
            Answer::Empty => Some(ChallengeReply::empty()),
            Answer::Text => Some(ChallengeReply::text(text)),
            Answer::Json(key, None) => Some(ChallengeReply::json(&serde_json::json!({ key.as_str(): text }))),
            Answer::Json(key, Some(echo)) => Some(ChallengeReply::json(
                &serde_json::json!({ echo.as_str(): echoed, key.as_str(): text }),
            )),
            Answer::Header(name) => Some(ChallengeReply {
                header: Some((name.clone(), HeaderValue::from_str(&text).ok()?)),
                ..ChallengeReply::empty()
            }),
        }
    }
}

impl VerifyToken {
    fn new(parameter: &str, token: &Secret) -> Self {
        Self {
            parameter: parameter.to_owned(),
            digest: Sha256::digest(token.expose()).into(),
        }
    }

    fn is(&self, received: &[u8]) -> bool {
        Sha256::digest(received).as_slice().ct_eq(&self.digest).into()
    }
}

/// What the request must have.
///
/// # Errors
/// The key, and a sentence for the operator.
fn ask(description: &ChallengeDescription) -> Result<Ask, (&'static str, String)> {
    let ChallengeDescription {
        body,
        query,
        header,
        pointer,
        ..
    } = description;
    match (body, query, header, pointer) {
        (None, None, None, None) => Ok(Ask::Nothing),
        (Some(body), None, None, None) => {
            let texts: Vec<String> = body.split("{number}").map(str::to_owned).collect();
            let after_a_number = || texts.iter().skip(1);
            if after_a_number().any(|text| text.starts_with(|first: char| first.is_ascii_digit()))
                || after_a_number().rev().skip(1).any(String::is_empty)
            {
                return Err((
                    "body",
                    "a digit or another number follows `{number}`: write one `{number}` for all digits".to_owned(),
                ));
            }
            if body.len() > MAX_CHALLENGE_BYTES {
                return Err((
                    "body",
                    format!("a challenge has at most {MAX_CHALLENGE_BYTES} bytes: write its short body"),
                ));
            }
            Ok(Ask::Body(texts))
        }
        (None, Some(query), None, None) => Ok(Ask::Query(query.clone())),
        (None, None, Some(header), None) => template::header(header)
            .map(Ask::Header)
            .map_err(|fault| ("header", fault)),
        (None, None, None, Some(pointer)) => JsonPointer::parse(pointer)
            .map(Ask::Json)
            .map_err(|fault| ("pointer", fault)),
        _ => Err((
            "",
            "this has more than one of `body`, `query`, `header` and `pointer`: write the one that the answer repeats"
                .to_owned(),
        )),
    }
}

/// The method, or its default.
///
/// # Errors
/// The key, and a sentence for the operator.
fn method(description: &ChallengeDescription) -> Result<Method, (&'static str, String)> {
    let has_body = description.body.is_some() || description.pointer.is_some();
    let Some(method) = &description.method else {
        return Ok(match (has_body || description.header.is_some(), &description.query) {
            (true, _) => Method::POST,
            (false, Some(_)) => Method::GET,
            (false, None) => Method::HEAD,
        });
    };
    let repeats = description.query.is_some() || description.header.is_some();
    match Method::from_bytes(method.as_bytes()) {
        Ok(Method::HEAD | Method::GET | Method::OPTIONS) if has_body => Err((
            "method",
            "such a request has no body: write `method = \"POST\"`".to_owned(),
        )),
        Ok(method @ (Method::HEAD | Method::GET | Method::OPTIONS)) => Ok(method),
        Ok(method @ (Method::POST | Method::PUT)) if has_body || repeats => Ok(method),
        Ok(Method::POST | Method::PUT) => Err((
            "method",
            "write the exact `body` of this request too; `body = \"\"` for one without a body".to_owned(),
        )),
        Ok(_) | Err(_) => Err((
            "method",
            "no provider checks an endpoint with this method: write HEAD, GET, OPTIONS, POST or PUT".to_owned(),
        )),
    }
}

/// Where the answer has the value; `repeats` says whether there is one.
///
/// # Errors
/// The key, and a sentence for the operator.
fn place(answer: &AnswerDescription, repeats: bool) -> Result<Answer, (&'static str, String)> {
    match (&answer.json, &answer.header) {
        (None, None) if !repeats && answer.hmac.is_none() => Ok(Answer::Empty),
        (_, _) if !repeats => Err((
            "answer",
            "this challenge has no value to repeat, so its answer is empty: write `query`, `header` or `pointer`, or remove `answer`".to_owned(),
        )),
        (None, None) => Ok(Answer::Text),
        (Some(key), None) => Ok(Answer::Json(key.clone(), None)),
        (None, Some(name)) if FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)) => Err((
            "answer.header",
            "this header has a meaning of its own in an answer: write another name, such as \"X-Hook-Secret\"".to_owned(),
        )),
        (None, Some(name)) => template::header(name).map(Answer::Header).map_err(|fault| ("answer.header", fault)),
        (Some(_), Some(_)) => Err(("answer", "the value is in one place: remove `json` or `header`".to_owned())),
    }
}

/// Whether a body is these texts with a number between each two.
fn matches_body(texts: &[String], body: &[u8]) -> bool {
    let mut rest = body;
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=MAX_NUMBER_DIGITS).contains(&digits) {
                return false;
            }
            rest = rest.get(digits..).unwrap_or_default();
        }
        match rest.strip_prefix(text.as_bytes()) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}
