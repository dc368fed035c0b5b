//! Parses values as programs print them: JSON, `repr` of Python, `inspect` of Ruby and Node, `print_r`, `var_export`
//! and `var_dump` of PHP, `map[…]` of Go.
//!
//! The parser accepts the union of these notations: whoever printed the value, its meaning is the same.

use super::value::Value;
use base64::Engine as _;

/// Largest nesting.
const MAX_DEPTH: usize = 64;

/// Parses the value at the beginning of `text`, and returns it with the rest of the text. `None` if the text does not
/// begin with a list or a map.
pub(super) fn parse(text: &str) -> Option<(Value, &str)> {
    let text = label(text);
    let mut parser = Parser { rest: text };
    let value = parser.value(0)?;
    matches!(value, Value::List(_) | Value::Map(_)).then_some((value, parser.rest))
}

/// The text without a label such as `headers:` or `const event =` before its first bracket on the same line.
fn label(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    let Some(at) = line.find(['{', '[']) else {
        return text;
    };
    let before = line.get(..at).unwrap_or_default().trim_end();
    let is_label = before.ends_with([':', '='])
        && before.len() < 40
        && before
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b" _.:=$@-".contains(&byte));
    if is_label { text.get(at..).unwrap_or(text) } else { text }
}

struct Parser<'t> {
    rest: &'t str,
}

impl Parser<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Skips white space, and then this text if it follows.
    fn take(&mut self, text: &str) -> bool {
        self.skip_space();
        let taken = self.rest.strip_prefix(text);
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    /// Takes the text up to `end`, and skips `end`.
    fn until(&mut self, end: &str) -> Option<String> {
        let (before, after) = self.rest.split_once(end)?;
        self.rest = after;
        Some(before.to_owned())
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip_space();
        if self.take("[Object: null prototype]") || self.take("Headers ") || self.take("IncomingMessage ") {
            return self.value(depth + 1);
        }
        if self.take("map[") {
            return self.go_map();
        }
        if let Some(value) = self.php_array(depth) {
            return Some(value);
        }
        if self.take("{") {
            return self.container("}", depth);
        }
        if self.take("[") {
            return self.container("]", depth);
        }
        if self.take("<Buffer ") {
            let digits = self.until(">")?;
            let bytes: Option<Vec<u8>> = digits
                .split(' ')
                .map(|pair| u8::from_str_radix(pair, 16).ok())
                .collect();
            return Some(bytes.map_or(Value::Null, Value::Bytes));
        }
        if self.take("#<") || self.take("<") {
            return self.skip_object();
        }
        if self.take("ImmutableMultiDict(") || self.take("Headers(") || self.take("EnvironHeaders(") || self.take("(") {
            return self.container(")", depth).map(only);
        }
        self.scalar()
    }

    /// Skips the rest of an object such as `#<IO:<STDERR>>`, whose value is not printed.
    fn skip_object(&mut self) -> Option<Value> {
        let mut depth = 1_usize;
        let end = self.rest.char_indices().find(|(_, c)| {
            match c {
                '<' => depth += 1,
                '>' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        self.rest = self.rest.get(end?.0 + 1..)?;
        Some(Value::Null)
    }

    /// The rest of a list or a map after its opening bracket. It is a map if its first element is a name with a value.
    fn container(&mut self, close: &str, depth: usize) -> Option<Value> {
        let mut members = Vec::new();
        let mut values = Vec::new();
        while !self.take(close) {
            let at = self.rest;
            if let Some(name) = self.name() {
                members.push((name, self.value(depth + 1)?));
            } else {
                self.rest = at;
                values.push(self.value(depth + 1)?);
            }
            if !self.take(",") && !self.take(";") && self.rest.is_empty() {
                return None;
            }
            if self.rest.len() == at.len() {
                return None;
            }
        }
        Some(if members.is_empty() && close != "}" {
            Value::List(values)
        } else {
            list_or_map(members)
        })
    }

    /// A name with the sign after it: `"a":`, `a:`, `'a' =>`, `:a=>`, `["a"]=>`.
    fn name(&mut self) -> Option<String> {
        self.skip_space();
        let in_brackets = self.rest.starts_with("[\"") || self.rest.starts_with("['");
        if in_brackets {
            self.take("[");
        }
        let is_symbol = self.rest.starts_with(':') && self.take(":");
        let name = if self.rest.starts_with(['"', '\'']) {
            self.quoted()?
        } else {
            let end = self.rest.find(|c: char| !c.is_alphanumeric() && !"_-$.".contains(c))?;
            let (name, rest) = self.rest.split_at(end);
            self.rest = rest;
            name.to_owned()
        };
        if in_brackets && !self.take("]") {
            return None;
        }
        let is_name = self.take("=>") || (!is_symbol && (self.take(":") || self.take("=")));
        (is_name && !name.is_empty()).then_some(name)
    }

    fn scalar(&mut self) -> Option<Value> {
        for prefix in ["b'", "b\""] {
            if self.rest.starts_with(prefix) {
                self.take("b");
                // Escapes of a byte string name bytes, which are code points of Latin-1 here.
                let text = self.quoted()?;
                let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
                return Some(bytes.map_or(Value::Text(text), Value::Bytes));
            }
        }
        if self.rest.starts_with("u'") || self.rest.starts_with("r'") {
            self.rest = self.rest.get(1..)?;
        }
        if self.rest.starts_with(['"', '\'', '`']) {
            let mut text = self.quoted()?;
            // Node breaks long texts: 'a' + 'b'.
            while self.take("+") {
                self.skip_space();
                text.push_str(&self.quoted()?);
            }
            return Some(Value::Text(text));
        }
        if self.rest.starts_with("string(") || self.rest.starts_with("str(") {
            self.until("(")?;
            let length: usize = self.until(")")?.trim().parse().ok()?;
            self.skip_space();
            let quoted = self.rest.strip_prefix('"')?;
            let text = quoted.get(..length)?;
            self.rest = quoted.get(length..)?.strip_prefix('"')?;
            return Some(Value::Text(text.to_owned()));
        }
        for kind in ["int(", "float(", "bool("] {
            if self.take(kind) {
                return self.until(")").map(|text| word(&text));
            }
        }
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || ",;{}[]()<>\"'".contains(c));
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        if text.is_empty() {
            return None;
        }
        self.rest = rest;
        Some(word(text))
    }

    /// Text in quotes, with the escapes of all these languages.
    fn quoted(&mut self) -> Option<String> {
        let quote = self.rest.chars().next()?;
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.rest = self.rest.get(at + c.len_utf8()..)?;
                return Some(out);
            }
            if c != '\\' {
                out.push(c);
                continue;
            }
            let (at, escaped) = chars.next()?;
            let (decoded, length) = escape(self.rest.get(at..)?, quote)?;
            match decoded {
                Some(decoded) => out.push(decoded),
                None => {
                    out.push('\\');
                    out.push(escaped);
                }
            }
            // The escaped sign itself has been taken.
            for _ in 1..length {
                chars.next();
            }
        }
        None
    }

    /// `array (…)`, `array(2) {…}`, `array:2 […]`, `[…]` and `Array (…)` of PHP; `None` for anything else.
    fn php_array(&mut self, depth: usize) -> Option<Value> {
        let rest = self.rest;
        for word in ["stdClass Object", "Array", "array", "object(stdClass)#"] {
            let Some(after) = rest.strip_prefix(word) else {
                continue;
            };
            let after = after
                .trim_start_matches(|c: char| c == ':' || c.is_ascii_digit())
                .trim_start();
            let counted = after.strip_prefix('(').and_then(|rest| rest.split_once(')'));
            if let Some((digits, inner)) = counted
                && !digits.is_empty()
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && let Some(inner) = inner.trim_start().strip_prefix('{')
            {
                self.rest = inner;
                return self.container("}", depth + 1);
            }
            if let Some(inner) = after.strip_prefix('[') {
                self.rest = inner;
                return self.container("]", depth + 1);
            }
            let inner = after.strip_prefix('(')?;
            self.rest = inner;
            return if word == "array" {
                self.container(")", depth + 1)
            } else {
                self.print_r(depth + 1)
            };
        }
        None
    }

    /// The lines of `print_r` up to the closing bracket: `[name] => the rest of the line`.
    fn print_r(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut members = Vec::new();
        loop {
            self.skip_space();
            if self.take(")") {
                return Some(list_or_map(members));
            }
            self.rest = self.rest.strip_prefix('[')?;
            let name = self.until("]")?;
            self.rest = self.rest.trim_start_matches(' ').strip_prefix("=>")?;
            let line = self.rest.split('\n').next().unwrap_or_default();
            let trimmed = line.trim();
            let is_array = matches!(trimmed, "Array" | "stdClass Object")
                && self.rest.get(line.len()..)?.trim_start().starts_with('(');
            let value = if is_array {
                self.until("(")?;
                self.print_r(depth + 1)?
            } else {
                self.rest = self.rest.get(line.len()..)?;
                Value::Text(trimmed.to_owned())
            };
            members.push((name, value));
        }
    }

    /// The rest of `map[Name:[value] Other:[value]]`, as Go prints headers.
    fn go_map(&mut self) -> Option<Value> {
        let mut members = Vec::new();
        while !self.take("]") {
            let name = self.until(":[")?;
            members.push((name, Value::Text(self.until("]")?)));
        }
        Some(Value::Map(members))
    }
}

/// A list if the names are its positions, as PHP prints one; a map otherwise.
fn list_or_map(members: Vec<(String, Value)>) -> Value {
    let mut positions = members.iter().enumerate();
    if !members.is_empty() && positions.all(|(at, (name, _))| at.to_string() == *name) {
        Value::List(members.into_iter().map(|(_, value)| value).collect())
    } else {
        Value::Map(members)
    }
}

/// The only element of a list; the list itself otherwise.
fn only(value: Value) -> Value {
    match value {
        Value::List(mut values) if values.len() == 1 => values.pop().unwrap_or(Value::Null),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::List(_)
        | Value::Map(_) => value,
    }
}

/// A word without quotes.
fn word(text: &str) -> Value {
    match text {
        "null" | "nil" | "None" | "undefined" | "NULL" => Value::Null,
        "true" | "True" => Value::Bool(true),
        "false" | "False" => Value::Bool(false),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') && text.parse::<f64>().is_ok() => {
            Value::Number(text.to_owned())
        }
        _ => Value::Text(text.to_owned()),
    }
}

/// The character of an escape whose sign (after the backslash) is the first of `rest`, and the number of characters
/// taken. The character is `None` if the escape means itself with its backslash, as in single quotes.
fn escape(rest: &str, quote: char) -> Option<(Option<char>, usize)> {
    let hexadecimal = |from: usize, length: usize| {
        let digits = rest.get(from..from + length)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let sign = rest.chars().next()?;
    Some(match sign {
        'n' => (Some('\n'), 1),
        'r' => (Some('\r'), 1),
        't' => (Some('\t'), 1),
        'b' => (Some('\u{8}'), 1),
        'f' => (Some('\u{c}'), 1),
        'e' => (Some('\u{1b}'), 1),
        'x' => (char::from_u32(hexadecimal(1, 2)?), 3),
        'u' if rest.get(1..2) == Some("{") => {
            let digits = rest.get(2..)?.split('}').next()?;
            (char::from_u32(u32::from_str_radix(digits, 16).ok()?), digits.len() + 3)
        }
        'u' => match hexadecimal(1, 4)? {
            high @ 0xd800..=0xdbff => {
                let low = hexadecimal(7, 4).filter(|low| (0xdc00..=0xdfff).contains(low));
                match low {
                    Some(low) => (char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)), 11),
                    None => (Some(char::REPLACEMENT_CHARACTER), 5),
                }
            }
            unit => (Some(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)), 5),
        },
        '\\' | '"' | '\'' | '/' | '`' | '#' | '$' => (Some(sign), 1),
        _ if quote == '\'' => (None, 1),
        other => (Some(other), 1),
    })
}

/// Decodes Base64 with or without padding, in the usual or the URL alphabet, with line ends.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let plain: String = text.chars().filter(|c| !c.is_ascii_whitespace() && *c != '=').collect();
    let plain = plain.replace('-', "+").replace('_', "/");
    base64::engine::general_purpose::STANDARD_NO_PAD.decode(plain).ok()
}
