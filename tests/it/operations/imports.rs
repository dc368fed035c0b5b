//! The order of modules: each imports only from modules below it in the list of `src/lib.rs`. Inside a folder, a module
//! imports only from those below it in the list of the folder's `mod.rs`, if there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The modules in the first column of a table `| [`name`] | … |`, in their order.
fn documented_order(text: &str) -> Vec<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    rows.filter_map(|row| row.split_once("`]"))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The modules that a file declares with `mod name;`.
fn declared(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(|line| {
        let line = line
            .strip_prefix("pub(crate) ")
            .or(line.strip_prefix("pub(super) "))
            .or(line.strip_prefix("pub "))
            .unwrap_or(line);
        line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'))
    });
    lines.flatten().map(str::to_owned).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Code without comments and strings, so that a path in a comment does not count as an import.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines
        .map(|line| line.split(" // ").next().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The first path segments that `text` imports from `prefix` (`crate::`, `crate::gateway::`), lists in braces included.
fn imported(text: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(prefix) {
        // The prefix must not be the end of a longer word.
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &text[at + prefix.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut is_first = true;
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.insert(std::mem::take(&mut word));
                        is_first = true;
                        continue;
                    }
                    ':' | ' ' => is_first = is_first && word.is_empty(),
                    _ => {}
                }
                if depth == 0 && is_first && (c.is_alphanumeric() || c == '_') {
                    word.push(c);
                }
            }
            found.insert(word);
        } else {
            found.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found.remove("");
    found
}

/// Every import of a module of `order` from one above it: `file: from -> to`.
fn upward(order: &[String], modules: &BTreeMap<String, Vec<PathBuf>>, prefix: &str) -> Vec<String> {
    let place = |name: &str| order.iter().position(|other| other == name);
    let mut faults = Vec::new();
    for (name, files) in modules {
        for file in files {
            let text = code(&std::fs::read_to_string(file).unwrap());
            for other in imported(&text, prefix) {
                if place(&other).is_some_and(|at| at < place(name).unwrap()) {
                    faults.push(format!("{}: {name} -> {other}", file.display()));
                }
            }
        }
    }
    faults
}

/// The files of each module of a folder: its own file, or all files below its own folder.
fn modules(folder: &Path, names: &BTreeSet<String>) -> BTreeMap<String, Vec<PathBuf>> {
    let files = |name: &String| {
        let inner = folder.join(name);
        let files = if inner.is_dir() {
            sources(&inner)
        } else {
            vec![inner.with_extension("rs")]
        };
        (name.clone(), files)
    };
    names.iter().map(files).collect()
}

#[test]
fn modules_import_only_from_modules_below_them() {
    let text = std::fs::read_to_string(root().join("lib.rs")).unwrap();
    let order = documented_order(&text);
    let declared = declared(&text);
    assert_eq!(
        order.iter().cloned().collect::<BTreeSet<_>>(),
        declared,
        "the table of lib.rs and its modules"
    );
    let faults = upward(&order, &modules(&root(), &declared), "crate::");
    assert!(faults.is_empty(), "imports that run upwards:\n{}", faults.join("\n"));
    let entries = std::fs::read_dir(root()).unwrap().count();
    assert!(entries <= 20, "src/ has {entries} entries, at most 20 are allowed");
}

/// A folder states its order in its `mod.rs` with a table of the same form; the test then checks its modules.
#[test]
fn modules_of_a_folder_import_only_from_modules_below_them() {
    let mut stated = 0;
    for file in sources(&root()).into_iter().filter(|file| file.ends_with("mod.rs")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let order = documented_order(&text);
        if order.is_empty() {
            continue;
        }
        stated += 1;
        let folder = file.parent().unwrap();
        let mut declared = declared(&text);
        declared.remove("tests");
        let missing: Vec<_> = declared.iter().filter(|name| !order.contains(name)).collect();
        assert!(missing.is_empty(), "{}: not in its table: {missing:?}", file.display());
        let unknown: Vec<_> = order.iter().filter(|name| !declared.contains(*name)).collect();
        assert!(unknown.is_empty(), "{}: in its table only: {unknown:?}", file.display());
        let path = folder
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .replace('/', "::");
        let modules = modules(folder, &declared);
        let mut faults = upward(&order, &modules, &format!("crate::{path}::"));
        faults.extend(upward(&order, &modules, "super::"));
        assert!(faults.is_empty(), "imports that run upwards:\n{}", faults.join("\n"));
    }
    assert!(stated >= 3, "only {stated} folders state an order");
}

/// No glob re-export: a type has only one path.
#[test]
fn nothing_is_exported_by_a_glob() {
    for file in sources(&root()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let globs: Vec<_> = text
            .lines()
            .filter(|line| line.trim_start().starts_with("pub use") && line.ends_with("::*;"))
            .collect();
        assert!(globs.is_empty(), "{}: {globs:?}", file.display());
    }
}

#[test]
fn lists_in_braces_are_read() {
    let text = "use crate::{a::{b, c}, d, e_f::g as h};\nuse crate::i::{self, j};\nmycrate::k";
    assert_eq!(
        imported(text, "crate::"),
        ["a", "d", "e_f", "i"].map(str::to_owned).into()
    );
}
