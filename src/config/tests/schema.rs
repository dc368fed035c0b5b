//! The JSON Schema: the keys have the descriptions of the documents.

use crate::config::schema;
use serde_json::Value;

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
