//! Challenges: requests with which some providers check an endpoint before they send webhooks to it. hookgate answers
//! them for the application.
//!
//! Pure. Challenges do not weaken verification: a request that is answered here is not forwarded, and a request that is
//! not exactly a challenge is handled like any other. Slack, Zoom and Discord sign their challenges, and these are
//! answered only after verification. Meta's challenge has a token that the operator chose. Dropbox's has no secret, so
//! the answer contains nothing but its own text. An echoed text is short and consists of letters, digits, `_`, `-` and
//! `.`: it is no markup, and no signature scheme could accept it as a payload. Facts and sources: `docs/schemes.md`.

use super::verifier::Verifier;
use crate::http::percent;
use crate::outcome::Rejection;
use crate::secret::Secret;
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Maximum length of an echoed text in bytes; the longest known challenge has 64.
const MAX_ECHO_BYTES: usize = 128;

/// Maximum length of a challenge's body or query in bytes.
const MAX_CHALLENGE_BYTES: usize = 4096;

/// The kind of challenge, by provider: the request, then the answer.
#[derive(Clone, Debug)]
pub enum Challenge {
    /// Signed POST `{"type":"url_verification","challenge":…}`; the challenge as text.
    Slack,
    /// Signed POST `{"event":"endpoint.url_validation","payload":{"plainToken":…}}`; the token and its HMAC.
    Zoom,
    /// Signed POST `{"type":1}`; the same JSON.
    Discord,
    /// `GET ?challenge=…`, unsigned; the challenge.
    Dropbox,
    /// `GET ?hub.mode=subscribe&hub.challenge=…&hub.verify_token=…`, unsigned; the challenge, if the token is right.
    Meta(VerifyToken),
}

/// The SHA-256 of the token of Meta's challenge, so that a comparison takes the same time for every received token.
#[derive(Clone)]
pub struct VerifyToken([u8; 32]);

/// The answer to a challenge. The status is 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeReply {
    /// `text/plain` or `application/json`.
    pub content_type: &'static str,
    /// Printable ASCII.
    pub body: String,
}

impl Challenge {
    /// Providers that send challenges.
    pub const PROVIDERS: [&str; 5] = ["slack", "zoom", "discord", "dropbox", "meta"];

    /// The challenge of a provider. `token` is the token of Meta's challenge.
    ///
    /// # Errors
    /// What to change in the configuration.
    pub fn of(provider: &str, token: Option<&Secret>) -> Result<Self, &'static str> {
        match (provider, token) {
            ("slack", None) => Ok(Self::Slack),
            ("zoom", None) => Ok(Self::Zoom),
            ("discord", None) => Ok(Self::Discord),
            ("dropbox", None) => Ok(Self::Dropbox),
            ("meta", Some(token)) => Ok(Self::Meta(VerifyToken(Sha256::digest(token.expose()).into()))),
            ("meta", None) => Err(
                "Meta's challenge has a token that you chose: write `verify_token = { env = \"META_VERIFY_TOKEN\" }`",
            ),
            (_, None) => Err("only slack, zoom, discord, dropbox and meta send a challenge: remove `handshake`"),
            (_, Some(_)) => Err("`verify_token` belongs to the challenge of meta: remove it"),
        }
    }

    /// Answers an unsigned challenge, which is in the method and query only. `None` when the request is not a
    /// challenge; it is then handled like any other.
    ///
    /// # Errors
    /// `SignatureMismatch` for a challenge with another token.
    pub fn answer_unsigned(&self, method: &Method, query: &str) -> Option<Result<ChallengeReply, Rejection>> {
        if *method != Method::GET {
            return None;
        }
        match self {
            Self::Slack | Self::Zoom | Self::Discord => None,
            Self::Dropbox => {
                let [challenge] = parameters(query, ["challenge"])?;
                Some(Ok(ChallengeReply::text(echoable(&challenge)?)))
            }
            Self::Meta(VerifyToken(expected)) => {
                let [mode, challenge, token] = parameters(query, ["hub.mode", "hub.challenge", "hub.verify_token"])?;
                if mode != b"subscribe" {
                    return None;
                }
                let challenge = echoable(&challenge)?;
                let is_known: bool = Sha256::digest(&token).as_slice().ct_eq(expected).into();
                Some(if is_known {
                    Ok(ChallengeReply::text(challenge))
                } else {
                    Err(Rejection::SignatureMismatch)
                })
            }
        }
    }

    /// Answers a challenge in a verified request; `None` when the request is not a challenge. `body` in pieces; `key`
    /// is the index of the key that matched.
    #[must_use]
    pub fn answer_verified(&self, body: &[Bytes], verifier: &Verifier, key: usize) -> Option<ChallengeReply> {
        if body.iter().map(Bytes::len).sum::<usize>() > MAX_CHALLENGE_BYTES {
            return None;
        }
        let body = &body.concat()[..];
        match self {
            Self::Dropbox | Self::Meta(_) => None,
            Self::Slack => {
                let event: SlackEvent = serde_json::from_slice(body).ok()?;
                (event.kind == "url_verification").then_some(())?;
                Some(ChallengeReply::text(echoable(event.challenge.as_bytes())?))
            }
            Self::Zoom => {
                let event: ZoomEvent = serde_json::from_slice(body).ok()?;
                (event.event == "endpoint.url_validation").then_some(())?;
                let plain = echoable(event.payload.plain_token.as_bytes())?;
                let encrypted = verifier.hmac_hex(key, plain.as_bytes())?;
                Some(ChallengeReply::json(
                    &json!({ "plainToken": plain, "encryptedToken": encrypted }),
                ))
            }
            Self::Discord => {
                let interaction: DiscordInteraction = serde_json::from_slice(body).ok()?;
                (interaction.kind == 1).then(|| ChallengeReply::json(&json!({ "type": 1 })))
            }
        }
    }
}

impl ChallengeReply {
    fn text(body: String) -> Self {
        Self {
            content_type: "text/plain; charset=utf-8",
            body,
        }
    }

    fn json(value: &serde_json::Value) -> Self {
        Self {
            content_type: "application/json",
            body: value.to_string(),
        }
    }
}

impl std::fmt::Debug for VerifyToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

#[derive(Deserialize)]
struct SlackEvent {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
}

#[derive(Deserialize)]
struct ZoomEvent {
    event: String,
    payload: ZoomPayload,
}

#[derive(Deserialize)]
struct ZoomPayload {
    #[serde(rename = "plainToken")]
    plain_token: String,
}

#[derive(Deserialize)]
struct DiscordInteraction {
    #[serde(rename = "type")]
    kind: u64,
}

/// The text as a string; `None` unless it may be echoed.
fn echoable(text: &[u8]) -> Option<String> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let fits = (1..=MAX_ECHO_BYTES).contains(&text.len()) && text.iter().all(is_plain);
    fits.then(|| String::from_utf8_lossy(text).into_owned())
}

/// The values of these parameters. `None` unless the query has each of them once and no other.
fn parameters<const N: usize>(query: &str, names: [&str; N]) -> Option<[Vec<u8>; N]> {
    if query.len() > MAX_CHALLENGE_BYTES {
        return None;
    }
    let mut values = [const { None }; N];
    for field in query.split('&') {
        let (name, value) = field.split_once('=')?;
        let name = percent::decode_form(name.as_bytes());
        let slot = names
            .iter()
            .zip(&mut values)
            .find(|(wanted, _)| wanted.as_bytes() == name);
        let (_, slot) = slot?;
        if slot.replace(percent::decode_form(value.as_bytes())).is_some() {
            return None;
        }
    }
    let mut found = [const { Vec::new() }; N];
    for (into, value) in found.iter_mut().zip(values) {
        *into = value?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::scheme::NamedSecret;
    use proptest::prelude::*;

    fn meta() -> Challenge {
        Challenge::of("meta", Some(&Secret::new(b"a token & more".to_vec()))).unwrap()
    }

    /// A body in two pieces.
    fn pieces(body: &str) -> [Bytes; 2] {
        let (first, second) = body.as_bytes().split_at(body.len() / 2);
        [first, second].map(Bytes::copy_from_slice)
    }

    fn zoom() -> Verifier {
        let key = NamedSecret {
            name: "k".into(),
            secret: Secret::new(b"iVOwBnOCTb-TI8qBD4G1Jw".to_vec()),
        };
        Verifier::new("zoom", None, vec![key], None).unwrap()
    }

    #[test]
    fn only_exact_unsigned_challenges_are_echoed() {
        let get = |challenge: &Challenge, query: &str| challenge.answer_unsigned(&Method::GET, query);
        let text = |body: &str| Some(Ok(ChallengeReply::text(body.to_owned())));
        assert_eq!(get(&Challenge::Dropbox, "challenge=a-B_1."), text("a-B_1."));
        let good = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=a+token+%26%20more";
        assert_eq!(get(&meta(), good), text("1158201444"));
        assert_eq!(meta().answer_unsigned(&Method::POST, good), None);
        assert_eq!(get(&Challenge::Slack, "challenge=a"), None);
        let wrong = good.replace("more", "less");
        assert_eq!(get(&meta(), &wrong), Some(Err(Rejection::SignatureMismatch)));
        for refused in [
            "",
            "challenge",
            "challenge=",
            "challenge=a&challenge=a",
            "challenge=a&b=c",
            "challenge=%3Cscript%3E",
            "challenge=a%0d%0aSet-Cookie:b",
            "challenge=a+b",
            "challenge=%C3%A9",
            &format!("challenge={}", "a".repeat(MAX_ECHO_BYTES + 1)),
        ] {
            assert_eq!(get(&Challenge::Dropbox, refused), None, "{refused}");
        }
        for refused in [
            good.replace("subscribe", "unsubscribe"),
            good.replace("1158201444", "%3Cb%3E"),
            format!("{good}&hub.verify_token=x"),
            format!("{good}&x=y"),
            "hub.mode=subscribe&hub.challenge=1".into(),
        ] {
            assert_eq!(get(&meta(), &refused), None, "{refused}");
        }
    }

    /// The integration tests check Zoom's answer with Zoom's own library.
    #[test]
    fn only_signed_challenges_are_answered() {
        let verifier = zoom();
        let slack = |body: &str| Challenge::Slack.answer_verified(&pieces(body), &verifier, 0);
        assert_eq!(
            slack(r#"{"token":"t","challenge":"3eZbrw1aBm2r","type":"url_verification"}"#),
            Some(ChallengeReply::text("3eZbrw1aBm2r".into()))
        );
        assert_eq!(slack(r#"{"challenge":"a","type":"event_callback"}"#), None);
        let padded = |length| {
            let body = r#"{"challenge":"a","type":"url_verification"}"#;
            slack(&format!("{body}{}", " ".repeat(length - body.len())))
        };
        assert_eq!(padded(MAX_CHALLENGE_BYTES), Some(ChallengeReply::text("a".into())));
        assert_eq!(padded(MAX_CHALLENGE_BYTES + 1), None);
        assert_eq!(slack(r#"{"challenge":"<script>","type":"url_verification"}"#), None);
        assert_eq!(
            slack(r#"{"type":"event_callback","challenge":"a","type":"url_verification"}"#),
            None
        );
        let discord = |body: &str| Challenge::Discord.answer_verified(&pieces(body), &verifier, 0);
        assert_eq!(discord(r#"{"type":1}"#).unwrap().body, r#"{"type":1}"#);
        assert_eq!(discord(r#"{"type":2}"#), None);
        let zoomed = |token: &str| {
            let body = json!({ "event": "endpoint.url_validation", "payload": { "plainToken": token } }).to_string();
            Challenge::Zoom.answer_verified(&pieces(&body), &verifier, 0)
        };
        assert!(
            zoomed("qgg8vlvZRS6UYooatFL8Aw")
                .unwrap()
                .body
                .contains("encryptedToken")
        );
        // A text with colons could be a signed payload, so it must not be signed.
        assert_eq!(zoomed("v0:1700000000:{}"), None);
        assert_eq!(zoomed(""), None);
    }

    #[test]
    fn challenges_without_their_token_or_provider_are_refused_at_start() {
        let token = Secret::new(b"t".to_vec());
        assert!(Challenge::of("paddle", None).unwrap_err().contains("slack"));
        assert!(Challenge::of("meta", None).unwrap_err().contains("verify_token"));
        assert!(Challenge::of("slack", Some(&token)).unwrap_err().contains("remove it"));
        for provider in Challenge::PROVIDERS {
            assert!(
                Challenge::of(provider, (provider == "meta").then_some(&token)).is_ok(),
                "{provider}"
            );
        }
    }

    proptest! {
        /// Whatever the request is, an echoed text has only letters, digits, `_`, `-` and `.`.
        #[test]
        fn nothing_but_plain_text_is_echoed(query in "(challenge|hub\\.[a-z_]{1,12}|x)=[ -~]{0,40}(&[ -~]{0,30}){0,3}", text in "\\PC{0,150}") {
            let plain = |reply: &ChallengeReply| reply.body.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
            for challenge in [Challenge::Dropbox, meta()] {
                if let Some(Ok(reply)) = challenge.answer_unsigned(&Method::GET, &query) {
                    prop_assert!(plain(&reply), "{reply:?}");
                }
            }
            let body = json!({ "type": "url_verification", "challenge": text }).to_string();
            if let Some(reply) = Challenge::Slack.answer_verified(&pieces(&body), &zoom(), 0) {
                prop_assert!(plain(&reply) && reply.body == text);
            }
        }
    }
}
