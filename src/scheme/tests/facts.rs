//! The facts of the providers: complete, and in agreement with the presets.

use super::super::facts::{self, EqualBytes, Retry};
use super::*;
use std::collections::BTreeSet;

fn rows() -> impl Iterator<Item = (&'static str, &'static facts::ProviderFacts)> {
    presets::names().map(|name| (name, facts::find(name).unwrap_or_else(|| panic!("{name} has no facts"))))
}

#[test]
fn every_preset_has_facts_and_every_row_of_facts_a_preset() {
    let table: toml::Table = include_str!("../facts.toml").parse().unwrap();
    let named: BTreeSet<&str> = table.keys().map(String::as_str).collect();
    assert_eq!(named, presets::names().collect());
    for (name, facts) in rows() {
        assert!(!facts.sources.is_empty(), "{name}");
        assert!(["2xx", "200"].contains(&facts.acknowledgement.as_str()), "{name}");
        for text in facts.deadline.iter() {
            assert!(humantime::parse_duration(text).is_ok(), "{name}: {text}");
        }
    }
}

#[test]
fn facts_agree_with_the_presets() {
    for (name, facts) in rows() {
        let description = presets::find(name).unwrap();
        assert_eq!(facts.id.is_some(), description.delivery_id.is_some(), "{name}");
        // A sender that signs no time has nothing new to sign for a retry, and a signed time makes bytes differ.
        let signs_time = description.timestamp.is_some();
        assert!(signs_time || facts.retry != Some(Retry::SignedAgain), "{name}");
        // The time of AWS SNS is the message's, and not that of the attempt.
        let is_of_event = name == "aws-sns";
        assert!(
            !signs_time || is_of_event || facts.retry != Some(Retry::SameBytes),
            "{name}"
        );
        assert!(!signs_time || facts.equal_bytes == EqualBytes::No, "{name}");
        assert!(
            facts.equal_bytes != EqualBytes::UnlessId || facts.id.is_some(),
            "{name}"
        );
    }
}

#[test]
fn coverage_says_what_each_preset_signs() {
    for name in presets::names() {
        if presets::takes_public_keys(name) || presets::fetches_keys(name) {
            continue;
        }
        let verifier = Verifier::new(name, None, keys(&[example_secret(name)]), example_url(name)).unwrap();
        let description = presets::description(name).unwrap();
        let expected = match (name, description.payload.clone()) {
            ("mailgun", _) => Coverage::SingleUseToken,
            ("adyen" | "atlassian-connect", _) => Coverage::Part,
            _ if verifier.compares_token() => Coverage::Part,
            ("http-signatures", _) => Coverage::Whole,
            (_, None) | ("linkedin" | "recharge", _) => Coverage::BodyOnly,
            (_, Some(_)) => Coverage::Whole,
        };
        assert_eq!(verifier.coverage(), expected, "{name}");
    }
}
