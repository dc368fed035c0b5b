//! Any bytes in every header of every preset: no panic, and no request is accepted.
#![no_main]
use hookgate::http::message::Headers;
use hookgate::scheme::{HeadRef, Verifier, presets};
use hookgate_fuzz::{verify, preset};
use hyper::header::HeaderValue;
use hyper::Method;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static VERIFIERS: LazyLock<Vec<Verifier>> = LazyLock::new(|| {
    let key = b"74F490DD33F7327BAECC88B2947C011FC02D014A473AAA33A8EC93E4DC069174";
    presets::names().filter_map(|name| preset(name, key)).collect()
});

fuzz_target!(|data: &[u8]| {
    // Each line is the value of one of the preset's headers.
    let lines: Vec<_> = data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    for verifier in VERIFIERS.iter() {
        let headers: Headers = verifier.signature_headers().iter().cloned().zip(lines.iter().cloned()).collect();
        let head = HeadRef { method: &Method::POST, target: "/p?q=1", headers: &headers };
        assert!(verify(verifier, &head, b"{\"webhookTimestamp\":1700000000000}").is_err());
    }
});
