//! The JSON Schema of the configuration file, for editors. It is made of the types that read the file ([`super::file`]), and
//! its descriptions are the tables of `docs/configuration.md`.

use super::file::File;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The reference of all keys; a table after `<!-- keys: listen -->` has the keys of `[listen]`.
const REFERENCE: &str = include_str!("../../docs/configuration.md");

/// Descriptions by section and key.
type Descriptions = BTreeMap<(String, String), String>;

/// The schema, in the draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<File>().to_value();
    complete(&mut schema, "", &descriptions());
    if let Some(table) = schema.as_object_mut() {
        table.insert("title".to_owned(), json!("The configuration of hookgate"));
        table.remove("description");
    }
    schema
}

/// Removes what TOML does not have (`null`) and what is of use inside the program only, and adds the descriptions.
fn complete(schema: &mut Value, section: &str, descriptions: &Descriptions) {
    let Some(table) = schema.as_object_mut() else {
        return;
    };
    table.remove("default");
    table.remove("format");
    if let Some(Value::Array(types)) = table.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            table.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = table.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    for key in ["anyOf", "oneOf"] {
        let Some(Value::Array(variants)) = table.get_mut(key) else {
            continue;
        };
        variants.retain(|variant| variant.get("type").is_none_or(|kind| kind != "null"));
        variants
            .iter_mut()
            .for_each(|variant| complete(variant, section, descriptions));
        if let [Value::Object(only)] = variants.as_slice() {
            let only = only.clone();
            table.remove(key);
            table.extend(only);
        }
    }
    if let Some(items) = table.get_mut("items") {
        complete(items, section, descriptions);
    }
    if let Some(names) = table.get_mut("additionalProperties") {
        complete(names, &join(section, "NAME"), descriptions);
    }
    if let Some(Value::Object(properties)) = table.get_mut("properties") {
        describe(properties, section, descriptions);
    }
}

fn describe(properties: &mut Map<String, Value>, section: &str, descriptions: &Descriptions) {
    for (key, value) in properties {
        complete(value, &join(section, key), descriptions);
        let text = descriptions.get(&(section.to_owned(), key.clone()));
        if let (Some(text), Some(table)) = (text, value.as_object_mut()) {
            table.insert("description".to_owned(), json!(text));
        }
    }
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    }
}

/// Reads the tables of the reference.
fn descriptions() -> Descriptions {
    let mut found = Descriptions::new();
    let mut section = None;
    for line in REFERENCE.lines() {
        if let Some(marker) = line.strip_prefix("<!-- keys:") {
            section = Some(marker.trim_end_matches("-->").trim().to_owned());
        } else if line.starts_with('#') {
            section = None;
        } else if let Some(section) = &section
            && let Some((keys, rest)) = line.strip_prefix("| `").and_then(|row| row.split_once(" | "))
        {
            // Of a row with several keys each has the text.
            let columns: Vec<&str> = rest.trim_end_matches(" |").split(" | ").collect();
            let text = columns.join(". ").replace('`', "");
            for key in keys.split(',').map(|key| key.trim_matches(['`', ' '])) {
                found.insert((section.clone(), key.to_owned()), text.clone());
            }
        }
    }
    found
}
