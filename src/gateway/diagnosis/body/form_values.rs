//! Fields of forms that frameworks trim, lose, add or change, undone.

use crate::gateway::diagnosis::providers;

/// Name of the cause of a form that was written again.
pub(super) const CAUSE: &str = "form_rewritten";

/// Fields: names and values, decoded.
pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// The fix for changed fields.
pub(super) const FIX: &str = "verify before the framework changes the fields: exempt the webhook's path from middleware that trims texts or makes null of empty ones (Laravel: TrimStrings and ConvertEmptyStringsToNull), or build the payload from the raw body";

/// Largest number of fields whose orders are all tried.
const MAX_PERMUTED: usize = 6;

/// The fields before one change: the cause, what happened, and the fields.
pub(super) fn variants(provider: &str, fields: &Fields) -> Vec<(&'static str, String, Fields)> {
    let mut found = Vec::new();
    added(fields, &mut found);
    lost_plus(fields, &mut found);
    // What happened once is more probable than what happened twice, and a public key verifies only some hundred variants.
    for is_once in [true, false] {
        lost_fields(provider, fields, is_once, &mut found);
        trimmed(fields, is_once, &mut found);
        if is_once {
            line_ends(fields, &mut found);
            known_order(provider, fields, &mut found);
        }
    }
    reordered(fields, &mut found);
    found
}

type Found = Vec<(&'static str, String, Fields)>;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(40).collect()
}

/// Fields that frameworks add to a request's parameters.
fn added(fields: &Fields, found: &mut Found) {
    let is_added = |name: &[u8]| {
        matches!(
            name,
            b"controller" | b"action" | b"format" | b"_method" | b"_token" | b"utf8" | b"q"
        )
    };
    if fields.iter().any(|(name, _)| is_added(name)) {
        let kept = fields.iter().filter(|(name, _)| !is_added(name)).cloned().collect();
        found.push((
            CAUSE,
            "A framework added fields (controller, action, …)".to_owned(),
            kept,
        ));
    }
}

/// Spaces that were plus signs: the form was decoded twice, or not encoded before it was sent again.
fn lost_plus(fields: &Fields, found: &mut Found) {
    const WHAT: &str = "Plus signs became spaces: the form was decoded twice";
    let restored = |value: &[u8]| -> Vec<u8> {
        value
            .iter()
            .map(|byte| if *byte == b' ' { b'+' } else { *byte })
            .collect()
    };
    let places: Vec<usize> = (0..fields.len())
        .filter(|at| fields.get(*at).is_some_and(|(_, value)| value.contains(&b' ')))
        .collect();
    // A telephone number begins with a plus sign, and an address with a tag contains one.
    let is_clear = |value: &[u8]| {
        (value.first() == Some(&b' ') && value.get(1).is_some_and(u8::is_ascii_digit)) || value.contains(&b'@')
    };
    let change = |chosen: &dyn Fn(usize, &[u8]) -> bool| -> Fields {
        let fields = fields.iter().enumerate();
        fields
            .map(|(at, (name, value))| {
                let value = if chosen(at, value) {
                    restored(value)
                } else {
                    value.clone()
                };
                (name.clone(), value)
            })
            .collect()
    };
    if places.is_empty() {
        return;
    }
    found.push(("plus_lost", WHAT.to_owned(), change(&|_, value| is_clear(value))));
    found.push(("plus_lost", WHAT.to_owned(), change(&|_, _| true)));
    for chosen in places.into_iter().take(60) {
        found.push(("plus_lost", WHAT.to_owned(), change(&|at, _| at == chosen)));
    }
}

/// Empty fields that are absent: each alone and all together, or else in twos and threes. Many frameworks write nothing for
/// null.
fn lost_fields(provider: &str, fields: &Fields, is_once: bool, found: &mut Found) {
    let known = providers::empty_fields(provider);
    let absent: Vec<&str> = known
        .iter()
        .copied()
        .filter(|name| !fields.iter().any(|(own, _)| own == name.as_bytes()))
        .take(24)
        .collect();
    let with = |names: &[&str]| {
        let mut all = fields.clone();
        all.extend(names.iter().map(|name| (name.as_bytes().to_vec(), Vec::new())));
        all
    };
    let mut add = |names: &[&str]| {
        let list = names.join("`, `");
        found.push((
            "empty_fields_lost",
            format!("Empty fields were lost (`{list}`): they are signed"),
            with(names),
        ));
    };
    if is_once {
        absent.iter().for_each(|name| add(&[name]));
        if absent.len() > 3 {
            add(&absent);
        }
        return;
    }
    for (at, first) in absent.iter().enumerate() {
        for (next, second) in absent.iter().enumerate().skip(at + 1) {
            add(&[first, second]);
            for third in absent.iter().skip(next + 1).take(12) {
                add(&[first, second, third]);
            }
        }
    }
}

/// One space at an end of one value, or else of two values.
fn trimmed(fields: &Fields, is_once: bool, found: &mut Found) {
    const FEW: usize = 40;
    let pad = |fields: &Fields, at: usize, is_end: bool| {
        let mut fields = fields.clone();
        if let Some((_, value)) = fields.get_mut(at) {
            if is_end {
                value.push(b' ');
            } else {
                value.insert(0, b' ');
            }
        }
        fields
    };
    let name = |at: usize| fields.get(at).map_or_else(String::new, |(name, _)| text(name));
    let count = fields.len().min(FEW);
    for first in (0..count).filter(|_| is_once) {
        for is_end in [true, false] {
            let end = if is_end { "end" } else { "beginning" };
            let what = format!(
                "The value of `{}` was trimmed: the space at its {end} is signed",
                name(first)
            );
            found.push(("values_trimmed", what, pad(fields, first, is_end)));
        }
    }
    for first in (0..count).filter(|_| !is_once) {
        for second in first + 1..count {
            let what = format!(
                "The values of `{}` and `{}` were trimmed: the spaces at their ends are signed",
                name(first),
                name(second)
            );
            found.push(("values_trimmed", what, pad(&pad(fields, first, true), second, true)));
        }
    }
}

/// Line ends inside of values.
fn line_ends(fields: &Fields, found: &mut Found) {
    if !fields.iter().any(|(_, value)| value.contains(&b'\n')) {
        return;
    }
    for (from, to, what) in [("\n", "\r\n", "CRLF"), ("\r\n", "\n", "LF")] {
        let changed = fields.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value).replace("\r\n", "\n");
            let value = if from == "\n" { value.replace('\n', to) } else { value };
            (name.clone(), value.into_bytes())
        });
        found.push((
            "line_ends",
            format!("Line ends in a value were converted: the signature fits {what}"),
            changed.collect(),
        ));
    }
}

/// What the report says of fields in another order.
const ORDER: &str = "The form was parsed and written again in another order";

/// The fields in the provider's order.
fn known_order(provider: &str, fields: &Fields, found: &mut Found) {
    if let Some(order) = providers::field_order(provider) {
        let rank = |name: &[u8]| {
            order
                .iter()
                .position(|known| known.as_bytes() == name)
                .unwrap_or(order.len())
        };
        let mut sorted = fields.clone();
        sorted.sort_by_key(|(name, _)| rank(name));
        if sorted != *fields {
            found.push((CAUSE, ORDER.to_owned(), sorted));
        }
    }
}

/// The fields in all orders, if they are few.
fn reordered(fields: &Fields, found: &mut Found) {
    if fields.len() > MAX_PERMUTED {
        return;
    }
    let mut orders: Vec<Fields> = vec![Vec::new()];
    for _ in 0..fields.len() {
        orders = orders
            .into_iter()
            .flat_map(|chosen| {
                let rest = fields
                    .iter()
                    .filter(|field| !chosen.contains(field))
                    .cloned()
                    .collect::<Vec<_>>();
                rest.into_iter()
                    .map(move |field| [chosen.as_slice(), &[field]].concat())
            })
            .collect();
    }
    found.extend(orders.into_iter().map(|fields| (CAUSE, ORDER.to_owned(), fields)));
}
