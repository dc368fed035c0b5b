//! The table of results, as aligned text or as JSON.

use super::scenarios::Row;
use crate::cli::terminal::Paint;
use serde_json::{Value, json};

/// Aligned columns. The problems of a row follow below it, one per line.
pub(super) fn human(rows: &[Row], paint: Paint) -> String {
    let cells: Vec<[&str; 4]> = rows
        .iter()
        .map(|row| [&*row.title, &*row.expected, &*row.response, &*row.received])
        .collect();
    let widths = [0, 1, 2, 3].map(|column| {
        let width = |cells: &[&str; 4]| cells.get(column).map_or(0, |cell| cell.chars().count());
        cells.iter().chain([&HEADINGS]).map(width).max().unwrap_or(0)
    });
    let line = |cells: &[&str; 4]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ")
    };
    let mut text = format!("  {}\n", paint.bold(line(&HEADINGS).trim_end()));
    let rule = widths.iter().sum::<usize>() + 2 * widths.len() + "FAIL".len();
    text += &format!("  {}\n", paint.dim(&"─".repeat(rule)));
    for (row, cells) in rows.iter().zip(&cells) {
        let verdict = if row.problems.is_empty() {
            paint.green("ok")
        } else {
            paint.red("FAIL")
        };
        text += &format!("  {}  {verdict}\n", line(cells));
        for problem in &row.problems {
            text += &format!("    {}\n", paint.red(problem));
        }
    }
    text
}

/// One JSON object for each row.
pub(super) fn json(rows: &[Row]) -> Vec<Value> {
    let row = |row: &Row| {
        json!({
            "sent": row.title,
            "expected": row.expected,
            "came_back": row.response,
            "application_saw": row.received,
            "ok": row.problems.is_empty(),
            "problems": row.problems,
        })
    };
    rows.iter().map(row).collect()
}

/// Headings of the columns.
const HEADINGS: [&str; 4] = ["sent", "expected", "answer", "application received"];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn row(title: &str, problems: &[&str]) -> Row {
        Row {
            title: title.into(),
            expected: "200".into(),
            response: "200".into(),
            received: "nothing".into(),
            problems: problems.iter().map(|problem| (*problem).to_owned()).collect(),
        }
    }

    #[test]
    fn columns_are_aligned_and_problems_are_listed() {
        let text = human(
            &[row("signed", &[]), row("a längerer name", &["received twice"])],
            Paint::new(false, &Vec::new()),
        );
        let lines: Vec<_> = text.lines().collect();
        let column = |line: &str, part: &str| line.split(part).next().unwrap().chars().count();
        let [headings, _rule, first, second, problem] = lines.as_slice() else {
            panic!("{text}")
        };
        assert_eq!(column(first, "200"), column(second, "200"));
        assert_eq!(column(headings, "expected"), column(first, "200"));
        assert!(
            first.ends_with("  ok") && second.ends_with("  FAIL") && problem.contains("received twice"),
            "{text}"
        );
        assert_eq!(json(&[row("x", &["y"])]).first().unwrap().get("ok").unwrap(), false);
    }
}
