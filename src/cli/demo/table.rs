//! The table of what happened, for a terminal or a machine.

use super::scenes::Row;
use crate::cli::terminal::Paint;
use serde_json::{Value, json};

/// Aligned columns; problems of a row follow below it.
pub(super) fn human(rows: &[Row], paint: Paint) -> String {
    let cells: Vec<[&str; 4]> = rows
        .iter()
        .map(|row| [&*row.sent, &*row.expected, &*row.came, &*row.saw])
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

/// One object for each row.
pub(super) fn json(rows: &[Row]) -> Vec<Value> {
    let row = |row: &Row| {
        json!({
            "sent": row.sent,
            "expected": row.expected,
            "came_back": row.came,
            "application_saw": row.saw,
            "ok": row.problems.is_empty(),
            "problems": row.problems,
        })
    };
    rows.iter().map(row).collect()
}

const HEADINGS: [&str; 4] = ["sent", "expected", "came back", "the application saw"];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn row(sent: &str, problems: &[&str]) -> Row {
        Row {
            sent: sent.into(),
            expected: "200".into(),
            came: "200".into(),
            saw: "nothing".into(),
            problems: problems.iter().map(|problem| (*problem).to_owned()).collect(),
        }
    }

    #[test]
    fn columns_are_aligned_and_failures_explained() {
        let text = human(
            &[row("signed", &[]), row("a längerer name", &["seen twice"])],
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
            first.ends_with("  ok") && second.ends_with("  FAIL") && problem.contains("seen twice"),
            "{text}"
        );
        assert_eq!(json(&[row("x", &["y"])]).first().unwrap().get("ok").unwrap(), false);
    }
}
