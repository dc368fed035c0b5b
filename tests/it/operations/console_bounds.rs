//! What bounds the console: roles at every path, hostile input, the size of pages, and what it costs others.

use super::console::{OPERATOR, VIEWER, ask, form_token, get, log_in, start, with};
use crate::support::{Client, Gateway, Setup, Upstream, Webhook, eventually};
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The largest page, in bytes.
const PAGE: usize = 50_000;

fn with_inbox(setup: Setup, directory: &std::path::Path) -> Setup {
    setup
        .route("delivery = \"failover\"\ncapture = \"full\"")
        .more(&format!(
            "[inbox]\nstore = \"{}\"\nany_filesystem = true\nmin_free_disk = \"1MiB\"\n",
            directory.join("inbox.db").display()
        ))
}

/// The methods and paths of `docs/openapi.json`, and whether 403 is described.
fn described() -> Vec<(String, String, bool)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap().iter().filter(|(_, one)| one.is_object()) {
            let has_refusal = operation["responses"]["403"].is_object();
            found.push((method.to_uppercase(), path.clone(), has_refusal));
        }
    }
    found
}

/// Every path of the API: nothing without a credential, nothing that changes something or shows a body with the role
/// `view`, and the description says which those are.
#[test]
fn every_path_of_the_api_asks_for_the_role() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let gateway = start(with_inbox(Setup::new(&upstream.url()), directory.path()));
    gateway.wait_for_metric("hookgate_inbox_up", &[], 1.0);
    let paths = described();
    assert!(paths.len() >= 18, "{}", paths.len());
    for (method, path, has_refusal) in paths {
        let filled = path.replace("{route}", "paddle").replace("{id}", &"0".repeat(32));
        let filled = format!("/api/v1{}", filled.replace("{request_id}", "none"));
        for head in [
            "",
            "Authorization: Bearer wrong-token-000000\r\n",
            "Cookie: hookgate-session=00\r\n",
        ] {
            assert_eq!(
                ask(&gateway, &method, &filled, head, "{}").status,
                401,
                "{method} {path} {head}"
            );
        }
        if path.ends_with("/stream") {
            continue;
        }
        let needs_operate = method != "GET" || path == "/captures/{request_id}";
        let answer = ask(&gateway, &method, &filled, &with(VIEWER), "{\"for\":\"1m\"}");
        assert_eq!(answer.status == 403, needs_operate, "{method} {path}: {}", answer.head);
        assert_eq!(has_refusal, needs_operate, "{method} {path}: 403 in openapi.json");
    }
    assert!(gateway.logs.objects().iter().all(|line| line["kind"] != "action"));
    for page in ["/", "/requests", "/deliveries", "/dead", "/configuration"] {
        assert_eq!(get(&gateway, page).status, 200, "{page}");
        assert_eq!(ask(&gateway, "GET", page, &with(VIEWER), "").status, 200, "{page}");
    }
}

/// Ids, numbers and names that no page of the console makes: a plain answer to each, and the console goes on.
#[test]
fn hostile_queries_and_ids_have_a_plain_answer() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let gateway = start(with_inbox(Setup::new(&upstream.url()), directory.path()));
    gateway.wait_for_metric("hookgate_inbox_up", &[], 1.0);
    assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).status, 200);
    let long = "A".repeat(20_000);
    let values = [
        "0",
        "-1",
        "1.5",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999",
        "NaN",
        "%00",
        "%ff%fe",
        "%0d%0aSet-Cookie:%20a=b",
        "'%20OR%201=1--",
        "%3Cscript%3Ealert(1)%3C/script%3E",
        "%",
        &long,
    ];
    let templates = [
        "/?from={}",
        "/configuration?from={}",
        "/requests?before={}",
        "/requests?route={}&verdict={}&reason={}&status={}",
        "/requests/{}",
        "/deliveries?after={}",
        "/deliveries?route={}",
        "/deliveries?id={}",
        "/deliveries?state={}",
        "/deliveries/{}",
        "/deliveries/00000000000000000000000000000000?route={}",
        "/dead?route={}",
        "/{}",
        "/api/v1/requests?limit={}",
        "/api/v1/requests?before={}",
        "/api/v1/requests?route={}&status={}&refused={}",
        "/api/v1/requests/{}",
        "/api/v1/captures?route={}&refused={}",
        "/api/v1/captures/{}",
        "/api/v1/capture/{}",
        "/api/v1/inbox/deliveries?after={}",
        "/api/v1/inbox/deliveries?limit={}",
        "/api/v1/inbox/deliveries?since={}",
        "/api/v1/inbox/deliveries?until={}&route={}",
        "/api/v1/inbox/deliveries/{}",
        "/api/v1/inbox/count?id={}",
        "/api/v1/inbox/{}",
    ];
    for template in templates {
        for value in values {
            let shown: String = value.chars().take(30).collect();
            let page = get(&gateway, &template.replace("{}", value));
            assert!(
                [200, 400, 404, 414, 431].contains(&page.status),
                "{template} {shown}: {}",
                page.head
            );
            assert!(page.cookie.is_none(), "{template} {shown}");
            assert!(
                !page.head.contains("text/html") || !page.body.contains("<script>alert"),
                "{template} {shown}"
            );
            assert!(
                page.body.len() < 150_000,
                "{template} {shown}: {} bytes",
                page.body.len()
            );
        }
    }
    // The names in forms, which come back in the address of the next page.
    let cookie = log_in(&gateway, OPERATOR).unwrap();
    let token = form_token(&ask(&gateway, "GET", "/check", &cookie, ""));
    let own = format!("{cookie}Origin: http://{}\r\n", gateway.address("console"));
    for value in values {
        let shown: String = value.chars().take(30).collect();
        for (path, fields) in [
            ("/capture", "route={}&for=10m"),
            ("/capture", "route=paddle&for={}"),
            ("/deliveries/pause", "route={}&do={}"),
            ("/deliveries/act", "id={}&do=drop&confirm=yes"),
            ("/deliveries/act", "route={}&state={}&do={}&confirm=yes"),
            ("/check", "route={}&capture={}"),
        ] {
            let form = format!("form_token={token}&{}", fields.replace("{}", value));
            let page = ask(&gateway, "POST", path, &own, &form);
            assert!(
                [200, 303, 400, 404, 409].contains(&page.status),
                "{path} {fields} {shown}: {}",
                page.head
            );
            assert!(page.cookie.is_none(), "{path} {fields} {shown}");
            assert!(
                !page.head.contains("text/html") || !page.body.contains("<script>alert"),
                "{path} {fields} {shown}"
            );
        }
    }
    assert_eq!(get(&gateway, "/").status, 200);
    assert!(!gateway.logs.text().contains("panicked"), "{}", gateway.logs.text());
    // A body that never ends, and one that is too large.
    let many = "a".repeat(9 << 20);
    let refused = ask(&gateway, "POST", "/api/v1/capture/paddle", &with(OPERATOR), &many);
    assert_eq!(refused.status, 413, "{}", refused.head);
}

/// Pages stay small: with a thousand routes, with requests whose paths are long and full of characters that a page has to
/// escape, and with a captured body of a megabyte.
#[test]
fn every_page_stays_below_fifty_kilobytes() {
    let upstream = Upstream::ok();
    let routes: String = (0..1_000).fold(String::new(), |mut text, at| {
        let _ = write!(
            text,
            "[[route]]\nname = \"a-route-with-a-name-of-usual-length-{at}\"\npath = \"/webhooks/r{at}\"\nprovider = \"paddle\"\n\
             tolerance = \"60s\"\nsecrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\nupstream = \"{}\"\n",
            upstream.url()
        );
        text
    });
    let gateway = start(
        Setup::new(&upstream.url())
            .route("capture = \"full\"\nbody_limit = \"2MiB\"\nexpect_every = \"1s\"")
            .more(&routes),
    );
    let mut client = gateway.connect();
    for at in 0..70 {
        let path = format!("/{}{at}", "\"'&".repeat(80));
        client.exchange(&Webhook::new("{}").path(&path).signature(None).bytes());
    }
    let large = Webhook::new(format!("\"{}\"", "<&>".repeat(300_000)))
        .header("X-Long", &"<".repeat(8_000))
        .signature(Some("ts=1;h1=00"));
    gateway.exchange(&large.bytes());
    let refused = gateway.wait_for_audit_lines("signature_malformed", 1);
    let id = refused[0]["request_id"].as_str().unwrap();
    let pages = [
        "/",
        "/?from=990",
        "/requests",
        "/check",
        "/configuration",
        "/configuration?from=990",
        &format!("/requests/{id}"),
    ];
    eventually("the silence of the first route", || {
        get(&gateway, "/").body.contains("silent").then_some(())
    });
    for path in pages {
        let page = get(&gateway, path);
        println!("{path}: {} bytes", page.body.len());
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.len() < PAGE, "{path} has {} bytes", page.body.len());
    }
    let one = get(&gateway, &format!("/requests/{id}")).body;
    assert!(one.contains(&format!("/api/v1/captures/{id}")), "{one}");
    // Every route is on one of the pages, and the one that needs somebody is on the first.
    let first = get(&gateway, "/").body;
    assert!(first.contains("1 to 15 of 1001"), "{first}");
    let row = |page: &str| {
        page.find("href=\"/requests?route=")
            .map(|at| page[at + 22..].to_owned())
    };
    assert!(row(&first).unwrap().starts_with("paddle"), "{first}");
    let mut seen = std::collections::BTreeSet::new();
    let mut from = Some(String::from("/"));
    while let Some(path) = from {
        let page = get(&gateway, &path).body;
        for part in page.split("href=\"/requests?route=").skip(1) {
            seen.insert(part.split('"').next().unwrap().to_owned());
        }
        from = page
            .split("href=\"")
            .skip(1)
            .map(|part| part.split_once('"').unwrap())
            .find(|(_, rest)| rest.starts_with(">Next<"))
            .map(|(path, _)| path.to_owned());
    }
    assert_eq!(seen.len(), 1_001);
}

/// A refused request that was captured says why on its page, with what to do; so does one whose body was not kept.
#[test]
fn the_page_of_a_refused_request_says_why() {
    let upstream = Upstream::ok();
    let gateway = start(Setup::new(&upstream.url()).route("capture = \"full\""));
    let genuine = Webhook::new("{\"a\":1}\n").bytes();
    let text = String::from_utf8(genuine).unwrap();
    // The line end was lost on the way, as editors and shells do it.
    let trimmed = text
        .trim_end_matches('\n')
        .replace("Content-Length: 8", "Content-Length: 7");
    assert_eq!(gateway.exchange(trimmed.as_bytes()).status, 401);
    let mismatch = gateway.wait_for_audit_lines("signature_mismatch", 1).remove(0);
    let missing = Webhook::new("{}")
        .signature(None)
        .header("Stripe-Signature", "t=1,v1=00");
    assert_eq!(gateway.exchange(&missing.bytes()).status, 401);
    let missing = gateway.wait_for_audit_lines("signature_missing", 1).remove(0);
    let page = |line: &Value, token: &str| {
        let path = format!("/requests/{}", line["request_id"].as_str().unwrap());
        let mut body = String::new();
        eventually("the page", || {
            let page = ask(&gateway, "GET", &path, &with(token), "");
            body = page.body;
            (page.status == 200 && body.contains(">Why<")).then_some(())
        });
        body
    };
    let why = page(&mismatch, OPERATOR);
    for words in ["Cause: ", "What to do: ", "newline", "verify"] {
        assert!(why.contains(words), "{words}: {why}");
    }
    assert!(page(&missing, OPERATOR).contains("What to do: "));
    // Its links lead to the row of its reason and of its cause, on a page of the console itself.
    let help = get(&gateway, "/help");
    assert_eq!(help.status, 200);
    for anchor in ["signature_mismatch", "cause-trailing_newline"] {
        assert!(why.contains(&format!("href=\"/help#{anchor}\"")), "{anchor}: {why}");
        assert!(
            help.body.contains(&format!("id=\"{anchor}\"")),
            "{anchor}: {}",
            help.body
        );
    }
    for rejection in hookgate::outcome::Rejection::ALL {
        let anchor = format!("id=\"{}\"", rejection.reason());
        assert!(help.body.contains(&anchor), "no row for {anchor}");
    }
    // A viewer sees the cause and not the content.
    let viewed = page(&mismatch, VIEWER);
    assert!(
        viewed.contains("Cause: ") && !viewed.contains("{&quot;a&quot;:1}"),
        "{viewed}"
    );
}

/// A new gateway: each page says what will appear there, and none is an empty table.
#[test]
fn pages_without_content_say_what_will_appear() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let gateway = start(with_inbox(Setup::new(&upstream.url()), directory.path()));
    gateway.wait_for_metric("hookgate_inbox_up", &[], 1.0);
    for (path, words) in [
        ("/", "Nothing was refused"),
        ("/", "none since the start"),
        ("/requests", "No request yet"),
        ("/requests?route=paddle", "No request fits these filters"),
        ("/deliveries", "Nothing is stored"),
        ("/dead", "No dead letters"),
        ("/configuration", "not used yet"),
    ] {
        let page = get(&gateway, path);
        assert_eq!(page.status, 200);
        assert!(page.body.contains(words), "{path} lacks {words}: {}", page.body);
    }
}

/// Reads events until one has this text.
fn reads(gateway: &Gateway, head: &str, text: &str) -> bool {
    let address = gateway.address("console");
    let mut client = Client::tcp(address);
    client.set_timeout(Duration::from_secs(5));
    let head = format!("{}{head}", with(VIEWER));
    client.send(format!("GET /api/v1/requests/stream HTTP/1.1\r\nHost: {address}\r\n{head}\r\n").as_bytes());
    let mut seen = Vec::new();
    while let Some(byte) = client.exactly(1) {
        seen.extend(byte);
        if seen.ends_with(text.as_bytes()) {
            return true;
        }
    }
    false
}

/// A reader of the stream that comes back with the number of an earlier process gets what this one has recorded.
#[test]
fn a_reader_that_returns_after_a_restart_misses_nothing_of_the_new_process() {
    let upstream = Upstream::ok();
    let gateway = start(Setup::new(&upstream.url()));
    assert_eq!(
        gateway.exchange(&Webhook::new("{}").signature(None).bytes()).status,
        401
    );
    gateway.wait_for_audit_lines("signature_missing", 1);
    for head in [
        "Last-Event-ID: 5000\r\n",
        "Last-Event-ID: 18446744073709551615\r\n",
        "Last-Event-ID: 0\r\n",
    ] {
        assert!(reads(&gateway, head, "signature_missing"), "{head}");
    }
}

/// Somebody who asks the console without a pause does not slow webhooks: the workers spend the same CPU on each, and
/// half of them take about as long as before. The probes are answered meanwhile. The bounds are wide: whatever else runs on
/// this machine shares its caches. A question that a worker had to answer, or that held a lock of its way, costs far more.
#[test]
fn constant_questions_to_the_api_do_not_slow_webhooks() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let gateway = Arc::new(start(with_inbox(Setup::new(&upstream.url()), directory.path())));
    gateway.wait_for_metric("hookgate_inbox_up", &[], 1.0);
    let mut client = gateway.connect();
    let mut number = 0;
    let mut round = || {
        let before = super::console_access::worker_cpu(&gateway);
        let mut took: Vec<Duration> = (0..200)
            .map(|_| {
                number += 1;
                let request = Webhook::new(format!("{{\"number\":{number}}}")).bytes();
                let begun = Instant::now();
                assert_eq!(client.exchange(&request).status, 200);
                begun.elapsed()
            })
            .collect();
        took.sort();
        (super::console_access::worker_cpu(&gateway) - before, took[100])
    };
    // The least of several rounds: what others on the machine do makes a round dearer, and never cheaper.
    let mut least = || {
        let rounds: Vec<_> = (0..6).map(|_| round()).collect();
        let cpu = rounds.iter().map(|(cpu, _)| *cpu).min().unwrap();
        (cpu, rounds.iter().map(|(_, half)| *half).min().unwrap())
    };
    least();
    let (alone, alone_half) = least();
    let (ends, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let operators: Vec<_> = (0..2)
        .map(|_| {
            let (gateway, ends, asked) = (gateway.clone(), ends.clone(), asked.clone());
            std::thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    for path in [
                        "/api/v1/requests?limit=1000",
                        "/",
                        "/requests?route=paddle",
                        "/api/v1/inbox/deliveries",
                    ] {
                        assert_eq!(get(&gateway, path).status, 200, "{path}");
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    eventually("questions", || (asked.load(Ordering::Relaxed) > 8).then_some(()));
    let (beside, beside_half) = least();
    assert_eq!(gateway.readiness(), Some(200));
    ends.store(true, Ordering::Relaxed);
    for operator in operators {
        operator.join().unwrap();
    }
    let asked = asked.load(Ordering::Relaxed);
    println!(
        "200 webhooks: {alone} ns and {alone_half:?} alone, {beside} ns and {beside_half:?} beside {asked} questions"
    );
    assert!(
        alone > 0 && beside < alone * 4,
        "{beside} ns beside {asked} questions, {alone} ns alone"
    );
    assert!(
        beside_half < alone_half * 20,
        "{beside_half:?} beside {asked} questions, {alone_half:?} alone"
    );
}
