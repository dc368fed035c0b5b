//! Any pointer into any JSON: no panic, and a found value equals the one that the pointer of serde_json finds.
#![no_main]
use bytes::Bytes;
use hookgate::http::message::Headers;
use hookgate::scheme::HeadRef;
use hookgate_fuzz::custom;
use hyper::Method;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8])| {
    let (pointer, body) = input;
    if pointer.contains(['"', '\\']) || pointer.chars().any(char::is_control) {
        return;
    }
    let description = format!("signature = {{ header = \"S\" }}\ndelivery_id = {{ pointer = \"{pointer}\" }}\npayload = \"{{url}}\"");
    let Some(verifier) = custom(&description, b"a key") else { return };
    let headers = Headers::default();
    let head = HeadRef { method: &Method::POST, target: "/", headers: &headers };
    let body = [Bytes::copy_from_slice(body)];
    let found = verifier.delivery_id(&head, &body);
    if let (Some(found), Ok(document)) = (found, serde_json::from_slice::<serde_json::Value>(&body[0])) {
        let expected = document.pointer(pointer).expect("serde_json finds the value too");
        let expected = expected.as_str().map_or_else(|| expected.to_string(), str::to_owned);
        assert_eq!(found, expected.as_bytes());
    }
});
