//! `signature`: the signature that the application gets, days after the provider's own.

use super::{KEY, free_address, opened, wait_for};
use crate::support::oracle::Oracle;
use crate::support::paddle::{SECRET, now};
use crate::support::upstream::{Recorded, answer};
use crate::support::{Gateway, Setup, Upstream, Webhook};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookgate::scheme::{NamedSecret, SignRequest, Verifier};
use hookgate::secret::Secret;
use hyper::Method;
use serde_json::{Value, json};
use std::path::Path;

const TWO_DAYS: u64 = 2 * 86_400;
const BODY: &str = r#"{"event_id":"evt_1","id":"evt_1","event":"x"}"#;

fn standard_secret(fill: u8) -> String {
    let bytes: Vec<u8> = (0..24).map(|at| at * 7 + fill).collect();
    format!("whsec_{}", STANDARD.encode(bytes))
}

/// Name of a provider, its secret, and further lines of its route.
fn providers() -> [(&'static str, String, &'static str); 5] {
    [
        ("paddle", SECRET.to_owned(), ""),
        ("stripe", "whsec_0123456789abcdef0123456789abcdef".to_owned(), ""),
        (
            "slack",
            "8f742231b10e8888abcd99yyyzzz85a5".to_owned(),
            "answer = \"unused\"",
        ),
        ("standard-webhooks", standard_secret(1), ""),
        ("svix", standard_secret(2), ""),
    ]
}

/// A gateway with a route for each provider, at `/PROVIDER`. A request may be three days old.
fn gateway(upstream: &str, directory: &Path, signature: &str) -> Gateway {
    let mut text = format!(
        "[inbox]\nstore = \"{}\"\nkeys = [{{ env = \"INBOX_KEY\" }}]\nany_filesystem = true\nmin_free_disk = \"1MiB\"\n\
         probe = {{ backoff = \"50ms\", backoff_limit = \"200ms\" }}\n",
        directory.join("inbox.db").display()
    );
    let mut setup = Setup::new(upstream).variable("INBOX_KEY", KEY);
    for (at, (provider, secret, more)) in providers().into_iter().enumerate() {
        text.push_str(&format!(
            "[[route]]\nname = \"own-{provider}\"\npath = \"/{provider}\"\nprovider = \"{provider}\"\ntolerance = \"3d\"\n\
             secrets = [{{ env = \"SECRET_{at}\", name = \"old\", retired = true }}, {{ env = \"OTHER_{at}\", name = \"new\" }}]\n\
             delivery = \"failover\"\n{signature}\n{more}\nupstream = {upstream:?}\n"
        ));
        let other = match provider {
            "standard-webhooks" | "svix" => standard_secret(3),
            _ => format!("another secret of {provider}, 0123456789"),
        };
        setup = setup
            .variable(&format!("SECRET_{at}"), &secret)
            .variable(&format!("OTHER_{at}"), &other);
    }
    opened(setup.more(&text).start())
}

/// A webhook of a provider, signed at this time.
fn webhook(provider: &str, secret: &str, at: u64) -> Webhook {
    let key = NamedSecret {
        name: "key".into(),
        secret: Secret::new(secret.into()),
    };
    let target = format!("/{provider}");
    let verifier = Verifier::new(provider, None, vec![key], None).unwrap();
    let request = SignRequest {
        method: &Method::POST,
        target: &target,
        delivery_id: Some("msg_1"),
        body: BODY.as_bytes(),
    };
    let headers = verifier.sign(0, &request, at).unwrap();
    let start = Webhook::new(BODY).signature(None).path(&target);
    headers.iter().fold(start, |webhook, (name, value)| {
        webhook.header(name.as_str(), value.to_str().unwrap())
    })
}

/// The question whether a library accepts what the application got.
fn question(provider: &str, secret: &str, received: &Recorded) -> Value {
    let names = [
        "paddle-signature",
        "stripe-signature",
        "x-slack-signature",
        "x-slack-request-timestamp",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "svix-id",
        "svix-timestamp",
        "svix-signature",
    ];
    let headers: serde_json::Map<String, Value> = names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), received.header(name)?.into())))
        .collect();
    let body = String::from_utf8(received.body.clone()).unwrap();
    json!({ "op": "verify", "provider": provider, "secret": secret, "url": "", "headers": headers, "body": body, "now": now() })
}

fn accepts(node: &mut Oracle, python: &mut Oracle, provider: &str, secret: &str, received: &Recorded) -> bool {
    let question = question(provider, secret, received);
    let answers: Vec<Value> = match provider {
        "paddle" => vec![node.ask(&question), python.ask(&question)],
        "slack" => vec![python.ask(&question)],
        _ => vec![node.ask(&question)],
    };
    let verdicts: Vec<bool> = answers.iter().map(|answer| answer["genuine"] == true).collect();
    assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{answers:?}");
    verdicts[0]
}

fn of_route(upstream: &Upstream, provider: &str) -> Recorded {
    let route = format!("own-{provider}");
    let found = upstream.requests();
    let found = found
        .into_iter()
        .find(|request| request.header("hookgate-route") == Some(route.clone()));
    found.unwrap()
}

/// The application returns two days after the webhooks were sent. Its library refuses the original signature, and
/// accepts the fresh one; the original goes along. A retired secret still signs.
#[test]
fn the_providers_libraries_accept_a_fresh_signature_two_days_late() {
    let mut node = Oracle::node(&["paddle", "stripe", "standard-webhooks", "svix"]);
    let mut python = Oracle::python();
    for (signature, is_accepted) in [("", false), ("signature = \"fresh\"", true)] {
        let address = free_address();
        let directory = tempfile::tempdir().unwrap();
        let gateway = gateway(&format!("http://{address}"), directory.path(), signature);
        for (provider, secret, _) in providers() {
            let sent = webhook(provider, &secret, now() - TWO_DAYS);
            assert_eq!(gateway.exchange(&sent.bytes()).status, 200, "{provider}");
        }
        let upstream = Upstream::at(&address.to_string(), |_, connection| {
            connection.send(&answer("200 OK", &[], b""))
        });
        wait_for(&gateway, "delivered", 5.0);
        for (provider, secret, _) in providers() {
            let received = of_route(&upstream, provider);
            assert_eq!(received.body, BODY.as_bytes());
            let verdict = accepts(&mut node, &mut python, provider, &secret, &received);
            assert_eq!(verdict, is_accepted, "{provider} with {signature:?}: {received:?}");
            let name = match provider {
                "paddle" => "paddle-signature",
                "stripe" => "stripe-signature",
                "slack" => "x-slack-signature",
                "standard-webhooks" => "webhook-signature",
                _ => "svix-signature",
            };
            let original = received.header(&format!("hookgate-original-{name}"));
            assert_eq!(original.is_some(), is_accepted, "{provider}");
            assert_ne!(original, received.header(name), "{provider}");
            assert!(received.header("hookgate-received-at").is_some());
        }
    }
}

/// With `gateway`, one library accepts what every provider sent, direct or late, under either key of a rotation.
#[test]
fn one_library_accepts_every_provider_with_a_gateway_signature() {
    let mut node = Oracle::node(&["standard-webhooks"]);
    let mut python = Oracle::python();
    let keys = [standard_secret(11), standard_secret(12)];
    let directory = tempfile::tempdir().unwrap();
    for late in [false, true] {
        let address = free_address();
        let serve = || {
            Upstream::at(&address.to_string(), |_, connection| {
                connection.send(&answer("200 OK", &[], b""))
            })
        };
        let before = (!late).then(serve);
        std::fs::write(directory.path().join("first"), &keys[0]).unwrap();
        std::fs::write(directory.path().join("second"), &keys[1]).unwrap();
        let signature = format!(
            "signature = \"gateway\"\ngateway_keys = [{{ file = \"{0}/first\" }}, {{ file = \"{0}/second\" }}]",
            directory.path().display()
        );
        let stores = tempfile::tempdir().unwrap();
        let gateway = gateway(&format!("http://{address}"), stores.path(), &signature);
        for (provider, secret, _) in providers() {
            let sent = webhook(provider, &secret, now() - TWO_DAYS);
            // What an attacker adds is replaced.
            let sent = match provider {
                "standard-webhooks" => sent,
                _ => sent
                    .header("Webhook-Signature", "v1,forged")
                    .header("webhook-id", "forged"),
            };
            assert_eq!(gateway.exchange(&sent.bytes()).status, 200, "{provider}");
        }
        let upstream = before.unwrap_or_else(serve);
        upstream.wait_for(5);
        for (provider, ..) in providers() {
            let received = of_route(&upstream, provider);
            for key in &keys {
                assert!(
                    accepts(&mut node, &mut python, "standard-webhooks", key, &received),
                    "{provider}, late: {late}: {received:?}"
                );
            }
            assert_eq!(received.header("webhook-id"), received.header("hookgate-delivery"));
            let forged = received.header("hookgate-original-webhook-signature");
            assert_eq!(forged.is_some(), provider == "standard-webhooks", "{provider}");
        }
        assert_eq!(upstream.requests().len(), 5);
    }
}

/// The secret that verified a webhook is gone, so it cannot be signed: it is blocked and waits. It goes when the secret is
/// back.
#[test]
fn a_delivery_is_blocked_while_its_secret_is_gone() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let store = tempfile::tempdir().unwrap();
    let start = |secrets: &str| {
        let setup = super::setup(
            &format!("http://{address}"),
            store.path(),
            "failover",
            "signature = \"fresh\"",
        );
        std::fs::write(directory.path().join("new"), "another secret that is long enough").unwrap();
        opened(setup.secret_list(secrets).start())
    };
    let current = "{ env = \"PADDLE_WEBHOOK_SECRET\", name = \"current\" }";
    let new = format!("{{ file = \"{}/new\", name = \"new\" }}", directory.path().display());
    let mut gateway = start(current);
    assert_eq!(gateway.exchange(&super::webhook("evt_1", 0).bytes()).status, 200);
    gateway.signal(rustix::process::Signal::TERM);
    gateway.wait_for_exit();
    let upstream = Upstream::at(&address.to_string(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    });
    let mut gateway = start(&new);
    wait_for(&gateway, "blocked", 1.0);
    upstream.assert_untouched();
    assert!(gateway.logs.text().contains("is not among the secrets of the route"));
    gateway.signal(rustix::process::Signal::TERM);
    gateway.wait_for_exit();
    let gateway = start(&format!("{new}, {current}"));
    wait_for(&gateway, "delivered", 1.0);
    assert_eq!(upstream.requests().len(), 1);
}

/// In a token scheme the header is the secret: it is not in the file, and each attempt takes it from the configuration.
#[test]
fn a_token_is_not_stored_and_is_put_back() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let token = "canary-token-0123456789abcdef";
    let text = format!(
        "[inbox]\nstore = \"{}\"\nany_filesystem = true\nmin_free_disk = \"1MiB\"\n\
         probe = {{ backoff = \"50ms\", backoff_limit = \"200ms\" }}\n\
         [[route]]\nname = \"gitlab\"\npath = \"/gitlab\"\nprovider = \"gitlab-token\"\nsecrets = [{{ env = \"TOKEN\" }}]\n\
         delivery = \"failover\"\nupstream = \"http://{address}\"\n",
        directory.path().join("inbox.db").display()
    );
    let setup = Setup::new(&format!("http://{address}"))
        .variable("TOKEN", token)
        .more(&text);
    let gateway = opened(setup.start());
    let sent = Webhook::new("{}")
        .signature(None)
        .path("/gitlab")
        .header("X-Gitlab-Token", token);
    let sent = sent.header("Idempotency-Key", "1");
    assert_eq!(gateway.exchange(&sent.bytes()).status, 200);
    let files = ["inbox.db", "inbox.db-wal", "inbox.db-shm"];
    let read = |name: &&str| std::fs::read(directory.path().join(name)).unwrap_or_default();
    let bytes: Vec<u8> = files.iter().flat_map(read).collect();
    assert!(!bytes.windows(6).any(|window| window == b"canary"));
    let upstream = Upstream::at(&address.to_string(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    });
    wait_for(&gateway, "delivered", 1.0);
    assert_eq!(upstream.requests()[0].header("x-gitlab-token").as_deref(), Some(token));
}
