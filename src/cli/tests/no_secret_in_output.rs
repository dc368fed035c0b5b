//! For any content of the file and the environment, loading ends with a configuration or with faults, without a panic,
//! and no output contains a secret.

use crate::cli::check;
use crate::config::inspect;
use crate::config::tests::{Fixture, SECRET};
use proptest::prelude::*;

/// The output of `check` and `Debug` for a fixture.
fn all_output(fixture: &Fixture) -> String {
    let mut out = Vec::new();
    for format in [check::Format::Toml, check::Format::Json, check::Format::Quiet] {
        check::run(&fixture.sources(), format, &mut out).unwrap();
    }
    let debug = match fixture.inspect() {
        Ok(loaded) => format!("{loaded:?}"),
        Err(faults) => format!("{faults:?}"),
    };
    format!("{}\n{debug}\n{:?}", String::from_utf8(out).unwrap(), fixture.sources())
}

/// Keys of every kind: tables, lists, and values of every type.
const KEYS: [&str; 36] = [
    "workers",
    "listen",
    "listen.tls",
    "listen.plaintext",
    "listen.mode",
    "listen.tls_minimum",
    "limits",
    "limits.connections",
    "limits.head_bytes",
    "limits.head_timeout",
    "drain.delay",
    "log",
    "log.format",
    "log.audit",
    "replay.capacity",
    "route.0.secrets",
    "route.0.secrets.0",
    "route.0.secrets.0.env",
    "route.0.public_keys",
    "route.0.custom",
    "route.0.tolerance",
    "route.0.replay",
    "route.0.replay.window",
    "route.0.mode",
    "route.0.body_limit",
    "route.0.reject_status",
    "route.0.refusal_detail",
    "route.0.methods",
    "upstreams",
    "upstreams.a",
    "upstreams.a.client",
    "upstreams.a.url",
    "upstreams.a.ejection",
    "upstreams.a.health_check",
    "route.0.upstream",
    "admin.readiness",
];

/// CASES I03, I15: the secret is put into every place whose value could be printed.
#[test]
fn no_output_shows_a_secret() {
    for key in KEYS {
        for shape in [
            "VALUE",
            "{ a = \"VALUE\" }",
            "[\"VALUE\"]",
            "[[\"VALUE\"]]",
            "{ env = \"VALUE\" }",
            "{ value = \"VALUE\" }",
        ] {
            let text = all_output(&Fixture::minimal("", "").option(key, &shape.replace("VALUE", SECRET)));
            assert!(!text.contains("canary"), "{key} = {shape}: {text}");
        }
    }
}

/// The same for a valid configuration, whose secrets are in use.
#[test]
fn no_output_of_a_valid_configuration_shows_a_secret() {
    let upstream =
        r#"{ url = "http://127.0.0.1:8000", headers = { X-A = { env = "PADDLE_WEBHOOK_SECRET" }, X-B = "canary" } }"#;
    let fixture = Fixture::minimal("", "").option("route.0.upstream", upstream);
    fixture.config();
    let text = all_output(&fixture);
    assert!(text.contains("[redacted]") && !text.contains("canary"), "{text}");
}

/// The list of faults has a limit of 100 entries.
#[test]
fn only_the_first_100_faults_are_listed() {
    let lines: String = (0..20_000).map(|at| format!("k{at} = {at}\n")).collect();
    assert_eq!(Fixture::new(&lines).faults().faults.len(), 100);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_accepted_or_gives_faults(text in "\\PC*") {
        let _ = inspect(&Fixture::new(&text).sources());
    }

    /// A part of the shipped file is replaced by TOML that is likely to confuse a parser.
    #[test]
    fn a_damaged_file_is_accepted_or_gives_faults(from in 0_usize..100, to in 0_usize..100, with in prop::sample::select(vec![
        "", "[", "]]", "{", "}", "\"", "\u{27}\u{27}\u{27}", "=", "\n[[route]]\n", "\n[listen]\n", "0x", "1e400", "nan", "-0",
        "9223372036854775808", "1979-05-27T07:32:00Z", "\u{0}", "\u{feff}", "a.b.c = 1", "\"\\uD800\"", "[[[[[[[[[[[[[[[[", "true", "= {}",
        "= []", "= [{}, 1, \"a\"]",
    ])) {
        let text = include_str!("../../../gateway.toml");
        let at = |percent: usize| {
            text.char_indices().nth(text.chars().count() * percent / 100).map_or(text.len(), |(at, _)| at)
        };
        let (from, to) = (at(from.min(to)), at(from.max(to)));
        let fixture = Fixture::new(&format!("{}{with}{}", &text[..from], &text[to..]));
        prop_assert!(!all_output(&fixture).contains("canary"));
    }
}
