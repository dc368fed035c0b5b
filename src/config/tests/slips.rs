//! One slip is one fault: what follows from it is not reported too.

use super::Fixture;
use super::faults::only;

const FILE: &str = r#"
[listen]
address = "127.0.0.1:0"
plaintext = true
trusted_proxies = ["127.0.0.1"]

[[route]]
path = "/hook"
provider = "custom"
secrets = [{ env = "PADDLE_WEBHOOK_SECRET" }]
upstream = "http://127.0.0.1:8000"

[route.custom]
signature = { header = "X-Signature" }
algorithm = "sha256"
payload = "{secret}{body}"
"#;

#[test]
fn a_misspelt_key_is_not_reported_as_missing_too() {
    for (right, slip, key) in [
        ("secrets =", "secret =", "route[0].secret"),
        ("secrets =", "secrts =", "route[0].secrts"),
        ("path =", "pth =", "route[0].pth"),
        ("upstream =", "upstrem =", "route[0].upstrem"),
        ("upstream =", "url =", "route[0].url"),
        ("provider =", "providr =", "route[0].providr"),
        ("[listen]", "[listner]", "listner"),
        ("[listen]", "[server]", "server"),
        ("address =", "adress =", "listen.adress"),
        ("plaintext =", "plaintxt =", "listen.plaintxt"),
        ("[[route]]", "[[routes]]", "routes"),
        ("env =", "evn =", "route[0].secrets[0].evn"),
        ("header =", "headr =", "route[0].custom.signature.headr"),
        ("signature =", "signatur =", "route[0].custom.signatur"),
        ("algorithm =", "algoritm =", "route[0].custom.algoritm"),
        ("\"sha256\"", "\"sha-256\"", "route[0].custom.algorithm"),
        ("payload =", "payloads =", "route[0].custom.payloads"),
    ] {
        let text = FILE.replacen(right, slip, 1);
        // `[route.custom]` belongs to the route.
        let text = if slip == "[[routes]]" {
            text.replace("[route.custom]", "[routes.custom]")
        } else {
            text
        };
        let fault = only(&Fixture::new(&text));
        assert_eq!(fault.key, key, "{slip}: {fault}");
    }
}

#[test]
fn a_key_in_the_other_list_too_is_one_fault() {
    let text = FILE.replace(
        "secrets =",
        "public_keys = [{ env = \"PADDLE_WEBHOOK_SECRET\" }]\nsecrets =",
    );
    let fault = only(&Fixture::new(&text));
    assert_eq!(fault.key, "route[0].public_keys[0]", "{fault}");
}

/// A fault of the description is shown at its table, and a file in another notation is named.
#[test]
fn the_place_and_the_notation_are_named() {
    let fault = only(&Fixture::new(&FILE.replace("{secret}", "")));
    assert_eq!(
        (fault.key.as_str(), fault.line),
        ("route[0].custom", Some(13)),
        "{fault}"
    );
    for (text, words) in [
        ("listen {\n  address 127.0.0.1:80\n}\n", "notation of nginx"),
        ("<listen/>\n", "XML"),
        ("path\n", "has a key and no value"),
        ("a = \"C:\\temp\\x\"\n", "backslash"),
        ("a = [1, 2\n", "bracket is not closed"),
        ("a = 1 b = 2\n", "a line of its own"),
    ] {
        let fault = only(&Fixture::new(text)).to_string();
        assert!(
            fault.contains(words) && !fault.contains("expected"),
            "{text:?}: {fault}"
        );
    }
}

/// What belongs one level higher is said, and a hash in another spelling usually means the HMAC with it.
#[test]
fn what_was_meant_in_a_custom_scheme_is_named() {
    for (right, slip, meant) in [
        (
            "header = \"X-Signature\"",
            "header = \"X-Signature\", encoding = \"base64\"",
            "belongs to `[route.custom]`",
        ),
        ("\"sha256\"", "\"sha-256\"", "did you mean `hmac-sha256`"),
        ("\"sha256\"", "\"SHA512\"", "did you mean `hmac-sha512`"),
        ("\"sha256\"", "\"hmac_sha1\"", "did you mean `hmac-sha1`"),
    ] {
        let fault = only(&Fixture::new(&FILE.replacen(right, slip, 1)));
        assert!(fault.to_string().contains(meant), "{slip}: {fault}");
    }
}
