//! `docs/openapi.json` and the API describe the same paths and the same fields.

use super::operators::with_socket;
use super::{count, free_address, opened, setup, wait_for, webhook};
use crate::support::upstream::answer;
use crate::support::{Client, Gateway, Upstream, eventually};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Fields that only a special configuration or a fault shows.
const RARE: [&str; 4] = [
    "AuditLine.replay_store",
    "AuditLine.tenant",
    "Job.problem",
    "Delivery.why",
];

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The description, and the fields that were seen.
struct Description {
    document: Value,
    seen: BTreeSet<String>,
}

impl Description {
    /// Compares a document with the schema that `path` and `method` have for this status.
    fn check(&mut self, path: &str, method: &str, status: u16, document: &Value) {
        let answers = &self.document["paths"][path][method]["responses"];
        let schema = answers[status.to_string()]["content"]["application/json"]["schema"].clone();
        assert!(schema.is_object(), "{method} {path} has no schema for {status}");
        self.compare(&format!("{method} {path}"), "", &schema, document);
    }

    fn compare(&mut self, place: &str, name: &str, schema: &Value, value: &Value) {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap().to_owned();
            let schema = self.document["components"]["schemas"][&name].clone();
            return self.compare(place, &name, &schema, value);
        }
        if let Some(words) = schema["enum"].as_array() {
            assert!(words.contains(value), "{place}: {name} is {value}");
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        let fits = |kind: &&str| match *kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("{other}"),
        };
        assert!(types.iter().any(fits), "{place}: {name} is {value}, not {types:?}");
        if let (Some(object), Some(fields)) = (value.as_object(), schema["properties"].as_object()) {
            for field in schema["required"].as_array().into_iter().flatten() {
                assert!(
                    object.contains_key(field.as_str().unwrap()),
                    "{place}: {name} lacks {field}"
                );
            }
            for (field, value) in object {
                let schema = fields.get(field);
                let schema = schema.unwrap_or_else(|| panic!("{place}: {name}.{field} is not in openapi.json"));
                self.seen.insert(format!("{name}.{field}"));
                let name = format!("{name}.{field}");
                self.compare(place, &name, schema, value);
            }
        }
        for element in value.as_array().into_iter().flatten() {
            self.compare(place, name, &schema["items"], element);
        }
    }
}

fn ask(gateway: &Gateway, method: &str, path: &str, body: &str) -> (u16, Value) {
    let socket = gateway.setup.directory().join("api.sock");
    let length = body.len();
    let request = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: hookgate\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let answer = Client::unix(&socket).exchange(request.as_bytes());
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

/// Every document of the API has exactly the described fields, and every described field is in a document.
#[test]
fn every_field_is_described_and_every_described_field_exists() {
    let refusing = Upstream::new(|request, connection| {
        let status = if request.body.windows(3).any(|part| part == b"bad") {
            "410 Gone"
        } else {
            "200 OK"
        };
        connection.send(&answer(status, &[], b"no"))
    });
    let gone = format!("http://{}", free_address());
    let directory = tempfile::tempdir().unwrap();
    let route = "retry = { backoff = \"50ms\", give_up_on = [410] }\ncapture = \"full\"\nhost = \"shop.example\"";
    let more = format!(
        "[[route]]\nname = \"direct\"\npath = \"/direct\"\nprovider = \"paddle\"\ntolerance = \"60s\"\n\
         secrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\nupstream = \"{}\"\n\
         [[route]]\nname = \"down\"\npath = \"/down\"\nprovider = \"paddle\"\ntolerance = \"60s\"\n\
         secrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\nupstream = \"{gone}\"\ndelivery = \"queue\"\n",
        refusing.url()
    );
    let gateway = opened(
        with_socket(setup(&refusing.url(), directory.path(), "queue", route))
            .more(&more)
            .start(),
    );
    for (event, path) in [
        ("evt_bad", "/webhooks/paddle"),
        ("evt_1", "/direct"),
        ("evt_2", "/down"),
    ] {
        assert_eq!(gateway.exchange(&webhook(event, 0).path(path).bytes()).status, 200);
    }
    gateway.exchange(&webhook("evt_3", 0).signature(None).bytes());
    wait_for(&gateway, "dead", 1.0);
    eventually("a delivery that waits", || {
        (count(&gateway, "waiting") == 1.0).then_some(())
    });
    let document = serde_json::from_str(&file("docs/openapi.json")).unwrap();
    let seen = BTreeSet::new();
    let mut description = Description { document, seen };
    let mut documents = Vec::new();
    let mut check = |template: &str, method: &str, path: &str, body: &str| {
        let (status, document) = ask(&gateway, &method.to_uppercase(), path, body);
        assert!([200, 202].contains(&status), "{method} {path}: {status} {document}");
        description.check(template, method, status, &document);
        documents.push(template.to_owned());
        document
    };
    let recorded = || {
        ask(&gateway, "GET", "/requests", "").1["requests"]
            .as_array()
            .unwrap()
            .len()
    };
    eventually("the audit lines", || (recorded() >= 4).then_some(()));
    check("/status", "get", "/status", "");
    let requests = check("/requests", "get", "/requests?limit=2", "");
    let id = requests["requests"][0]["request"]["request_id"]
        .as_str()
        .unwrap()
        .to_owned();
    check("/requests", "get", "/requests", "");
    check("/requests/{request_id}", "get", &format!("/requests/{id}"), "");
    let captures = check("/captures", "get", "/captures", "");
    let captured = captures["captures"][0]["request_id"].as_str().unwrap().to_owned();
    check("/captures/{request_id}", "get", &format!("/captures/{captured}"), "");
    check("/capture/{route}", "get", "/capture/paddle", "");
    check("/capture/{route}", "post", "/capture/direct", "{\"for\":\"1m\"}");
    check("/capture/{route}", "delete", "/capture/direct", "");
    check("/inbox/count", "get", "/inbox/count?state=dead", "");
    check("/inbox/routes/{route}/pause", "post", "/inbox/routes/paddle/pause", "");
    check("/inbox/redeliver", "post", "/inbox/redeliver?state=dead", "");
    let ended = || ask(&gateway, "GET", "/inbox/job", "").1["ended"] == true;
    eventually("the end of the redelivery", || ended().then_some(()));
    check("/inbox/job", "get", "/inbox/job", "");
    check(
        "/inbox/routes/{route}/resume",
        "post",
        "/inbox/routes/paddle/resume",
        "",
    );
    wait_for(&gateway, "dead", 1.0);
    let deliveries = check("/inbox/deliveries", "get", "/inbox/deliveries", "");
    let dead = deliveries["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["state"] == "dead");
    let id = dead.unwrap()["id"].as_str().unwrap().to_owned();
    check("/inbox/deliveries/{id}", "get", &format!("/inbox/deliveries/{id}"), "");
    let exported = check("/inbox/export", "post", "/inbox/export", "");
    check(
        "/inbox/import",
        "post",
        "/inbox/import",
        &exported["deliveries"][0].to_string(),
    );
    let copy = directory.path().join("copy.db");
    check(
        "/inbox/backup",
        "post",
        "/inbox/backup",
        &format!("{{\"file\":{copy:?}}}"),
    );
    check("/inbox/drop", "post", "/inbox/drop?state=waiting", "");
    documents.push("/requests/stream".to_owned());
    let described = description.document["paths"].as_object().unwrap().keys().cloned();
    let missing: Vec<String> = described.filter(|path| !documents.contains(path)).collect();
    assert!(missing.is_empty(), "not asked for: {missing:?}");
    let schemas = description.document["components"]["schemas"].as_object().unwrap();
    let fields = schemas.iter().flat_map(|(name, schema)| {
        let fields = schema["properties"].as_object().into_iter().flatten();
        fields.map(move |(field, _)| format!("{name}.{field}"))
    });
    let in_full = |field: &String| field.replace("DeliveryInFull.", "Delivery.");
    let unseen: Vec<String> = fields
        .filter(|field| !description.seen.contains(field) && !RARE.contains(&in_full(field).as_str()))
        .collect();
    assert!(unseen.is_empty(), "in no document: {unseen:?}");
}

/// Every path that the code answers is described, and no other.
#[test]
fn every_path_of_the_code_is_described() {
    let mut paths = BTreeSet::new();
    for (module, prefix) in [
        ("mod", ""),
        ("requests", "/requests"),
        ("captures", "/captures"),
        ("inbox", "/inbox"),
    ] {
        for line in file(&format!("src/console/api/{module}.rs")).lines() {
            let arm = line
                .trim_start()
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'));
            let Some((pattern, rest)) = arm.filter(|(_, rest)| rest.contains("=>")) else {
                continue;
            };
            if pattern.contains("..") || rest.contains("FORBIDDEN") {
                continue;
            }
            let parts = pattern.split(',').map(str::trim).filter(|part| !part.is_empty());
            let part = |part: &str| match part.strip_prefix('"') {
                Some(word) => format!("/{}", word.trim_end_matches('"')),
                None => "/{}".to_owned(),
            };
            paths.insert(format!("{prefix}{}", parts.map(part).collect::<String>()));
        }
    }
    let document: Value = serde_json::from_str(&file("docs/openapi.json")).unwrap();
    let without_names = |path: &String| {
        let parts = path
            .split('/')
            .map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    let described: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(without_names)
        .collect();
    assert_eq!(paths, described);
}
