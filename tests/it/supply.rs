//! The rules of `deny.toml` over what is really linked, by `cargo metadata`: licences, bans and sources. cargo-deny itself
//! takes minutes to build and is for `make licences` and releases; what can be said without it is said in every run.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// Where crates may come from, as lock files name it.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn rules() -> toml::Table {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml");
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn words(value: &toml::Value) -> Vec<String> {
    let items = value.as_array().unwrap().iter();
    items.map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Every package that is built for one of the targets of `deny.toml`, tests included, by name and version.
fn packages() -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for target in words(&rules()["graph"]["targets"]) {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--all-features", "--format-version=1"])
            .arg(format!("--filter-platform={target}"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
        for package in metadata["packages"].as_array().unwrap() {
            if nodes.iter().any(|node| node["id"] == package["id"]) {
                let name = format!(
                    "{} {}",
                    package["name"].as_str().unwrap(),
                    package["version"].as_str().unwrap()
                );
                found.insert(name, package.clone());
            }
        }
    }
    assert!(found.len() > 100, "{} packages", found.len());
    found
}

/// Whether an SPDX expression can be satisfied with `allowed` licences alone. `/` is how old manifests write `OR`.
fn is_satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let (satisfied, rest) = any(&tokens, allowed);
    assert!(rest.is_empty(), "not understood: {expression}");
    satisfied
}

fn any<'a, 't>(tokens: &'t [&'a str], allowed: &[String]) -> (bool, &'t [&'a str]) {
    let (mut satisfied, mut rest) = all(tokens, allowed);
    while let ["OR", more @ ..] = rest {
        let (other, more) = all(more, allowed);
        (satisfied, rest) = (satisfied || other, more);
    }
    (satisfied, rest)
}

fn all<'a, 't>(tokens: &'t [&'a str], allowed: &[String]) -> (bool, &'t [&'a str]) {
    let (mut satisfied, mut rest) = one(tokens, allowed);
    while let ["AND", more @ ..] = rest {
        let (other, more) = one(more, allowed);
        (satisfied, rest) = (satisfied && other, more);
    }
    (satisfied, rest)
}

fn one<'a, 't>(tokens: &'t [&'a str], allowed: &[String]) -> (bool, &'t [&'a str]) {
    match tokens {
        ["(", inner @ ..] => {
            let (satisfied, rest) = any(inner, allowed);
            assert_eq!(rest.first(), Some(&")"));
            (satisfied, &rest[1..])
        }
        [licence, "WITH", exception, rest @ ..] => {
            let name = format!("{licence} WITH {exception}");
            (allowed.contains(&name), rest)
        }
        [licence, rest @ ..] => (allowed.iter().any(|name| name == licence), rest),
        [] => panic!("an expression that ends too early"),
    }
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT".to_owned(), "Apache-2.0".to_owned(), "ISC".to_owned()];
    for (expression, satisfied) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("MIT/Apache-2.0", true),
        ("MIT AND GPL-3.0", false),
        ("ISC AND (Apache-2.0 OR GPL-3.0)", true),
        ("(GPL-3.0 OR MPL-2.0) AND MIT", false),
        ("GPL-3.0 OR MIT AND ISC", true),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
    ] {
        assert_eq!(is_satisfied(expression, &allowed), satisfied, "{expression}");
    }
}

#[test]
fn licences_bans_and_sources_are_as_deny_toml_says() {
    let rules = rules();
    let allowed = words(&rules["licenses"]["allow"]);
    let banned: Vec<&str> = rules["bans"]["deny"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ban| ban["crate"].as_str().unwrap())
        .collect();
    assert!(!allowed.is_empty() && !banned.is_empty());
    let mut wrong = Vec::new();
    for (name, package) in packages() {
        match package["license"].as_str() {
            Some(licence) if is_satisfied(licence, &allowed) => {}
            licence => wrong.push(format!("{name}: licence {licence:?}")),
        }
        if banned.contains(&package["name"].as_str().unwrap()) {
            wrong.push(format!("{name} is banned"));
        }
        let is_ours = package["name"] == env!("CARGO_PKG_NAME");
        if !is_ours && package["source"] != CRATES_IO {
            wrong.push(format!("{name}: from {}", package["source"]));
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            if is_ours && dependency["req"] == "*" {
                wrong.push(format!("{}: any version", dependency["name"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
