//! The signed text of AWS SNS messages: names and values of some fields, one on each line.
//!
//! A value may contain line ends, and then the text alone does not say where it ends. Only `Message` may; the number of
//! lines after it is fixed, so there is one way to read the text.

use super::description::Algorithm;
use super::json::{JsonPointer, JsonValues};
use crate::outcome::Rejection;

/// The fields of a notification, in the order of their names. `Subject` is optional.
const NOTIFICATION: [&str; 6] = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
/// The fields of a message that confirms the beginning or the end of a subscription.
const CONFIRMATION: [&str; 7] = [
    "Message",
    "MessageId",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
];
/// Every field that is read, `SigningCertURL` by the caller.
const READ: [&str; 9] = [
    "Message",
    "MessageId",
    "SignatureVersion",
    "Subject",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
];

/// The pointers of all fields that are read.
pub(super) fn pointers() -> Vec<JsonPointer> {
    READ.iter().filter_map(|name| pointer(name)).collect()
}

fn pointer(name: &str) -> Option<JsonPointer> {
    JsonPointer::parse(&format!("/{name}")).ok()
}

/// Whether the signature covers the value at this pointer.
pub(super) fn is_signed(read: &JsonPointer) -> bool {
    let name = read.to_string();
    let mut signed = NOTIFICATION.iter().chain(&CONFIRMATION);
    signed.any(|signed| name.strip_prefix('/') == Some(signed))
}

/// The value of a field.
fn field<'v>(json: &'v JsonValues<'_>, name: &str) -> Option<&'v str> {
    json.text(&pointer(name)?)
}

/// The algorithm by the message's `SignatureVersion`.
///
/// # Errors
/// `SignatureMalformed` for an unknown version.
pub(super) fn algorithm(json: &JsonValues<'_>) -> Result<Algorithm, Rejection> {
    match field(json, "SignatureVersion") {
        Some("1") => Ok(Algorithm::RsaSha1),
        Some("2") => Ok(Algorithm::RsaSha256),
        Some(_) | None => Err(Rejection::SignatureMalformed),
    }
}

/// Appends the signed text. `topics` are those whose messages are accepted; all of them if there is none.
///
/// # Errors
/// `SignatureMalformed` for a message that SNS does not send, `SignatureMismatch` for one of another topic.
pub(super) fn write(json: &JsonValues<'_>, topics: &[String], out: &mut Vec<u8>) -> Result<(), Rejection> {
    let names: &[&str] = match field(json, "Type") {
        Some("Notification") => &NOTIFICATION,
        Some("SubscriptionConfirmation" | "UnsubscribeConfirmation") => &CONFIRMATION,
        Some(_) | None => return Err(Rejection::SignatureMalformed),
    };
    let topic = field(json, "TopicArn").unwrap_or_default();
    if !topics.is_empty() && !topics.iter().any(|accepted| accepted == topic) {
        return Err(Rejection::SignatureMismatch);
    }
    for name in names {
        let value = match field(json, name) {
            Some(value) => value,
            None if *name == "Subject" => continue,
            None => return Err(Rejection::SignatureMalformed),
        };
        if *name != "Message" && value.contains('\n') {
            return Err(Rejection::SignatureMalformed);
        }
        for line in [name, value] {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
    }
    Ok(())
}
