//! The lists of guards in `docs/security.md`, `docs/inbox.md` and `docs/console.md` name tests that exist.

use crate::support::tools::repository;
use std::path::PathBuf;

/// The names in the list: paths of tests as nextest prints them.
fn named(manual: &str) -> Vec<&str> {
    let list = manual.split("<!-- guards: ").nth(1);
    let list = list.and_then(|rest| rest.split("<!-- end of guards -->").next());
    let words = list.expect("there is no list of guards").split('`');
    words.filter(|word| word.contains("::")).collect()
}

/// Whether a test with this path exists, in `src` or in `tests/it`.
fn exists(name: &str) -> bool {
    let mut parts: Vec<&str> = name.split("::").collect();
    let function = parts.pop().unwrap_or_default();
    let heads = [format!("fn {function}("), format!("async fn {function}(")];
    let is_in = |text: &str| {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let is_function = |line: &str| heads.iter().any(|head| line.starts_with(head.as_str()));
        let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let mut at = lines.iter().enumerate().filter(|(_, line)| is_function(line));
        at.any(|(index, _)| lines[..index].iter().rev().take(3).any(is_test) || text.contains("proptest!"))
    };
    // The module is a file, or in the file of its parent.
    let module = parts.join("/");
    let parent = parts[..parts.len().saturating_sub(1)].join("/");
    let files = ["src", "tests/it"].into_iter().flat_map(|root| {
        let at = |path: &str| [format!("{root}/{path}.rs"), format!("{root}/{path}/mod.rs")];
        [at(&module), at(&parent)].concat()
    });
    let mut paths = files.map(|path| -> PathBuf { repository(&path) });
    paths.any(|path| std::fs::read_to_string(path).is_ok_and(|text| is_in(&text)))
}

#[test]
fn every_guard_has_tests_that_exist() {
    for (document, least) in [("security", 60), ("inbox", 40), ("console", 14)] {
        let manual = std::fs::read_to_string(repository(&format!("docs/{document}.md"))).unwrap();
        let names = named(&manual);
        assert!(names.len() > least, "{document}: {} names", names.len());
        let missing: Vec<&&str> = names.iter().filter(|name| !exists(name)).collect();
        assert!(
            missing.is_empty(),
            "docs/{document}.md names tests that do not exist: {missing:#?}"
        );
        let rows = manual.split("<!-- guards: ").nth(1).unwrap();
        let rows = rows.lines().skip(3).take_while(|row| row.starts_with('|'));
        for row in rows.filter(|row| !row.starts_with("| **")) {
            assert!(row.contains("::"), "no test: {row}");
        }
    }
    assert!(!exists("protocol::bounds::a_test_that_nobody_wrote"));
    assert!(!exists("protocol::slow::heads_are_bounded"));
}
