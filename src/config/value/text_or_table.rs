//! A value that is written as a text or as a table.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor, value};
use std::fmt;
use std::marker::PhantomData;

/// A value as it is written.
pub(in crate::config) enum TextOrTable<T> {
    /// A text.
    Text(String),
    /// A table.
    Table(T),
}

impl<'de, T: Deserialize<'de>> TextOrTable<T> {
    /// Reads the value. `expected` says what may be written, for the fault of another type.
    ///
    /// # Errors
    /// The value has another type, or the table has a fault.
    pub(in crate::config) fn read<D: Deserializer<'de>>(
        deserializer: D,
        expected: &'static str,
    ) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrTableVisitor {
            expected,
            table: PhantomData,
        })
    }
}

struct TextOrTableVisitor<T> {
    expected: &'static str,
    table: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrTableVisitor<T> {
    type Value = TextOrTable<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<TextOrTable<T>, E> {
        Ok(TextOrTable::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TextOrTable<T>, A::Error> {
        T::deserialize(value::MapAccessDeserializer::new(map)).map(TextOrTable::Table)
    }
}
