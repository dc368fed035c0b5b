//! Any query and any body as a challenge: an answer is short and has only printable ASCII without `<`, or there is
//! none.
#![no_main]
use bytes::Bytes;
use hookgate::scheme::challenge::Challenge;
use hookgate::scheme::Verifier;
use hookgate::secret::Secret;
use hookgate_fuzz::preset;
use hyper::Method;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static ZOOM: LazyLock<Verifier> = LazyLock::new(|| preset("zoom", b"a key of some length").unwrap());

fuzz_target!(|input: (&str, &[u8])| {
    let (query, body) = input;
    let token = Secret::new(b"t".to_vec());
    for provider in Challenge::PROVIDERS {
        let challenge = Challenge::of(provider, (provider == "meta").then_some(&token)).unwrap();
        let unsigned = challenge.answer_unsigned(&Method::GET, query).and_then(Result::ok);
        let signed = challenge.answer_verified(&[Bytes::copy_from_slice(body)], &ZOOM, 0);
        for reply in unsigned.into_iter().chain(signed) {
            assert!(reply.body.len() < 512 && reply.body.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<'));
        }
    }
});
