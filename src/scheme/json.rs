//! Reads one value of a JSON body by its pointer (RFC 6901), without building the document.
//!
//! Reading is strict where two readers could differ: a repeated key on the path and a number that is not an integer are
//! errors, because the application may read the other value.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A parsed pointer with at least one token, so it never names the whole document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonPointer(Vec<String>);

impl JsonPointer {
    /// Parses `/a/0/b~1c`.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let tokens = text.strip_prefix('/').ok_or_else(|| {
            format!("`{text}` is not a JSON pointer: write it with a leading slash, such as `/data/id`.")
        })?;
        Ok(Self(
            tokens
                .split('/')
                .map(|token| token.replace("~1", "/").replace("~0", "~"))
                .collect(),
        ))
    }

    /// Reads the text, integer or truth value at the pointer; `None` when there is nothing or `null`.
    ///
    /// # Errors
    /// `()` when the body is not JSON, or the value is an object, an array or another number.
    pub(super) fn text(&self, body: &[u8]) -> Result<Option<String>, ()> {
        match self.search(body, Wanted::Text)? {
            Found::Text(text) => Ok(Some(text)),
            Found::Nothing | Found::Elements(_) => Ok(None),
        }
    }

    /// Counts the elements of the array at the pointer; `None` when there is no array.
    ///
    /// # Errors
    /// `()` when the body is not JSON.
    pub(super) fn elements(&self, body: &[u8]) -> Result<Option<usize>, ()> {
        match self.search(body, Wanted::Elements)? {
            Found::Elements(count) => Ok(Some(count)),
            Found::Nothing | Found::Text(_) => Ok(None),
        }
    }

    /// Follows the path through the whole body.
    fn search(&self, body: &[u8], wanted: Wanted) -> Result<Found, ()> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let found = Search { path: &self.0, wanted }
            .deserialize(&mut reader)
            .map_err(drop)?;
        reader.end().map_err(drop)?;
        Ok(found)
    }
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

/// What the caller wants to know about the value at the pointer.
#[derive(Clone, Copy)]
enum Wanted {
    /// Its text.
    Text,
    /// The number of its elements.
    Elements,
}

/// What was found at the pointer.
enum Found {
    /// Nothing, `null`, or a value of another kind.
    Nothing,
    Text(String),
    /// The number of elements of an array.
    Elements(usize),
}

/// The search in one value of the document.
#[derive(Clone, Copy)]
struct Search<'p> {
    /// The remaining tokens of the pointer.
    path: &'p [String],
    wanted: Wanted,
}

impl Search<'_> {
    /// The result for a value without elements: it is found only at the end of the path.
    fn scalar(self, text: impl Into<String>) -> Found {
        match self.wanted {
            Wanted::Text if self.path.is_empty() => Found::Text(text.into()),
            Wanted::Text | Wanted::Elements => Found::Nothing,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Found, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, an integer or a truth value")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Found, E> {
        Ok(self.scalar(value))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Found, E> {
        Ok(self.scalar(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Found, E> {
        Ok(self.scalar(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Found, E> {
        Ok(self.scalar(value.to_string()))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Found, E> {
        if self.path.is_empty() {
            Err(E::custom("not an integer"))
        } else {
            Ok(Found::Nothing)
        }
    }

    fn visit_unit<E: Error>(self) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let Some((token, path)) = self.path.split_first() else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return match self.wanted {
                Wanted::Text => Err(A::Error::custom("an object")),
                Wanted::Elements => Ok(Found::Nothing),
            };
        };
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key != token.as_str() {
                map.next_value::<IgnoredAny>()?;
            } else if found.is_some() {
                return Err(A::Error::custom("a repeated key"));
            } else {
                found = Some(map.next_value_seed(Search { path, ..self })?);
            }
        }
        Ok(found.unwrap_or(Found::Nothing))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found, A::Error> {
        let Some((token, path)) = self.path.split_first() else {
            let mut count = 0;
            while seq.next_element::<IgnoredAny>()?.is_some() {
                count += 1;
            }
            return match self.wanted {
                Wanted::Text => Err(A::Error::custom("an array")),
                Wanted::Elements => Ok(Found::Elements(count)),
            };
        };
        // RFC 6901: an index is digits without a leading zero. Anything else names no element.
        let wanted_index = token.parse::<usize>().ok().filter(|index| index.to_string() == *token);
        let mut found = Found::Nothing;
        for index in 0.. {
            if Some(index) == wanted_index {
                match seq.next_element_seed(Search { path, ..self })? {
                    Some(value) => found = value,
                    None => break,
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]
    use super::*;
    use proptest::prelude::*;

    fn text(pointer: &str, body: &str) -> Result<Option<String>, ()> {
        JsonPointer::parse(pointer).unwrap().text(body.as_bytes())
    }

    #[test]
    fn the_value_at_the_pointer_is_found() {
        let body = r#"{"a":{"b":[1,{"c":"x"},true,-5,null]},"m~n":"t","o/p":"s","":"e","a\u0062":"esc"}"#;
        for (pointer, expected) in [
            ("/a/b/0", Some("1")),
            ("/a/b/1/c", Some("x")),
            ("/a/b/2", Some("true")),
            ("/a/b/3", Some("-5")),
            ("/a/b/4", None),
            ("/a/b/5", None),
            ("/a/b/01", None),
            ("/a/b/x", None),
            ("/m~0n", Some("t")),
            ("/o~1p", Some("s")),
            ("/", Some("e")),
            ("/ab", Some("esc")),
            ("/zz", None),
            ("/m~0n/deeper", None),
        ] {
            assert_eq!(text(pointer, body), Ok(expected.map(str::to_owned)), "{pointer}");
        }
        assert_eq!(JsonPointer::parse("/m~0n/o~1p/").unwrap().to_string(), "/m~0n/o~1p/");
        assert!(JsonPointer::parse("a").is_err() && JsonPointer::parse("").is_err());
    }

    #[test]
    fn bodies_that_two_readers_could_read_differently_are_refused() {
        for body in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1}x"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":{}}"#,
            r#"{"a":[1]}"#,
            "",
            "{",
        ] {
            assert_eq!(text("/a", body), Err(()), "{body}");
        }
        assert_eq!(text("/a", r#"{"a":99999999999999999999}"#), Err(()));
        assert_eq!(text("/b", &"[".repeat(100_000)), Err(()));
        assert_eq!(text("/b", r#"{"a":1,"a":2,"b":3}"#), Ok(Some("3".into())));
    }

    #[test]
    fn elements_of_an_array_are_counted() {
        let count = |pointer, body: &str| JsonPointer::parse(pointer).unwrap().elements(body.as_bytes());
        assert_eq!(count("/a", r#"{"a":[{},{}]}"#), Ok(Some(2)));
        assert_eq!(count("/a", r#"{"a":[]}"#), Ok(Some(0)));
        assert_eq!(count("/a", r#"{"a":{"0":1}}"#), Ok(None));
        assert_eq!(count("/a", r#"{"b":[]}"#), Ok(None));
    }

    proptest! {
        /// The pointer of serde_json over the built document finds the same value.
        #[test]
        fn values_agree_with_the_pointer_of_serde_json(key in "[a-z~/]{0,3}", other in "[a-z~/]{0,3}", value in "\\PC{0,8}", index in 0usize..4) {
            let mut object = serde_json::Map::new();
            object.insert(key.clone(), serde_json::json!([1, "two", {&other: value}]));
            let document = serde_json::Value::Object(object);
            let escape = |token: &str| token.replace('~', "~0").replace('/', "~1");
            for pointer in [
                format!("/{}/{index}", escape(&key)),
                format!("/{}/{index}/{}", escape(&key), escape(&other)),
                format!("/{}", escape(&other)),
            ] {
                let expected = document.pointer(&pointer).map(|v| match v {
                    serde_json::Value::String(text) => Ok(text.clone()),
                    serde_json::Value::Number(number) => Ok(number.to_string()),
                    _ => Err(()),
                }).transpose();
                prop_assert_eq!(text(&pointer, &document.to_string()), expected, "{}", pointer);
            }
        }
    }
}
