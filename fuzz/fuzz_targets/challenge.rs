//! Any query and any body as a challenge: an answer is short and has only printable ASCII without `<`, or there is
//! none.
#![no_main]
use bytes::Bytes;
use hookgate::http::message::Headers;
use hookgate::scheme::challenge::{Challenge, PRESETS};
use hookgate::scheme::{HeadRef, Verifier};
use hookgate::secret::Secret;
use hookgate_fuzz::preset;
use hyper::Method;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static ZOOM: LazyLock<Verifier> = LazyLock::new(|| preset("zoom", b"a key of some length").unwrap());

fuzz_target!(|input: (&str, &[u8])| {
    let (query, body) = input;
    let token = Secret::new(b"t".to_vec());
    let echo = "method = 'GET'\nquery = 'challenge'\nanswer = { json = 'a' }";
    let described = Challenge::described(toml::from_str(echo).unwrap(), 0, &ZOOM, None).unwrap();
    let presets = PRESETS.map(|preset| {
        let provider = preset.provider;
        Challenge::of(provider, 0, &ZOOM, (provider == "meta").then_some(&token)).unwrap()
    });
    let headers = Headers::default();
    let target = format!("/?{query}");
    let head = HeadRef { method: &Method::GET, target: &target, headers: &headers };
    for challenge in presets.into_iter().flatten().chain([described]) {
        let unsigned = challenge.answer_unsigned(&head, &[], &ZOOM).and_then(Result::ok);
        let signed = challenge.answer_verified(&[Bytes::copy_from_slice(body)], &ZOOM, 0);
        for reply in unsigned.into_iter().chain(signed) {
            assert!(reply.body.len() < 600 && reply.body.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'<'));
        }
    }
});
