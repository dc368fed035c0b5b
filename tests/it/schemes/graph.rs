//! Notifications of Microsoft Graph over a real socket: the validation of the endpoint, texts of subscriptions, and tokens
//! with the keys of a server of the test's own.

use super::fetched::{Published, post};
use crate::support::oracle::Oracle;
use crate::support::paddle::now;
use crate::support::{Setup, Upstream};
use serde_json::json;

const STATE: &str = "a client state of more than 24 bytes";

#[test]
fn notifications_need_their_client_state_and_rich_ones_their_tokens() {
    let mut oracle = Oracle::tokens();
    let upstream = Upstream::ok();
    let question = json!({ "op": "sign", "provider": "ms-graph", "secret": STATE, "url": "", "headers": {}, "body": "", "now": now() });
    let (earlier, answer) = (oracle.ask(&question), oracle.ask(&question));
    let rich = answer["body"].as_str().unwrap_or_else(|| panic!("{answer}"));
    let published = Published::new(earlier["keys"].as_str().unwrap());
    let server = published.serve("127.0.0.1:0");
    let route = |name: &str, more: &str| {
        format!(
            "[[route]]\nname = {name:?}\npath = \"/{name}\"\nprovider = \"ms-graph\"\nchallenge = true\nsecrets = [{{ env = \"GRAPH\", name = \"{name}\" }}]\n{more}\nupstream = {:?}\n",
            upstream.url()
        )
    };
    let keys = format!(
        "expect = {{ aud = \"audience\" }}\nkeys = {{ url = \"{}/jwks\" }}",
        server.url()
    );
    let gateway = Setup::new(&upstream.url())
        .variable("GRAPH", STATE)
        .more(&(route("basic", "") + &route("rich", &keys)))
        .start();
    let send = |path: &str, body: &str| {
        let response = gateway.exchange(&post(path, "Content-Type: application/json\r\n", body));
        let reason = if response.status == 200 {
            String::new()
        } else {
            response.reason()
        };
        (response.status, reason)
    };
    let refused = |status, reason: &str| (status, reason.to_owned());
    // The endpoint is validated before any notification.
    let response = gateway.exchange(&post("/rich?validationToken=Validation%3a+Testing+id%3a+1", "", ""));
    assert_eq!(
        (response.status, &response.body[..]),
        (200, &b"Validation: Testing id: 1"[..])
    );
    assert!(response.header("Content-Type").unwrap().starts_with("text/plain"));
    upstream.assert_untouched();
    // A stranger whose tokens name unknown keys causes no fetch.
    server.wait_for(1);
    let forged = rich.replace(STATE, "a stranger who writes anything at all");
    assert_eq!(send("/rich", &forged), refused(401, "signature_mismatch"));
    assert_eq!(send("/basic", &forged), refused(401, "signature_mismatch"));
    assert_eq!(
        send("/rich", &rich.replacen(STATE, "", 1)),
        refused(401, "signature_mismatch")
    );
    assert_eq!(server.requests().len(), 1);
    // Both keys of the genuine one come with one fetch.
    published.set(answer["keys"].as_str().unwrap());
    assert_eq!(send("/rich", rich), (200, String::new()));
    assert_eq!(server.requests().len(), 2);
    assert_eq!(send("/basic", rich), (200, String::new()));
    assert_eq!(upstream.requests()[0].body, rich.as_bytes());
    let basic = json!({ "value": [{ "id": "1", "clientState": STATE, "lifecycleEvent": "missed" }] }).to_string();
    assert_eq!(send("/basic", &basic), (200, String::new()));
    assert_eq!(send("/rich", &basic), refused(401, "signature_missing"));
    // Different changes can be the same bytes, so that a second one is delivered.
    assert_eq!(send("/basic", &basic), (200, String::new()));
    assert_eq!(upstream.requests().len(), 4);
}
