//! Any header lines through the rules of the way to the upstream: no panic, and nothing forged or hop-by-hop gets through.
#![no_main]
use hookgate::upstream::headers::{self, Origin};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Version};
use libfuzzer_sys::fuzz_target;

const SIGNATURE: [HeaderName; 1] = [HeaderName::from_static("paddle-signature")];

fuzz_target!(|data: &[u8]| {
    let mut received = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(100) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(&value[1..])) {
            received.append(name, value);
        }
    }
    let Ok(authority) = headers::authority(&received, None, Version::HTTP_11).map(str::to_owned) else { return };
    if headers::vet(&received, Version::HTTP_11, &SIGNATURE).is_err() {
        return;
    }
    let origin = Origin { peer: "192.0.2.1".parse().ok(), trusted: false, scheme: "https" };
    let mut forwarded = received.clone();
    headers::forwarded(&mut forwarded, &origin, &authority, 7);
    assert_eq!(forwarded.get_all("content-length").iter().collect::<Vec<_>>(), ["7"]);
    assert_eq!(forwarded.get_all("host").iter().count(), 1);
    assert_eq!(forwarded.get("x-forwarded-for").expect("ours"), "192.0.2.1");
    assert_eq!(forwarded.get("paddle-signature"), received.get("paddle-signature"));
    for name in forwarded.keys().map(HeaderName::as_str) {
        assert!(!name.contains('_') && !name.starts_with("hookgate-"), "{name}");
        assert!(!matches!(name, "connection" | "transfer-encoding" | "upgrade" | "te" | "trailer" | "keep-alive"), "{name}");
    }
});
