//! Any body as a form, through decoding, PHP's serialization, Twilio's concatenation and a plain digest: no panic, and
//! no request is accepted.
#![no_main]
use hookgate::scheme::{HeadRef, Verifier};
use hookgate_fuzz::{custom, verify, preset};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static VERIFIERS: LazyLock<Vec<Verifier>> = LazyLock::new(|| {
    let php = "signature = { form = \"p_signature\" }\nencoding = \"base64\"\npayload = \"{php}{url}\"";
    let digest = "signature = { form = \"p_signature\" }\nencoding = \"base64\"\nalgorithm = \"md5\"\npayload = \"{url}{form}{secret}\"";
    let verifiers = [custom(php, b"a key"), custom(digest, b"a key"), preset("twilio", b"a key")];
    verifiers.into_iter().flatten().collect()
});

fuzz_target!(|body: &[u8]| {
    let mut headers = HeaderMap::new();
    headers.insert("x-twilio-signature", HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    let signed = [body, b"&p_signature=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D"].concat();
    for verifier in VERIFIERS.iter() {
        for body in [body, &signed] {
            let head = HeadRef { method: &Method::POST, target: "/", headers: &headers.iter().collect() };
            assert!(verify(verifier, &head, body).is_err());
        }
    }
});
