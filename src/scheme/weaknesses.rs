//! Sentences for the operator about weaknesses of a scheme itself.

use super::compiled::PayloadPlan;
use super::description::Algorithm;
use super::template::PayloadPart;

/// Sentences for the operator about weaknesses of the scheme itself, whatever the keys are.
pub(super) fn warnings(name: &str, algorithm: Algorithm, payload: &PayloadPlan, is_undivided: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_undivided {
        warnings.push(format!(
            "`{name}` signs values with nothing between them: anyone who has seen one request can move the end of one value into the next."
        ));
    }
    if matches!(payload, PayloadPlan::Jwt(..)) && payload.parts().next().is_none() {
        warnings.push(format!(
            "`{name}` sends a token that says nothing of the request: anyone who has seen one can send any other request until the token expires."
        ));
    } else if matches!(payload, PayloadPlan::Jwt(..)) && !payload.parts().any(PayloadPart::covers_body) {
        warnings.push(format!(
            "`{name}` signs method, path and query, and not the body: anyone who has seen one request can send another body until the token expires."
        ));
    } else if matches!(payload, PayloadPlan::Message(..)) {
        if !payload.parts().any(PayloadPart::covers_body) {
            warnings.push(format!(
                "`{name}` does not ask for a signed body: anyone who has seen one request can send another body until its time is over; write `content-digest` into `message.required`."
            ));
        }
    } else if algorithm.is_token() {
        warnings.push(format!(
            "`{name}` compares a token and signs nothing: anyone who has seen one request can send any other."
        ));
    } else if payload.parts().any(|part| matches!(part, PayloadPart::Sns(_))) {
        let is_of_any_topic = |part: &PayloadPart| matches!(part, PayloadPart::Sns(topics) if topics.is_empty());
        if payload.parts().any(is_of_any_topic) {
            warnings.push(format!(
                "`{name}` accepts the messages of every topic: anyone with an account there can send one; write `expect = {{ TopicArn = \"…\" }}`."
            ));
        }
    } else if !payload.parts().any(PayloadPart::covers_body) {
        warnings.push(format!(
            "`{name}` does not sign the whole body: only the values in its payload can be trusted."
        ));
    }
    let weakness = match algorithm {
        Algorithm::Md5 => {
            "a plain MD5 digest, which is broken: anyone who can choose part of what a sender signs may forge other requests"
        }
        Algorithm::Sha1 => "a plain SHA-1 digest, which is weak: an HMAC would separate the key from the text",
        Algorithm::Sha256 => {
            "a plain SHA-256 digest: with the secret first, anyone who has seen one request can append to it; an HMAC would prevent that"
        }
        Algorithm::Sha512 => {
            "a plain SHA-512 digest: with the secret first, anyone who has seen one request can append to it; an HMAC would prevent that"
        }
        Algorithm::RsaSha1 => {
            "RSA with SHA-1, for which collisions are affordable: prefer a newer scheme where the provider offers one"
        }
        Algorithm::HmacSha1 => "HMAC-SHA1: no attack on it is known, but prefer SHA-256 where the provider offers it",
        Algorithm::HmacSha256
        | Algorithm::HmacSha512
        | Algorithm::Ed25519
        | Algorithm::EcdsaP256
        | Algorithm::RsaSha256
        | Algorithm::RsaPssSha256
        | Algorithm::Token
        | Algorithm::Basic => return warnings,
    };
    warnings.push(format!("`{name}` uses {weakness}."));
    warnings
}
