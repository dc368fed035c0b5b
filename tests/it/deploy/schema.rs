//! The JSON Schema of the configuration, judged by an independent validator: every example is valid, and what `check` refuses
//! by its form is not.

use crate::support::gateway::binary;
use crate::support::tools::{repository, tool};
use std::path::{Path, PathBuf};

/// Reads TOML files and prints a line for each that the schema refuses.
const VALIDATE: &str = "
import json, sys, tomllib, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for name in sys.argv[2:]:
    errors = list(validator.iter_errors(tomllib.load(open(name, 'rb'))))
    if errors:
        best = jsonschema.exceptions.best_match(errors)
        print(name, best.json_path, best.message[:200].replace(chr(10), ' '), sep='\t')
";

/// The files that the schema refuses, with the reason.
fn refused(files: &[PathBuf]) -> Vec<String> {
    let mut command = tool("venv/bin/python");
    command
        .args(["-c", VALIDATE])
        .arg(repository("deploy/schema/gateway.schema.json"))
        .args(files);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("node_modules") {
            collect(&path, into);
        } else if path.ends_with("gateway.toml") {
            into.push(path);
        }
    }
}

#[test]
fn every_example_follows_the_schema() {
    let mut files = vec![repository("gateway.toml")];
    collect(&repository("deploy"), &mut files);
    let directory = tempfile::tempdir().unwrap();
    // Whole files in the documents begin with a listener.
    for document in [
        "README.md",
        "docs/configuration.md",
        "docs/inbox.md",
        "docs/operating.md",
        "docs/scaling.md",
        "docs/deployment.md",
    ] {
        let text = std::fs::read_to_string(repository(document)).unwrap();
        for (at, block) in text.split("```toml\n").skip(1).enumerate() {
            let block = block.split("```").next().unwrap();
            let path = directory
                .path()
                .join(format!("{}-{at}.toml", document.replace('/', "-")));
            std::fs::write(&path, block).unwrap();
            if block.contains("[listen]") {
                files.push(path);
            }
        }
    }
    for provider in ["stripe", "twilio", "meta", "discord", "custom"] {
        let path = directory.path().join(format!("init-{provider}.toml"));
        let arguments = [
            "init",
            "--provider",
            provider,
            "--to",
            "http://localhost:3000/hooks",
            "-o",
        ];
        assert!(binary().args(arguments).arg(&path).status().unwrap().success());
        files.push(path);
    }
    assert!(files.len() > 12, "{files:?}");
    assert_eq!(refused(&files), Vec::<String>::new());
}

#[test]
fn mistakes_are_refused_by_the_schema_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (at, line) in [
        "pth = \"/x\"",
        "body_timeout = \"5M\"",
        "body_limit = \"1.5MiB\"",
        "mode = \"audit\"",
        "dedupe = true",
        "replay = { window = 300 }",
        "secrets = \"literal\"",
        "upstream = { url = 5 }",
        "rate = \"10\"",
        "order = \"random\"",
        "challenge = { metod = \"HEAD\" }",
        "custom = { signature = { headr = \"X\" } }",
        "custom = { algorithm = \"sha-256\" }",
    ]
    .into_iter()
    .enumerate()
    {
        let path = directory.path().join(format!("{at}.toml"));
        std::fs::write(&path, format!("[[route]]\n{line}\n")).unwrap();
        files.push(path);
    }
    assert_eq!(refused(&files).len(), files.len(), "{:?}", refused(&files));
}
