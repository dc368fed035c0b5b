//! A value as a program printed it. Numbers keep their text, because `1.50` and `1.5` are different bytes.

use std::fmt::Write as _;

/// A printed value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Nothing: `null`, `nil`, `None`.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, in its text.
    Number(String),
    /// Text.
    Text(String),
    /// Bytes that were printed as such.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// Names with values, in their order.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The value of the first member whose name is in `names`, in any case. Earlier names win.
    pub(super) fn member(&self, names: &[&str]) -> Option<&Self> {
        let Self::Map(members) = self else {
            return None;
        };
        names.iter().find_map(|name| {
            let found = members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value)
        })
    }

    /// The value at a path of member names.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, name| value.member(&[name]))
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            Self::Bytes(bytes) => String::from_utf8(bytes.clone()).ok(),
            Self::Bool(flag) => Some(flag.to_string()),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The value as compact JSON; characters are escaped only where JSON requires it.
    pub(super) fn json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        let text = |text: &str, out: &mut String| match serde_json::to_string(text) {
            Ok(written) => out.push_str(&written),
            Err(_) => out.push_str("\"\""),
        };
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(flag) => drop(write!(out, "{flag}")),
            Self::Number(number) => out.push_str(number),
            Self::Text(value) => text(value, out),
            Self::Bytes(bytes) => text(&String::from_utf8_lossy(bytes), out),
            Self::List(values) => {
                out.push('[');
                for (at, value) in values.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    value.write(out);
                }
                out.push(']');
            }
            Self::Map(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}
