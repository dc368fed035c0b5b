//! Secrets that are almost right, and credentials that are no signing secrets.

use super::case::Case;
use super::finding::Change;
use super::providers::{CREDENTIALS, secret_place};
use super::slip;
use crate::http::percent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Name of the cause of a secret that is written in another way.
const SPELLED: &str = "secret_spelled";

/// The fix for it.
const FIX: &str = "store the secret as the provider shows it, without quotes; only one newline at the end of a file is dropped (`printf %s \"$SECRET\" > file` writes none)";

/// Prefixes of signing secrets.
const PREFIXES: [&str; 3] = ["whsec_", "pdl_ntfset_", "polar_whs_"];

/// Longest secret of which single characters are tried, in bytes.
const MAX_TYPED_BYTES: usize = 128;

/// Typographic quotes and their likes.
const QUOTES: [char; 12] = [
    '"', '\'', '`', '\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}', '\u{201a}', '\u{ab}', '\u{bb}',
    '\u{2033}',
];

/// Characters that nobody sees: spaces of other kinds, marks of direction and of byte order, separators.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{a0}' | '\u{ad}' | '\u{180e}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{2064}'
        | '\u{2066}'..='\u{206f}' | '\u{3000}' | '\u{feff}')
        || c.is_control()
}

/// The ASCII character that looks like this one: full-width forms, and letters of Cyrillic and Greek.
fn latin(c: char) -> char {
    const LOOKALIKES: [(char, char); 26] = [
        ('а', 'a'),
        ('е', 'e'),
        ('о', 'o'),
        ('р', 'p'),
        ('с', 'c'),
        ('у', 'y'),
        ('х', 'x'),
        ('і', 'i'),
        ('ѕ', 's'),
        ('А', 'A'),
        ('В', 'B'),
        ('Е', 'E'),
        ('К', 'K'),
        ('М', 'M'),
        ('Н', 'H'),
        ('О', 'O'),
        ('Р', 'P'),
        ('С', 'C'),
        ('Т', 'T'),
        ('Х', 'X'),
        ('Α', 'A'),
        ('Β', 'B'),
        ('Ε', 'E'),
        ('Ο', 'O'),
        ('ο', 'o'),
        ('ν', 'v'),
    ];
    if ('\u{ff01}'..='\u{ff5e}').contains(&c) {
        return char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c);
    }
    LOOKALIKES
        .iter()
        .find(|(other, _)| *other == c)
        .map_or(c, |(_, plain)| *plain)
}

/// The secrets that a configured one may have been meant to be: what is wrong with it, and the bytes.
pub(super) fn variants(case: &Case) -> Vec<(Change, Vec<u8>)> {
    let mut found: Vec<(Change, Vec<u8>)> = Vec::new();
    for named in &case.secrets {
        let bytes = named.secret.expose();
        for (what, variant) in spellings(bytes) {
            let is_new = variant != bytes && !variant.is_empty() && !found.iter().any(|(_, other)| *other == variant);
            if is_new {
                let text = format!("The secret `{}` {what}.", named.name);
                found.push((Change::new(SPELLED, text, FIX), variant));
            }
        }
    }
    found
}

/// The secrets that differ from a configured one by one character: one that was not copied at an end, one too many, two that
/// were exchanged. Secrets are copied, so that a wrong character in the middle is not tried.
pub(super) fn one_character(case: &Case) -> Vec<(Change, Vec<u8>)> {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-";
    let mut found = Vec::new();
    for named in &case.secrets {
        let bytes = named.secret.expose().trim_ascii();
        if bytes.starts_with(b"-----BEGIN") || bytes.len() > MAX_TYPED_BYTES {
            continue;
        }
        let mut add = |what: &str, variant: Vec<u8>| {
            let text = format!("The secret `{}` {what}.", named.name);
            found.push((Change::new(SPELLED, text, "copy the secret again, as a whole"), variant));
        };
        for sign in SIGNS {
            add("lacks its last character", [bytes, &[*sign]].concat());
            add("lacks its first character", [&[*sign], bytes].concat());
        }
        for at in 0..bytes.len() {
            slip::at_position(bytes, at).for_each(|(what, variant)| add(what, variant));
        }
    }
    found
}

/// The spellings that one secret may be a corruption of.
fn spellings(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut found: Vec<(&'static str, Vec<u8>)> = Vec::new();
    let trimmed = bytes.trim_ascii();
    let mut add = |what: &'static str, variant: &[u8]| found.push((what, variant.to_vec()));
    add("has white space or a newline around it", trimmed);
    add("lacks the newline that is a part of it", &[bytes, b"\n"].concat());
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        add("begins with a byte order mark", rest.trim_ascii());
    }
    if let Ok(text) = std::str::from_utf8(trimmed) {
        let unquoted = text.trim_matches(QUOTES);
        if text.chars().any(is_invisible) {
            let visible: String = text.chars().filter(|c| !is_invisible(*c)).collect();
            add("contains invisible characters", visible.trim().as_bytes());
        }
        let straight = text.is_ascii();
        let what = if straight {
            "is in quotes"
        } else {
            "is in typographic quotes"
        };
        add(what, unquoted.trim().as_bytes());
        for label in ["=", ": ", ":", " "] {
            if let Some((_, value)) = text.split_once(label).filter(|(name, _)| is_label(name)) {
                let value = value.trim().trim_matches(QUOTES);
                let what = if label == "=" {
                    "begins with the name of a variable"
                } else {
                    "begins with the label that stands before it"
                };
                add(what, value.as_bytes());
            }
        }
        if text.contains('%') {
            let once = percent::decode(text.as_bytes());
            add("is percent-encoded", &once);
            add("is percent-encoded twice", &percent::decode(&once));
        }
        // AWS Secrets Manager and others hold an object.
        if let Ok(serde_json::Value::Object(members)) = serde_json::from_str(text) {
            for value in members.values().filter_map(serde_json::Value::as_str) {
                add(
                    "is a member of a JSON object, and the whole object was configured",
                    value.as_bytes(),
                );
            }
        }
        let bracketed = [('<', '>'), ('[', ']'), ('(', ')'), ('{', '}')]
            .iter()
            .find_map(|(begin, end)| text.strip_prefix(*begin)?.strip_suffix(*end));
        if let Some(inner) = bracketed {
            add("is in brackets", inner.trim().trim_matches(QUOTES).as_bytes());
        }
        if let Some((value, _)) = text.split_once(" #") {
            add("is followed by a comment", value.trim().trim_matches(QUOTES).as_bytes());
        }
        if text.chars().any(|c| latin(c) != c) {
            let plain: String = text.chars().map(latin).collect();
            add(
                "contains letters or signs of another script that look the same",
                plain.as_bytes(),
            );
        }
        if text.contains(' ') {
            add("has spaces instead of plus signs", text.replace(' ', "+").as_bytes());
        }
        if text.contains('\\') {
            add(
                "contains backslashes that were added as escapes",
                text.replace('\\', "").as_bytes(),
            );
            add(
                "contains `\\n` in place of a line end",
                text.replace("\\n", "\n").as_bytes(),
            );
            add(
                "ends with `\\n`, which was meant to be a line end",
                text.replace("\\r", "").replace("\\n", "").as_bytes(),
            );
            let bare = text.replace('\\', "");
            add("is in quotes with backslashes", bare.trim_matches(QUOTES).as_bytes());
        }
        if text.contains(['\n', '\r', ' ']) {
            let joined: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            add("is broken into lines", joined.as_bytes());
        }
        if text.contains("&amp;") || text.contains("&#") {
            add(
                "was escaped for HTML",
                text.replace("&amp;", "&")
                    .replace("&#43;", "+")
                    .replace("&#61;", "=")
                    .as_bytes(),
            );
        }
        if text.contains(['\u{2013}', '\u{2014}', '\u{2010}', '\u{2011}']) {
            let hyphens = text.replace(['\u{2013}', '\u{2014}', '\u{2010}', '\u{2011}'], "-");
            add("contains typographic dashes", hyphens.as_bytes());
            let pairs = text.replace(['\u{2013}', '\u{2014}'], "--");
            add("contains typographic dashes", pairs.as_bytes());
        }
        if text.len() > 20 {
            for end in ["=", "=="] {
                add("has lost the `=` at its end", format!("{text}{end}").as_bytes());
            }
        }
        if text.contains("$$") {
            add("contains `$$` in place of `$`", text.replace("$$", "$").as_bytes());
        }
        add(
            "was converted to lower case or has capitals that it should not have",
            text.to_ascii_lowercase().as_bytes(),
        );
        add("was converted to lower case", text.to_ascii_uppercase().as_bytes());
        if let Some(shown) = text.strip_prefix("v1,") {
            add(
                "begins with the version `v1,`, which is not a part of it",
                shown.as_bytes(),
            );
        }
        // A shell shows `%` behind output without a line end.
        if text.ends_with([',', ';', '.', '%', '\\']) {
            add(
                "ends with a sign that is not a part of it",
                text.trim_end_matches([',', ';', '.', '%', '\\'])
                    .trim_matches(QUOTES)
                    .as_bytes(),
            );
        }
        for prefix in PREFIXES {
            match text.strip_prefix(prefix) {
                Some(rest) => add("has a prefix that is not a part of the key", rest.as_bytes()),
                None => add("has lost its prefix", format!("{prefix}{text}").as_bytes()),
            }
        }
        let half = text.len() / 2;
        if text.len() > 16 && text.get(..half) == text.get(half..) {
            add("was pasted twice", text.get(..half).unwrap_or_default().as_bytes());
        }
        // What was copied together is corrupted together: quotes around a percent-encoded secret.
        if unquoted != text && unquoted.contains('%') {
            add(
                "is in quotes and percent-encoded",
                &percent::decode(unquoted.as_bytes()),
            );
        }
    }
    if let Ok(decoded) = STANDARD.decode(trimmed) {
        add("is the Base64 encoding of the real secret", decoded.trim_ascii());
        add("is the Base64 encoding of the real secret", &decoded);
        if let Ok(twice) = STANDARD.decode(decoded.trim_ascii()) {
            add("is the real secret, encoded in Base64 twice", twice.trim_ascii());
        }
    }
    if let Ok(decoded) = hex::decode(trimmed) {
        add("is the hexadecimal encoding of the real secret", &decoded);
    }
    found
}

/// Whether the text is a label of a secret: words that name one.
fn is_label(text: &str) -> bool {
    let lower = text.trim().to_ascii_lowercase();
    let is_plain = (1..=48).contains(&lower.len())
        && lower
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' ' | b'.'));
    is_plain
        && ([
            "secret", "key", "token", "webhook", "signing", "export", "bearer", "value",
        ]
        .iter()
        .any(|word| lower.contains(word)))
}

/// What another credential of the provider this text is: "an API key". `None` if it is not known as one.
#[must_use]
pub(super) fn kind(provider: &str, secret: &[u8]) -> Option<&'static str> {
    let text = secret.trim_ascii();
    let text = text.strip_prefix(b"\"").unwrap_or(text);
    let own = |row: &&(&str, &str, &str)| row.0 == provider && text.starts_with(row.1.as_bytes());
    if let Some((.., what)) = CREDENTIALS.iter().find(own) {
        // Two letters are a prefix only together with the length of such an id.
        let is_short = matches!(provider, "twilio") && text.len() != 34;
        return (!is_short).then_some(what);
    }
    // For a scheme of one's own, only prefixes that cannot stand for anything else count.
    if provider == "custom" {
        let distinct = |row: &&(&str, &str, &str)| row.1.len() > 4 && text.starts_with(row.1.as_bytes());
        return CREDENTIALS.iter().find(distinct).map(|(.., what)| *what);
    }
    text.starts_with(b"https://").then_some("a URL")
}

/// A likely cause: the secret is another credential.
pub(super) fn wrong_kind(case: &Case) -> Option<Change> {
    case.secrets.iter().find_map(|named| {
        let kind = kind(&case.provider, named.secret.expose())?;
        let place = secret_place(&case.provider).map_or_else(
            || "use the secret that the provider shows for this webhook endpoint".to_owned(),
            |place| format!("use the signing secret of this webhook endpoint: {place}"),
        );
        Some(Change::new(
            "wrong_kind_of_secret",
            format!(
                "The secret `{}` looks like {kind}, not like a signing secret.",
                named.name
            ),
            place,
        ))
    })
}

/// What looks wrong about a secret of this provider, as parts of sentences that follow "the secret …". For `check`.
#[must_use]
pub fn remarks(provider: &str, secret: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(kind) = kind(provider, secret) {
        let place =
            secret_place(provider).map_or_else(String::new, |place| format!("; the signing secret is at {place}"));
        found.push(format!("looks like {kind}, not like a signing secret{place}"));
    }
    let Ok(text) = std::str::from_utf8(secret) else {
        return found;
    };
    let inner = text.trim();
    if inner.starts_with("-----BEGIN") {
        return found;
    }
    let typographic = |c: char| !c.is_ascii() && QUOTES.contains(&c);
    if inner.starts_with(typographic) || inner.ends_with(typographic) {
        found.push("is in typographic quotes, which are part of the key".into());
    }
    if inner.trim_start_matches('\u{feff}').chars().any(is_invisible) {
        found.push("contains invisible characters, which are part of the key".into());
    }
    let escapes = inner
        .as_bytes()
        .windows(3)
        .filter(|window| matches!(window, [b'%', b'2' | b'3', digit] if digit.is_ascii_hexdigit()));
    if escapes.count() > 0 {
        found.push("contains percent escapes such as %2B: it may be percent-encoded".into());
    }
    let is_labelled = ["=", ":"].iter().any(|label| {
        inner
            .split_once(label)
            .is_some_and(|(name, value)| is_label(name) && value.trim().len() > 8)
    });
    if is_labelled {
        found.push("begins with a label or the name of a variable, which is part of the key".into());
    }
    if inner.contains(' ')
        && !is_labelled
        && inner.len() > 20
        && inner.chars().filter(|c| *c == ' ').count() <= 3
        && inner.contains(['/', '='])
    {
        found.push("contains spaces: plus signs may have become spaces".into());
    }
    found
}
