//! Challenges: requests with which some providers check an endpoint before they send webhooks to it. hookgate answers
//! them for the application.
//!
//! Pure. Challenges do not weaken verification: a request that is answered here is not forwarded, a request that carries a
//! signature is no unsigned challenge, and a request that is not a challenge is handled like any other. Slack, Zoom and
//! Discord sign their challenges, and these are answered only after verification. An echoed text is short and is no
//! markup. The text of a challenge that asks for an HMAC cannot be the payload of a webhook ([`super::plain`]). Facts and
//! sources: `docs/schemes.md`.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`unsigned`] | unsigned challenges, of presets and from the configuration |
//! | [`text`] | what may be read from a challenge, and what an answer may repeat |
//! | [`description`] | `challenge` of a route as a table |

mod description;
mod text;
mod unsigned;

pub use description::{AnswerDescription, ChallengeDescription};

use self::text::{Charset, MAX_CHALLENGE_BYTES};
use self::unsigned::UnsignedChallenge;
use super::description::SignatureEncoding;
use super::types::HeadRef;
use super::verifier::Verifier;
use crate::outcome::Rejection;
use crate::secret::Secret;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;

/// A challenge that a route answers.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one value for each route, made when the configuration is loaded"
)]
pub enum Challenge {
    /// Signed POST `{"type":"url_verification","challenge":…}`; the challenge as text.
    Slack,
    /// Signed POST `{"event":"endpoint.url_validation","payload":{"plainToken":…}}`; the token and its HMAC.
    Zoom,
    /// Signed POST `{"type":1}`; the same JSON.
    Discord,
    /// Signed message of AWS SNS that asks whether the endpoint wants the messages of a topic; its URL is called.
    Sns,
    /// POST of one `Microsoft.EventGrid.SubscriptionValidationEvent`, signed or not; its code.
    EventGrid,
    /// Unsigned. The description is there where the configuration has one.
    Unsigned(Box<UnsignedChallenge>, Option<ChallengeDescription>),
}

/// The answer to a challenge. The status is 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeReply {
    /// `text/plain` or `application/json`; `None` for an empty body.
    pub content_type: Option<&'static str>,
    /// A further header.
    pub header: Option<(HeaderName, HeaderValue)>,
    /// Printable ASCII.
    pub body: String,
    /// The URL that must be called first: the provider's question is answered there.
    pub confirm: Option<String>,
}

/// What a preset's provider sends before webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresetChallenge {
    /// The preset.
    pub provider: &'static str,
    /// Whether the challenge is signed, so that the application gets it where hookgate does not answer it.
    pub is_signed: bool,
    /// The request, for people.
    pub request: &'static str,
}

/// The challenges of the presets.
pub const PRESETS: [PresetChallenge; 11] = [
    PresetChallenge {
        provider: "slack",
        is_signed: true,
        request: "a signed `url_verification`",
    },
    PresetChallenge {
        provider: "zoom",
        is_signed: true,
        request: "a signed `endpoint.url_validation`",
    },
    PresetChallenge {
        provider: "discord",
        is_signed: true,
        request: "a signed PING",
    },
    PresetChallenge {
        provider: "dropbox",
        is_signed: false,
        request: "an unsigned GET with `challenge`",
    },
    PresetChallenge {
        provider: "meta",
        is_signed: false,
        request: "an unsigned GET with `hub.challenge`",
    },
    PresetChallenge {
        provider: "intercom",
        is_signed: false,
        request: "an unsigned HEAD",
    },
    PresetChallenge {
        provider: "aws-sns",
        is_signed: true,
        request: "a signed `SubscriptionConfirmation`",
    },
    PresetChallenge {
        provider: "azure-event-grid",
        is_signed: false,
        request: "a `SubscriptionValidationEvent`, or an unsigned OPTIONS,",
    },
    PresetChallenge {
        provider: "ms-graph",
        is_signed: false,
        request: "an unsigned POST with `validationToken`",
    },
    PresetChallenge {
        provider: "linkedin",
        is_signed: false,
        request: "an unsigned GET with `challengeCode`",
    },
    PresetChallenge {
        provider: "x",
        is_signed: false,
        request: "an unsigned GET with `crc_token`",
    },
];

impl Challenge {
    /// The challenges of a preset. `key` is the index of the secret whose HMAC an answer may have, `token` the token of Meta's
    /// challenge.
    ///
    /// # Errors
    /// What to change in the configuration.
    pub fn of(
        provider: &str,
        key: usize,
        verifier: &Verifier,
        token: Option<&Secret>,
    ) -> Result<Vec<Self>, &'static str> {
        let unsigned = |challenge| Ok(vec![Self::Unsigned(Box::new(challenge), None)]);
        match (provider, token) {
            ("slack", None) => Ok(vec![Self::Slack]),
            ("zoom", None) => Ok(vec![Self::Zoom]),
            ("discord", None) => Ok(vec![Self::Discord]),
            ("aws-sns", None) if verifier.accepts_any_topic() => Err(
                "with every topic accepted, anyone with an AWS account could subscribe this endpoint: write the ARN of your topic as `expect = { TopicArn = \"arn:aws:sns:…\" }`",
            ),
            ("aws-sns", None) => Ok(vec![Self::Sns]),
            ("azure-event-grid", None) => {
                let options = UnsignedChallenge::header("WebHook-Request-Origin", "WebHook-Allowed-Origin");
                Ok(vec![Self::Unsigned(Box::new(options), None), Self::EventGrid])
            }
            ("ms-graph", None) => unsigned(UnsignedChallenge::parameter("validationToken").posted()),
            ("linkedin", None) => {
                let challenge = UnsignedChallenge::parameter("challengeCode");
                unsigned(challenge.with_code(
                    key,
                    SignatureEncoding::Hex,
                    "",
                    "challengeResponse",
                    Some("challengeCode"),
                ))
            }
            ("x", None) => {
                let challenge = UnsignedChallenge::parameter("crc_token");
                unsigned(challenge.with_code(key, SignatureEncoding::Base64, "sha256=", "response_token", None))
            }
            ("dropbox", None) => unsigned(UnsignedChallenge::parameter("challenge")),
            ("intercom", None) => unsigned(UnsignedChallenge::head()),
            ("meta", Some(token)) => {
                let challenge = UnsignedChallenge::parameter("hub.challenge");
                unsigned(challenge.guarded(("hub.mode", "subscribe"), "hub.verify_token", token))
            }
            ("meta", None) => Err(
                "Meta's challenge has a token that you chose: write `verify_token = { env = \"META_VERIFY_TOKEN\" }`",
            ),
            (_, None) => Err(
                "of the presets only slack, zoom, discord, dropbox, meta, intercom, aws-sns, azure-event-grid, ms-graph, linkedin and x have a challenge; describe another one, such as `challenge = { method = \"HEAD\" }`",
            ),
            (_, Some(_)) => {
                Err("`verify_token` belongs to the challenge of meta, or to one with `token_query`: remove it")
            }
        }
    }

    /// An unsigned challenge as the configuration describes it. `key` is the index of the secret whose HMAC the answer
    /// may have, `token` the route's `verify_token`.
    ///
    /// # Errors
    /// All faults: the key below `challenge` (empty for the table itself), and a sentence for the operator.
    pub fn described(
        description: ChallengeDescription,
        key: usize,
        verifier: &Verifier,
        token: Option<&Secret>,
    ) -> Result<Self, Vec<(&'static str, String)>> {
        let challenge = UnsignedChallenge::new(&description, key, verifier, token)?;
        Ok(Self::Unsigned(Box::new(challenge), Some(description)))
    }

    /// The description, where the configuration has one.
    #[must_use]
    pub const fn description(&self) -> Option<&ChallengeDescription> {
        match self {
            Self::Slack | Self::Zoom | Self::Discord | Self::Sns | Self::EventGrid => None,
            Self::Unsigned(_, description) => description.as_ref(),
        }
    }

    /// Whether the answer to an unsigned request is an HMAC under a secret of the route. The route's verifier must then
    /// [keep payloads and challenges apart](Verifier::refuse_plain_payloads).
    #[must_use]
    pub const fn signs(&self) -> bool {
        match self {
            Self::Slack | Self::Zoom | Self::Discord | Self::Sns | Self::EventGrid => false,
            Self::Unsigned(challenge, _) => challenge.has_code(),
        }
    }

    /// The method of an unsigned challenge whose body must be read to know it.
    #[must_use]
    pub fn method_with_body(&self) -> Option<&Method> {
        match self {
            Self::Slack | Self::Zoom | Self::Discord | Self::Sns => None,
            Self::EventGrid => Some(&Method::POST),
            Self::Unsigned(challenge, _) => challenge.is_in_body().then(|| challenge.method()),
        }
    }

    /// Answers an unsigned challenge. `None` when the request is not this challenge; it is then handled like any other.
    /// `body` in pieces, empty where it was not read.
    ///
    /// # Errors
    /// `SignatureMismatch` for a challenge with another token.
    pub fn answer_unsigned(
        &self,
        head: &HeadRef<'_>,
        body: &[Bytes],
        verifier: &Verifier,
    ) -> Option<Result<ChallengeReply, Rejection>> {
        match self {
            Self::Slack | Self::Zoom | Self::Discord | Self::Sns => None,
            Self::EventGrid => {
                let is_open = *head.method == Method::POST && !verifier.carries_signature(head);
                is_open.then(|| event_grid(body)).flatten().map(Ok)
            }
            Self::Unsigned(challenge, _) => challenge.answer(head, body, verifier),
        }
    }

    /// Answers a challenge in a verified request; `None` when the request is not a challenge. `body` in pieces; `key`
    /// is the index of the key that matched.
    #[must_use]
    pub fn answer_verified(&self, body: &[Bytes], verifier: &Verifier, key: usize) -> Option<ChallengeReply> {
        if body.iter().map(Bytes::len).sum::<usize>() > MAX_CHALLENGE_BYTES {
            return None;
        }
        let plain = |text: &str| Charset::Plain.accept(text.as_bytes());
        match self {
            Self::Unsigned(..) => None,
            Self::Slack => {
                let event: SlackEvent = serde_json::from_slice(&body.concat()).ok()?;
                (event.kind == "url_verification").then_some(())?;
                Some(ChallengeReply::text(plain(&event.challenge)?))
            }
            Self::Zoom => {
                let event: ZoomEvent = serde_json::from_slice(&body.concat()).ok()?;
                (event.event == "endpoint.url_validation").then_some(())?;
                let plain = plain(&event.payload.plain_token)?;
                let encrypted = verifier.hmac(key, plain.as_bytes(), SignatureEncoding::Hex)?;
                Some(ChallengeReply::json(
                    &json!({ "plainToken": plain, "encryptedToken": encrypted }),
                ))
            }
            Self::EventGrid => event_grid(body),
            Self::Sns => {
                let message: SnsMessage = serde_json::from_slice(&body.concat()).ok()?;
                (message.kind == "SubscriptionConfirmation").then(|| ChallengeReply {
                    confirm: Some(message.url),
                    ..ChallengeReply::empty()
                })
            }
            Self::Discord => {
                let interaction: DiscordInteraction = serde_json::from_slice(&body.concat()).ok()?;
                (interaction.kind == 1).then(|| ChallengeReply::json(&json!({ "type": 1 })))
            }
        }
    }
}

/// Maximum length of a body that is read to know whether an unsigned request is a challenge, in bytes.
#[must_use]
pub const fn max_body_bytes() -> usize {
    MAX_CHALLENGE_BYTES
}

impl ChallengeReply {
    const fn empty() -> Self {
        Self {
            content_type: None,
            header: None,
            body: String::new(),
            confirm: None,
        }
    }

    fn text(body: String) -> Self {
        Self {
            content_type: Some("text/plain; charset=utf-8"),
            header: None,
            body,
            confirm: None,
        }
    }

    fn json(value: &serde_json::Value) -> Self {
        Self {
            content_type: Some("application/json"),
            header: None,
            body: value.to_string(),
            confirm: None,
        }
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

/// The answer to the only event of a body, if that asks for its code (Azure Event Grid).
fn event_grid(body: &[Bytes]) -> Option<ChallengeReply> {
    if body.iter().map(Bytes::len).sum::<usize>() > MAX_CHALLENGE_BYTES {
        return None;
    }
    let [event]: [EventGridEvent; 1] = serde_json::from_slice(&body.concat()).ok()?;
    (event.kind == "Microsoft.EventGrid.SubscriptionValidationEvent").then_some(())?;
    let code = Charset::Plain.accept(event.data.validation_code.as_bytes())?;
    Some(ChallengeReply::json(&json!({ "validationResponse": code })))
}

#[derive(Deserialize)]
struct SnsMessage {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "SubscribeURL")]
    url: String,
}

#[derive(Deserialize)]
struct EventGridEvent {
    #[serde(rename = "eventType")]
    kind: String,
    data: EventGridData,
}

#[derive(Deserialize)]
struct EventGridData {
    #[serde(rename = "validationCode")]
    validation_code: String,
}

#[derive(Deserialize)]
struct DiscordInteraction {
    #[serde(rename = "type")]
    kind: u64,
}

#[cfg(test)]
mod tests;
