//! The documents of the providers: they are those of the rows, and what they show is valid.

use crate::generated::providers;
use crate::support::generated::are_current;
use crate::support::tools::repository;
use hookgate::scheme::presets;

#[test]
fn the_tables_and_the_pages_of_the_providers_are_up_to_date() {
    are_current(&providers::documents());
}

#[test]
fn every_page_of_a_provider_belongs_to_a_preset() {
    assert_eq!(providers::pages_without_preset(), [] as [std::path::PathBuf; 0]);
}

/// What a page shows is a configuration that `check` accepts.
#[test]
fn the_snippets_of_the_pages_are_valid() {
    for name in presets::names() {
        let page = std::fs::read_to_string(repository(&format!("docs/providers/{name}.md"))).unwrap();
        let snippet = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let table: toml::Table = snippet.parse().unwrap();
        assert_eq!(table["route"][0]["provider"].as_str(), Some(name));
    }
}
