//! A list, or a single item instead of a list.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor, value};
use std::fmt;
use std::marker::PhantomData;

/// A list, or a single item instead of a list. Each item has its index in the file (`None` for a single item).
#[derive(Debug)]
pub(in crate::config) struct OneOrMany<T>(pub(in crate::config) Vec<(Option<usize>, T)>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> OneOrMany<T> {
    /// The items with the paths of their keys; `key` is the path of the list.
    pub(in crate::config) fn into_paths(self, key: impl fmt::Display) -> impl Iterator<Item = (String, T)> {
        self.0
            .into_iter()
            .map(move |(index, item)| (index.map_or_else(|| key.to_string(), |i| format!("{key}[{i}]")), item))
    }

    /// As `into_paths`, with borrowed items.
    pub(in crate::config) fn paths(&self, key: impl fmt::Display) -> impl Iterator<Item = (String, &T)> {
        self.0
            .iter()
            .map(move |(index, item)| (index.map_or_else(|| key.to_string(), |i| format!("{key}[{i}]")), item))
    }

    /// The list with other items in place of these.
    pub(in crate::config) fn map<U>(self, make: impl Fn(T) -> U) -> OneOrMany<U> {
        OneOrMany(self.0.into_iter().map(|(index, item)| (index, make(item))).collect())
    }

    /// Whether the list is missing or has no items.
    pub(in crate::config) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMany<T>, E> {
        T::deserialize(value::StrDeserializer::new(text)).map(|item| OneOrMany(vec![(None, item)]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany<T>, A::Error> {
        T::deserialize(value::MapAccessDeserializer::new(map)).map(|item| OneOrMany(vec![(None, item)]))
    }

    /// An item is `None` if `decode` removed it as faulty. It is skipped, and the others keep their indices.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany<T>, A::Error> {
        let mut items = Vec::new();
        let mut index = 0;
        while let Some(item) = seq.next_element::<Option<T>>()? {
            items.extend(item.map(|item| (Some(index), item)));
            index += 1;
        }
        Ok(OneOrMany(items))
    }
}
