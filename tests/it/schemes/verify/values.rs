//! Values that languages and frameworks change when they read a body and write it again, the escapes of senders, parameters
//! that frameworks print, and secrets that were not copied as a whole.

use super::variations::{SECRET, diagnosed, has, signed};
use hookgate::gateway::diagnosis;

/// What happened, the provider, the body that was sent, and the body that was saved.
type Row = (&'static str, &'static str, String, String);

fn row(what: &'static str, provider: &'static str, sent: &str, saved: &str) -> Row {
    (what, provider, sent.to_owned(), saved.to_owned())
}

#[track_caller]
fn all_are(causes: &[&str], rows: Vec<Row>) {
    let mut wrong = Vec::new();
    for (what, provider, sent, saved) in rows {
        assert_ne!(sent, saved, "{what}");
        let found = diagnosed(provider, &signed(provider, &sent), saved.as_bytes(), SECRET);
        let is_right = matches!(found.findings.as_slice(), [one] if one.is_certain && causes.contains(&one.cause));
        if !is_right {
            wrong.push(format!(
                "{what}, {provider}: {:?}, {} trials",
                found.findings, found.trials
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn values_that_languages_change_are_recognised() {
    let event = r#"{"id":"evt_1","created_at":"2026-01-02T03:04:05.000000Z","amount":1050,"price":"10.50","rate":0.1,"data":{"at":"2026-01-02T03:04:06.120000Z","n":[1,2],"text":"a\r\nb","none":null}}"#;
    all_are(
        &["json_reserialised"],
        vec![
            row(
                "dates of Newtonsoft.Json",
                "paddle",
                event,
                &event.replace(".000000Z", "Z").replace(".120000Z", ".12Z"),
            ),
            row(
                "dates of Python",
                "paddle",
                event,
                &event
                    .replace(".000000Z", "+00:00")
                    .replace(".120000Z", ".120000+00:00")
                    .replace(":", ": ")
                    .replace("T03: 04: ", "T03:04:")
                    .replace("+00: 00", "+00:00")
                    .replace(",\"", ", \"")
                    .replace("[1,2]", "[1, 2]"),
            ),
            row(
                "dates of JavaScript",
                "github",
                &event.replace(".000000Z", "Z").replace(".120000Z", "Z"),
                &event.replace(".000000Z", ".000Z").replace(".120000Z", ".000Z"),
            ),
            row(
                "dates of Go",
                "shopify",
                &event.replace('Z', "+00:00"),
                &event.replace("+00:00", "Z"),
            ),
            row(
                "exponents of Java",
                "stripe",
                &event.replace("1050", "1700000000"),
                &event.replace("1050", "1.7E9"),
            ),
            row(
                "floats of Gson",
                "github",
                event,
                &event.replace("1050", "1050.0").replace("[1,2]", "[1.0,2.0]"),
            ),
            row(
                "floats of PHP",
                "paddle",
                event,
                &event.replace("0.1,", "0.10000000000000001,"),
            ),
            row(
                "numbers as texts",
                "stripe",
                event,
                &event
                    .replace("1050", "\"1050\"")
                    .replace("0.1,", "\"0.1\",")
                    .replace("[1,2]", "[\"1\",\"2\"]"),
            ),
            row(
                "JSON_NUMERIC_CHECK",
                "github",
                r#"{"id":"12","items":["7","8"],"name":"x"}"#,
                r#"{"id":12,"items":[7,8],"name":"x"}"#,
            ),
            row(
                "a rounded number",
                "github",
                r#"{"id":1234567890123456789,"again":1234567890123456789}"#,
                r#"{"id":1234567890123456800,"again":1234567890123456800}"#,
            ),
            row(
                "a rounded number, indented",
                "line",
                r#"{"id":9007199254740993,"a":[1]}"#,
                "{\n  \"id\": 9007199254740992,\n  \"a\": [\n    1\n  ]\n}",
            ),
            row(
                "line ends in texts",
                "slack",
                event,
                &event.replace("a\\r\\nb", "a\\nb"),
            ),
            row(
                "line ends in texts, the other way",
                "github",
                &event.replace("a\\r\\nb", "a\\nb"),
                event,
            ),
            row(
                "null as an empty text and an object as a list",
                "paddle",
                r#"{"a":null,"b":{},"c":[1]}"#,
                r#"{"a":"","b":[],"c":[1]}"#,
            ),
        ],
    );
}

#[test]
fn the_escapes_of_senders_are_recognised() {
    let plain = r#"{"text":"Grüße 😀 <b> & 'q' a/b 50% x@y","n":[1],"o":{}}"#;
    let lower = |text: &str| {
        text.replace('ü', "\\u00fc")
            .replace('ß', "\\u00df")
            .replace('😀', "\\ud83d\\ude00")
    };
    let upper = |text: &str| {
        text.replace('ü', "\\u00FC")
            .replace('ß', "\\u00DF")
            .replace('😀', "\\uD83D\\uDE00")
    };
    let python = |text: &str| lower(text).replace("\":", "\": ").replace(",\"", ", \"");
    all_are(
        &["json_reserialised"],
        vec![
            row(
                "Meta",
                "github",
                &lower(plain)
                    .replace('/', "\\/")
                    .replace('<', "\\u003C")
                    .replace('%', "\\u0025")
                    .replace('@', "\\u0040"),
                plain,
            ),
            row("emoji of LINE", "line", &plain.replace('😀', "\\uD83D\\uDE00"), plain),
            row(
                "emoji of LINE, by Python",
                "line",
                &plain.replace('😀', "\\uD83D\\uDE00"),
                &python(plain),
            ),
            row("Slack", "slack", &lower(plain).replace('/', "\\/"), plain),
            row(
                "Slack, by PHP without options",
                "slack",
                &lower(plain).replace('/', "\\/"),
                &lower(plain),
            ),
            row(
                "Shopify, by JavaScript",
                "shopify",
                &plain
                    .replace('&', "\\u0026")
                    .replace('<', "\\u003c")
                    .replace('>', "\\u003e"),
                plain,
            ),
            row(
                "GitHub, by Rails",
                "github",
                plain,
                &plain
                    .replace('&', "\\u0026")
                    .replace('<', "\\u003c")
                    .replace('>', "\\u003e"),
            ),
            row(
                "GitHub, by Laravel",
                "github",
                plain,
                &lower(plain).replace('/', "\\/").replace("{}", "[]"),
            ),
            row(
                "GitHub, by ASP.NET Core",
                "github",
                plain,
                &upper(plain)
                    .replace('<', "\\u003C")
                    .replace('>', "\\u003E")
                    .replace('&', "\\u0026")
                    .replace('\'', "\\u0027"),
            ),
            row(
                "Stripe, by Go",
                "stripe",
                "{\n  \"b\": \"<ü>\",\n  \"a\": 1\n}",
                r#"{"a":1,"b":"\u003cü\u003e"}"#,
            ),
            row(
                "Stripe, by Python",
                "stripe",
                "{\n  \"b\": \"<ü>\",\n  \"a\": {}\n}",
                r#"{"b": "<\u00fc>", "a": {}}"#,
            ),
            row(
                "SendGrid's line ends",
                "github",
                "[{\"a\":1},\r\n{\"a\":2}]\r\n",
                r#"[{"a": 1}, {"a": 2}]"#,
            ),
        ],
    );
}

#[test]
fn parameters_that_frameworks_print_are_recognised() {
    let form = "token=x&team_id=T1&command=%2Fweather&text=it%27s+50%25&response_url=https%3A%2F%2Fh.example%2F1";
    all_are(
        &["form_rewritten"],
        vec![
            row(
                "Flask",
                "slack",
                form,
                r#"ImmutableMultiDict([('token', 'x'), ('team_id', 'T1'), ('command', '/weather'), ('text', "it's 50%"), ('response_url', 'https://h.example/1')])"#,
            ),
            row(
                "Django",
                "slack",
                form,
                r#"<QueryDict: {'token': ['x'], 'team_id': ['T1'], 'command': ['/weather'], 'text': ["it's 50%"], 'response_url': ['https://h.example/1']}>"#,
            ),
            row(
                "Rails",
                "slack",
                form,
                r##"#<ActionController::Parameters {"token"=>"x", "team_id"=>"T1", "command"=>"/weather", "text"=>"it's 50%", "response_url"=>"https://h.example/1", "controller"=>"hooks", "action"=>"create"} permitted: false>"##,
            ),
            row(
                "PHP",
                "slack",
                form,
                "Array\n(\n    [token] => x\n    [team_id] => T1\n    [command] => /weather\n    [text] => it's 50%\n    [response_url] => https://h.example/1\n)\n",
            ),
            row(
                "Express",
                "slack",
                form,
                r#"[Object: null prototype] {
  token: 'x',
  team_id: 'T1',
  command: '/weather',
  text: "it's 50%",
  response_url: 'https://h.example/1'
}"#,
            ),
            row(
                "the value of GitHub's form",
                "github",
                "payload=%7B%22a%22%3A%22b+c%22%7D",
                r#"{"a":"b c"}"#,
            ),
            row(
                "multipart",
                "slack",
                form,
                "--x\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nx\r\n--x\r\nContent-Disposition: form-data; name=\"team_id\"\r\n\r\nT1\r\n--x\r\nContent-Disposition: form-data; name=\"command\"\r\n\r\n/weather\r\n--x\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nit's 50%\r\n--x\r\nContent-Disposition: form-data; name=\"response_url\"\r\n\r\nhttps://h.example/1\r\n--x--\r\n",
            ),
            row(
                "sorted",
                "slack",
                form,
                "command=%2Fweather&response_url=https%3A%2F%2Fh.example%2F1&team_id=T1&text=it%27s+50%25&token=x",
            ),
        ],
    );
    all_are(
        &["json_reserialised"],
        vec![row(
            "JSON as parameters of Rails",
            "paddle",
            r#"{"a":"x","b":[1,null]}"#,
            r##"#<ActionController::Parameters {"a"=>"x", "b"=>[1, nil]} permitted: false>"##,
        )],
    );
}

#[test]
fn secrets_that_were_not_copied_as_a_whole_are_recognised() {
    let body = r#"{"a":1}"#;
    let exchanged = SECRET.replace("hbp", "hpb");
    for provider in ["paddle", "github", "slack"] {
        let headers = signed(provider, body);
        for (what, secret) in [
            ("prefix", SECRET.trim_start_matches("pdl_ntfset_")),
            ("last character", &SECRET[..SECRET.len() - 1]),
            ("first character", &SECRET[1..]),
            ("one too many at the end", &format!("{SECRET}x")),
            ("one too many at the beginning", &format!("x{SECRET}")),
            ("two exchanged", &exchanged),
        ] {
            let found = diagnosed(provider, &headers, body.as_bytes(), secret);
            has(&found, &["secret_spelled"], &format!("{provider}, {what}"));
        }
    }
}

/// smee.io has the header fields and the body in one object.
#[test]
fn header_fields_beside_a_body_are_read() {
    let text = r#"{"host":"smee.io","x-hub-signature-256":"sha256=00","content-type":"application/json","body":{"a":"x"},"query":{},"timestamp":1700000000000}"#;
    let capture = diagnosis::parse(text.as_bytes(), None).unwrap();
    assert_eq!(capture.headers["x-hub-signature-256"], "sha256=00");
    assert_eq!(capture.body.as_deref(), Some(&br#"{"a":"x"}"#[..]));
    assert!(capture.body_was_parsed);
}
