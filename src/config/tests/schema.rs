//! The JSON Schema: the shipped file is up to date, and every key of the documents is in it.

use crate::config::schema;
use serde_json::Value;
use std::path::Path;

/// The schema that is shipped, for editors.
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/schema/gateway.schema.json");

/// `UPDATE_LISTS=1` writes the file.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the variable is for this test, not for the program"
)]
fn the_shipped_schema_is_that_of_this_build() {
    let text = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_LISTS").is_some() {
        std::fs::create_dir_all(Path::new(SHIPPED).parent().unwrap()).unwrap();
        std::fs::write(SHIPPED, &text).unwrap();
    }
    let shipped = std::fs::read_to_string(SHIPPED).unwrap_or_default();
    assert_eq!(
        shipped, text,
        "run UPDATE_LISTS=1 cargo nextest run -E 'test(shipped_schema)'"
    );
}

/// Editors show the text of the reference for each key.
#[test]
fn keys_have_the_description_of_the_reference() {
    let schema = schema();
    let at = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).clone();
    let text = |pointer: &str| at(&format!("{pointer}/description")).as_str().unwrap().to_owned();
    assert!(text("/properties/workers").contains("number of worker threads"));
    assert!(text("/properties/limits/properties/idle_timeout").contains("75s"));
    let route = "/properties/route/anyOf/0/properties";
    assert!(text(&format!("{route}/body_limit")).contains("largest"));
    let secret = at(&format!("{route}/secrets/anyOf/0"));
    assert_eq!(secret["additionalProperties"], Value::Bool(false));
    assert_eq!(
        at(&format!("{route}/mode/enum")),
        serde_json::json!(["verify", "report", "authorize"])
    );
    assert!(!schema.to_string().contains("\"null\""));
}
