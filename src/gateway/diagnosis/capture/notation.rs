//! Parses values as programs print them: JSON, `repr` of Python, `inspect` of Ruby and Node, `print_r`, `var_export`
//! and `var_dump` of PHP, `map[…]` of Go.
//!
//! The parser accepts the union of these notations: whoever printed the value, its meaning is the same.

use super::escapes::escape;
use super::value::Value;

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

/// Parses the quoted text, the bytes or the buffer at the beginning of `text`, and returns it with the rest.
pub(super) fn literal(text: &str) -> Option<(Value, &str)> {
    let mut parser = Parser { rest: text };
    let value = parser.value(0)?;
    matches!(value, Value::Text(_) | Value::Bytes(_)).then_some((value, parser.rest))
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
        if self.take("<CIMultiDictProxy(") || self.take("<CIMultiDict(") || self.take("<MultiDictProxy(") {
            let value = self.container(")", depth);
            self.take(">");
            return value.map(only);
        }
        if self.take("[]string{") {
            return self.container("}", depth);
        }
        if self.take("%{") {
            return self.container("}", depth);
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
        if self.take("(") {
            return self.container(")", depth).map(only);
        }
        self.constructed(depth).or_else(|| self.scalar())
    }

    /// A value behind the name of its type: `Headers({…})`, `Map(2) {…}`, `Headers {…}`. `None` for other text, of which
    /// nothing is taken.
    fn constructed(&mut self, depth: usize) -> Option<Value> {
        let begin = self.rest;
        let end = begin.find(|c: char| !c.is_alphanumeric() && !"_.:".contains(c))?;
        let (name, mut rest) = begin.split_at(end);
        if !name.starts_with(char::is_alphabetic) || matches!(name, "string" | "int" | "float" | "bool" | "str") {
            return None;
        }
        // The number of elements.
        if let Some((count, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(") "))
            && !count.is_empty()
            && count.bytes().all(|byte| byte.is_ascii_digit())
        {
            rest = after;
        }
        let close = match rest.trim_start_matches(' ').chars().next()? {
            '(' => ")",
            '{' => "}",
            _ => return None,
        };
        self.rest = rest.trim_start_matches(' ').get(1..)?;
        let value = self.container(close, depth + 1);
        if value.is_none() {
            self.rest = begin;
        }
        value.map(only)
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
        // The marks of Symfony's dumper in a browser.
        self.rest = self.rest.trim_start_matches(['▼', '▶']);
        let mut members = Vec::new();
        let mut values = Vec::new();
        while !self.take(close) {
            let at = self.rest;
            if let Some(name) = self.name() {
                let before = at.get(..at.len() - self.rest.len()).unwrap_or_default();
                let java = before.ends_with('=').then(|| self.java_value()).flatten();
                let value = java.map_or_else(|| self.value(depth + 1), Some)?;
                members.push((name, value));
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
        Some(if members.is_empty() && (close != "}" || !values.is_empty()) {
            Value::List(values)
        } else {
            list_or_map(members)
        })
    }

    /// A value without quotes as Java prints it behind `name=`: up to the next member, or in brackets. `None` for other
    /// values, of which nothing is taken.
    fn java_value(&mut self) -> Option<Value> {
        let (inner, ends): (&str, &[&str]) = match self.rest.strip_prefix('[') {
            Some(inner) => (inner, &["]"]),
            None => (self.rest, &[", ", "}", "\n"]),
        };
        if inner.starts_with(['"', '\'', '[', '{', '#', ' ', '&']) {
            return None;
        }
        let end = ends.iter().filter_map(|end| inner.find(end)).min()?;
        let value = inner.get(..end)?.to_owned();
        self.rest = inner.get(end..)?;
        if ends.len() == 1 {
            self.rest = self.rest.get(1..)?;
        }
        Some(Value::Text(value))
    }

    /// A name with the sign after it: `"a":`, `a:`, `'a' =>`, `:a=>`, `["a"]=>`.
    fn name(&mut self) -> Option<String> {
        self.skip_space();
        if let Some(symbol) = self.rest.strip_prefix("[Symbol(") {
            let (name, rest) = symbol.split_once(")]")?;
            self.rest = rest;
            return self.take(":").then(|| name.to_owned());
        }
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
