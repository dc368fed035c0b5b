//! The web console: who may use it, what it shows, and what it never shows.

use crate::support::{Client, Gateway, Setup, Upstream, Webhook};

pub(super) const OPERATOR: &str = "token-of-an-operator";
pub(super) const VIEWER: &str = "token-of-a-viewer-00";

pub(super) fn start(setup: Setup) -> Gateway {
    let table = r#"
[console]
address = "127.0.0.1:0"
tokens = [{ name = "anna", role = "operate", env = "OPERATOR" }, { name = "wall", env = "VIEWER" }]
"#;
    let setup = setup.variable("OPERATOR", OPERATOR).variable("VIEWER", VIEWER);
    setup.more(table).start()
}

pub(super) struct Page {
    pub(super) status: u16,
    pub(super) head: String,
    /// The cookie that it sets.
    pub(super) cookie: Option<String>,
    pub(super) body: String,
}

/// One request to the console; `head` are further lines of its head.
pub(super) fn ask(gateway: &Gateway, method: &str, path: &str, head: &str, body: &str) -> Page {
    let address = gateway.address("console");
    let length = body.len();
    let host = if head.contains("Host:") {
        String::new()
    } else {
        format!("Host: {address}\r\n")
    };
    let request =
        format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {length}\r\n{head}\r\n{body}");
    let response = Client::tcp(address).exchange(request.as_bytes());
    Page {
        status: response.status,
        cookie: response.header("set-cookie"),
        head: format!("{response:?}"),
        body: String::from_utf8(response.body.clone()).unwrap(),
    }
}

pub(super) fn with(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

pub(super) fn get(gateway: &Gateway, path: &str) -> Page {
    ask(gateway, "GET", path, &with(OPERATOR), "")
}

/// A session, as its cookie.
pub(super) fn log_in(gateway: &Gateway, token: &str) -> Option<String> {
    let origin = format!("Origin: http://{}\r\n", gateway.address("console"));
    let page = ask(gateway, "POST", "/login", &origin, &format!("token={token}"));
    let cookie = page.head.split("hookgate-session=").nth(1)?;
    let id: String = cookie.chars().take_while(char::is_ascii_hexdigit).collect();
    Some(format!("Cookie: hookgate-session={id}\r\n"))
}

pub(super) fn form_token(page: &Page) -> String {
    let rest = page.body.split(r#"name="form_token" value=""#).nth(1).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// Text that a sender chose is shown as text, and no page has a secret.
#[test]
fn hostile_content_is_text_and_no_secret_is_shown() {
    let upstream = Upstream::ok();
    let gateway = start(Setup::new(&upstream.url()).route("capture = \"full\""));
    let hostile = Webhook::new("<script>window.pwned=1</script>")
        .path("/webhooks/paddle?token=canary-1")
        .signature(Some("ts=1;h1=<script>"))
        .header("X-Name", "<img src=x onerror=alert(1)>")
        .header("Authorization", "canary-2");
    gateway.exchange(&hostile.bytes());
    let path = Webhook::new("{}").path("/\"'{}&lt;script&gt;").signature(None);
    gateway.exchange(&path.bytes());
    assert_eq!(
        gateway
            .exchange(&Webhook::new("{}").header("Cookie", "canary-3").bytes())
            .status,
        200
    );
    crate::support::eventually("three requests", || {
        let page = get(&gateway, "/api/v1/requests");
        (page.body.matches("request_id").count() >= 3).then_some(())
    });
    let list = get(&gateway, "/requests");
    let mut pages = vec![list.body.clone()];
    for link in list.body.split(r#"href="/requests/"#).skip(1) {
        let id = link.split('"').next().unwrap();
        let page = get(&gateway, &format!("/requests/{id}"));
        assert_eq!(page.status, 200);
        pages.push(page.body);
    }
    for path in [
        "/",
        "/check",
        "/configuration",
        "/help",
        "/api/v1/status",
        "/api/v1/captures",
    ] {
        let page = get(&gateway, path);
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.len() < 50_000, "{path} has {} bytes", page.body.len());
        pages.push(page.body);
    }
    for page in &pages {
        assert_eq!(
            page.matches("<script>").count(),
            page.matches("</html>").count(),
            "{page}"
        );
        assert!(!page.contains("<img"), "{page}");
        for secret in ["canary", crate::support::paddle::SECRET, OPERATOR, VIEWER] {
            assert!(!page.contains(secret), "{secret}");
        }
    }
    assert!(pages.len() >= 7, "{}", pages.len());
}

/// Without a credential there is nothing to see, and a token is exchanged for a session that can be ended.
#[test]
fn a_token_is_exchanged_for_a_session() {
    let upstream = Upstream::ok();
    let gateway = start(Setup::new(&upstream.url()));
    assert_eq!(ask(&gateway, "GET", "/", "", "").status, 303);
    for path in [
        "/requests",
        "/configuration",
        "/live/now",
        "/api/v1/status",
        "/deliveries",
    ] {
        assert_eq!(ask(&gateway, "GET", path, "", "").status, 401, "{path}");
    }
    assert!(log_in(&gateway, "wrong-token-000000").is_none());
    let cookie = log_in(&gateway, VIEWER).unwrap();
    let page = ask(&gateway, "GET", "/", &cookie, "");
    assert_eq!(page.status, 200);
    for part in ["default-src 'none'", "frame-ancestors 'none'", "no-store", "nosniff"] {
        assert!(page.head.contains(part), "{part} is not in {}", page.head);
    }
    let origin = format!("{cookie}Origin: http://{}\r\n", gateway.address("console"));
    let form = format!("form_token={}", form_token(&page));
    assert_eq!(ask(&gateway, "POST", "/logout", &origin, &form).status, 303);
    assert_eq!(ask(&gateway, "GET", "/requests", &cookie, "").status, 401);
    assert_eq!(gateway.wait_for_actions("logout", 1)[0]["actor"], "wall");
}

/// No page of someone else can cause an action, read through a foreign name, or use another person's form.
#[test]
fn pages_of_others_cause_nothing() {
    let upstream = Upstream::ok();
    let gateway = start(Setup::new(&upstream.url()));
    let cookie = log_in(&gateway, OPERATOR).unwrap();
    let token = form_token(&ask(&gateway, "GET", "/check", &cookie, ""));
    let own = format!("Origin: http://{}\r\n", gateway.address("console"));
    let body = format!("form_token={token}&route=paddle&for=10m");
    for (head, body) in [
        (cookie.clone(), body.clone()),
        (format!("{cookie}Origin: https://evil.example\r\n"), body.clone()),
        (format!("{cookie}Origin: null\r\n"), body.clone()),
        (format!("{cookie}{own}Sec-Fetch-Site: cross-site\r\n"), body.clone()),
        (format!("{cookie}{own}"), String::from("route=paddle&for=10m")),
        (format!("{cookie}{own}"), body.replace(&token, &"0".repeat(64))),
    ] {
        assert_eq!(
            ask(&gateway, "POST", "/capture", &head, &body).status,
            403,
            "{head} {body}"
        );
        let api = ask(
            &gateway,
            "POST",
            "/api/v1/capture/paddle",
            &head.replace(&own, ""),
            r#"{"for":"10m"}"#,
        );
        assert_eq!(api.status, 403, "{head}");
    }
    for host in ["evil.example", "evil.example:9465"] {
        assert_eq!(
            ask(&gateway, "GET", "/", &format!("Host: {host}\r\n{cookie}"), "").status,
            421
        );
    }
    assert_eq!(
        ask(&gateway, "POST", "/capture", &format!("{cookie}{own}"), &body).status,
        303
    );
    assert_eq!(gateway.wait_for_actions("capture", 1)[0]["actor"], "anna");
}

/// The role is asked at every action, on pages and in the API.
#[test]
fn a_viewer_changes_nothing() {
    let upstream = Upstream::ok();
    let gateway = start(Setup::new(&upstream.url()));
    let cookie = log_in(&gateway, VIEWER).unwrap();
    let token = form_token(&ask(&gateway, "GET", "/", &cookie, ""));
    let own = format!("{cookie}Origin: http://{}\r\n", gateway.address("console"));
    for path in ["/capture", "/check", "/deliveries/act", "/deliveries/pause"] {
        let body = format!("form_token={token}&route=paddle&for=10m&do=drop&confirm=yes&capture=x");
        assert_eq!(ask(&gateway, "POST", path, &own, &body).status, 403, "{path}");
    }
    assert_eq!(ask(&gateway, "GET", "/check", &cookie, "").status, 403);
    for (method, path) in [("POST", "/api/v1/capture/paddle"), ("DELETE", "/api/v1/capture/paddle")] {
        let page = ask(&gateway, method, path, &with(VIEWER), r#"{"for":"10m"}"#);
        assert_eq!(page.status, 403, "{path}");
    }
    assert_eq!(
        ask(&gateway, "GET", "/api/v1/captures/x", &with(VIEWER), "").status,
        403
    );
    assert_eq!(ask(&gateway, "GET", "/api/v1/requests", &with(VIEWER), "").status, 200);
    assert!(gateway.logs.objects().iter().all(|line| line["action"] != "capture"));
}

/// A pasted request is judged with the secrets of the route, and the page shows no signature that would be accepted.
#[test]
fn a_pasted_request_is_checked() {
    let upstream = Upstream::ok();
    let gateway = start(Setup::new(&upstream.url()));
    let cookie = log_in(&gateway, OPERATOR).unwrap();
    let token = form_token(&ask(&gateway, "GET", "/check", &cookie, ""));
    let own = format!("{cookie}Origin: http://{}\r\n", gateway.address("console"));
    let genuine = String::from_utf8(Webhook::new(r#"{"a":1}"#).bytes()).unwrap();
    let check = |text: &str| {
        let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        ask(
            &gateway,
            "POST",
            "/check",
            &own,
            &format!("form_token={token}&capture={escaped}"),
        )
        .body
    };
    assert!(check(&genuine).contains(r#"pill good">genuine"#));
    let changed = check(&genuine.replace(r#"{"a":1}"#, r#"{"a":2}"#));
    assert!(changed.contains("signature_mismatch"), "{changed}");
    let real = genuine.split("h1=").nth(1).unwrap().split("\r\n").next().unwrap();
    let without = check(&genuine.replace(real, &"0".repeat(64)));
    assert!(
        without.contains("signature_mismatch") && !without.contains(real),
        "{without}"
    );
    assert!(check("nonsense").contains("cannot be read"));
    // What is decided before the signature: path, method, size.
    let slash = check(&genuine.replace("/webhooks/paddle", "/webhooks/paddle/"));
    assert!(
        slash.contains("no_route") && slash.contains("a slash at the end"),
        "{slash}"
    );
    let put = check(&genuine.replace("POST ", "PUT "));
    assert!(
        put.contains("method_not_allowed") && put.contains("does not accept the method PUT"),
        "{put}"
    );
    let large = String::from_utf8(Webhook::new(format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20))).bytes()).unwrap();
    assert!(check(&large).contains("body_too_large"));
    // To judge a request is no traffic.
    assert_eq!(gateway.metrics().sum("hookgate_requests_total", &[]), 0.0);
}

/// A secret that is almost right is recognised, as by `verify`: the console reads the secrets of the route again.
#[test]
fn a_secret_that_is_almost_right_is_recognised() {
    let upstream = Upstream::ok();
    let secret = crate::support::paddle::SECRET;
    let gateway = start(Setup::new(&upstream.url()).secrets(&[&format!("'{secret}'")]));
    let cookie = log_in(&gateway, OPERATOR).unwrap();
    let token = form_token(&ask(&gateway, "GET", "/check", &cookie, ""));
    let own = format!("{cookie}Origin: http://{}\r\n", gateway.address("console"));
    let genuine = Webhook::new(r#"{"a":1}"#).bytes();
    let escaped: String = genuine.iter().map(|byte| format!("%{byte:02X}")).collect();
    let form = format!("form_token={token}&capture={escaped}");
    let page = ask(&gateway, "POST", "/check", &own, &form).body;
    assert!(page.contains("Cause: ") && page.contains("quot"), "{page}");
    assert!(!page.contains(secret));
}

/// Certificates, the last match of each secret, and the oldest delivery are shown.
#[test]
fn what_ends_and_what_waits_is_shown() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let inbox = format!(
        "[inbox]\nstore = \"{}\"\nany_filesystem = true\nmin_free_disk = \"1MiB\"\n",
        directory.path().join("inbox.db").display()
    );
    let gateway = start(
        Setup::new(&upstream.url())
            .route("delivery = \"failover\"")
            .more(&inbox),
    );
    let configuration = || get(&gateway, "/configuration").body;
    let before = configuration();
    assert!(
        before.contains("Certificates") && before.contains("tls.crt"),
        "{before}"
    );
    assert!(before.contains("none since the start"));
    assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).status, 200);
    crate::support::eventually("the last match", || {
        (!configuration().contains("none since the start")).then_some(())
    });
    let now = get(&gateway, "/").body;
    assert!(
        now.contains("Oldest delivery") && now.contains(">Certificate<"),
        "{now}"
    );
}

/// Every page in Debian's Chromium: on wide and narrow screens, dark and light, live and without a script.
#[test]
fn every_page_works_in_a_browser() {
    let upstream = Upstream::ok();
    let refusing = Upstream::answering(crate::support::upstream::answer(
        "410 Gone",
        &[],
        b"no <b>such</b> customer",
    ));
    let directory = tempfile::tempdir().unwrap();
    // A delivery that nobody takes, on a route of its own.
    let stored = format!(
        "[inbox]\nstore = \"{}\"\nany_filesystem = true\nmin_free_disk = \"1MiB\"\n\
         [[route]]\nname = \"stored\"\npath = \"/stored\"\nprovider = \"paddle\"\ntolerance = \"60s\"\n\
         secrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\nupstream = \"{}\"\ndelivery = \"queue\"\nretry = {{ give_up_on = [410] }}\n",
        directory.path().join("inbox.db").display(),
        refusing.url()
    );
    let gateway = start(Setup::new(&upstream.url()).route("capture = \"full\"").more(&stored));
    gateway.wait_for_metric("hookgate_inbox_up", &[], 1.0);
    assert_eq!(
        gateway.exchange(&Webhook::new("{}").path("/stored").bytes()).status,
        200
    );
    gateway.wait_for_metric("hookgate_inbox_deliveries", &[("state", "dead")], 1.0);
    for number in 0..5 {
        let body = format!("{{\"number\":{number}}}");
        assert_eq!(gateway.exchange(&Webhook::new(body).bytes()).status, 200);
    }
    let hostile = Webhook::new("<script>window.pwned=1</script>")
        .path("/webhooks/paddle")
        .signature(Some("ts=1;h1=00"));
    gateway.exchange(&hostile.header("X-A", "<img src=x onerror=window.pwned=1>").bytes());
    let path = Webhook::new("{}")
        .path("/<script>window.pwned=1</script>")
        .signature(None);
    gateway.exchange(&path.bytes());
    let folder = crate::support::apps::installed("console");
    let mut driver = std::process::Command::new("node");
    driver
        .arg(folder.join("drive.mjs"))
        .arg(format!("http://{}", gateway.address("console")))
        .arg(OPERATOR);
    driver.env("INBOX", "1");
    driver.env("SEND", format!("http://{}/webhooks/paddle", gateway.plain()));
    let output = driver.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for nothing in ["violations", "console", "foreign"] {
        assert_eq!(report[nothing], serde_json::json!([]), "{nothing}");
    }
    assert_eq!(
        (&report["dialogs"], &report["scripts_of_senders"]),
        (&0.into(), &serde_json::Value::Null)
    );
    assert_eq!(
        (&report["after_login"], &report["live"]),
        (&"/".into(), &"live on".into())
    );
    assert!(report["appeared"].as_u64().unwrap() >= 1, "{report}");
    assert!(report["rows_without_script"].as_u64().unwrap() >= 6, "{report}");
    assert_eq!(report["checked_without_script"], 1);
    let pages = report["pages"].as_object().unwrap();
    assert!(pages.len() >= 7, "{report}");
    for (name, page) in pages {
        assert_eq!(
            (&page["status"], &page["overflow"]),
            (&200.into(), &false.into()),
            "{name}"
        );
        assert!(page["bytes"].as_u64().unwrap() < 50_000, "{name}: {page}");
    }
}
