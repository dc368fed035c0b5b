//! The keys of the inbox, and what `check` refuses because it could not work.

use super::Fixture;
use super::faults::only;

const KEY: &str = "8f0c4f3e6a1b8d7290e4c3b2a1f0e9d8c7b6a5948372615049382716f5e4d3c2";

fn fixture(inbox: &str, route: &str) -> Fixture {
    let text = format!(
        r#"[listen]
address = "0.0.0.0:8443"
tls = {{ certificate = "DIR/tls.crt", key = "DIR/tls.key" }}
[inbox]
store = "DIR/inbox.db"
any_filesystem = true
{inbox}
[[route]]
name = "shop"
path = "/webhooks/paddle"
secrets = [{{ env = "PADDLE_WEBHOOK_SECRET" }}]
upstream = "http://127.0.0.1:8000"
{route}
"#
    );
    let fixture = Fixture::new(&text).variable("INBOX_KEY", KEY);
    fixture.variable("GATEWAY_KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
}

const KEYS: &str = "keys = [{ env = \"INBOX_KEY\" }]";

#[test]
fn a_signature_that_cannot_be_made_is_refused() {
    let github = "provider = \"github\"\ndelivery = \"failover\"\n";
    let gateway = "signature = \"gateway\"\ngateway_keys = [{ env = \"GATEWAY_KEY\" }]";
    for (inbox, route, key, problem) in [
        (
            KEYS,
            "provider = \"paddle\"\nsignature = \"fresh\"",
            "route[0].signature",
            "this route stores none",
        ),
        (
            "",
            &format!("{github}signature = \"fresh\""),
            "route[0].signature",
            "could have anything signed",
        ),
        (
            "",
            &format!("{github}{gateway}"),
            "route[0].signature",
            "could have anything signed",
        ),
        (
            KEYS,
            &format!("{github}signature = \"gateway\""),
            "route[0].gateway_keys",
            "has no key to sign with",
        ),
        (
            KEYS,
            &format!("{github}gateway_keys = [{{ env = \"GATEWAY_KEY\" }}]"),
            "route[0].gateway_keys",
            "these keys sign nothing",
        ),
        (
            KEYS,
            "provider = \"linear\"\ndelivery = \"queue\"\nsignature = \"fresh\"",
            "route[0].signature",
            "`linear` cannot be signed again: the signed time is in the body",
        ),
        (
            KEYS,
            "provider = \"mailgun\"\ndelivery = \"queue\"\nsignature = \"fresh\"",
            "route[0].signature",
            "`mailgun` cannot be signed again: the signature is in the body",
        ),
        (
            KEYS,
            &format!("{github}dedupe = {{ durable = true }}").replace("failover", "queue"),
            "route[0].dedupe.durable",
            "stores the id of every webhook anyway",
        ),
        (
            KEYS,
            "provider = \"github\"\ndedupe = { durable = true }",
            "route[0].dedupe.durable",
            "this route has none",
        ),
    ] {
        let fault = only(&fixture(inbox, route));
        let text = fault.to_string();
        assert!(text.contains(problem) && text.contains(key), "{text}");
    }
    for route in [
        format!("{github}signature = \"fresh\""),
        format!("{github}{gateway}"),
        format!("provider = \"linear\"\ndelivery = \"queue\"\n{gateway}"),
        format!("provider = \"paddle\"\n{gateway}"),
    ] {
        let printed = fixture(KEYS, &route).printed();
        assert!(!printed.to_string().contains("MfKQ9r8G"), "{printed}");
        assert_ne!(printed["route"][0]["signature"], "original");
    }
}

/// Only the first key encrypts, so a retired one is never the first.
#[test]
fn a_retired_key_of_the_inbox_only_decrypts() {
    let keys = "keys = [{ env = \"INBOX_KEY\", retired = true }, { env = \"NEW_KEY\" }]";
    let fixture = fixture(keys, "provider = \"paddle\"").variable("NEW_KEY", &KEY.replace('8', "7"));
    let inbox = fixture.config().inbox.unwrap();
    let names: Vec<_> = inbox.keys.iter().map(|key| key.info.name.as_str()).collect();
    assert_eq!(names, ["NEW_KEY", "INBOX_KEY"]);
}
