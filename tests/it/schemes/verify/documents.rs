//! The examples of docs/verify.md, and the links to it.

use super::{BODY, SIGNED_AT_UNIX};
use crate::support::Upstream;
use crate::support::gateway::binary;
use crate::support::paddle::{SECRET, signature};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const PAGE: &str = include_str!("../../../../docs/verify.md");

/// The commands of the examples, one string for each way of capturing.
fn examples() -> Vec<String> {
    let (_, rest) = PAGE.split_once("Examples, one for each way:\n\n```sh\n# ").unwrap();
    let block = rest.split("\n```").next().unwrap();
    block
        .split("\n# ")
        .map(|example| example.split_once('\n').unwrap().1.to_owned())
        .collect()
}

/// Writes the captures that the examples name, of one genuine request.
fn write_captures(directory: &Path, value: &str) {
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).unwrap();
    let har_entry = |headers: Value, body: &str| json!({ "request": { "method": "POST", "url": "https://a.example/hook", "headers": headers, "postData": { "text": body } } });
    let signed = json!([{ "name": "Paddle-Signature", "value": value }]);
    let entries = [
        har_entry(json!([]), "x"),
        har_entry(json!([]), "y"),
        har_entry(signed, BODY),
    ];
    let headers = json!({ "paddle-signature": value });
    let lines = format!("POST /hook HTTP/1.1\nHost: a.example\nPaddle-Signature: {value}\n\n{BODY}");
    let stamped: Vec<String> = lines
        .lines()
        .map(|line| format!("2026-11-28T10:00:00.123456789Z {line}"))
        .collect();
    write("body.json", BODY.to_owned());
    write(
        "request.http",
        format!("POST https://a.example/hook\nPaddle-Signature: {value}\n\n{BODY}\n"),
    );
    write(
        "command.txt",
        format!("curl https://a.example/hook -H 'Paddle-Signature: {value}' --data-raw '{BODY}'"),
    );
    write(
        "copied.txt",
        format!(
            "fetch(\"https://a.example/hook\", {});",
            json!({ "method": "POST", "headers": headers, "body": BODY })
        ),
    );
    write(
        "code.txt",
        format!(
            "import requests\n\nrequests.post(\"https://a.example/hook\", headers={{\"Paddle-Signature\": \"{value}\"}}, data={})\n",
            serde_json::to_string(BODY).unwrap()
        ),
    );
    write("export.har", json!({ "log": { "entries": entries } }).to_string());
    write(
        "inspector.json",
        json!({ "uuid": "1", "token_id": "2", "method": "POST", "headers": { "paddle-signature": [value] }, "content": BODY }).to_string(),
    );
    write(
        "application.log",
        format!("{{'Host': 'a.example', 'Paddle-Signature': '{value}'}}\n{BODY}"),
    );
    write("kubernetes.log", stamped.join("\n"));
    write("clipboard.txt", format!("It fails with this:\n```\n{lines}\n```\n"));
    write(
        "environment.txt",
        format!(
            "{{\"REQUEST_METHOD\"=>\"POST\", \"HTTP_HOST\"=>\"a\", \"HTTP_PADDLE_SIGNATURE\"=>\"{value}\"}}\n{BODY}"
        ),
    );
    write(
        "event.json",
        json!({ "httpMethod": "POST", "path": "/hook", "headers": headers, "body": STANDARD.encode(BODY), "isBase64Encoded": true }).to_string(),
    );
    write(
        "page.txt",
        format!(
            "Request URL: https://a.example/hook\nRequest method: POST\nPaddle-Signature: {value}\n\nPayload\n{BODY}"
        ),
    );
    write("value.txt", value.to_owned());
}

#[test]
fn the_examples_of_the_page_are_genuine_for_each_way_of_capturing() {
    let examples = examples();
    let (_, ways) = PAGE.split_once("| you have | what to do |\n").unwrap();
    let ways = ways.lines().skip(1).take_while(|line| line.starts_with('|')).count();
    assert_eq!(examples.len(), ways, "{examples:#?}");

    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let value = signature(SECRET, SIGNED_AT_UNIX, BODY.as_bytes());
    write_captures(directory.path(), &value);
    let program = binary().get_program().to_owned();
    for example in examples {
        let script = example
            .replace("ts=…;h1=…", &value)
            .replace("https://hooks.example.com", &upstream.url());
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "set -e; hookgate() {{ \"$HOOKGATE\" \"$@\"; }}; kubectl() {{ cat kubernetes.log; }}; pbpaste() {{ cat clipboard.txt; }}\n{script}"
            ))
            .current_dir(directory.path())
            .env("HOOKGATE", &program)
            .env("SECRET", SECRET)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("genuine"),
            "{script}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Where a refusal is explained, and where people begin, there is a link to the page.
#[test]
fn the_explanations_of_refusals_link_to_the_page() {
    let operating = include_str!("../../../../docs/operating.md");
    let (_, table) = operating.split_once("| reason | status |").unwrap();
    let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    for reason in [
        "signature_missing",
        "signature_malformed",
        "signature_mismatch",
        "timestamp_stale",
        "timestamp_future",
        "key_unknown",
        "delivery_id_missing",
        "no_route",
        "method_not_allowed",
        "peer_not_allowed",
        "body_too_large",
        "header_conflict",
    ] {
        let row = rows.iter().find(|row| row.split('|').nth(1).unwrap().contains(reason));
        assert!(row.unwrap().contains("(verify.md"), "{reason}");
    }
    for page in [
        include_str!("../../../../README.md"),
        include_str!("../../../../docs/start.md"),
        include_str!("../../../../docs/README.md"),
        include_str!("../../../../docs/providers/stripe.md"),
    ] {
        assert!(page.contains("verify.md"));
    }
}
