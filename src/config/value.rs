//! Leaf values of the file: durations, sizes, counts, flags, words from a fixed set, and lists that may have one item.
//!
//! Every leaf takes text as well as its TOML type, because the environment and the command line have only text. Errors
//! say what is expected and never what was found: the value may be a secret in the wrong place. An error's first line
//! is the problem, its second what to write instead (`decode.rs` splits them).

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor, value};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// A value that is written as one TOML string, integer or boolean.
pub(super) trait Leaf: Sized {
    /// What is wrong with a value that does not parse.
    const PROBLEM: &'static str;

    /// What to write instead.
    fn fix() -> String;

    /// From text.
    fn from_text(text: &str) -> Option<Self>;

    /// From an integer, for the leaves that are written so.
    fn from_integer(_number: u64) -> Option<Self> {
        None
    }

    /// From a boolean, for the leaves that are written so.
    fn from_flag(_flag: bool) -> Option<Self> {
        None
    }
}

/// A whole number, `10000`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(pub(super) u64);

impl Leaf for Count {
    const PROBLEM: &'static str = "not a whole number";

    fn fix() -> String {
        String::from("write digits without quotes, such as 100")
    }

    fn from_text(text: &str) -> Option<Self> {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse().ok().map(Self))
            .flatten()
    }

    fn from_integer(number: u64) -> Option<Self> {
        Some(Self(number))
    }
}

/// `true` or `false`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag(pub(super) bool);

impl Leaf for Flag {
    const PROBLEM: &'static str = "neither true nor false";

    fn fix() -> String {
        String::from("write true or false")
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    fn from_flag(flag: bool) -> Option<Self> {
        Some(Self(flag))
    }
}

/// A duration with its unit, `"500ms"`, `"5s"`, `"2m"`, `"24h"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait(pub(super) Duration);

/// Beyond a year a timeout is a mistake, and adding it to a clock could overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

impl Leaf for Wait {
    const PROBLEM: &'static str = "not a duration";

    fn fix() -> String {
        String::from("write a number with its unit, such as \"500ms\", \"5s\", \"2m\" or \"24h\" (a year at most)")
    }

    fn from_text(text: &str) -> Option<Self> {
        let wait = humantime::parse_duration(text).ok()?;
        // humantime takes a bare 0.
        let has_unit = text.bytes().any(|byte| byte.is_ascii_alphabetic());
        (has_unit && wait <= LONGEST).then_some(Self(wait))
    }
}

/// A tolerance: a duration, or `"unlimited"` in words.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tolerance {
    /// Age is not judged.
    Unlimited,
    /// Both ways.
    Within(Duration),
}

impl Leaf for Tolerance {
    const PROBLEM: &'static str = "not a tolerance";

    fn fix() -> String {
        String::from("write whole seconds such as \"5s\", or \"unlimited\" to accept any age")
    }

    fn from_text(text: &str) -> Option<Self> {
        if text == "unlimited" {
            return Some(Self::Unlimited);
        }
        let Wait(wait) = Wait::from_text(text)?;
        // Clocks are compared in whole seconds; zero would refuse nearly everything and is not a way to say "off".
        (wait.subsec_nanos() == 0 && !wait.is_zero()).then_some(Self::Within(wait))
    }
}

/// A number of bytes, `"64KiB"`, `"1MiB"`, `"1MB"` or a plain integer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub(super) u64);

impl Leaf for Size {
    const PROBLEM: &'static str = "not a size in bytes";

    fn fix() -> String {
        String::from("write a whole number with its unit, such as \"64KiB\" or \"1MiB\"")
    }

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(unit_at)?;
        let factor: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }

    fn from_integer(number: u64) -> Option<Self> {
        Some(Self(number))
    }
}

/// Mode bits of a Unix socket, `"0660"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileMode(pub(super) u32);

impl Leaf for FileMode {
    const PROBLEM: &'static str = "not a file mode";

    fn fix() -> String {
        String::from("write octal digits in quotes, such as \"0660\"")
    }

    fn from_text(text: &str) -> Option<Self> {
        let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        is_octal
            .then(|| u32::from_str_radix(text, 8).ok())
            .flatten()
            .filter(|mode| *mode <= 0o777)
            .map(Self)
    }
}

/// A word from a fixed set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<T>(pub(super) T);

/// The words of a type.
pub(super) trait Words: Copy + 'static {
    /// Each word with what it stands for.
    const WORDS: &'static [(&'static str, Self)];

    /// The word for a value, for printing.
    fn word(self) -> &'static str
    where
        Self: PartialEq,
    {
        Self::WORDS
            .iter()
            .find(|(_, value)| *value == self)
            .map_or("", |(word, _)| word)
    }
}

impl<T: Words> Leaf for Word<T> {
    const PROBLEM: &'static str = "not one of the words that this key takes";

    fn fix() -> String {
        let words: Vec<String> = T::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        format!("write {}", words.join(" or "))
    }

    fn from_text(text: &str) -> Option<Self> {
        T::WORDS
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| Self(*value))
    }
}

macro_rules! deserialize_leaf {
    ($($type:ty),+) => {
        $(impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(LeafVisitor(PhantomData))
            }
        })+
    };
}

deserialize_leaf!(Count, Flag, Wait, Tolerance, Size, FileMode);

impl<'de, T: Words> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LeafVisitor(PhantomData))
    }
}

struct LeafVisitor<L>(PhantomData<L>);

impl<L: Leaf> LeafVisitor<L> {
    fn take<E: Error>(leaf: Option<L>) -> Result<L, E> {
        leaf.ok_or_else(|| E::custom(format_args!("{}\n{}", L::PROBLEM, L::fix())))
    }
}

impl<'de, L: Leaf> Visitor<'de> for LeafVisitor<L> {
    type Value = L;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&L::fix())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<L, E> {
        Self::take(L::from_text(text))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<L, E> {
        Self::take(L::from_integer(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<L, E> {
        Self::take(u64::try_from(number).ok().and_then(L::from_integer))
    }

    fn visit_f64<E: Error>(self, _number: f64) -> Result<L, E> {
        Self::take(None)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<L, E> {
        Self::take(L::from_flag(flag))
    }

    fn visit_map<A: MapAccess<'de>>(self, _map: A) -> Result<L, A::Error> {
        Self::take(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _seq: A) -> Result<L, A::Error> {
        Self::take(None)
    }
}

/// A list, or one item in place of it. Each item keeps the index that it has in the file (`None` for a lone item).
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Vec<(Option<usize>, T)>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> List<T> {
    /// Items with their key paths below `key`.
    pub(super) fn into_paths(self, key: &str) -> impl Iterator<Item = (String, T)> {
        self.0
            .into_iter()
            .map(move |(index, item)| (index.map_or_else(|| key.to_owned(), |i| format!("{key}[{i}]")), item))
    }

    /// The same, borrowed.
    pub(super) fn paths(&self, key: &str) -> impl Iterator<Item = (String, &T)> {
        self.0
            .iter()
            .map(move |(index, item)| (index.map_or_else(|| key.to_owned(), |i| format!("{key}[{i}]")), item))
    }

    /// Whether nothing was written.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<List<T>, E> {
        T::deserialize(value::StrDeserializer::new(text)).map(|item| List(vec![(None, item)]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<List<T>, A::Error> {
        T::deserialize(value::MapAccessDeserializer::new(map)).map(|item| List(vec![(None, item)]))
    }

    /// `None` stands where `decode` took a faulty item out, so that its neighbours keep their indices.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
        let mut items = Vec::new();
        let mut index = 0;
        while let Some(item) = seq.next_element::<Option<T>>()? {
            items.extend(item.map(|item| (Some(index), item)));
            index += 1;
        }
        Ok(List(items))
    }
}
