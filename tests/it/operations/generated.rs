//! The generated files that are shipped are those of this build.

use crate::generated;
use crate::support::generated::are_current;

#[test]
fn the_shipped_schema_is_that_of_this_build() {
    are_current(&[generated::schema()]);
}

#[test]
fn the_manual_page_is_that_of_this_build() {
    are_current(&[generated::manual::document()]);
}

#[test]
fn the_chart_has_the_rules_and_the_dashboard() {
    are_current(&generated::chart());
}

/// Nothing is generated that no test compares.
#[test]
fn every_generated_file_is_up_to_date() {
    are_current(&generated::all());
}
