//! The JSON Schema of the types whose form in the file is not that of their Rust type. The pattern of each text is that of
//! its parser, so that an editor marks what `check` refuses.

use super::acme_keys::{AcmeStorage, AcmeStorageTable};
use super::challenge_reference::ChallengeReference;
use super::file::{ServerEntry, ServerTable, Upstream, UpstreamReference};
use super::inbox_keys::{Order, OrderKind};
use super::secret_reference::{RouteSecret, RouteSecretTable, SecretReference, SecretTable, TextOrSecret};
use super::value::{Count, DurationValue, FileMode, Flag, Keyword, Keywords, OneOrMany, RequestRate, Size, Tolerance};
use crate::scheme::LocationDescription;
use crate::scheme::challenge::ChallengeDescription;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;
use std::borrow::Cow;

/// The schema of a type without parameters.
macro_rules! schemas {
    ($($type:ty = |$generator:ident| $schema:expr;)+) => {
        $(impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        })+
    };
}

schemas! {
    Count = |_generator| json_schema!({ "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+$" });
    Flag = |_generator| json_schema!({ "enum": [true, false, "true", "false"] });
    DurationValue = |_generator| json_schema!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$" });
    Tolerance = |_generator| json_schema!({ "type": "string", "pattern": "^(unlimited|([0-9]+(ms|s|m|h|d))+)$" });
    Size = |_generator| json_schema!({
        "type": ["integer", "string"],
        "minimum": 0,
        "pattern": "^\\s*[0-9]+\\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)?\\s*$"
    });
    RequestRate = |_generator| json_schema!({ "type": "string", "pattern": "^[0-9]+\\s*/\\s*[smh]$" });
    FileMode = |_generator| json_schema!({ "type": "string", "pattern": "^[0-7]{3,4}$" });
    SecretReference = |generator| SecretTable::json_schema(generator);
    RouteSecret = |generator| RouteSecretTable::json_schema(generator);
    TextOrSecret = |generator| either([text(), SecretTable::json_schema(generator)]);
    AcmeStorage = |generator| either([text(), AcmeStorageTable::json_schema(generator)]);
    ServerEntry = |generator| either([text(), ServerTable::json_schema(generator)]);
    UpstreamReference = |generator| {
        let servers = json_schema!({ "type": "array", "items": ServerEntry::json_schema(generator) });
        either([text(), servers, Upstream::json_schema(generator)])
    };
    ChallengeReference = |generator| {
        either([Flag::json_schema(generator), OneOrMany::<ChallengeDescription>::json_schema(generator)])
    };
    Order = |generator| {
        either([Keyword::<OrderKind>::json_schema(generator), LocationDescription::json_schema(generator)])
    };
}

impl<T: Keywords> JsonSchema for Keyword<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Keyword".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = T::KEYWORDS.iter().map(|(word, _)| *word).collect();
        json_schema!({ "enum": words })
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = T::json_schema(generator);
        either([item.clone(), json_schema!({ "type": "array", "items": item })])
    }
}

fn text() -> Schema {
    json_schema!({ "type": "string" })
}

fn either<const N: usize>(schemas: [Schema; N]) -> Schema {
    let schemas = schemas.map(Schema::to_value);
    let mut both = json_schema!({});
    both.insert("anyOf".to_owned(), json!(schemas.to_vec()));
    both
}
