//! The list of cases in `docs/security.md` is complete and up to date.

use crate::generated::cases::{self, Tests};
use crate::support::generated::are_current;

#[test]
fn the_list_of_cases_is_up_to_date() {
    are_current(&[cases::document()]);
}

/// A case has either a test or a reason, and a reason refers to shown cases only.
#[test]
fn a_case_needs_exactly_one_of_test_and_reason() {
    let rows = [("A01", "one"), ("A02", "two")];
    let mut tests = Tests::new();
    tests
        .entry("A01".to_owned())
        .or_default()
        .insert("protocol::one".to_owned());
    let messages = |reasons: &[(&str, &str)]| cases::faults(&rows, reasons, &tests).join("\n");
    assert_eq!(messages(&[("A02", "A01 shows the same.")]), "");
    assert!(messages(&[]).contains("A02 (two) has neither"));
    assert!(messages(&[("A01", "none"), ("A02", "none")]).contains("A01 (one) has a test and a reason"));
    assert!(messages(&[("A02", "see B07")]).contains("refers to B07"));
    tests
        .entry("A03".to_owned())
        .or_default()
        .insert("protocol::three".to_owned());
    assert!(
        cases::faults(&rows, &[("A02", "none")], &tests)
            .join("\n")
            .contains("A03: a test names this case")
    );
}

/// Names are paths of modules, those inside a file included.
#[test]
fn names_of_tests_are_paths_of_modules() {
    let mut found = Tests::new();
    let text = "/// A01: one.\n#[test]\nfn outer() {\n}\n\nmod tests {\n    /// A02: two.\n    #[test]\n    fn inner() {}\n}\n";
    cases::read(text, "protocol::slow", false, &mut found);
    cases::read("//! A03: any bytes.\n", "fuzz::fuzz_targets::head", true, &mut found);
    let names: Vec<&str> = found.values().flatten().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "protocol::slow::outer",
            "protocol::slow::tests::inner",
            "fuzz::fuzz_targets::head"
        ]
    );
    assert!(cases::tests()["F04"].contains("protocol::slow::a_slow_head_is_408"));
}
