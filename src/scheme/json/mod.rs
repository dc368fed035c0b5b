//! Reads values of a JSON body by their pointers (RFC 6901), without building the document. However many values a scheme
//! needs, the body is read once.
//!
//! Reading is strict where two readers could differ: a repeated key on the path, a key that differs from one on the path
//! in its case only, and a number that is not an integer are errors, because the application may read the other value.
//! Go's `encoding/json` and Newtonsoft's Json.NET, for example, match names without regard to case, and the last one
//! counts.

use super::form::{self, FormField};
use super::letter_case;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
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

    /// The last part: the name of the value.
    pub(super) fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// Reads the text, integer or truth value at the pointer; `None` when there is nothing or `null`.
    ///
    /// # Errors
    /// `()` when the body is not JSON, or the value is an object, an array or another number.
    pub(super) fn text(&self, body: &[u8]) -> Result<Option<String>, ()> {
        let plan = JsonPlan::new([self], None, &[]);
        let values = plan.read(body)?;
        Ok(values.text(self).map(str::to_owned))
    }
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

/// An array, each element of which must have a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonList {
    /// Where the array is.
    pub(super) array: JsonPointer,
    /// Where the text is within an element; `None` for elements that are texts.
    pub(super) text: Option<JsonPointer>,
    /// The most different texts.
    pub(super) most: usize,
}

/// All pointers that are read of one body, merged into a tree.
#[derive(Debug)]
pub(super) struct JsonPlan {
    /// The pointers whose text is read. [`Node::text`] is an index into them.
    pointers: Vec<JsonPointer>,
    /// The lists. [`Node::list`] is an index into them.
    lists: Vec<JsonList>,
    /// The document.
    root: Node,
}

/// A value on the way of a pointer.
#[derive(Debug, Default)]
struct Node {
    /// The key or the index of the value in its parent.
    token: String,
    /// The token as an index of an array. RFC 6901: digits without a leading zero.
    index: Option<usize>,
    /// Index of the pointer that ends here; `None` when none does.
    text: Option<usize>,
    /// Whether the elements of the array here are counted.
    is_counted: bool,
    /// What is read of every element of the array here.
    element: Option<Box<Self>>,
    /// Index of the list whose texts are here; `None` when none has any.
    list: Option<usize>,
    children: Vec<Self>,
    /// The lengths of the children's tokens that are ASCII without their case, one bit for each; see [`length_bit`].
    lengths: u64,
    /// Whether a child's token is not ASCII.
    is_beyond_ascii: bool,
}

/// The values of one body.
#[derive(Debug, Default)]
pub(super) struct JsonValues<'p> {
    /// The pointers of the plan; [`JsonValues::texts`] has the same order.
    pointers: &'p [JsonPointer],
    texts: Vec<Option<String>>,
    /// The number of elements of the counted array; `None` when there is no array.
    elements: Option<usize>,
    /// The lists of the plan, each with its different texts, and the number of elements that have one.
    lists: Vec<(&'p JsonList, Vec<String>, usize)>,
}

impl JsonPlan {
    /// Merges the pointers of texts, the pointer of an array whose elements are counted, and lists, each in an array of its
    /// own.
    pub(super) fn new<'p>(
        texts: impl IntoIterator<Item = &'p JsonPointer>,
        counted: Option<&JsonPointer>,
        lists: &[&JsonList],
    ) -> Self {
        let mut plan = Self {
            pointers: Vec::new(),
            lists: lists.iter().map(|list| (*list).clone()).collect(),
            root: Node::default(),
        };
        for (index, list) in lists.iter().enumerate() {
            let element = plan.root.insert(&list.array.0).element.get_or_insert_default();
            element.insert(list.text.as_ref().map_or(&[], |text| &text.0)).list = Some(index);
        }
        for pointer in texts {
            if !plan.pointers.contains(pointer) {
                plan.root.insert(&pointer.0).text = Some(plan.pointers.len());
                plan.pointers.push(pointer.clone());
            }
        }
        if let Some(pointer) = counted {
            plan.root.insert(&pointer.0).is_counted = true;
        }
        plan
    }

    /// Whether nothing is read.
    pub(super) const fn is_empty(&self) -> bool {
        self.root.children.is_empty()
    }

    /// The values in the fields of a form: the last part of a pointer is the name of the field.
    ///
    /// # Errors
    /// `()` for a field with two different values, and for a value that is not UTF-8.
    pub(super) fn read_form(&self, fields: &[FormField]) -> Result<JsonValues<'_>, ()> {
        let text = |pointer: &JsonPointer| {
            let value = form::value(fields, pointer.last()).map_err(drop)?;
            value
                .map(|value| std::str::from_utf8(value).map(str::to_owned).map_err(drop))
                .transpose()
        };
        Ok(JsonValues {
            pointers: &self.pointers,
            texts: self.pointers.iter().map(text).collect::<Result<_, _>>()?,
            elements: None,
            lists: Vec::new(),
        })
    }

    /// Reads all values of a body.
    ///
    /// # Errors
    /// `()` when the body is not JSON, when two readers could read one of the values differently, when a text is an object, an
    /// array or a number that is not an integer, or when an element of a list has no text or there are too many texts.
    pub(super) fn read(&self, body: &[u8]) -> Result<JsonValues<'_>, ()> {
        let mut values = JsonValues {
            pointers: &self.pointers,
            texts: vec![None; self.pointers.len()],
            elements: None,
            lists: self.lists.iter().map(|list| (list, Vec::new(), 0)).collect(),
        };
        let mut reader = serde_json::Deserializer::from_slice(body);
        let search = Search {
            node: &self.root,
            values: &mut values,
        };
        search.deserialize(&mut reader).map_err(drop)?;
        reader.end().map_err(drop)?;
        Ok(values)
    }
}

impl Node {
    /// The list that has its texts here or below.
    fn first_list(&self) -> Option<usize> {
        self.list.or_else(|| self.children.iter().find_map(Self::first_list))
    }

    /// The node of a path below this one; made if it does not exist.
    fn insert(&mut self, path: &[String]) -> &mut Self {
        let Some((token, rest)) = path.split_first() else {
            return self;
        };
        let at = self.children.iter().position(|child| child.token == *token);
        let at = at.unwrap_or(self.children.len());
        if at == self.children.len() {
            self.is_beyond_ascii |= !token.is_ascii();
            // A token such as `straße` equals the key `STRASSE`, so its text in ASCII counts too.
            let mut room = vec![0; 3 * token.len()];
            if let Some(ascii) = letter_case::to_ascii(token, &mut room) {
                self.lengths |= length_bit(ascii.len());
            }
            self.children.push(Self {
                token: token.clone(),
                index: token.parse().ok().filter(|index: &usize| index.to_string() == *token),
                ..Self::default()
            });
        }
        #[expect(clippy::indexing_slicing, reason = "the index was found or has just been made")]
        self.children[at].insert(rest)
    }
}

impl JsonValues<'_> {
    /// The text at a pointer of the plan; `None` when there is nothing or `null`.
    pub(super) fn text(&self, pointer: &JsonPointer) -> Option<&str> {
        let at = self.pointers.iter().position(|known| known == pointer)?;
        self.texts.get(at)?.as_deref()
    }

    /// The different texts of a list of the plan; empty where there is no array, or one without elements.
    pub(super) fn list(&self, list: &JsonList) -> &[String] {
        let mut known = self.lists.iter().filter(|(known, ..)| *known == list);
        known.next().map_or(&[], |(_, texts, _)| texts)
    }

    /// The number of elements of the counted array; `None` when there is no array.
    pub(super) const fn elements(&self) -> Option<usize> {
        self.elements
    }
}

/// The search in one value of the document.
struct Search<'s, 'p> {
    node: &'s Node,
    values: &'s mut JsonValues<'p>,
}

impl Search<'_, '_> {
    /// Keeps a value without elements if a pointer ends here, or a list has it.
    fn scalar<E: Error>(self, text: impl Into<String>) -> Result<(), E> {
        if let Some(slot) = self.node.text.and_then(|at| self.values.texts.get_mut(at)) {
            *slot = Some(text.into());
        } else if let Some((list, texts, found)) = self.node.list.and_then(|at| self.values.lists.get_mut(at)) {
            *found += 1;
            let text = text.into();
            if !texts.contains(&text) {
                if texts.len() == list.most {
                    return Err(E::custom("too many texts"));
                }
                texts.push(text);
            }
        }
        Ok(())
    }

    /// The number of elements of a list that have a text.
    fn found(values: &JsonValues<'_>, list: Option<usize>) -> usize {
        list.and_then(|at| values.lists.get(at)).map_or(0, |(.., found)| *found)
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, an integer or a truth value")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(if value { "true" } else { "false" })
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(value.to_string())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        match self.node.text.or(self.node.list) {
            Some(_) => Err(E::custom("not an integer")),
            None => Ok(()),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { node, values } = self;
        if node.text.or(node.list).is_some() {
            return Err(A::Error::custom("an object"));
        }
        let mut seen = vec![false; node.children.len()];
        while let Some(known) = map.next_key_seed(KeySearch(node))? {
            let Some((child, seen)) = known.and_then(|at| node.children.get(at).zip(seen.get_mut(at))) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(seen, true) {
                return Err(A::Error::custom("a repeated key"));
            }
            map.next_value_seed(Search { node: child, values })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { node, values } = self;
        if node.text.or(node.list).is_some() {
            return Err(A::Error::custom("an array"));
        }
        let list = node.element.as_ref().and_then(|element| element.first_list());
        let mut count = 0;
        loop {
            let child = node.children.iter().find(|child| child.index == Some(count));
            let element = match child.or(node.element.as_deref()) {
                Some(node) => seq.next_element_seed(Search { node, values })?,
                None => seq.next_element::<IgnoredAny>()?.map(drop),
            };
            if element.is_none() {
                break;
            }
            count += 1;
            if list.is_some() && Self::found(values, list) != count {
                return Err(A::Error::custom("an element without a text"));
            }
        }
        if node.is_counted {
            values.elements = Some(count);
        }
        Ok(())
    }
}

/// The bit of a length in bytes.
fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// Compares a key with those on the way of a pointer, without copying it. The result is the index of the equal one, or
/// `None` for a key that is not on the way.
struct KeySearch<'n>(&'n Node);

impl<'de> DeserializeSeed<'de> for KeySearch<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Option<usize>, D::Error> {
        reader.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KeySearch<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<usize>, E> {
        // Most keys equal no token of ASCII, as their lengths show. A sender could otherwise make each of very many keys
        // cost all comparisons.
        let mut room = [0; 64];
        let may_equal = match key.is_ascii() {
            true => self.0.lengths & length_bit(key.len()) != 0,
            false => match letter_case::to_ascii(key, &mut room) {
                Some(ascii) => self.0.lengths & length_bit(ascii.len()) != 0,
                // A key that is longer than the room may equal only a token that is as long.
                None => key.len() > room.len() && self.0.lengths & length_bit(usize::MAX) != 0,
            },
        };
        if !may_equal && (key.is_ascii() || !self.0.is_beyond_ascii) {
            return Ok(None);
        }
        for (at, node) in self.0.children.iter().enumerate() {
            if key == node.token {
                return Ok(Some(at));
            }
            if letter_case::is_equal(key, &node.token) {
                return Err(E::custom("a key that differs in its case only"));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
