//! Challenges are answered exactly where they are declared, and never with a signature.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use super::*;
use crate::http::message::Headers;
use crate::scheme::NamedSecret;
use proptest::prelude::*;

fn meta() -> Challenge {
    of("meta", Some(&Secret::new(b"a token & more".to_vec())))
        .unwrap()
        .remove(0)
}

/// The challenges of a preset on a route with one secret.
fn of(provider: &str, token: Option<&Secret>) -> Result<Vec<Challenge>, &'static str> {
    Challenge::of(provider, 0, &zoom(), token)
}

/// A body in two pieces.
fn pieces(body: &str) -> [Bytes; 2] {
    let (first, second) = body.as_bytes().split_at(body.len() / 2);
    [first, second].map(Bytes::copy_from_slice)
}

fn named(secret: &[u8]) -> NamedSecret {
    NamedSecret {
        name: "k".into(),
        secret: Secret::new(secret.to_vec()),
    }
}

fn zoom() -> Verifier {
    Verifier::new("zoom", None, vec![named(b"iVOwBnOCTb-TI8qBD4G1Jw")], None).unwrap()
}

/// A request without a body and with these headers.
fn asked(challenge: &Challenge, method: &Method, target: &str, headers: &[(&'static str, &str)]) -> Asked {
    let field =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    let headers: Headers = headers.iter().map(field).collect();
    let head = HeadRef {
        method,
        target,
        headers: &headers,
    };
    challenge.answer_unsigned(&head, &[], &zoom())
}

type Asked = Option<Result<ChallengeReply, Rejection>>;

/// A challenge of the configuration for a scheme with an HMAC key.
fn described(text: &str) -> Result<Challenge, Vec<(&'static str, String)>> {
    Challenge::described(toml::from_str(text).unwrap(), 0, &zoom(), None)
}

#[test]
fn unsigned_challenges_of_presets_repeat_only_plain_text() {
    let dropbox = of("dropbox", None).unwrap().remove(0);
    let get = |challenge: &Challenge, query: &str| asked(challenge, &Method::GET, &format!("/hook?{query}"), &[]);
    let text = |body: &str| Some(Ok(ChallengeReply::text(body.to_owned())));
    assert_eq!(get(&dropbox, "challenge=a-B_1."), text("a-B_1."));
    // Parameters with which the URL was registered are passed over.
    assert_eq!(get(&dropbox, "tenant=7&challenge=a&x"), text("a"));
    let good = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=a+token+%26%20more";
    assert_eq!(get(&meta(), good), text("1158201444"));
    assert_eq!(get(&meta(), &format!("tenant=7&{good}")), text("1158201444"));
    assert_eq!(asked(&meta(), &Method::POST, &format!("/?{good}"), &[]), None);
    assert_eq!(get(&Challenge::Slack, "challenge=a"), None);
    let wrong = good.replace("more", "less");
    assert_eq!(get(&meta(), &wrong), Some(Err(Rejection::SignatureMismatch)));
    for refused in [
        "",
        "challenge",
        "challenge=",
        "challenge=a&challenge=a",
        "challenge=%3Cscript%3E",
        "challenge=a%0d%0aSet-Cookie:b",
        "challenge=a+b",
        "challenge=%C3%A9",
        &format!("challenge={}", "a".repeat(129)),
        &format!("challenge=a&x={}", "a".repeat(MAX_CHALLENGE_BYTES)),
    ] {
        assert_eq!(get(&dropbox, refused), None, "{refused}");
    }
    for refused in [
        good.replace("subscribe", "unsubscribe"),
        good.replace("1158201444", "%3Cb%3E"),
        format!("{good}&hub.verify_token=x"),
        "hub.mode=subscribe&hub.challenge=1".into(),
    ] {
        assert_eq!(get(&meta(), &refused), None, "{refused}");
    }
    let intercom = of("intercom", None).unwrap().remove(0);
    assert_eq!(
        asked(&intercom, &Method::HEAD, "/hook", &[]),
        Some(Ok(ChallengeReply::empty()))
    );
    assert_eq!(asked(&intercom, &Method::GET, "/hook", &[]), None);
    // A request with a signature is a webhook, and is never answered as a challenge.
    let signed = [("x-zm-signature", "v0=00")];
    assert_eq!(asked(&intercom, &Method::HEAD, "/hook", &signed), None);
    assert_eq!(asked(&dropbox, &Method::GET, "/hook?challenge=a", &signed), None);
}

#[test]
fn described_challenges_repeat_what_they_say_where_they_say() {
    let echo = described("method = 'POST'\nquery = 'validationToken'").unwrap();
    let text = |body: &str| Some(Ok(ChallengeReply::text(body.to_owned())));
    let token = "/hook?validationToken=Validation%3a+Testing+client";
    assert_eq!(
        asked(&echo, &Method::POST, token, &[]),
        text("Validation: Testing client")
    );
    assert_eq!(asked(&echo, &Method::GET, token, &[]), None);
    assert_eq!(asked(&echo, &Method::POST, "/hook?validationToken=%3Cb%3E", &[]), None);

    let header = described("method = 'GET'\nheader = 'X-Check'\nanswer = { json = 'verification' }").unwrap();
    let reply = asked(&header, &Method::GET, "/", &[("x-check", "a b")])
        .unwrap()
        .unwrap();
    assert_eq!(
        (reply.content_type, reply.body.as_str()),
        (Some("application/json"), "{\"verification\":\"a b\"}")
    );
    assert_eq!(
        asked(&header, &Method::GET, "/", &[("x-check", "a"), ("x-check", "a")]),
        None
    );
    let same = described("header = 'X-Hook-Secret'\nanswer = { header = 'X-Hook-Secret' }").unwrap();
    let reply = asked(&same, &Method::POST, "/", &[("x-hook-secret", "abc")])
        .unwrap()
        .unwrap();
    assert_eq!(reply.header.unwrap().1, "abc");

    let headers = Headers::default();
    let post = HeadRef {
        method: &Method::POST,
        target: "/",
        headers: &headers,
    };
    let body = |challenge: &Challenge, body: &str| challenge.answer_unsigned(&post, &pieces(body), &zoom());
    let ping = described("body = 'webhook_id={number}'").unwrap();
    assert_eq!(ping.method_with_body(), Some(&Method::POST));
    assert_eq!(body(&ping, "webhook_id=42"), Some(Ok(ChallengeReply::empty())));
    for other in [
        "webhook_id=",
        "webhook_id=42 ",
        "webhook_id=x",
        "webhook_id=4&a=b",
        "xwebhook_id=4",
        "webhook_id=123456789012345678901",
    ] {
        assert_eq!(body(&ping, other), None, "{other}");
    }
    let json = described("pointer = '/challenge'\nanswer = { json = 'challenge' }").unwrap();
    let reply = body(&json, r#"{"challenge":"a-1"}"#).unwrap().unwrap();
    assert_eq!(reply.body, r#"{"challenge":"a-1"}"#);
    assert_eq!(body(&json, r#"{"challenge":1"#), None);
}

#[test]
fn faults_of_a_description_name_the_key_and_say_what_to_write() {
    for (description, key, words) in [
        ("query = 'a'\nheader = 'b'", "", "more than one"),
        ("method = 'POST'", "method", "exact `body`"),
        ("method = 'DELETE'", "method", "write HEAD, GET"),
        ("method = 'GET'\nbody = 'x'", "method", "method = \"POST\""),
        ("body = '{number}{number}'", "body", "one `{number}`"),
        ("body = '{number}1'", "body", "one `{number}`"),
        ("pointer = 'a'", "pointer", "leading slash"),
        ("header = 'a b'", "header", "not a header name"),
        ("answer = { json = 'a' }", "answer", "no value to repeat"),
        (
            "query = 'a'\nanswer = { json = 'a', header = 'b' }",
            "answer",
            "one place",
        ),
        ("query = 'a'\nanswer = { prefix = 'b' }", "answer.prefix", "hmac = "),
        (
            "query = 'a'\nanswer = { header = 'Set-Cookie' }",
            "answer.header",
            "another name",
        ),
        ("query = 'a'\ntoken_query = 'b'", "token_query", "verify_token"),
    ] {
        let faults = described(description).unwrap_err();
        assert!(
            faults.len() == 1 && faults[0].0 == key && faults[0].1.contains(words),
            "{description}: {faults:?}"
        );
    }
    let github = Verifier::new("gitlab-token", None, vec![named(b"a token that is long enough")], None).unwrap();
    let description = toml::from_str("query = 'a'\nanswer = { hmac = 'hex' }").unwrap();
    let faults = Challenge::described(description, 0, &github, None).unwrap_err();
    assert!(faults[0].1.contains("no HMAC key"), "{faults:?}");
}

/// An attacker who asks for the HMAC of every text that the challenge accepts gets no signature of a webhook.
#[test]
fn the_hmac_of_a_challenge_is_never_a_signature() {
    let key = b"a signing secret that is long enough";
    for payload in ["{body}", "x-{body}.1", "{json:/a}", "{body}{body}"] {
        let description = format!("signature = {{ header = 'S' }}\npayload = '{payload}'");
        let verifier = Verifier::new("custom", toml::from_str(&description).ok(), vec![named(key)], None).unwrap();
        let challenge = toml::from_str("query = 'crc'\nanswer = { hmac = 'hex' }").unwrap();
        let challenge = Challenge::described(challenge, 0, &verifier, None).unwrap();
        assert!(challenge.signs());
        let (body, signed) = match payload {
            "x-{body}.1" => ("abc", "x-abc.1"),
            "{json:/a}" => ("{\"a\":\"abc\"}", "abc"),
            "{body}{body}" => ("abc", "abcabc"),
            _ => ("abc", "abc"),
        };
        let ask = |text: &str| {
            let target = format!("/?crc={text}");
            let headers = Headers::default();
            let head = HeadRef {
                method: &Method::GET,
                target: &target,
                headers: &headers,
            };
            challenge.answer_unsigned(&head, &[], &verifier)
        };
        let answer = ask(signed).unwrap().unwrap().body;
        for text in ["%7B%7D", "a+b", "a:b", "", "%0a", &"a".repeat(129)] {
            assert_eq!(ask(text), None, "{text}");
        }
        let genuine = verifier.hmac(0, b"{\"a\":1}", SignatureEncoding::Hex).unwrap();
        let send = |verifier: &Verifier, signature: &str, body: &'static str| {
            let headers: Headers = [(HeaderName::from_static("s"), HeaderValue::from_str(signature).unwrap())]
                .into_iter()
                .collect();
            let head = HeadRef {
                method: &Method::POST,
                target: "/",
                headers: &headers,
            };
            let mut aged = verifier.present(&head).unwrap().at_any_time();
            aged.update(body.as_bytes());
            aged.verify(&[Bytes::from_static(body.as_bytes())], 0).map(drop)
        };
        // Without the guard the answer is a signature, which shows that this test finds one.
        assert_eq!(send(&verifier, &answer, body), Ok(()), "{payload}");
        verifier.refuse_plain_payloads();
        assert_eq!(
            send(&verifier, &answer, body),
            Err(Rejection::SignatureMismatch),
            "{payload}"
        );
        if payload == "{body}" {
            assert_eq!(send(&verifier, &genuine, "{\"a\":1}"), Ok(()));
            let empty = verifier.hmac(0, b"", SignatureEncoding::Hex).unwrap();
            assert_eq!(send(&verifier, &empty, ""), Ok(()));
        }
    }
}

/// The integration tests check Zoom's answer with Zoom's own library.
#[test]
fn only_signed_challenges_are_answered() {
    let verifier = zoom();
    let slack = |body: &str| Challenge::Slack.answer_verified(&pieces(body), &verifier, 0);
    assert_eq!(
        slack(r#"{"token":"t","challenge":"3eZbrw1aBm2r","type":"url_verification"}"#),
        Some(ChallengeReply::text("3eZbrw1aBm2r".into()))
    );
    assert_eq!(slack(r#"{"challenge":"a","type":"event_callback"}"#), None);
    let padded = |length| {
        let body = r#"{"challenge":"a","type":"url_verification"}"#;
        slack(&format!("{body}{}", " ".repeat(length - body.len())))
    };
    assert_eq!(padded(MAX_CHALLENGE_BYTES), Some(ChallengeReply::text("a".into())));
    assert_eq!(padded(MAX_CHALLENGE_BYTES + 1), None);
    assert_eq!(slack(r#"{"challenge":"<script>","type":"url_verification"}"#), None);
    assert_eq!(
        slack(r#"{"type":"event_callback","challenge":"a","type":"url_verification"}"#),
        None
    );
    let discord = |body: &str| Challenge::Discord.answer_verified(&pieces(body), &verifier, 0);
    assert_eq!(discord(r#"{"type":1}"#).unwrap().body, r#"{"type":1}"#);
    assert_eq!(discord(r#"{"type":2}"#), None);
    let zoomed = |token: &str| {
        let body = json!({ "event": "endpoint.url_validation", "payload": { "plainToken": token } }).to_string();
        Challenge::Zoom.answer_verified(&pieces(&body), &verifier, 0)
    };
    assert!(
        zoomed("qgg8vlvZRS6UYooatFL8Aw")
            .unwrap()
            .body
            .contains("encryptedToken")
    );
    // A text with colons could be a signed payload, so it must not be signed.
    assert_eq!(zoomed("v0:1700000000:{}"), None);
    assert_eq!(zoomed(""), None);
}

#[test]
fn challenges_without_their_token_or_provider_are_refused_at_start() {
    let token = Secret::new(b"t".to_vec());
    assert!(of("paddle", None).unwrap_err().contains("slack"));
    assert!(of("meta", None).unwrap_err().contains("verify_token"));
    assert!(of("slack", Some(&token)).unwrap_err().contains("remove it"));
    for PresetChallenge { provider, .. } in PRESETS {
        assert!(
            of(provider, (provider == "meta").then_some(&token)).is_ok(),
            "{provider}"
        );
    }
}

#[test]
fn event_grid_gets_its_code_and_nothing_else_is_repeated() {
    let verifier = zoom();
    let body = |kind: &str, code: &str| {
        json!([{ "id": "1", "eventType": kind, "subject": "", "topic": "/subscriptions/1", "dataVersion": "1",
            "data": { "validationCode": code, "validationUrl": "https://rp-eastus2.eventgrid.azure.net:553/x" } }])
        .to_string()
    };
    let kind = "Microsoft.EventGrid.SubscriptionValidationEvent";
    let code = "512d38b6-c7b8-40c8-89fe-f46f9e9622b6";
    let signed = |body: &str| Challenge::EventGrid.answer_verified(&pieces(body), &verifier, 0);
    let unsigned = |method: &Method, headers: &Headers, body: &str| {
        let head = HeadRef {
            method,
            target: "/in",
            headers,
        };
        Challenge::EventGrid.answer_unsigned(&head, &pieces(body), &verifier)
    };
    let answer = ChallengeReply::json(&json!({ "validationResponse": code }));
    let none = Headers::default();
    assert_eq!(signed(&body(kind, code)), Some(answer.clone()));
    assert_eq!(unsigned(&Method::POST, &none, &body(kind, code)), Some(Ok(answer)));
    let carries: Headers = [(
        HeaderName::from_static("x-zm-signature"),
        HeaderValue::from_static("v0=00"),
    )]
    .into_iter()
    .collect();
    assert_eq!(unsigned(&Method::POST, &carries, &body(kind, code)), None);
    assert_eq!(unsigned(&Method::PUT, &none, &body(kind, code)), None);
    let twice = body(kind, code).replacen('[', &format!("[{},", body(kind, code).trim_matches(['[', ']'])), 1);
    for other in [
        body("Microsoft.Storage.BlobCreated", code),
        body(kind, "<script>"),
        body(kind, ""),
        twice,
        body(kind, code).trim_matches(['[', ']']).to_owned(),
        "[]".to_owned(),
        "[1]".to_owned(),
        String::new(),
        format!("{}{}", body(kind, code), " ".repeat(MAX_CHALLENGE_BYTES)),
    ] {
        assert_eq!(unsigned(&Method::POST, &none, &other), None, "{other}");
        assert_eq!(signed(&other), None, "{other}");
    }
    let options = of("azure-event-grid", None).unwrap().remove(0);
    let asked = |headers: &[(&'static str, &str)]| asked(&options, &Method::OPTIONS, "/in", headers);
    let reply = asked(&[("webhook-request-origin", "eventgrid.azure.net")])
        .unwrap()
        .unwrap();
    assert_eq!(
        reply.header.unwrap(),
        (
            "webhook-allowed-origin".parse().unwrap(),
            "eventgrid.azure.net".parse().unwrap()
        )
    );
    assert_eq!(reply.body, "");
    assert_eq!(asked(&[]), None);
    assert_eq!(asked(&[("webhook-request-origin", "a<b")]), None);
}

#[test]
fn codes_of_linkedin_and_x_are_macs_of_plain_text() {
    let verifier = Verifier::new("linkedin", None, vec![named(b"the client's secret")], None).unwrap();
    let linkedin = Challenge::of("linkedin", 0, &verifier, None).unwrap().remove(0);
    assert!(linkedin.signs());
    let ask = |challenge: &Challenge, verifier: &Verifier, target: &str| {
        let headers = Headers::default();
        let head = HeadRef {
            method: &Method::GET,
            target,
            headers: &headers,
        };
        challenge
            .answer_unsigned(&head, &[], verifier)
            .map(|reply| reply.unwrap().body)
    };
    // By `openssl dgst -sha256 -hmac "the client's secret"`.
    let code = "890e4665-4dfe-4ab1-b689-ed553bceeed0";
    let mac = "18f532dc7ac035b89f9b348d70c271de7e2d0f375124b4631f28b17c3127be2d";
    assert_eq!(
        ask(
            &linkedin,
            &verifier,
            &format!("/in?challengeCode={code}&applicationId=1")
        ),
        Some(json!({ "challengeCode": code, "challengeResponse": mac }).to_string())
    );
    assert_eq!(ask(&linkedin, &verifier, "/in?challengeCode=a%7Bb"), None);
    let verifier = Verifier::new("x", None, vec![named(b"the consumer secret")], None).unwrap();
    let x = Challenge::of("x", 0, &verifier, None).unwrap().remove(0);
    let answer = ask(&x, &verifier, "/in?crc_token=abc").unwrap();
    assert_eq!(
        answer,
        json!({ "response_token": "sha256=RhnwxFm/yu7HEizwtGQryvh6tyyPsoIu3sLh1nZNtHk=" }).to_string()
    );
}

/// The sentence is one that Microsoft sends.
#[test]
fn microsoft_graph_gets_its_validation_token_as_text() {
    let verifier = Verifier::new(
        "ms-graph",
        None,
        vec![named(b"a client state that is long enough")],
        None,
    )
    .unwrap();
    let graph = Challenge::of("ms-graph", 0, &verifier, None).unwrap().remove(0);
    let ask = |method: &Method, target: &str, body: &str| {
        let headers = Headers::default();
        let head = HeadRef {
            method,
            target,
            headers: &headers,
        };
        let body = if body.is_empty() {
            Vec::new()
        } else {
            pieces(body).to_vec()
        };
        graph.answer_unsigned(&head, &body, &verifier)
    };
    let target = "/in?tenant=7&validationToken=Validation%3a+Testing+client+application+reachability+for+subscription+Request-Id%3a+522a8e7e";
    let sentence = "Validation: Testing client application reachability for subscription Request-Id: 522a8e7e";
    assert_eq!(
        ask(&Method::POST, target, ""),
        Some(Ok(ChallengeReply::text(sentence.to_owned())))
    );
    assert_eq!(ask(&Method::GET, target, ""), None);
    assert_eq!(ask(&Method::POST, target, r#"{"value":[]}"#), None);
    assert_eq!(ask(&Method::POST, "/in", ""), None);
    assert_eq!(ask(&Method::POST, "/in?validationToken=%3Cscript%3E", ""), None);
}

#[test]
fn a_subscription_is_confirmed_where_its_message_says() {
    let verifier = zoom();
    let ask = |body: &str| Challenge::Sns.answer_verified(&pieces(body), &verifier, 0);
    let message =
        |kind: &str| json!({ "Type": kind, "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?a" }).to_string();
    let reply = ask(&message("SubscriptionConfirmation")).unwrap();
    assert_eq!(reply.confirm.as_deref(), Some("https://sns.eu-west-1.amazonaws.com/?a"));
    assert_eq!(ask(&message("UnsubscribeConfirmation")), None);
    assert_eq!(ask(&message("Notification")), None);
    let open = Verifier::new("aws-sns", None, Vec::new(), None).unwrap();
    assert!(
        Challenge::of("aws-sns", 0, &open, None)
            .unwrap_err()
            .contains("TopicArn")
    );
}

proptest! {
    /// Whatever the request is, an echoed text has only letters, digits, `_`, `-` and `.`.
    #[test]
    fn nothing_but_plain_text_is_echoed(query in "(challenge|hub\\.[a-z_]{1,12}|x)=[ -~]{0,40}(&[ -~]{0,30}){0,3}", text in "\\PC{0,150}") {
        let plain = |reply: &ChallengeReply| reply.body.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        for challenge in [of("dropbox", None).unwrap().remove(0), meta()] {
            if let Some(Ok(reply)) = asked(&challenge, &Method::GET, &format!("/?{query}"), &[]) {
                prop_assert!(plain(&reply), "{reply:?}");
            }
        }
        let body = json!({ "type": "url_verification", "challenge": text }).to_string();
        if let Some(reply) = Challenge::Slack.answer_verified(&pieces(&body), &zoom(), 0) {
            prop_assert!(plain(&reply) && reply.body == text);
        }
    }
}
