//! Single values of the file (durations, sizes, numbers, booleans, keywords), and lists that may be written as one item.
//!
//! Every value is accepted as text as well as in its TOML type, because the environment and the command line have only
//! text. Errors never quote the value, because it may be a secret at the wrong key. The first line of an error is the
//! problem, the second the fix (`decode` splits them).
//!
//! | module | what it is |
//! | --- | --- |
//! | [`list`] | a list, or a single item instead of it |
//! | [`quantity`] | numbers, durations, sizes, rates, modes |
//! | [`text_or_table`] | a value that is written as a text or as a table |

mod list;
mod quantity;
mod text_or_table;

pub(super) use list::OneOrMany;
pub(super) use quantity::{Count, DurationValue, FileMode, Flag, RequestRate, Size, Tolerance};
pub(super) use text_or_table::TextOrTable;

use crate::settings::{Audit, LogFormat, ReadyWhen, TlsVersion};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A value that is written as one TOML string, integer or boolean.
pub(super) trait SingleValue: Sized {
    /// The problem of a value that does not parse.
    const PROBLEM: &'static str;

    /// What to write instead of a value that does not parse.
    fn fix() -> String;

    /// What to write in place of this text, where the mistake is a common one.
    fn fix_for(_text: &str) -> Option<String> {
        None
    }

    /// Parses text.
    fn from_text(text: &str) -> Option<Self>;

    /// Converts an integer; `None` for types that are not written as an integer.
    fn from_integer(_number: u64) -> Option<Self> {
        None
    }

    /// Converts a boolean; `None` for types that are not written as a boolean.
    fn from_flag(_flag: bool) -> Option<Self> {
        None
    }
}

/// One word of a fixed set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyword<T>(pub(super) T);

/// A type whose values are written as keywords.
pub(super) trait Keywords: Copy + 'static {
    /// Each keyword with its value.
    const KEYWORDS: &'static [(&'static str, Self)];
}

impl<T: Keywords> SingleValue for Keyword<T> {
    const PROBLEM: &'static str = "this key does not accept this word";

    fn fix() -> String {
        let words: Vec<String> = T::KEYWORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        format!("write {}", words.join(" or "))
    }

    fn from_text(text: &str) -> Option<Self> {
        T::KEYWORDS
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| Self(*value))
    }
}

impl Keywords for TlsVersion {
    const KEYWORDS: &'static [(&'static str, Self)] = &[("1.2", Self::Tls12), ("1.3", Self::Tls13)];
}

impl Keywords for ReadyWhen {
    const KEYWORDS: &'static [(&'static str, Self)] = &[("serving", Self::Serving), ("upstream", Self::Upstream)];
}

impl Keywords for LogFormat {
    const KEYWORDS: &'static [(&'static str, Self)] = &[("json", Self::Json), ("human", Self::Human)];
}

impl Keywords for Audit {
    const KEYWORDS: &'static [(&'static str, Self)] =
        &[("all", Self::All), ("refused", Self::Refused), ("off", Self::Off)];
}

macro_rules! deserialize_single_values {
    ($($type:ty),+) => {
        $(impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(SingleValueVisitor(PhantomData))
            }
        })+
    };
}

deserialize_single_values!(Count, Flag, DurationValue, Tolerance, Size, RequestRate, FileMode);

impl<'de, T: Keywords> Deserialize<'de> for Keyword<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SingleValueVisitor(PhantomData))
    }
}

struct SingleValueVisitor<L>(PhantomData<L>);

impl<L: SingleValue> SingleValueVisitor<L> {
    fn take<E: Error>(value: Option<L>) -> Result<L, E> {
        value.ok_or_else(|| E::custom(format_args!("{}\n{}", L::PROBLEM, L::fix())))
    }
}

impl<'de, L: SingleValue> Visitor<'de> for SingleValueVisitor<L> {
    type Value = L;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&L::fix())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<L, E> {
        match (L::from_text(text), L::fix_for(text)) {
            // A fix that repeats the value is none: the value is out of bounds.
            (None, Some(fix)) if !fix.contains(&format!("\"{text}\"")) => {
                Err(E::custom(format_args!("{}\n{fix}", L::PROBLEM)))
            }
            (value, _) => Self::take(value),
        }
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
