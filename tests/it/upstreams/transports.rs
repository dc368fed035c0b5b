//! Connections to an application other than plain TCP: a Unix socket, TLS, TLS with a client certificate.

use crate::support::certificates::Certificate;
use crate::support::http2::{Http2, run};
use crate::support::upstream::answer;
use crate::support::{Setup, Upstream, Webhook};

#[test]
fn unix_and_tls_upstreams_are_reached() {
    let directory = tempfile::tempdir().unwrap();
    let respond =
        |_: &_, connection: &mut crate::support::upstream::Connection| connection.send(&answer("200 OK", &[], b"ok"));
    let over_unix = Upstream::unix(&directory.path().join("app.sock"), respond);
    let gateway = Setup::new(&over_unix.url()).start();
    assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).body, b"ok");
    assert_eq!(over_unix.only().body, b"{}");

    let certificate = Certificate::new(&["localhost"]);
    certificate.write(directory.path(), "app");
    let over_tls = Upstream::tls(certificate.server(), respond);
    let ca = format!("ca = {:?}", directory.path().join("app.crt"));
    let gateway = Setup::new(&over_tls.url()).upstream(&ca).start();
    assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).body, b"ok");
    assert_eq!(over_tls.only().body, b"{}");

    // The same upstream with an untrusted certificate: nothing is sent to it, and the sender gets `Retry-After`.
    let gateway = Setup::new(&over_tls.url()).start();
    let response = gateway.exchange(&Webhook::new("{}").bytes());
    assert_eq!(
        (response.status, response.reason().as_str()),
        (502, "upstream_unreachable")
    );
    assert_eq!(over_tls.requests().len(), 1);
}

/// An upstream that requires a client certificate: reached with the configured certificate, and not without one.
#[test]
fn an_upstream_that_requires_a_certificate_gets_it() {
    let directory = tempfile::tempdir().unwrap();
    let (application, ours) = (Certificate::new(&["localhost"]), Certificate::new(&["hookgate"]));
    application.write(directory.path(), "app");
    ours.write(directory.path(), "client");
    let upstream = Upstream::tls(application.server_for(&ours), |_, connection| {
        connection.send(&answer("200 OK", &[], b"ok"))
    });
    let file = |name: &str| directory.path().join(name);
    let ca = format!("ca = {:?}", file("app.crt"));
    let client = format!(
        "{ca}, client = {{ certificate = {:?}, key = {:?} }}",
        file("client.crt"),
        file("client.key")
    );
    let gateway = Setup::new(&upstream.url()).upstream(&client).start();
    assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).body, b"ok");
    assert_eq!(upstream.only().body, b"{}");
    let gateway = Setup::new(&upstream.url()).upstream(&ca).start();
    assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).status, 502);
    assert_eq!(upstream.requests().len(), 1);
}

/// An application with its own name and path gets them from both HTTP versions; the query and `X-Forwarded-Host` are the
/// sender's.
#[test]
fn the_upstreams_host_and_path_replace_those_of_the_sender() {
    let upstream = Upstream::ok();
    let settings = r#"host = "app.internal.example:8080", path = "/api/webhooks""#;
    let gateway = Setup::new(&upstream.url()).upstream(settings).start();
    let target = "/webhooks/paddle?tenant=7&x=%2F";
    assert_eq!(gateway.exchange(&Webhook::new("1").path(target).bytes()).status, 200);
    let status = run(async {
        let mut client = Http2::connect(&gateway).await;
        client.exchange(&Webhook::new("2").path(target)).await.unwrap().status
    });
    assert_eq!(status, 200);
    let requests = upstream.wait_for(2);
    for (request, sent) in requests.iter().zip(["shop.example", "localhost"]) {
        assert_eq!(request.start, "POST /api/webhooks?tenant=7&x=%2F HTTP/1.1");
        assert_eq!(request.all("host"), ["app.internal.example:8080"]);
        assert_eq!(request.all("x-forwarded-host"), [sent]);
    }
    assert_eq!(gateway.exchange(&Webhook::new("3").bytes()).status, 200);
    assert_eq!(upstream.wait_for(3)[2].start, "POST /api/webhooks HTTP/1.1");
}

/// Health checks go to the application that requests go to.
#[test]
fn health_checks_use_the_upstreams_host() {
    let upstream = Upstream::ok();
    let settings = r#"host = "app.internal.example", health_check = { path = "/healthz" }"#;
    let _gateway = Setup::new(&upstream.url()).upstream(settings).start();
    let check = &upstream.wait_for(1)[0];
    assert_eq!(check.start, "GET /healthz HTTP/1.1");
    assert_eq!(check.all("host"), ["app.internal.example"]);
}
