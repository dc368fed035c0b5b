//! `challenge` of a route as a table: what a provider sends unsigned, and the answer that it expects.

use crate::scheme::SignatureEncoding;
use serde::{Deserialize, Serialize};

/// An unsigned challenge. At most one of `body`, `query`, `header` and `pointer`; without one, the request has no body.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ChallengeDescription {
    /// The method: `GET` with `query`, `POST` with `body`, `header` or `pointer`, otherwise `HEAD` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The exact body, in which `{number}` stands for 1 to 20 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The parameter of the query that the answer repeats. The request has no body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The header that the answer repeats. The request has no body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// JSON pointer of the value of the body that the answer repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The parameter of the query that has the route's `verify_token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_query: Option<String>,
    /// What the answer has; by default the value as text, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerDescription>,
}

/// What the answer to a challenge has. At most one of `json` and `header`; without one, the value is text.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "tools", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AnswerDescription {
    /// The key of a JSON object that has the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    /// The header that has the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// How the HMAC of the value under the first active secret is written. Without it, the value itself is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hmac: Option<SignatureEncoding>,
    /// The text before the HMAC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}
