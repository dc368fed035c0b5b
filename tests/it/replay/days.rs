//! A day of five providers, in the shapes of their documented samples: an application that fails now and then, an answer
//! that gets lost, and senders that retry as their documents say. Every event reaches the application, and is accepted by it
//! once.

use crate::support::paddle::now;
use crate::support::upstream::answer;
use crate::support::{Setup, Upstream};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const KEY: &str = "f00dfeed0123456789abcdef01234567";
const OTHER_KEY: &str = "0ddba11fee1dead0123456789abcdef0";

/// One event of a provider: `attempt` makes the request of its n-th attempt, from 0.
struct Event {
    name: String,
    attempt: Box<dyn Fn(u64) -> Vec<u8>>,
    /// Whether the sender repeats the same bytes after an answer that it did not see.
    repeats_bytes: bool,
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn post(path: &str, fields: &[(&str, &str)], body: &str) -> Vec<u8> {
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "POST {path} HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Two hooks at one URL: an event of a repository and of its organization has one GUID.
fn github() -> Vec<Event> {
    let event = |guid: &'static str, kind: &'static str, key: &'static str, body: &str| {
        let body = body.to_owned();
        let name = format!("{guid} {key}");
        let attempt = move |_| {
            let signature = format!("sha256={}", hex::encode(hmac(key.as_bytes(), body.as_bytes())));
            let fields = [
                ("X-Hub-Signature-256", signature.as_str()),
                ("X-GitHub-Delivery", guid),
                ("X-GitHub-Event", kind),
            ];
            post("/github", &fields, &body)
        };
        Event {
            name,
            attempt: Box::new(attempt),
            repeats_bytes: true,
        }
    };
    let (repository, organization) = (KEY, OTHER_KEY);
    vec![
        event(
            "72d3162e-0001",
            "ping",
            repository,
            r#"{"zen":"Keep it logically awesome.","hook_id":109948940,"hook":{"type":"Repository","active":true}}"#,
        ),
        event(
            "72d3162e-0002",
            "issues",
            repository,
            r#"{"action":"opened","issue":{"number":73464126,"title":"Spelling error in the README file"},"hook_id":1}"#,
        ),
        event(
            "72d3162e-0002",
            "issues",
            organization,
            r#"{"action":"opened","issue":{"number":73464126,"title":"Spelling error in the README file"},"hook_id":2}"#,
        ),
        event(
            "72d3162e-0003",
            "push",
            repository,
            r#"{"ref":"refs/tags/simple-tag","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"0000000000000000000000000000000000000000"}"#,
        ),
        event(
            "72d3162e-0004",
            "push",
            repository,
            r#"{"ref":"refs/tags/simple-tag","before":"0000000000000000000000000000000000000000","after":"6113728f27ae82c7b1a177c8d03f9e96e0adf246"}"#,
        ),
    ]
}

fn shopify() -> Vec<Event> {
    let event = |id: &'static str, topic: &'static str, body: &'static str| {
        let attempt = move |_| {
            let signature = STANDARD.encode(hmac(KEY.as_bytes(), body.as_bytes()));
            let fields = [
                ("X-Shopify-Hmac-Sha256", signature.as_str()),
                ("X-Shopify-Webhook-Id", id),
                ("X-Shopify-Topic", topic),
            ];
            post("/shopify", &fields, body)
        };
        Event {
            name: id.to_owned(),
            attempt: Box::new(attempt),
            repeats_bytes: true,
        }
    };
    vec![
        event(
            "d4b2-1",
            "orders/create",
            r##"{"id":820982911946154508,"name":"#9999","created_at":"2021-12-31T19:00:00-05:00"}"##,
        ),
        event(
            "d4b2-2",
            "orders/updated",
            r##"{"id":820982911946154508,"name":"#9999","updated_at":"2021-12-31T19:00:01-05:00"}"##,
        ),
        event("d4b2-3", "products/delete", r#"{"id":788032119674292922}"#),
    ]
}

/// One payment: the later events name its reference, some under one reference of their own.
fn adyen() -> Vec<Event> {
    let event = |reference: &'static str, original: &'static str, code: &'static str| {
        let attempt = move |_| {
            let signed = format!("{reference}:{original}:Acme:order-7:1000:EUR:{code}:true");
            let signature = STANDARD.encode(hmac(&hex::decode(KEY).unwrap(), signed.as_bytes()));
            let item = format!(
                r#"{{"pspReference":"{reference}","originalReference":"{original}","merchantAccountCode":"Acme","merchantReference":"order-7","amount":{{"value":1000,"currency":"EUR"}},"eventCode":"{code}","eventDate":"2026-01-10T13:37:30+01:00","success":"true","additionalData":{{"hmacSignature":"{signature}"}}}}"#
            );
            post(
                "/adyen",
                &[],
                &format!(r#"{{"live":"false","notificationItems":[{{"NotificationRequestItem":{item}}}]}}"#),
            )
        };
        Event {
            name: format!("{reference} {code}"),
            attempt: Box::new(attempt),
            repeats_bytes: true,
        }
    };
    vec![
        event("7914073381342284", "", "AUTHORISATION"),
        event("8825408195409505", "7914073381342284", "CAPTURE"),
        event("9915555555555555", "8825408195409505", "NOTIFICATION_OF_CHARGEBACK"),
        event("9915555555555555", "8825408195409505", "CHARGEBACK"),
        event("9915555555555555", "8825408195409505", "CHARGEBACK_REVERSED"),
    ]
}

/// Batches; a retry has a new time and another number of the attempt, and an id is not unique.
fn hubspot() -> Vec<Event> {
    let event = |number: u64, ids: &'static [u64]| {
        let attempt = move |attempt: u64| {
            let one = |id: &u64| {
                format!(
                    r#"{{"eventId":{id},"subscriptionId":12,"portalId":62515,"occurredAt":1564113600{number:03},"subscriptionType":"contact.creation","attemptNumber":{attempt},"objectId":{number}}}"#
                )
            };
            let items: Vec<String> = ids.iter().map(one).collect();
            let body = format!("[{}]", items.join(","));
            let time = format!("{}000", now() - 60 + attempt);
            let signed = format!("POSThttps://hooks.example.com/hubspot{body}{time}");
            let signature = STANDARD.encode(hmac(KEY.as_bytes(), signed.as_bytes()));
            let fields = [
                ("X-HubSpot-Signature-v3", signature.as_str()),
                ("X-HubSpot-Request-Timestamp", &time),
            ];
            post("/hubspot", &fields, &body)
        };
        Event {
            name: format!("batch {number}"),
            attempt: Box::new(attempt),
            repeats_bytes: false,
        }
    };
    vec![
        event(1, &[100]),
        event(2, &[100]),
        event(3, &[101, 102]),
        event(4, &[101]),
    ]
}

/// The second notification of one account is the same bytes as the first.
fn dropbox() -> Vec<Event> {
    let event = |name: &str| {
        let body =
            r#"{"list_folder":{"accounts":["dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc"]},"delta":{"users":[12345678]}}"#;
        let attempt = move |_| {
            let signature = hex::encode(hmac(KEY.as_bytes(), body.as_bytes()));
            post("/dropbox", &[("X-Dropbox-Signature", &signature)], body)
        };
        // A lost answer is delivered again: nothing tells it from another change.
        Event {
            name: name.to_owned(),
            attempt: Box::new(attempt),
            repeats_bytes: false,
        }
    };
    vec![event("first change"), event("second change"), event("third change")]
}

#[test]
fn every_event_of_a_day_is_forwarded_once() {
    let accepted: Arc<Mutex<usize>> = Arc::default();
    let count = accepted.clone();
    let upstream = Upstream::new(move |request, connection| {
        // Every third request fails.
        if request.index % 3 == 1 {
            return connection.send(&answer("500 Internal Server Error", &[], b""));
        }
        *count.lock().unwrap() += 1;
        connection.send(&answer("200 OK", &[], b"taken"))
    });
    let route = |name: &str, provider: &str, lines: &str| {
        format!(
            "[[route]]\npath = \"/{name}\"\nprovider = {provider:?}\nsecrets = [{{ env = \"KEY\" }}, {{ env = \"OTHER_KEY\" }}]\nupstream = {:?}\n{lines}\n",
            upstream.url()
        )
    };
    for dedupe in ["", "dedupe = {}"] {
        let gateway = Setup::new(&upstream.url())
            .variable("KEY", KEY)
            .variable("OTHER_KEY", OTHER_KEY)
            .more(&route("github", "github", dedupe))
            .more(&route("shopify", "shopify", dedupe))
            .more(&route("adyen", "adyen", dedupe))
            .more(&route(
                "hubspot",
                "hubspot-v3",
                "public_url = \"https://hooks.example.com\"",
            ))
            .more(&route("dropbox", "dropbox", ""))
            .start();
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for event in [github(), shopify(), adyen(), hubspot(), dropbox()]
            .into_iter()
            .flatten()
        {
            let before = *accepted.lock().unwrap();
            let mut statuses = Vec::new();
            while statuses.last() != Some(&200) && statuses.len() < 5 {
                statuses.push(gateway.exchange(&(event.attempt)(statuses.len() as u64)).status);
            }
            assert_eq!(statuses.last(), Some(&200), "{}: {statuses:?}", event.name);
            if event.repeats_bytes {
                // The answer was lost on its way: the sender is content, and the application sees nothing.
                for _ in 0..2 {
                    assert_eq!(gateway.exchange(&(event.attempt)(0)).status, 200, "{}", event.name);
                }
            }
            taken.insert(event.name, *accepted.lock().unwrap() - before);
        }
        assert_eq!(taken.len(), 20);
        assert!(taken.values().all(|times| *times == 1), "{taken:?}");
    }
}
