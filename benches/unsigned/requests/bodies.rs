//! Bodies with everything that a preset reads, and then a filling that is slow to read.

use super::sender::Sender;
use bytes::Bytes;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=b";

/// The name of each body, its content type, and the body.
pub(super) fn all(sender: &Sender, bytes: usize) -> Vec<(&'static str, &'static str, Bytes)> {
    let values = values(sender);
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
    // Many elements, where each of them has a value.
    let signature = sender.verifier.description().signature.as_ref();
    let array = signature.and_then(|signature| signature.each.as_ref());
    let element = array.and_then(|array| document.pointer(&format!("{array}/0")));
    let element = element.map(|element| format!(",{element}"));
    // In the innermost object with a value, in the one around it, and so on.
    let closing = skeleton.len() - skeleton.trim_end_matches(['}', ']']).len();
    for depth in 0..closing {
        let (open, close) = skeleton.split_at(skeleton.len() - closing + depth);
        if !close.starts_with('}') {
            bodies.extend(
                element
                    .as_ref()
                    .map(|unit| ("JSON: elements", JSON, fill(open, unit, close, bytes))),
            );
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
    if sender.verifier.reads_forms() {
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
fn values(sender: &Sender) -> Vec<(Place, String)> {
    let description = sender.verifier.description();
    let mut values = Vec::new();
    let payload = description.payload.clone().unwrap_or_default();
    for part in payload.split('{').skip(1).filter_map(|part| part.split('}').next()) {
        if let Some(pointer) = part.strip_prefix("json:").or_else(|| part.strip_prefix("json?:")) {
            values.push((Place::Json(pointer.to_owned()), "v1".to_owned()));
        } else if let Some(name) = part.strip_prefix("form:") {
            values.push((Place::Form(name.to_owned()), "v1".to_owned()));
        }
    }
    if payload.contains("{sns}") {
        for name in [
            "Type",
            "MessageId",
            "TopicArn",
            "Message",
            "Timestamp",
            "SignatureVersion",
        ] {
            let value = match name {
                "Type" => "Notification",
                "SignatureVersion" => "2",
                _ => "v1",
            };
            values.push((Place::Json(format!("/{name}")), value.to_owned()));
        }
    }
    let time = description.timestamp.clone().unwrap_or_default();
    values.extend(time.pointer.map(|pointer| (Place::Json(pointer), sender.now())));
    values.extend(time.form.map(|name| (Place::Form(name), sender.now())));
    let digest = description.form_digest.as_ref();
    let hash_field = digest.map(|digest| digest.hash_field.clone().unwrap_or_else(|| "msg_id".to_owned()));
    let signature = description.signature.clone().unwrap_or_default();
    let text = format!("{}{}", sender.prefix, sender.signature());
    let array = signature.each.map(|array| format!("{array}/0")).unwrap_or_default();
    values.extend(
        signature
            .pointer
            .map(|pointer| (Place::Json(format!("{array}{pointer}")), text.clone())),
    );
    values.extend(signature.form.or(hash_field).map(|name| (Place::Form(name), text)));
    values
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
