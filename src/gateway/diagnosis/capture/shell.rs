//! Splits a command line into words as the shells do from which browsers' "Copy as cURL" is pasted.

/// The words of a command for a POSIX shell, with `$'…'` of Bash.
pub(super) fn posix_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\n') => {}
                Some('\r') => drop(chars.next_if_eq(&'\n')),
                Some(next) => word.get_or_insert_default().push(next),
                None => {}
            },
            '\'' => word
                .get_or_insert_default()
                .extend(chars.by_ref().take_while(|c| *c != '\'')),
            '$' if chars.peek() == Some(&'\'') => {
                chars.next();
                word.get_or_insert_default().push_str(&ansi_c(&mut chars));
            }
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => match chars.next() {
                            Some(next @ ('"' | '\\' | '$' | '`')) => word.push(next),
                            Some('\n') | None => {}
                            Some(next) => word.extend(['\\', next]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\n' | ';' | '|' if !words.is_empty() => break,
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The rest of `$'…'`, with its escapes. Octal and hexadecimal escapes name bytes.
fn ansi_c(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut bytes = Vec::new();
    let push = |c: char, bytes: &mut Vec<u8>| bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    while let Some(c) = chars.next() {
        match c {
            '\'' => break,
            '\\' => {
                let Some(sign) = chars.next() else { break };
                let mut digits = |most: usize| {
                    let mut text = String::new();
                    while text.len() < most
                        && let Some(digit) = chars.next_if(char::is_ascii_hexdigit)
                    {
                        text.push(digit);
                    }
                    u32::from_str_radix(&text, 16).unwrap_or_default()
                };
                match sign {
                    'n' => bytes.push(b'\n'),
                    'r' => bytes.push(b'\r'),
                    't' => bytes.push(b'\t'),
                    'x' => bytes.extend(u8::try_from(digits(2)).ok()),
                    'u' => push(
                        char::from_u32(digits(4)).unwrap_or(char::REPLACEMENT_CHARACTER),
                        &mut bytes,
                    ),
                    'U' => push(
                        char::from_u32(digits(8)).unwrap_or(char::REPLACEMENT_CHARACTER),
                        &mut bytes,
                    ),
                    other => push(other, &mut bytes),
                }
            }
            c => push(c, &mut bytes),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The words of a command for `cmd.exe`: `^` escapes the next sign, and `\"` is a quote inside of quotes.
pub(super) fn windows_words(text: &str) -> Vec<String> {
    // Chrome escapes each sign. Elsewhere a `^` inside of quotes is itself, and only one at a line's end is an escape.
    let escapes_all = text.contains("^\"");
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '^' || !(escapes_all || chars.peek().is_some_and(|next| matches!(next, '\r' | '\n'))) {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('\r') => drop(chars.next_if_eq(&'\n')),
            // An escaped line end continues the line; browsers write a real line end as `^` and two line ends.
            Some('\n') => plain.extend(chars.next_if_eq(&'\n')),
            Some(next) => plain.push(next),
            None => {}
        }
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut chars = plain.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'"') => {
                chars.next();
                word.get_or_insert_default().push('"');
            }
            '\\' if is_quoted && chars.peek() == Some(&'\\') => {
                // Backslashes are doubled only before a quote.
                let mut count = 1;
                while chars.next_if_eq(&'\\').is_some() {
                    count += 1;
                }
                let before_quote = chars.peek() == Some(&'"');
                let kept = if before_quote { count / 2 } else { count };
                word.get_or_insert_default().push_str(&"\\".repeat(kept));
                if before_quote && count % 2 == 1 {
                    chars.next();
                    word.get_or_insert_default().push('"');
                }
            }
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                chars.next();
                word.get_or_insert_default().push('"');
            }
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
