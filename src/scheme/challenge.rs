//! Handshakes: what some providers ask of an endpoint before they send webhooks to it, answered on behalf of the application.
//!
//! Pure. It exists so that an application need not know about them, and it opens no way around verification: whatever is
//! answered here is not forwarded, and whatever is not exactly a handshake takes the usual way. Slack, Zoom and Discord sign
//! theirs, and only a verified one gets this far. Meta's carries a token that the operator chose; Dropbox's carries nothing,
//! so all that is given back is its own challenge. What is echoed is short and of letters, digits, `_`, `-` and `.`: no
//! markup, and nothing that a signature scheme could take for a payload. Facts and sources: `docs/schemes.md`.

use crate::http::percent;
use crate::outcome::Rejection;
use crate::scheme::Verifier;
use crate::secret::Secret;
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Longest text that is echoed; the longest known challenge has 64 characters.
const LONGEST: usize = 128;

/// Longest body or query that is looked at: a handshake is small.
const LARGEST: usize = 4096;

/// A provider's way of asking.
#[derive(Clone, Debug)]
pub enum Handshake {
    /// Signed POST `{"type":"url_verification","challenge":…}`; the challenge as text.
    Slack,
    /// Signed POST `{"event":"endpoint.url_validation","payload":{"plainToken":…}}`; the token and its HMAC.
    Zoom,
    /// Signed POST `{"type":1}`; the same.
    Discord,
    /// `GET ?challenge=…`, unsigned; the challenge.
    Dropbox,
    /// `GET ?hub.mode=subscribe&hub.challenge=…&hub.verify_token=…`, unsigned; the challenge, for who knows the token.
    Meta(VerifyToken),
}

/// The token of Meta's handshake, as its SHA-256: comparing takes the same time whatever was sent.
#[derive(Clone)]
pub struct VerifyToken([u8; 32]);

/// What is answered, with status 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `text/plain` or `application/json`.
    pub content_type: &'static str,
    /// Plain ASCII.
    pub body: String,
}

impl Handshake {
    /// Providers that have one.
    pub const PROVIDERS: [&str; 5] = ["slack", "zoom", "discord", "dropbox", "meta"];

    /// The handshake of a provider; `token` for the one that needs it.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn of(provider: &str, token: Option<&Secret>) -> Result<Self, &'static str> {
        match (provider, token) {
            ("slack", None) => Ok(Self::Slack),
            ("zoom", None) => Ok(Self::Zoom),
            ("discord", None) => Ok(Self::Discord),
            ("dropbox", None) => Ok(Self::Dropbox),
            ("meta", Some(token)) => Ok(Self::Meta(VerifyToken(Sha256::digest(token.expose()).into()))),
            ("meta", None) => Err(
                "Meta's handshake carries a token that you chose: write `verify_token = { env = \"META_VERIFY_TOKEN\" }`",
            ),
            (_, None) => Err("only slack, zoom, discord, dropbox and meta have a handshake: remove `handshake`"),
            (_, Some(_)) => Err("`verify_token` belongs to the handshake of meta: remove it"),
        }
    }

    /// An unsigned challenge in a request without a body: `None` when this is none, and it takes the usual way.
    ///
    /// # Errors
    /// `SignatureMismatch` for a challenge with another token.
    pub fn challenged(&self, method: &Method, query: &str) -> Option<Result<Reply, Rejection>> {
        if *method != Method::GET {
            return None;
        }
        match self {
            Self::Slack | Self::Zoom | Self::Discord => None,
            Self::Dropbox => {
                let [challenge] = only(query, ["challenge"])?;
                Some(Ok(Reply::text(safe(&challenge)?)))
            }
            Self::Meta(VerifyToken(expected)) => {
                let [mode, challenge, token] = only(query, ["hub.mode", "hub.challenge", "hub.verify_token"])?;
                if mode != b"subscribe" {
                    return None;
                }
                let challenge = safe(&challenge)?;
                let is_known: bool = Sha256::digest(&token).as_slice().ct_eq(expected).into();
                Some(if is_known {
                    Ok(Reply::text(challenge))
                } else {
                    Err(Rejection::SignatureMismatch)
                })
            }
        }
    }

    /// The answer to a verified request that is a handshake; `body` in pieces, `key` is the index of the key that matched.
    #[must_use]
    pub fn answer(&self, body: &[Bytes], verifier: &Verifier, key: usize) -> Option<Reply> {
        if body.iter().map(Bytes::len).sum::<usize>() > LARGEST {
            return None;
        }
        let body = &body.concat()[..];
        match self {
            Self::Dropbox | Self::Meta(_) => None,
            Self::Slack => {
                let asked: SlackEvent = serde_json::from_slice(body).ok()?;
                (asked.kind == "url_verification").then_some(())?;
                Some(Reply::text(safe(asked.challenge.as_bytes())?))
            }
            Self::Zoom => {
                let asked: ZoomEvent = serde_json::from_slice(body).ok()?;
                (asked.event == "endpoint.url_validation").then_some(())?;
                let plain = safe(asked.payload.plain_token.as_bytes())?;
                let encrypted = verifier.prove(key, plain.as_bytes())?;
                Some(Reply::json(
                    &json!({ "plainToken": plain, "encryptedToken": encrypted }),
                ))
            }
            Self::Discord => {
                let asked: DiscordInteraction = serde_json::from_slice(body).ok()?;
                (asked.kind == 1).then(|| Reply::json(&json!({ "type": 1 })))
            }
        }
    }
}

impl Reply {
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

/// What may be echoed, or nothing.
fn safe(text: &[u8]) -> Option<String> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let fits = (1..=LONGEST).contains(&text.len()) && text.iter().all(is_plain);
    fits.then(|| String::from_utf8_lossy(text).into_owned())
}

/// The values of exactly these parameters, each there once and no other beside them.
fn only<const N: usize>(query: &str, names: [&str; N]) -> Option<[Vec<u8>; N]> {
    if query.len() > LARGEST {
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

    fn meta() -> Handshake {
        Handshake::of("meta", Some(&Secret::new(b"a token & more".to_vec()))).unwrap()
    }

    /// A body as it arrives: in two pieces.
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
    fn unsigned_challenges_are_echoed_to_who_may_ask() {
        let get = |handshake: &Handshake, query: &str| handshake.challenged(&Method::GET, query);
        let text = |body: &str| Some(Ok(Reply::text(body.to_owned())));
        assert_eq!(get(&Handshake::Dropbox, "challenge=a-B_1."), text("a-B_1."));
        let good = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=a+token+%26%20more";
        assert_eq!(get(&meta(), good), text("1158201444"));
        assert_eq!(meta().challenged(&Method::POST, good), None);
        assert_eq!(get(&Handshake::Slack, "challenge=a"), None);
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
            &format!("challenge={}", "a".repeat(LONGEST + 1)),
        ] {
            assert_eq!(get(&Handshake::Dropbox, refused), None, "{refused}");
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

    /// The example of Zoom's documentation is checked by its own library in the integration tests.
    #[test]
    fn signed_handshakes_are_answered_and_nothing_else_is() {
        let verifier = zoom();
        let slack = |body: &str| Handshake::Slack.answer(&pieces(body), &verifier, 0);
        assert_eq!(
            slack(r#"{"token":"t","challenge":"3eZbrw1aBm2r","type":"url_verification"}"#),
            Some(Reply::text("3eZbrw1aBm2r".into()))
        );
        assert_eq!(slack(r#"{"challenge":"a","type":"event_callback"}"#), None);
        let padded = |length| {
            let body = r#"{"challenge":"a","type":"url_verification"}"#;
            slack(&format!("{body}{}", " ".repeat(length - body.len())))
        };
        assert_eq!(padded(LARGEST), Some(Reply::text("a".into())));
        assert_eq!(padded(LARGEST + 1), None);
        assert_eq!(slack(r#"{"challenge":"<script>","type":"url_verification"}"#), None);
        assert_eq!(
            slack(r#"{"type":"event_callback","challenge":"a","type":"url_verification"}"#),
            None
        );
        let discord = |body: &str| Handshake::Discord.answer(&pieces(body), &verifier, 0);
        assert_eq!(discord(r#"{"type":1}"#).unwrap().body, r#"{"type":1}"#);
        assert_eq!(discord(r#"{"type":2}"#), None);
        let zoomed = |token: &str| {
            let body = json!({ "event": "endpoint.url_validation", "payload": { "plainToken": token } }).to_string();
            Handshake::Zoom.answer(&pieces(&body), &verifier, 0)
        };
        assert!(
            zoomed("qgg8vlvZRS6UYooatFL8Aw")
                .unwrap()
                .body
                .contains("encryptedToken")
        );
        // It must not sign what could be a request: those have colons.
        assert_eq!(zoomed("v0:1700000000:{}"), None);
        assert_eq!(zoomed(""), None);
    }

    #[test]
    fn what_does_not_go_together_is_refused_at_start() {
        let token = Secret::new(b"t".to_vec());
        assert!(Handshake::of("paddle", None).unwrap_err().contains("slack"));
        assert!(Handshake::of("meta", None).unwrap_err().contains("verify_token"));
        assert!(Handshake::of("slack", Some(&token)).unwrap_err().contains("remove it"));
        for provider in Handshake::PROVIDERS {
            assert!(
                Handshake::of(provider, (provider == "meta").then_some(&token)).is_ok(),
                "{provider}"
            );
        }
    }

    proptest! {
        /// Whatever is asked, what goes back is plain.
        #[test]
        fn nothing_but_plain_text_is_echoed(query in "(challenge|hub\\.[a-z_]{1,12}|x)=[ -~]{0,40}(&[ -~]{0,30}){0,3}", text in "\\PC{0,150}") {
            let plain = |reply: &Reply| reply.body.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
            for handshake in [Handshake::Dropbox, meta()] {
                if let Some(Ok(reply)) = handshake.challenged(&Method::GET, &query) {
                    prop_assert!(plain(&reply), "{reply:?}");
                }
            }
            let body = json!({ "type": "url_verification", "challenge": text }).to_string();
            if let Some(reply) = Handshake::Slack.answer(&pieces(&body), &zoom(), 0) {
                prop_assert!(plain(&reply) && reply.body == text);
            }
        }
    }
}
