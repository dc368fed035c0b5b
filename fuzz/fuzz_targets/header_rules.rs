//! Any header lines through the rules for forwarding: no panic, and neither a forged nor a hop-by-hop field is
//! forwarded.
#![no_main]
use hookgate::upstream::forwarding::{ForwardedHead, VerificationHeaders, VerificationResult};
use hookgate::http::destination;
use hookgate::http::rules::{self, Origin};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Version};
use libfuzzer_sys::fuzz_target;

const ROUTE: HeaderValue = HeaderValue::from_static("shop");
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
    let sent = received.iter().collect();
    let Ok(authority) = destination::authority(&sent, None, Version::HTTP_11).map(str::to_owned) else { return };
    if rules::check_request_fields(&sent, Version::HTTP_11, &SIGNATURE).is_err() {
        return;
    }
    let origin = Origin { peer: "192.0.2.1".parse().ok(), trusted: false, scheme: "https" };
    let forwarding = ForwardedHead {
        method: &Method::POST,
        target: "/hooks",
        headers: &sent,
        origin: &origin,
        authority: &authority,
        host: None,
        upstream_host: "app:3000",
        length: 7,
        request_id: "id",
        verification: VerificationHeaders { result: VerificationResult::Verified(b"paddle"), key: None, route: &ROUTE, client: None, tenant: None },
        delivery: None,
        signature: None,
        fixed: &[],
    };
    let head = forwarding.write();
    // Parse the written head by lines: no value of the sender may have added a line.
    let text = head.strip_prefix(b"POST /hooks HTTP/1.1\r\n").expect("the request line");
    let mut forwarded = HeaderMap::new();
    let mut rest = text;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let (line, after) = rest.split_at(end);
        rest = &after[2..];
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':').expect("a name");
        let name = HeaderName::from_bytes(&line[..colon]).expect("a plain name");
        forwarded.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).expect("a plain value"));
    }
    assert!(rest.is_empty(), "nothing follows the head");
    assert_eq!(forwarded.get_all("content-length").iter().collect::<Vec<_>>(), ["7"]);
    assert_eq!(forwarded.get_all("host").iter().count(), 1);
    assert_eq!(forwarded.get("x-forwarded-for").expect("ours"), "192.0.2.1");
    assert_eq!(forwarded.get("hookgate-verified").expect("ours"), "paddle");
    let trimmed = received.get("paddle-signature").map(|value| value.as_bytes().trim_ascii().to_vec());
    assert_eq!(forwarded.get("paddle-signature").map(|value| value.as_bytes().to_vec()), trimmed);
    for name in forwarded.keys().map(HeaderName::as_str) {
        let ours = matches!(name, "hookgate-verified" | "hookgate-route");
        let is_regular = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        assert!(is_regular && (ours || !name.starts_with("hookgate-")), "{name}");
        assert!(!matches!(name, "connection" | "transfer-encoding" | "upgrade" | "te" | "trailer" | "keep-alive"), "{name}");
    }
});
