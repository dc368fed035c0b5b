//! Values of JSON that libraries and frameworks change when they read and write it, undone: empty containers, empty
//! strings, numbers, trimmed texts, added keys, wrappers, the order of keys.

use super::json_text::JsonNode;

/// Largest number of top-level keys for which all orders are tried: 6! = 720 orders.
const MAX_PERMUTED_KEYS: usize = 6;

/// Largest number of places of one kind for which all combinations are tried.
const MAX_COMBINED: usize = 4;

/// Largest number of places of one kind that are tried one by one.
const MAX_SINGLE: usize = 40;

/// Keys that frameworks add to the parameters of a request.
const ADDED_KEYS: [&str; 6] = [
    "\"controller\"",
    "\"action\"",
    "\"format\"",
    "\"_method\"",
    "\"_token\"",
    "\"webhook\"",
];

/// A replacement of one value; `None` for values that it does not concern.
type Edit = fn(&JsonNode) -> Option<JsonNode>;

/// The replacements, each with what the report says.
const EDITS: [(&str, Edit); 11] = [
    ("`{}` had become `[]`", |node| {
        matches!(node, JsonNode::List(nodes) if nodes.is_empty()).then(|| JsonNode::Table(Vec::new()))
    }),
    ("`\"\"` had become null", |node| scalar(node, "null", "\"\"")),
    ("`[]` had become `{}`", |node| {
        matches!(node, JsonNode::Table(pairs) if pairs.is_empty()).then(|| JsonNode::List(Vec::new()))
    }),
    ("null had become `\"\"`", |node| scalar(node, "\"\"", "null")),
    ("numbers had lost `.0`", |node| {
        with_suffix(node, ".0", |text| !text.contains(['.', 'e', 'E']))
    }),
    ("numbers had lost `.00`", |node| {
        with_suffix(node, ".00", |text| !text.contains(['.', 'e', 'E']))
    }),
    ("numbers had lost a zero at the end", |node| {
        with_suffix(node, "0", |text| text.contains('.') && !text.contains(['e', 'E']))
    }),
    ("numbers had gained a zero at the end", |node| {
        number(node)
            .filter(|text| text.contains('.') && !text.ends_with(".0"))
            .and_then(|text| text.strip_suffix('0'))
            .map(|text| JsonNode::Scalar(text.to_owned()))
    }),
    ("whole numbers had become floats", |node| {
        number(node)
            .and_then(|text| text.strip_suffix(".0"))
            .map(|text| JsonNode::Scalar(text.to_owned()))
    }),
    ("a text had lost the space at its end", |node| {
        padded(node, |inner| format!("\"{inner} \""))
    }),
    ("a text had lost the space at its beginning", |node| {
        padded(node, |inner| format!("\" {inner}\""))
    }),
];

/// The edits that are not applied to all places at once, because they fit every text.
const SINGLE_ONLY: usize = 9;

fn scalar(node: &JsonNode, from: &str, to: &str) -> Option<JsonNode> {
    matches!(node, JsonNode::Scalar(text) if text == from).then(|| JsonNode::Scalar(to.to_owned()))
}

fn number(node: &JsonNode) -> Option<&str> {
    match node {
        JsonNode::Scalar(text) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => Some(text),
        JsonNode::Scalar(_) | JsonNode::List(_) | JsonNode::Table(_) => None,
    }
}

fn with_suffix(node: &JsonNode, suffix: &str, applies: fn(&str) -> bool) -> Option<JsonNode> {
    let text = number(node).filter(|text| applies(text))?;
    Some(JsonNode::Scalar(format!("{text}{suffix}")))
}

fn padded(node: &JsonNode, pad: fn(&str) -> String) -> Option<JsonNode> {
    let JsonNode::Scalar(text) = node else {
        return None;
    };
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(JsonNode::Scalar(pad(inner)))
}

/// The values before one kind of change, or before two of them, each with what the report says.
pub(super) fn variants(node: &JsonNode) -> Vec<(String, JsonNode)> {
    let mut found = Vec::new();
    let outer = outer(node);
    for (what, node) in &outer {
        found.push((what.clone(), node.clone()));
    }
    let plain = std::iter::once((String::new(), node.clone()));
    for (before, node) in plain.chain(outer) {
        let joined = |what: &str| {
            if before.is_empty() {
                what.to_owned()
            } else {
                format!("{before}; {what}")
            }
        };
        let all: Vec<(&str, Edit, JsonNode)> = EDITS
            .iter()
            .take(SINGLE_ONLY)
            .filter(|(_, edit)| places(&node, *edit) > 0)
            .map(|(what, edit)| (*what, *edit, apply(&node, *edit, &|_| true)))
            .collect();
        for (at, (what, _, changed)) in all.iter().enumerate() {
            found.push((joined(what), changed.clone()));
            for (second, edit, _) in all.iter().skip(at + 1) {
                // An edit and its opposite would only undo each other.
                let both = apply(changed, *edit, &|_| true);
                found.push((joined(&format!("{what}; {second}")), both));
            }
        }
        if !before.is_empty() {
            continue;
        }
        for (what, edit) in EDITS {
            let count = places(&node, edit);
            if count < 2 && !what.starts_with("a text") {
                continue;
            }
            if count <= MAX_COMBINED {
                for mask in 1..(1_usize << count) {
                    found.push((what.to_owned(), apply(&node, edit, &|at| mask >> at & 1 == 1)));
                }
            } else {
                for chosen in 0..count.min(MAX_SINGLE) {
                    found.push((what.to_owned(), apply(&node, edit, &|at| at == chosen)));
                }
            }
        }
    }
    found
}

/// The values without keys that frameworks add, and the values inside of a wrapper.
fn outer(node: &JsonNode) -> Vec<(String, JsonNode)> {
    let JsonNode::Table(pairs) = node else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let kept = |keep: &dyn Fn(usize, &(String, JsonNode)) -> bool| {
        let pairs = pairs.iter().enumerate().filter(|(at, pair)| keep(*at, pair));
        JsonNode::Table(pairs.map(|(_, pair)| pair.clone()).collect())
    };
    let is_copy = |(_, value): &(String, JsonNode)| {
        // Rails repeats all parameters below the name of the controller.
        matches!(value, JsonNode::Table(inner) if !inner.is_empty() && inner.iter().all(|pair| pairs.contains(pair)))
    };
    let is_added = |pair: &(String, JsonNode)| ADDED_KEYS.contains(&pair.0.as_str()) || is_copy(pair);
    if pairs.iter().any(is_added) {
        let what = "a framework had added keys (controller, action, …)";
        found.push((what.to_owned(), kept(&|_, pair| !is_added(pair))));
    }
    for last in 1..=3.min(pairs.len().saturating_sub(1)) {
        let what = if last == 1 {
            "the last key had been added".to_owned()
        } else {
            format!("the last {last} keys had been added")
        };
        found.push((what, kept(&|at, _| at + last < pairs.len())));
    }
    for (key, value) in pairs {
        if matches!(value, JsonNode::Table(_) | JsonNode::List(_)) {
            found.push((format!("the body had been put below the key {key}"), value.clone()));
        }
    }
    found
}

/// The number of values that an edit concerns.
fn places(node: &JsonNode, edit: Edit) -> usize {
    let own = usize::from(edit(node).is_some());
    own + match node {
        JsonNode::Scalar(_) => 0,
        JsonNode::List(nodes) => nodes.iter().map(|node| places(node, edit)).sum(),
        JsonNode::Table(pairs) => pairs.iter().map(|(_, node)| places(node, edit)).sum(),
    }
}

/// Applies an edit to the places that `chosen` selects by their number.
fn apply(node: &JsonNode, edit: Edit, chosen: &dyn Fn(usize) -> bool) -> JsonNode {
    fn walk(node: &JsonNode, edit: Edit, chosen: &dyn Fn(usize) -> bool, next: &mut usize) -> JsonNode {
        if let Some(changed) = edit(node) {
            let at = *next;
            *next += 1;
            if chosen(at) {
                return changed;
            }
        }
        match node {
            JsonNode::Scalar(text) => JsonNode::Scalar(text.clone()),
            JsonNode::List(nodes) => JsonNode::List(nodes.iter().map(|node| walk(node, edit, chosen, next)).collect()),
            JsonNode::Table(pairs) => JsonNode::Table(
                pairs
                    .iter()
                    .map(|(key, node)| (key.clone(), walk(node, edit, chosen, next)))
                    .collect(),
            ),
        }
    }
    walk(node, edit, chosen, &mut 0)
}

/// All orders of the top-level keys, if there are at most [`MAX_PERMUTED_KEYS`], and the keys of every object sorted.
pub(super) fn orders(node: &JsonNode) -> Vec<(&'static str, JsonNode)> {
    let mut found = vec![("with keys sorted", sorted(node))];
    let JsonNode::Table(pairs) = node else {
        return found;
    };
    if pairs.len() > MAX_PERMUTED_KEYS {
        return found;
    }
    let mut all = vec![Vec::new()];
    for _ in 0..pairs.len() {
        all = all
            .into_iter()
            .flat_map(|chosen: Vec<usize>| {
                (0..pairs.len())
                    .filter(|next| !chosen.contains(next))
                    .map(|next| [chosen.as_slice(), &[next]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    let table =
        |order: Vec<usize>| JsonNode::Table(order.into_iter().filter_map(|at| pairs.get(at).cloned()).collect());
    found.extend(
        all.into_iter()
            .map(|order| ("with keys in another order", table(order))),
    );
    found
}

/// The same values with the keys of every object sorted by their bytes.
fn sorted(node: &JsonNode) -> JsonNode {
    match node {
        JsonNode::Scalar(text) => JsonNode::Scalar(text.clone()),
        JsonNode::List(nodes) => JsonNode::List(nodes.iter().map(sorted).collect()),
        JsonNode::Table(pairs) => {
            let mut pairs: Vec<_> = pairs.iter().map(|(key, node)| (key.clone(), sorted(node))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            JsonNode::Table(pairs)
        }
    }
}

/// Whether the keys of every object are sorted, and some object has at least three.
pub(super) fn are_sorted(node: &JsonNode) -> bool {
    fn longest(node: &JsonNode) -> usize {
        match node {
            JsonNode::Scalar(_) => 0,
            JsonNode::List(nodes) => nodes.iter().map(longest).max().unwrap_or_default(),
            JsonNode::Table(pairs) => pairs
                .iter()
                .map(|(_, node)| longest(node))
                .max()
                .unwrap_or_default()
                .max(pairs.len()),
        }
    }
    sorted(node) == *node && longest(node) >= 3
}

/// The top-level keys in the order in which the provider writes them; other keys stay behind them in their order.
pub(super) fn in_known_order(node: &JsonNode, order: &[&str]) -> JsonNode {
    let JsonNode::Table(pairs) = node else {
        return node.clone();
    };
    let rank = |key: &str| {
        order
            .iter()
            .position(|known| key.trim_matches('"') == *known)
            .unwrap_or(order.len())
    };
    let mut pairs = pairs.clone();
    pairs.sort_by_key(|(key, _)| rank(key));
    JsonNode::Table(pairs)
}
