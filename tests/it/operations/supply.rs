//! The rules of `deny.toml` checked against what is really linked, by `cargo tree`: licences, bans and sources.
//! cargo-deny itself takes minutes to build and is for `make licences` and releases; what can be checked without it is
//! checked in every run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The registry from which crates may come, as lock files write it.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn document(name: &str) -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn rules() -> toml::Table {
    document("deny.toml")
}

fn words(value: &toml::Value) -> Vec<String> {
    let items = value.as_array().unwrap().iter();
    items.map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Every package that is built for one of the targets of `deny.toml`, tests included, by name and version, with its
/// licence. `cargo metadata` would also list optional packages that no feature enables.
fn packages() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for target in words(&rules()["graph"]["targets"]) {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--all-features", "--edges=normal,build,dev"])
            .args(["--prefix=none", "--format={p}|{l}"])
            .arg(format!("--target={target}"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        for (package, licence) in lines.lines().filter_map(|line| line.split_once('|')) {
            // `cargo tree` marks a package that it has listed before with a star.
            found.insert(package.to_owned(), licence.trim_end_matches(" (*)").to_owned());
        }
    }
    assert!(found.len() > 100, "{} packages", found.len());
    found
}

/// Whether an SPDX expression can be satisfied with `allowed` licences alone. Old manifests write `/` for `OR`.
fn is_satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let (satisfied, rest) = any(&tokens, allowed);
    assert!(rest.is_empty(), "cannot be parsed: {expression}");
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
        [] => panic!("the expression ends too early"),
    }
}

#[test]
fn spdx_expressions_are_evaluated() {
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
fn dependencies_follow_deny_toml() {
    let rules = rules();
    let allowed = words(&rules["licenses"]["allow"]);
    let bans = rules["bans"]["deny"].as_array().unwrap().iter();
    let banned: Vec<&str> = bans.map(|ban| ban["crate"].as_str().unwrap()).collect();
    assert!(!allowed.is_empty() && !banned.is_empty());
    let mut wrong = Vec::new();
    for (package, licence) in packages() {
        if licence.is_empty() || !is_satisfied(&licence, &allowed) {
            wrong.push(format!("{package}: licence {licence:?}"));
        }
        if banned.contains(&package.split(' ').next().unwrap()) {
            wrong.push(format!("{package} is banned"));
        }
    }
    let (lock, manifest) = (document("Cargo.lock"), document("Cargo.toml"));
    for package in lock["package"].as_array().unwrap() {
        let source = package.get("source").map(|source| source.as_str().unwrap());
        let is_ours = package["name"].as_str() == Some(env!("CARGO_PKG_NAME"));
        if !is_ours && source != Some(CRATES_IO) {
            wrong.push(format!("{} comes from {source:?}", package["name"]));
        }
    }
    for table in ["dependencies", "dev-dependencies"] {
        for (name, dependency) in manifest[table].as_table().unwrap() {
            let version = dependency.as_str().or_else(|| dependency.get("version")?.as_str());
            if version.is_none_or(|version| version.contains('*')) {
                wrong.push(format!("{name}: any version"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A crate that is linked in two versions costs build time and size: each has its reason in `deny.toml`, and no reason is
/// left over.
#[test]
fn every_crate_that_is_there_twice_has_a_reason() {
    let arguments = [
        "tree",
        "--locked",
        "--all-features",
        "--duplicates",
        "--edges=normal,build",
        "--depth=0",
    ];
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--prefix=none", "--format={p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in lines.lines() {
        if let Some((name, version)) = line.split_once(" v") {
            let version = version.split(' ').next().unwrap();
            versions.entry(name).or_default().insert(version);
        }
    }
    let rules = rules();
    let skip = rules["bans"]["skip"].as_array().unwrap().iter();
    let mut reasons: BTreeSet<&str> = skip.map(|entry| entry["crate"].as_str().unwrap()).collect();
    let mut twice = Vec::new();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let without_reason = versions.iter().filter(|version| {
            let entry = reasons.iter().copied().find(|entry| {
                let (skipped, prefix) = entry.split_once('@').unwrap();
                skipped == *name && version.starts_with(&format!("{prefix}."))
            });
            entry.is_none_or(|entry| !reasons.remove(entry))
        });
        if without_reason.count() > 1 {
            twice.push(name);
        }
    }
    assert!(
        twice.is_empty(),
        "in two versions: {twice:?}; update one, or give the reason in deny.toml"
    );
    assert!(reasons.is_empty(), "no longer there twice: {reasons:?}");
}

/// A user with the declared version of Rust can build hookgate: no dependency needs a newer one. It is also no newer than
/// a dependency makes it.
#[test]
fn rust_version_is_the_greatest_that_a_dependency_declares() {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--locked",
            "--format-version=1",
            "--filter-platform=x86_64-unknown-linux-gnu",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let version = |text: &str| -> Vec<u32> { text.split('.').take(2).map(|part| part.parse().unwrap()).collect() };
    let mut declared = Vec::new();
    let mut own = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let Some(text) = package["rust_version"].as_str() else {
            continue;
        };
        if package["name"] == "hookgate" {
            own = version(text);
        } else {
            declared.push((version(text), package["name"].as_str().unwrap()));
        }
    }
    let greatest = declared.iter().max().unwrap();
    assert_eq!(own, greatest.0, "the greatest is that of {}", greatest.1);
}

/// The crates that a build with these features links, without those for building and testing.
fn linked(features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges=normal", "--prefix=none", "--format={p}"])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

/// The image for containers has no commands for developers, and none of the crates that only they need.
#[test]
fn a_build_without_tools_links_none_of_their_crates() {
    let (all, production) = (linked(&[]), linked(&["--no-default-features"]));
    let manifest = document("Cargo.toml");
    let tools = manifest["features"]["tools"].as_array().unwrap().iter();
    let tools: Vec<&str> = tools
        .map(|one| one.as_str().unwrap().strip_prefix("dep:").unwrap())
        .collect();
    assert!(tools.len() >= 2, "{tools:?}");
    for name in tools {
        assert!(all.contains(name) && !production.contains(name), "{name}");
    }
    assert!(production.is_subset(&all));
    let image =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/container/Dockerfile")).unwrap();
    let builds = image
        .lines()
        .filter(|line| line.contains("cargo ") && !line.starts_with('#'));
    for build in builds {
        assert!(build.contains("--no-default-features"), "{build}");
    }
}

/// The largest package that crates.io accepts, in bytes.
const LARGEST_PACKAGE: u64 = 10 << 20;

/// `cargo package` accepts the project, and what the library includes at compile time is in the package.
#[test]
fn cargo_accepts_the_package() {
    let directory = tempfile::tempdir().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["package", "--no-verify", "--offline", "--allow-dirty", "--target-dir"])
        .arg(directory.path());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let name = concat!("hookgate-", env!("CARGO_PKG_VERSION"));
    let package = directory.path().join(format!("package/{name}.crate"));
    let size = std::fs::metadata(&package).unwrap().len();
    assert!(size < LARGEST_PACKAGE, "{size}");
    let list = Command::new("tar").arg("-tzf").arg(&package).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    for file in [
        "Cargo.lock",
        "gateway.toml",
        "docs/configuration.md",
        "src/scheme/presets.toml",
        "LICENSE-MIT",
    ] {
        assert!(list.lines().any(|line| line == format!("{name}/{file}")), "{file}");
    }
}
