//! Any query and any body as a handshake: what is echoed is short and plain, or nothing is.
#![no_main]
use bytes::Bytes;
use hookgate::scheme::challenge::Handshake;
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
    for provider in Handshake::PROVIDERS {
        let handshake = Handshake::of(provider, (provider == "meta").then_some(&token)).unwrap();
        let challenged = handshake.challenged(&Method::GET, query).and_then(Result::ok);
        let answered = handshake.answer(&[Bytes::copy_from_slice(body)], &ZOOM, 0);
        for reply in challenged.into_iter().chain(answered) {
            assert!(reply.body.len() < 512 && reply.body.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<'));
        }
    }
});
