//! Values of JSON that libraries and frameworks change when they read and write it, undone: single values in all places or
//! some, rounded numbers, added keys, wrappers, the order of keys.

use super::json_edits::{EDITS, Edit, Reach, number, unrounded};
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

/// Largest number of rounded numbers that are restored.
const MAX_ROUNDED: usize = 3;

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
            .filter(|(_, reach, edit)| *reach == Reach::Combined && places(&node, *edit) > 0)
            .map(|(what, _, edit)| (*what, *edit, apply(&node, *edit, &|_| true)))
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
        for (what, reach, edit) in EDITS {
            let count = places(&node, edit);
            if count < 2 && reach == Reach::Combined {
                continue;
            }
            if count > MAX_COMBINED && reach == Reach::Alone {
                found.push((what.to_owned(), apply(&node, edit, &|_| true)));
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

/// The values before JavaScript rounded a number; every number with the same text was the same before.
pub(super) fn unrounded_values(node: &JsonNode) -> Vec<JsonNode> {
    fn numbers<'n>(node: &'n JsonNode, into: &mut Vec<&'n str>) {
        match node {
            JsonNode::Scalar(_) => into.extend(number(node)),
            JsonNode::List(nodes) => nodes.iter().for_each(|node| numbers(node, into)),
            JsonNode::Table(pairs) => pairs.iter().for_each(|(_, node)| numbers(node, into)),
        }
    }
    fn replaced(node: &JsonNode, from: &str, to: &str) -> JsonNode {
        match node {
            JsonNode::Scalar(text) => JsonNode::Scalar(if text == from { to } else { text }.to_owned()),
            JsonNode::List(nodes) => JsonNode::List(nodes.iter().map(|node| replaced(node, from, to)).collect()),
            JsonNode::Table(pairs) => {
                let pairs = pairs.iter().map(|(key, node)| (key.clone(), replaced(node, from, to)));
                JsonNode::Table(pairs.collect())
            }
        }
    }
    let mut all = Vec::new();
    numbers(node, &mut all);
    all.sort_unstable();
    all.dedup();
    let rounded = all.into_iter().map(|text| (text, unrounded(text)));
    let rounded = rounded.filter(|(_, before)| !before.is_empty()).take(MAX_ROUNDED);
    rounded
        .flat_map(|(text, before)| {
            before
                .into_iter()
                .map(|before| replaced(node, text, &before))
                .collect::<Vec<_>>()
        })
        .collect()
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
