//! The title of a refusal: one sentence that names where the missing, malformed or stale value is in the request. Pure.

use crate::outcome::Rejection;
use crate::scheme::{ReadPlaces, ValuePlace};
use std::borrow::Cow;

/// The sentence about a rejection; `places` is `None` if no route matched. It has no text that the sender chose.
pub(super) fn title(rejection: Rejection, places: Option<ReadPlaces>) -> Cow<'static, str> {
    let Some(places) = places else {
        return rejection.title().into();
    };
    let time = places.time.map(ValuePlace::described);
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the other titles do not depend on the route"
    )]
    match (rejection, time) {
        (Rejection::SignatureMissing, _) => format!("{} missing", values(places)).into(),
        (Rejection::SignatureMalformed, _) => format!("{} malformed", values(places)).into(),
        (Rejection::TimestampStale, Some(time)) => format!("The time in the {time} is older than the tolerance").into(),
        (Rejection::TimestampFuture, Some(time)) => format!("The time in the {time} is in the future").into(),
        (Rejection::SignatureMismatch, _) if places.is_secret => {
            "The secret in the request is not an active one".into()
        }
        (Rejection::SignatureMismatch, _) if !places.covers_body => {
            "The signature does not match the signed values under any active secret".into()
        }
        (other, _) => other.title().into(),
    }
}

/// The values that a scheme needs, and the verb: `The signature header, or the time in the JSON body, is`.
fn values(places: ReadPlaces) -> String {
    let noun = if places.is_secret { "secret" } else { "signature" };
    let first = match places.signature {
        ValuePlace::SignatureHeader | ValuePlace::OtherHeader if places.is_secret => {
            "The header with the secret".into()
        }
        ValuePlace::SignatureHeader | ValuePlace::OtherHeader => "The signature header".into(),
        place @ (ValuePlace::Query | ValuePlace::Json | ValuePlace::Form | ValuePlace::JsonOrForm) => {
            format!("The {noun} in the {}", place.described())
        }
    };
    let time = places.time.filter(|place| *place != ValuePlace::SignatureHeader);
    let time = time.map(|place| match place {
        ValuePlace::OtherHeader => "the timestamp header".to_owned(),
        ValuePlace::SignatureHeader
        | ValuePlace::Query
        | ValuePlace::Json
        | ValuePlace::Form
        | ValuePlace::JsonOrForm => format!("the time in the {}", place.described()),
    });
    let more = places.has_more.then_some("another value that is signed");
    match (time, more) {
        (None, None) => format!("{first} is"),
        (Some(time), None) => format!("{first}, or {time}, is"),
        (None, Some(more)) => format!("{first}, or {more}, is"),
        (Some(time), Some(more)) => format!("{first}, {time}, or {more}, is"),
    }
}

impl ValuePlace {
    /// The place as it follows "in the".
    const fn described(self) -> &'static str {
        match self {
            Self::SignatureHeader => "signature header",
            Self::OtherHeader => "timestamp header",
            Self::Query => "query",
            Self::Json => "JSON body",
            Self::Form => "form",
            Self::JsonOrForm => "JSON body or form",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scheme::{NamedSecret, Verifier};
    use crate::secret::Secret;

    fn titles(provider: &str, description: Option<&str>) -> [String; 3] {
        let description = description.map(|text| toml::from_str(text).unwrap());
        let key = NamedSecret {
            name: "key".to_owned(),
            secret: Secret::new(match provider {
                "svix" => b"whsec_YSBzZWNyZXQgdGhhdCBpcyBsb25nIGVub3VnaA==".to_vec(),
                _ => b"user:a secret that is long enough".to_vec(),
            }),
        };
        let places = Verifier::new(provider, description, vec![key], None)
            .unwrap()
            .read_places();
        let title = |rejection| title(rejection, Some(places)).into_owned();
        let rejections = [
            Rejection::SignatureMissing,
            Rejection::TimestampStale,
            Rejection::SignatureMismatch,
        ];
        assert_eq!(title(Rejection::NoRoute), Rejection::NoRoute.title());
        assert_eq!(
            title(Rejection::SignatureMalformed),
            title(Rejection::SignatureMissing).replace("missing", "malformed")
        );
        rejections.map(title)
    }

    /// A title must be true of the request: a value that is missing may be the time, which has a header of its own.
    #[test]
    fn titles_name_the_places_of_the_values() {
        let body = "The signature does not match the body under any active secret";
        let values = "The signature does not match the signed values under any active secret";
        let older = "is older than the tolerance";
        for (provider, description, missing, time, mismatch) in [
            ("paddle", None, "The signature header", "signature header", body),
            ("stripe", None, "The signature header", "signature header", body),
            (
                "slack",
                None,
                "The signature header, or the timestamp header,",
                "timestamp header",
                body,
            ),
            (
                "svix",
                None,
                "The signature header, the timestamp header, or another value that is signed,",
                "timestamp header",
                body,
            ),
            (
                "linear",
                None,
                "The signature header, or the time in the JSON body,",
                "JSON body",
                body,
            ),
            (
                "mailgun",
                None,
                "The signature in the JSON body or form, the time in the JSON body or form, or another value that is signed,",
                "JSON body or form",
                values,
            ),
            (
                "custom",
                Some(
                    "signature = { query = 's' }\ntimestamp = { query = 't' }\ntolerance = '5s'\npayload = '{timestamp}.{body}'",
                ),
                "The signature in the query, or the time in the query,",
                "query",
                body,
            ),
            (
                "custom",
                Some("signature = { form = 's' }\ntimestamp = { form = 't' }\ntolerance = '5s'\npayload = '{form:t}'"),
                "The signature in the form, the time in the form, or another value that is signed,",
                "form",
                values,
            ),
        ] {
            let expected = [
                format!("{missing} is missing"),
                format!("The time in the {time} {older}"),
                mismatch.to_owned(),
            ];
            assert_eq!(titles(provider, description), expected, "{provider}");
        }
        for (provider, description) in [("gitlab-token", None), ("custom", Some("algorithm = 'basic'"))] {
            let [missing, _, mismatch] = titles(provider, description);
            assert_eq!(missing, "The header with the secret is missing");
            assert_eq!(mismatch, "The secret in the request is not an active one");
        }
        assert_eq!(
            title(Rejection::SignatureMissing, None),
            Rejection::SignatureMissing.title()
        );
    }
}
