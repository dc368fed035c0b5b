//! The benchmark of unsigned requests, and its table in docs/security.md.

#[path = "../../../benches/unsigned/requests/mod.rs"]
mod requests;

use hookgate::outcome::Rejection;
use hookgate::scheme::presets;

const MANUAL: &str = include_str!("../../../docs/security.md");

/// The part of the manual with the table.
fn section() -> &'static str {
    let begin = MANUAL.split("<!-- table of cargo bench --bench unsigned -->").nth(1);
    let section = begin.and_then(|text| text.split("\n## ").next());
    section.expect("docs/security.md has no table of unsigned requests")
}

/// The rows of the table: the preset, and the milliseconds.
fn rows() -> Vec<(&'static str, f64)> {
    let cells = section()
        .lines()
        .map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let rows = cells.filter_map(|cells| Some((*cells.get(1)?, cells.get(3)?.parse().ok()?)));
    rows.collect()
}

/// No preset is without requests: the benchmark makes them from the preset's description.
#[test]
fn the_benchmark_has_requests_for_every_preset() {
    let cases = requests::all(16 << 10);
    for provider in presets::names() {
        let case = cases.iter().find(|case| case.name == format!("`{provider}`"));
        let requests = case.map_or(0, |case| case.requests.len());
        assert!(requests > 5, "{provider} has {requests} requests");
    }
}

/// Every row was measured with requests that are refused for their signature alone, after all of the work.
#[test]
fn the_measured_requests_are_refused_for_their_signature() {
    let cases = requests::all(16 << 10);
    for (name, _) in rows() {
        let case = cases.iter().find(|case| case.name == name);
        let case = case.unwrap_or_else(|| panic!("the benchmark has no requests for {name}"));
        let verdicts: Vec<(&str, Option<Rejection>)> = case
            .requests
            .iter()
            .map(|request| {
                let mut aged = case.aged(request);
                aged.update(&request.body);
                let verified = aged.verify(std::slice::from_ref(&request.body), requests::NOW);
                (request.name, verified.err())
            })
            .collect();
        let is_checked = verdicts
            .iter()
            .any(|(_, verdict)| *verdict == Some(Rejection::SignatureMismatch));
        assert!(is_checked, "{name}: {verdicts:?}");
    }
}

#[test]
fn the_table_has_every_preset_or_says_that_it_was_not_measured() {
    for provider in presets::names() {
        let mentions = section().matches(&format!("`{provider}`")).count();
        assert!(
            mentions > 0,
            "{provider}: run `cargo bench --profile release --bench unsigned` and copy its table to docs/security.md"
        );
    }
    for (name, ms) in rows() {
        assert!(ms <= 5.0, "{name}: {ms} ms");
    }
}
