//! JSON that was parsed and serialised again: the same values in the spellings of libraries and providers.

use super::json_spelling::{COMPACT, ESCAPES, Escapes, WHITESPACES};
use super::json_text::{self, JsonNode};
use super::{Variants, json_values};
use crate::gateway::diagnosis::capture::printed_as_json;
use crate::gateway::diagnosis::case::Case;
use crate::gateway::diagnosis::finding::Change;
use crate::gateway::diagnosis::frameworks::RAW_BODY;
use crate::gateway::diagnosis::providers;

/// Name of the cause.
pub(super) const CAUSE: &str = "json_reserialised";

/// Largest body whose values are varied too; a larger one is only written again.
const MAX_VARIED_BYTES: usize = 256 << 10;

/// Adds the JSON in other spellings, with values that libraries change.
pub(super) fn add(case: &Case, body: &[u8], variants: &mut Variants) {
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    let text = text.trim();
    let printed;
    let (text, node) = match json_text::parse(text) {
        Some(node) => (text, node),
        None => {
            // A language printed the parsed value: `{'a': None}`, `{"a"=>nil}`, `Array ( [a] => )`.
            printed = printed_as_json(text).unwrap_or_default();
            match json_text::parse(&printed) {
                Some(node) => (printed.as_str(), node),
                None => return,
            }
        }
    };
    if matches!(node, JsonNode::Scalar(_)) {
        return;
    }
    variants.tries(CAUSE);
    same_white_space(text, variants);
    let escapes = effective_escapes(&node);
    spellings(&node, &escapes, "", &["", "\n"], variants);
    events(&node, variants);
    if body.len() > MAX_VARIED_BYTES {
        return;
    }
    let known = providers::key_order(&case.provider).map(|order| json_values::in_known_order(&node, order));
    if let Some(known) = known.filter(|known| *known != node) {
        let order = "with keys in another order, that of the provider";
        spellings(&known, &escapes, order, &[""], variants);
        for (what, changed) in json_values::variants(&known).into_iter().take(24) {
            spellings(&changed, &escapes, &format!("{order}; {what}"), &[""], variants);
        }
    }
    for (what, changed) in json_values::variants(&node) {
        spellings(&changed, &escapes, &what, &[""], variants);
    }
    let spaces = match providers::spelling(&case.provider).is_compact {
        Some(true) => WHITESPACES.get(..2),
        Some(false) => WHITESPACES.get(2..4),
        None => WHITESPACES.get(..3),
    };
    let spaces = spaces.unwrap_or_default();
    let rounded = json_values::unrounded_values(&node).into_iter();
    let rounded = rounded.map(|node| ("with a number that JavaScript had rounded (above 2^53)", node));
    for (what, node) in json_values::orders(&node).into_iter().chain(rounded) {
        for escapes in escapes.iter().take(4) {
            for space in spaces {
                let made = json_text::write(&node, *space, *escapes).into_bytes();
                if !variants.add(|| change(&format!("{what}, {}", space.name), "", ""), made) {
                    return;
                }
            }
        }
    }
    form_of_json(body, variants);
}

/// A form whose only field `payload` is the JSON, as GitHub and Slack send it; a framework returned the field's value.
fn form_of_json(body: &[u8], variants: &mut Variants) {
    for (encode_tilde, plus) in [(false, true), (true, true), (false, false)] {
        let mut made = b"payload=".to_vec();
        for byte in body {
            match byte {
                b' ' if plus => made.push(b'+'),
                b'~' if !encode_tilde => made.push(b'~'),
                byte if byte.is_ascii_alphanumeric() || b"-._*".contains(byte) => made.push(*byte),
                byte => made.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            }
        }
        let what = "The body is the value of the form field `payload`: the signature covers the whole form.";
        variants.add(|| Change::new("form_rewritten", what, RAW_BODY), made);
    }
}

fn change(how: &str, spelling: &str, end: &str) -> Change {
    let spelling = if spelling.is_empty() {
        String::new()
    } else {
        format!(", {spelling}")
    };
    Change::new(
        CAUSE,
        format!("The JSON was parsed and serialised again: the signature fits the same values {how}{spelling}{end}."),
        RAW_BODY,
    )
}

/// The text with other escapes and unchanged white space.
fn same_white_space(text: &str, variants: &mut Variants) {
    for escapes in ESCAPES {
        let made = json_text::change_escapes(text, escapes).into_bytes();
        variants.add(|| change("with the same white space", escapes.name, ""), made);
    }
}

/// The escapes that write this value in different ways, the present ones first.
fn effective_escapes(node: &JsonNode) -> Vec<Option<Escapes>> {
    let mut written = Vec::new();
    let mut found = Vec::new();
    for escapes in std::iter::once(None).chain(ESCAPES.map(Some)) {
        let text = json_text::write(node, COMPACT, escapes);
        if !written.contains(&text) {
            written.push(text);
            found.push(escapes);
        }
    }
    found
}

/// The values in all spellings, with each of `ends` behind them. `what` says how the values were changed.
fn spellings(node: &JsonNode, escapes: &[Option<Escapes>], what: &str, ends: &[&str], variants: &mut Variants) {
    for space in WHITESPACES {
        for escapes in escapes {
            let written = json_text::write(node, space, *escapes);
            for end in ends {
                let made = format!("{written}{end}").into_bytes();
                let how = if what.is_empty() {
                    space.name.to_owned()
                } else {
                    format!("{}; {what}", space.name)
                };
                let ending = if end.is_empty() {
                    ""
                } else {
                    " and a newline at the end"
                };
                if !variants.add(
                    || change(&how, escapes.map_or("", |escapes| escapes.name), ending),
                    made,
                ) {
                    return;
                }
            }
        }
    }
}

/// An array of events with a line end after each, as SendGrid sends it.
fn events(node: &JsonNode, variants: &mut Variants) {
    let JsonNode::List(nodes) = node else {
        return;
    };
    for escapes in [None, Some(ESCAPES.first()), Some(ESCAPES.get(2)), Some(ESCAPES.get(3))] {
        let escapes = escapes.flatten().copied();
        let written: Vec<String> = nodes
            .iter()
            .map(|node| json_text::write(node, COMPACT, escapes))
            .collect();
        for newline in ["\r\n", "\n"] {
            for (begin, separator, end) in [
                ("[", format!(",{newline}"), "]".to_owned()),
                ("[", format!(",{newline}"), format!("]{newline}")),
                ("[", format!(",{newline}"), format!("{newline}]")),
                ("[", format!(",{newline}"), format!("{newline}]{newline}")),
                ("[", format!("{newline},"), format!("{newline}]")),
                ("[", format!("{newline},"), format!("{newline}]{newline}")),
                ("[", ",".to_owned(), format!("]{newline}")),
                ("", newline.to_owned(), String::new()),
                ("", newline.to_owned(), newline.to_owned()),
            ] {
                let made = format!("{begin}{}{end}", written.join(&separator)).into_bytes();
                let how = "with a line end between or after the events";
                variants.add(|| change(how, "", ""), made);
            }
        }
    }
}
