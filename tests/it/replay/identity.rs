//! What identifies a webhook, and the answer to a repetition, by provider: with the real binary.

use crate::support::paddle::{SECRET, now};
use crate::support::redis::Redis;
use crate::support::upstream::answer;
use crate::support::{Gate, Gateway, Setup, Upstream, Webhook};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::Signal;
use sha1::Sha1;
use sha2::Sha256;

/// The secret of the routes of [`route`].
const KEY: &str = "f00dfeed0123456789abcdef01234567";

/// A further route at `/<name>`, where `name` is that of the provider unless a test needs several.
fn route(name: &str, provider: &str, upstream: &Upstream, lines: &str) -> String {
    format!(
        "[[route]]\npath = \"/{name}\"\nprovider = {provider:?}\nsecrets = [{{ env = \"KEY\" }}]\nupstream = {:?}\n{lines}\n",
        upstream.url()
    )
}

fn start(routes: &str, upstream: &Upstream) -> Gateway {
    Setup::new(&upstream.url()).variable("KEY", KEY).more(routes).start()
}

fn hmac_sha256(text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn request(method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: hooks.example.com\r\n");
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn github(body: &str, delivery: &str) -> Vec<u8> {
    let signature = format!("sha256={}", hex::encode(hmac_sha256(body.as_bytes())));
    let fields = [
        ("X-Hub-Signature-256", signature.as_str()),
        ("X-GitHub-Delivery", delivery),
    ];
    request("POST", "/github", &fields, body)
}

/// Sends each request, and returns the statuses and how many requests reached the application.
fn send(gateway: &Gateway, upstream: &Upstream, requests: &[Vec<u8>]) -> (Vec<u16>, usize) {
    let before = upstream.requests().len();
    let statuses = requests.iter().map(|bytes| gateway.exchange(bytes).status).collect();
    (statuses, upstream.requests().len() - before)
}

fn reload_with(gateway: &Gateway, from: &str, to: &str) {
    let text = std::fs::read_to_string(gateway.setup.file()).unwrap();
    assert!(text.contains(from), "{from:?} is not in the file");
    std::fs::write(gateway.setup.file(), text.replace(from, to)).unwrap();
    let ok = [("result", "ok")];
    let before = gateway.metrics().sum("hookgate_config_reloads_total", &ok);
    gateway.signal(Signal::HUP);
    gateway.wait_for_metric("hookgate_config_reloads_total", &ok, before + 1.0);
}

const OLD: &str = r#"{ env = "PADDLE_SECRET_0", name = "secret-0" }"#;
const NEW: &str = r#"{ env = "PADDLE_SECRET_1", name = "secret-1" }"#;
const SECOND: &str = "a second secret, which is long enough";

/// Adding, reordering, retiring and removing secrets forgets nothing, whichever of them signed the webhook.
#[test]
fn a_rotation_of_the_secret_forgets_no_delivery() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).secrets(&[SECRET, SECOND]).start();
    let lists = [
        format!("[{OLD}, {NEW}]"),
        format!("[{NEW}, {OLD}]"),
        format!("[{OLD}, {NEW}]"),
        format!("[{NEW}]"),
        format!("[{OLD}, {NEW}]"),
        format!("[{OLD}]"),
        format!("[{NEW}, {OLD}]"),
    ];
    let old = Webhook::signed("{}", SECRET, now()).bytes();
    let new = Webhook::signed("{ }", SECOND, now()).bytes();
    assert_eq!(
        send(&gateway, &upstream, &[old.clone(), new.clone()]),
        (vec![200, 200], 2)
    );
    for pair in lists.windows(2) {
        reload_with(
            &gateway,
            &format!("secrets = {}", pair[0]),
            &format!("secrets = {}", pair[1]),
        );
        for (webhook, secret) in [(&old, OLD), (&new, NEW)] {
            let expected = if pair[1].contains(secret) { 409 } else { 401 };
            assert_eq!(gateway.exchange(webhook).status, expected, "{}", pair[1]);
        }
    }
    assert_eq!(upstream.requests().len(), 2);
    // The route's name is part of the identity: under another name nothing is known.
    reload_with(&gateway, "name = \"paddle\"", "name = \"renamed\"");
    assert_eq!(gateway.exchange(&old).status, 200);
}

/// During a rollout the replicas have different lists of secrets.
#[test]
fn replicas_with_different_secrets_deliver_once() {
    let (upstream, redis) = (Upstream::ok(), Redis::start());
    let replica = |secrets: &[&str]| {
        let store = format!("store = {:?}\ntimeout = \"5s\"", redis.url());
        Setup::new(&upstream.url()).secrets(secrets).replay(&store).start()
    };
    let replicas = [
        replica(&[SECRET]),
        replica(&[SECOND, SECRET]),
        replica(&[SECRET, SECOND]),
    ];
    let webhook = Webhook::signed("{}", SECRET, now()).bytes();
    assert_eq!(replicas[0].exchange(&webhook).status, 200);
    for other in &replicas {
        assert_eq!(other.exchange(&webhook).reason(), "replayed");
    }
    assert_eq!(upstream.requests().len(), 1);
}

/// Without a signed time the same bytes may be the retry after a lost answer: it ends with 2xx, and the application does
/// not see it.
#[test]
fn a_repetition_without_a_signed_time_is_acknowledged() {
    let upstream = Upstream::ok();
    let routes = [
        route("github", "github", &upstream, ""),
        route(
            "custom",
            "custom",
            &upstream,
            "[route.custom]\nsignature = { header = \"X-Signature\" }",
        ),
    ];
    let gateway = start(&routes.concat(), &upstream);
    let body = "{\"action\":\"opened\"}";
    let signature = hex::encode(hmac_sha256(body.as_bytes()));
    let custom = request("POST", "/custom", &[("X-Signature", &signature)], body);
    for webhook in [github(body, "1"), custom] {
        assert_eq!(
            send(&gateway, &upstream, &[webhook.clone(), webhook.clone(), webhook]),
            (vec![200; 3], 1)
        );
    }
    gateway.wait_for_metric(
        "hookgate_requests_total",
        &[("verdict", "acknowledged"), ("reason", "replayed")],
        4.0,
    );
}

/// While the first copy is at the application, nobody knows how it ends: 409 with `Retry-After`. After a failure the retry
/// is forwarded.
#[test]
fn a_repetition_is_refused_while_the_first_is_in_flight() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |request, connection| {
        if request.index == 0 {
            held.pass();
            return connection.send(&answer("500 Internal Server Error", &[], b""));
        }
        connection.send(&answer("200 OK", &[], b"done"))
    });
    let gateway = start(&route("github", "github", &upstream, ""), &upstream);
    let webhook = github("{}", "1");
    let mut first = gateway.connect();
    first.send(&webhook);
    upstream.wait_for(1);
    let second = gateway.exchange(&webhook);
    assert_eq!((second.status, second.reason().as_str()), (409, "in_flight"));
    assert!(second.header("Retry-After").is_some());
    gate.open();
    assert_eq!(first.response().status, 500);
    assert_eq!(gateway.exchange(&webhook).body, b"done");
    assert_eq!(gateway.exchange(&webhook).body, b"", "acknowledged");
}

/// Twilio uses the answer: hookgate never gives one in the application's place. Two requests of one call can be the same
/// bytes; the idempotency token tells them apart.
#[test]
fn a_provider_that_uses_the_answer_gets_none_from_hookgate() {
    let upstream = Upstream::ok();
    let lines = "public_url = \"https://hooks.example.com\"\ndedupe = {}";
    let gateway = start(&route("twilio", "twilio", &upstream, lines), &upstream);
    let mut hmac = Hmac::<Sha1>::new_from_slice(KEY.as_bytes()).unwrap();
    hmac.update(b"https://hooks.example.com/twilioCallSidCA1Digits1");
    let signature = STANDARD.encode(hmac.finalize().into_bytes());
    let form = |token: &str, form: &str| {
        let fields = [
            ("X-Twilio-Signature", signature.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("I-Twilio-Idempotency-Token", token),
        ];
        request("POST", "/twilio", &fields, form)
    };
    let call = |token: &str| form(token, "CallSid=CA1&Digits=1");
    assert_eq!(
        send(&gateway, &upstream, &[call("a"), call("a"), call("b")]),
        (vec![200, 409, 200], 2)
    );
    // Nothing stands between the signed names and values. The same text divided in another way is the same webhook.
    let divided = ["CallSidCA1=&Digits=1", "CallSid=CA1Digits1", "CallSid=CA1&Digits1="].map(|text| form("a", text));
    assert_eq!(send(&gateway, &upstream, &divided), (vec![409, 409, 409], 0));
}

/// Adyen's older notifications are acknowledged with a text.
#[test]
fn an_acknowledgement_has_the_body_that_the_provider_expects() {
    let upstream = Upstream::ok();
    let gateway = start(&route("adyen", "adyen", &upstream, ""), &upstream);
    let key = hex::decode(KEY).unwrap();
    let mut hmac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    hmac.update(b"P1::Acme:order-7:1000:EUR:AUTHORISATION:true");
    let signature = STANDARD.encode(hmac.finalize().into_bytes());
    let body = format!(
        r#"{{"notificationItems":[{{"NotificationRequestItem":{{"pspReference":"P1","merchantAccountCode":"Acme","merchantReference":"order-7","amount":{{"value":1000,"currency":"EUR"}},"eventCode":"AUTHORISATION","success":"true","additionalData":{{"hmacSignature":"{signature}"}}}}}}]}}"#
    );
    let webhook = request("POST", "/adyen", &[], &body);
    assert_eq!(gateway.exchange(&webhook).body, b"thanks");
    let again = gateway.exchange(&webhook);
    assert_eq!((again.status, again.body.as_slice()), (200, &b"[accepted]"[..]));
    // The rest of the body is not signed, so it is part of the identity.
    let other = request("POST", "/adyen", &[], &body.replacen('{', "{\"live\":\"true\",", 1));
    assert_eq!(gateway.exchange(&other).body, b"thanks");
}

/// Mailgun signs a time and a token that is used once: a second request with the token is a replay, whatever its body is,
/// and is acknowledged only when all of it is the same.
#[test]
fn a_used_token_is_a_replay_with_any_body() {
    let upstream = Upstream::ok();
    let routes = [
        route("default", "mailgun", &upstream, ""),
        route(
            "lenient",
            "mailgun",
            &upstream,
            "replay = { on_replay = \"acknowledge\" }",
        ),
        route(
            "dedupe",
            "mailgun",
            &upstream,
            "dedupe = {}\ntolerance = \"unlimited\"\nreplay = { window = \"1s\" }",
        ),
        // The same convention in the words of `custom`.
        route(
            "custom",
            "custom",
            &upstream,
            "replay = { on_replay = \"acknowledge\" }\n[route.custom]\nsignature = { header = \"X-Sign\" }\ntimestamp = { header = \"X-Time\" }\n\
             tolerance = \"5m\"\ndelivery_id = { header = \"X-Id\" }\npayload = \"{timestamp}{id}\"",
        ),
    ];
    let gateway = start(&routes.concat(), &upstream);
    let time = now().to_string();
    let signature = hex::encode(hmac_sha256(format!("{time}t0ken").as_bytes()));
    let mailgun = |path: &str, event: &str| {
        let signed = format!(r#"{{"timestamp":"{time}","token":"t0ken","signature":"{signature}"}}"#);
        request(
            "POST",
            path,
            &[],
            &format!(r#"{{"signature":{signed},"event-data":{event:?}}}"#),
        )
    };
    let custom = |path: &str, event: &str| {
        request(
            "POST",
            path,
            &[("X-Sign", &signature), ("X-Time", &time), ("X-Id", "t0ken")],
            event,
        )
    };
    let requests = |path: &str| {
        let one = |event| {
            if path == "/custom" {
                custom(path, event)
            } else {
                mailgun(path, event)
            }
        };
        [one("opened"), one("opened"), one("clicked")]
    };
    for (path, statuses) in [
        ("/default", [200, 409, 409]),
        ("/lenient", [200, 200, 409]),
        ("/custom", [200, 200, 409]),
    ] {
        assert_eq!(
            send(&gateway, &upstream, &requests(path)),
            (statuses.to_vec(), 1),
            "{path}"
        );
        assert_eq!(gateway.exchange(&requests(path)[2]).reason(), "token_reused", "{path}");
    }
    let [first, _, other] = requests("/dedupe");
    assert_eq!(gateway.exchange(&first).status, 200);
    crate::support::eventually("the end of the window", || {
        (gateway.exchange(&first).status == 200).then_some(())
    });
    assert_eq!(gateway.exchange(&other).reason(), "token_reused");
    assert_eq!(upstream.requests().len(), 4);
}

/// `Hookgate-Delivery` of a webhook without an id of the provider is the same before and after a restart, and other
/// signed bytes have another one.
#[test]
fn a_webhook_without_an_id_is_the_same_delivery_in_every_process() {
    let upstream = Upstream::ok();
    let (first, other) = (Webhook::new("{}").bytes(), Webhook::new("{} ").bytes());
    for _ in 0..2 {
        let gateway = Setup::new(&upstream.url()).start();
        assert_eq!(gateway.exchange(&first).status, 200);
        assert_eq!(gateway.exchange(&other).status, 200);
    }
    let requests = upstream.requests();
    let ids: Vec<_> = requests
        .iter()
        .map(|request| request.header("hookgate-delivery").unwrap())
        .collect();
    assert_eq!(ids[..2], ids[2..]);
    assert_ne!(ids[0], ids[1]);
}

/// Deliveries are told apart by their ids even where nothing hashes what was signed.
#[test]
fn deliveries_are_told_apart_where_the_guard_is_off() {
    let upstream = Upstream::ok();
    let lines = "dedupe = {}\nreplay = { enabled = false }";
    let gateway = start(&route("mailgun", "mailgun", &upstream, lines), &upstream);
    let time = now().to_string();
    let mailgun = |token: &str| {
        let signature = hex::encode(hmac_sha256(format!("{time}{token}").as_bytes()));
        let signed = format!(r#"{{"timestamp":"{time}","token":"{token}","signature":"{signature}"}}"#);
        request("POST", "/mailgun", &[], &format!(r#"{{"signature":{signed}}}"#))
    };
    let requests = [mailgun("one"), mailgun("two"), mailgun("one")];
    assert_eq!(send(&gateway, &upstream, &requests), (vec![200, 200, 200], 2));
}

/// A token says nothing about the request: method, target, body and GitLab's own id tell requests apart.
#[test]
fn what_a_token_does_not_sign_identifies_the_request() {
    let upstream = Upstream::ok();
    let gateway = start(&route("gitlab", "gitlab-token", &upstream, ""), &upstream);
    let push = |target: &str, id: &str, body: &str| {
        request(
            "POST",
            target,
            &[("X-Gitlab-Token", KEY), ("Idempotency-Key", id)],
            body,
        )
    };
    let first = push("/gitlab", "1", "{}");
    let others = [
        push("/gitlab?a", "1", "{}"),
        push("/gitlab", "2", "{}"),
        push("/gitlab", "1", "{ }"),
    ];
    assert_eq!(send(&gateway, &upstream, &[first.clone(), first]), (vec![200, 200], 1));
    assert_eq!(send(&gateway, &upstream, &others), (vec![200; 3], 3));
}

/// A signature over an empty body is the same in every request: none of them is a repetition.
#[test]
fn requests_without_a_body_are_told_apart_only_by_what_is_signed() {
    let upstream = Upstream::ok();
    let lines = "methods = \"GET\"\n[route.custom]\nsignature = { header = \"X-Signature\" }";
    let routes = [
        route("body", "custom", &upstream, lines),
        route(
            "target",
            "custom",
            &upstream,
            &format!("{lines}\npayload = \"{{target}}\""),
        ),
    ];
    let gateway = start(&routes.concat(), &upstream);
    let get = |target: &str, signed: &str| {
        let signature = hex::encode(hmac_sha256(signed.as_bytes()));
        request("GET", target, &[("X-Signature", &signature)], "")
    };
    let poll = get("/body", "");
    assert_eq!(send(&gateway, &upstream, &[poll.clone(), poll]), (vec![200, 200], 2));
    let signed = get("/target?id=1", "/target?id=1");
    assert_eq!(
        send(&gateway, &upstream, &[signed.clone(), signed]),
        (vec![200, 200], 1)
    );
}

/// Where the id is of an event, each secret's sender has its own deliveries; a secret keeps them when its value or its place
/// changes.
#[test]
fn a_delivery_id_belongs_to_the_secret_that_signed() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .secrets(&[SECRET, SECOND])
        .route("dedupe = {}")
        .start();
    let attempt = |secret: &str, ago: u64| Webhook::signed("{\"event_id\":\"evt_1\"}", secret, now() - ago).bytes();
    let one_each = [
        attempt(SECRET, 0),
        attempt(SECOND, 1),
        attempt(SECRET, 2),
        attempt(SECOND, 3),
    ];
    assert_eq!(send(&gateway, &upstream, &one_each), (vec![200; 4], 2));
    reload_with(&gateway, &format!("[{OLD}, {NEW}]"), &format!("[{NEW}, {OLD}]"));
    assert_eq!(
        send(&gateway, &upstream, &[attempt(SECRET, 4), attempt(SECOND, 5)]),
        (vec![200; 2], 0)
    );
}
