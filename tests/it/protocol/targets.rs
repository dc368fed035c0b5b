//! Groups A and C: request lines, authorities and paths. The route and the upstream of a request depend on the exact
//! bytes of its path and on nothing else that a sender can write.

use crate::support::paddle::{self, SECRET};
use crate::support::{Gateway, Setup, Upstream, Webhook, assert_invariants, assert_nothing_forwarded};

const OTHER: &str = "another secret that is long enough";

/// The status of the answer to a webhook whose request line is `line`.
fn status(gateway: &Gateway, line: &str, webhook: &Webhook) -> u16 {
    let bytes = webhook.bytes();
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let mut client = gateway.connect();
    let _ = client.try_send(&[line.as_bytes(), &bytes[end..]].concat());
    client.finish_sending();
    // A close without an answer counts as a refusal; the assertions on the upstream follow.
    client
        .try_response(line.starts_with("HEAD "))
        .map_or(400, |response| response.status)
}

/// A15: exactly one authority, in the one place where it belongs.
#[test]
fn faulty_authorities_are_refused() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("abc");
    let hosts = |lines: &[&str]| {
        let mut webhook = webhook.clone();
        webhook.headers = lines.iter().map(|host| ("Host".into(), (*host).into())).collect();
        webhook
    };
    for lines in [
        &[][..],
        &["a", "b"],
        &["a", "a"],
        &["a/b@c"],
        &["a b"],
        &["a,b"],
        &["u@a"],
        &[""],
        &["a?b"],
        &["a#b"],
        &["a\\b"],
        &["["],
        &["[::1"],
        &["[a]"],
        &["::1"],
        &["a%00b"],
        &["a:99999999"],
        &["a:65536"],
        &["a:x"],
        &["a:-1"],
        &[":80"],
        &["a..b"],
        &["."],
        &["a\u{e9}"],
    ] {
        let response = gateway.exchange(&hosts(lines).bytes());
        assert_eq!(response.status, 400, "{lines:?}");
    }
    let absolute = "POST http://a/webhooks/paddle HTTP/1.1";
    assert_eq!(status(&gateway, absolute, &hosts(&["b"])), 400);
    assert_eq!(status(&gateway, absolute, &hosts(&["a:8080"])), 400);
    assert_eq!(
        status(&gateway, "POST http://u:p@a/webhooks/paddle HTTP/1.1", &hosts(&["a"])),
        400
    );
    assert_nothing_forwarded(&mut gateway, &upstream);
}

/// A16: no form of the request target makes hookgate a proxy for another host.
#[test]
fn no_form_of_the_target_changes_the_upstream() {
    let (upstream, evil) = (Upstream::ok(), Upstream::ok());
    let mut gateway = Setup::new(&upstream.url()).start();
    let authority = evil.url().replace("http://", "");
    let mut webhook = Webhook::new("abc");
    webhook.headers = vec![("Host".into(), authority.clone())];
    for line in [
        format!("GET http://{authority}/ HTTP/1.1"),
        format!("POST http://{authority}/ HTTP/1.1"),
        format!("CONNECT {authority} HTTP/1.1"),
        "CONNECT /webhooks/paddle HTTP/1.1".into(),
        "OPTIONS * HTTP/1.1".into(),
        "TRACE /webhooks/paddle HTTP/1.1".into(),
        "POST * HTTP/1.1".into(),
        "POST webhooks/paddle HTTP/1.1".into(),
        "POST file:///webhooks/paddle HTTP/1.1".into(),
        format!("POST ftp://{authority}/webhooks/paddle HTTP/1.1"),
        format!("POST http://{authority} HTTP/1.1"),
        format!("POST http://{authority}?x=/webhooks/paddle HTTP/1.1"),
        format!("POST http://{authority}?/webhooks/paddle HTTP/1.1"),
        format!("POST http://{authority}#/webhooks/paddle HTTP/1.1"),
        format!("POST {authority} HTTP/1.1"),
        "POST http:///webhooks/paddle HTTP/1.1".into(),
        "POST /webhooks/paddle?\u{e9} HTTP/1.1".into(),
        "POST /webhooks/paddle?\u{ff0f} HTTP/1.1".into(),
        "POST /webhooks/paddle?a#b HTTP/1.1".into(),
        "POST /webhooks/paddle# HTTP/1.1".into(),
    ] {
        let status = status(&gateway, &line, &webhook);
        assert!(matches!(status, 400 | 404 | 405), "{line}: {status}");
    }
    for method in ["CONNECT", "TRACE"] {
        let gateway = Setup::new(&upstream.url())
            .route("methods = [\"POST\", \"GET\"]")
            .start();
        let line = format!("{method} /webhooks/paddle HTTP/1.1");
        let status = status(&gateway, &line, &webhook);
        assert!(matches!(status, 400 | 405), "{line}: {status}");
    }
    // An absolute form that is correct in everything is forwarded as the configuration says.
    assert_eq!(
        status(
            &gateway,
            &format!("POST http://{authority}/webhooks/paddle HTTP/1.1"),
            &webhook
        ),
        200
    );
    assert_eq!(upstream.only().start, "POST /webhooks/paddle HTTP/1.1");
    evil.assert_untouched();
    assert_invariants(&mut gateway, &upstream);
}

/// A16: targets that servers read in different ways are refused for what they are, also where a route takes every path.
#[test]
fn ambiguous_targets_are_refused_on_a_route_for_every_path() {
    let upstream = Upstream::ok();
    let every_path = |path: &str| {
        format!(
            "[[route]]\nname = {path:?}\npath = {path:?}\nprovider = \"paddle\"\ntolerance = \"60s\"\nsecrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\", name = \"other\" }}]\nupstream = {:?}\n",
            upstream.url()
        )
    };
    let more = every_path("/") + &every_path("/*");
    let mut gateway = Setup::new(&upstream.url()).more(&more).start();
    let mut webhook = Webhook::new("abc");
    webhook.headers = vec![("Host".into(), "a".into())];
    for target in [
        "http://a",
        "http://a?x=/webhooks/paddle",
        "http://a?/webhooks/paddle",
        "http://a#/webhooks/paddle",
        "ftp://a/webhooks/paddle",
        "a",
        "a:80",
        "*",
        "webhooks/paddle",
        "/webhooks/paddle#",
        "/webhooks/paddle?a#b",
        "/#/webhooks/paddle",
        "/webhooks/paddle?\u{e9}",
    ] {
        let status = status(&gateway, &format!("POST {target} HTTP/1.1"), &webhook);
        assert_eq!(status, 400, "{target}");
    }
    assert_nothing_forwarded(&mut gateway, &upstream);
    for target in ["/", "/a", "http://a/", "http://a/b?c"] {
        let mut webhook = Webhook::new(target);
        webhook.headers = vec![("Host".into(), "a".into())];
        let status = status(&gateway, &format!("POST {target} HTTP/1.1"), &webhook);
        assert_eq!(status, 200, "{target}");
    }
}

/// A17: request lines with small faults.
#[test]
fn faulty_request_lines_are_refused() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("abc");
    for line in [
        "POST /webhooks/paddle",
        "POST /webhooks/paddle HTTP/0.9",
        "POST /webhooks/paddle HTTP/1.2",
        "POST /webhooks/paddle HTTP/2.0",
        "POST /webhooks/paddle HTTP/11",
        "POST /webhooks/paddle HTTP/1.1 ",
        "POST /webhooks/paddle http/1.1",
        "POST  /webhooks/paddle HTTP/1.1",
        "POST /webhooks/paddle  HTTP/1.1",
        "POST\t/webhooks/paddle\tHTTP/1.1",
        " POST /webhooks/paddle HTTP/1.1",
        "POST /webhooks/paddle x HTTP/1.1",
        "POST HTTP/1.1",
        "post /webhooks/paddle HTTP/1.1",
        "Post /webhooks/paddle HTTP/1.1",
        "POST\u{b} /webhooks/paddle HTTP/1.1",
    ] {
        let status = status(&gateway, line, &webhook);
        assert!(matches!(status, 400 | 405 | 505), "{line:?}: {status}");
    }
    assert_nothing_forwarded(&mut gateway, &upstream);
    // RFC 9112, 2.2: empty lines before a request are skipped.
    let webhook = Webhook::new("after empty lines").bytes();
    let response = gateway.exchange(&[b"\r\n\r\n", &webhook[..]].concat());
    assert_eq!(response.status, 200);
    assert_eq!(upstream.requests()[1].start, "POST /webhooks/paddle HTTP/1.1");
    assert_invariants(&mut gateway, &upstream);
}

/// C01, C02: a path that is not in the configuration has no route, signed or not.
#[test]
fn similar_paths_have_no_route() {
    let upstream = Upstream::ok();
    let below = format!(
        "[[route]]\nname = \"below\"\npath = \"/in/*\"\nprovider = \"paddle\"\nsecrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\nupstream = {:?}",
        upstream.url()
    );
    let mut gateway = Setup::new(&upstream.url()).more(&below).start();
    for path in [
        "/",
        "//webhooks/paddle",
        "/./webhooks/paddle",
        "/a/../webhooks/paddle",
        "/webhooks/../webhooks/paddle",
        "/%2e%2e/webhooks/paddle",
        "/webhooks/paddle%2f..",
        "/webhooks%2fpaddle",
        "/webhooks/paddle;x",
        "/webhooks/paddle/",
        "/webhooks/paddle/.",
        "/WEBHOOKS/paddle",
        "/webhooks/paddle%00",
        "/webhooks/paddl%65",
        "/webhooks\\paddle",
        "\\webhooks\\paddle",
        "/webhooks/paddle%20",
        "/webhooks/paddl\u{e9}",
        "/in",
        "/in/",
        "/in//x",
        "/in/../webhooks/paddle",
        "/in/x/../../admin",
        "/in/%2e%2e/admin",
        "/in/%2E/admin",
        "/in/x%2f..%2fadmin",
        "/in/x%5c..%5cadmin",
        "/in/%252e%252e/admin",
        "/in/x;y=/../admin",
        "/in/x%00",
        "/in/x\\..\\admin",
        "/in/\u{ff0e}\u{ff0e}/admin",
        "/metrics",
        "/admin",
    ] {
        let webhook = Webhook::new("abc");
        for webhook in [webhook.clone(), webhook.signature(None)] {
            let status = status(&gateway, &format!("POST {path} HTTP/1.1"), &webhook);
            assert!(matches!(status, 400 | 404), "{path}: {status}");
        }
    }
    assert_nothing_forwarded(&mut gateway, &upstream);
    // A path with a route is forwarded byte for byte.
    for (body, path) in [
        ("a", "/webhooks/paddle?a=/../b;c%2f&d"),
        ("b", "/in/a.b/%41~c?x"),
        ("c", "/webhooks/paddle?"),
        ("d", "/webhooks/paddle?a={}|\\^`[]"),
    ] {
        let line = format!("POST {path} HTTP/1.1");
        assert_eq!(status(&gateway, &line, &Webhook::new(body)), 200, "{path}");
        let seen = upstream.requests();
        let seen = seen.iter().find(|request| request.body == body.as_bytes()).unwrap();
        assert_eq!(seen.start, line);
    }
    assert_invariants(&mut gateway, &upstream);
}

/// C03: other methods, and one label for all of them.
#[test]
fn other_methods_are_405() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let before = gateway.metrics().series();
    for method in [
        "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "FOO", "PRI", "M-SEARCH",
    ] {
        let mut client = gateway.connect();
        client.send(&Webhook::new("abc").method(method).bytes());
        let response = client.try_response(method == "HEAD").unwrap();
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(response.header("Allow").as_deref(), Some("POST"), "{method}");
    }
    assert_eq!(before, gateway.metrics().series());
    assert_nothing_forwarded(&mut gateway, &upstream);
}

/// C04: a secret is valid for its own route only.
#[test]
fn a_secret_belongs_to_its_route() {
    let (upstream, second) = (Upstream::ok(), Upstream::ok());
    let route = format!(
        "[[route]]\nname = \"other\"\npath = \"/other\"\nprovider = \"paddle\"\nsecrets = [{{ env = \"OTHER\" }}]\nupstream = {:?}\ntolerance = \"60s\"",
        second.url()
    );
    let mut gateway = Setup::new(&upstream.url())
        .more(&route)
        .variable("OTHER", OTHER)
        .start();
    let send = |secret: &str, path: &str| {
        let webhook = Webhook::signed("abc", secret, paddle::now()).path(path);
        gateway.exchange(&webhook.bytes()).status
    };
    assert_eq!(send(SECRET, "/other"), 401);
    assert_eq!(send(OTHER, paddle::PATH), 401);
    upstream.assert_untouched();
    second.assert_untouched();
    assert_eq!((send(OTHER, "/other"), send(SECRET, paddle::PATH)), (200, 200));
    assert_eq!((upstream.requests().len(), second.requests().len()), (1, 1));
    assert!(gateway.runs());
}
