//! Any payload template: it is refused, or a request that was signed with it is accepted.
#![no_main]
use hookgate::http::message::Headers;
use hookgate::scheme::{HeadRef, SignRequest};
use hookgate_fuzz::{custom, verify};
use hyper::Method;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|template: &str| {
    if template.contains(['"', '\\', '\n', '\r']) || template.chars().any(char::is_control) {
        return;
    }
    let description = format!(
        "signature = {{ header = \"S\", field = \"v\" }}\ntimestamp = {{ field = \"t\" }}\ndelivery_id = {{ header = \"I\" }}\npayload = \"{template}\""
    );
    let Some(verifier) = custom(&description, b"a key of some length") else { return };
    let body = b"{\"a\":1}";
    let request = SignRequest { method: &Method::POST, target: "/p?q=1", delivery_id: None, body };
    let Some(fields) = verifier.sign(0, &request, 1_700_000_000) else { return };
    let headers: Headers = fields.into_iter().collect();
    let head = HeadRef { method: &Method::POST, target: "/p?q=1", headers: &headers };
    verify(&verifier, &head, body).unwrap();
});
