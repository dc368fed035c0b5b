//! Prints the results as Markdown tables for docs/performance.md.

use crate::comparison::{Measurement, TurnTotals};
use crate::growth::Grown;
use crate::idle::Idle;
use crate::syscalls::Calls;

/// Smallest share of its turns that a contender must be busy. Below it the contender waited for the generator, and the ratio would be
/// meaningless.
const BUSY: f64 = 0.85;

/// Median, smallest and largest of one figure over the repetitions.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
        Self {
            median: (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0,
            least,
            most,
        }
    }

    fn show(self, digits: usize) -> String {
        format!(
            "{:.digits$} ({:.digits$} to {:.digits$})",
            self.median, self.least, self.most
        )
    }
}

/// Prints one row: all contenders compared with the first one.
pub fn print_comparison(scores: &[Measurement], goals: &[(&str, f64)]) {
    let Some(ours) = scores.first() else { return };
    println!(
        "| contender | CPU per request, µs | of it kernel | requests/s | its CPU over {}'s | goal | busy: contender, load | its core idle |",
        ours.name
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for score in scores {
        let total = score.total();
        let cpu = Spread::of(score.repetitions.iter().map(TurnTotals::micros)).show(1);
        let rate = Spread::of(score.repetitions.iter().map(TurnTotals::rate)).show(0);
        let goal = goals.iter().find(|(name, _)| *name == score.name);
        let ratio = if score.name == ours.name {
            "–".to_owned()
        } else if let Some(slack) = [ours, score].into_iter().find(|s| !was_busier(&s.total())) {
            format!("none: {}'s core was not the busy one", slack.name)
        } else {
            let pairs = score.repetitions.iter().zip(&ours.repetitions);
            Spread::of(pairs.map(|(theirs, ours)| theirs.micros() / ours.micros())).show(2)
        };
        println!(
            "| {} | {cpu} | {:.1} | {rate} | {ratio} | {} | {:.0} %, {:.0} % | {:.0} % |",
            score.name,
            total.kernel_micros(),
            goal.map_or("–".to_owned(), |(_, at_least)| format!("≥ {at_least}")),
            100.0 * total.contender_busy(),
            100.0 * total.load_busy(),
            100.0 * total.share(total.core_idle),
        );
        if total.lost > 0 {
            println!(
                "  ({}: {} of {} requests were sent again after the connection closed)",
                score.name, total.lost, total.answers
            );
        }
    }
    let opened: Vec<String> = scores
        .iter()
        .map(|score| (score, score.total()))
        .map(|(score, total)| format!("{} {:.2}", score.name, total.opened as f64 / total.answers as f64))
        .collect();
    println!("\nConnections opened per request: {}.\n", opened.join(", "));
}

/// Whether the contender was the bottleneck, not the load generator.
fn was_busier(total: &TurnTotals) -> bool {
    total.contender_busy() >= BUSY && total.load_busy() < total.contender_busy()
}

/// Prints the memory of idle connections.
pub fn print_idle(rows: &[Idle]) {
    let Some(ours) = rows.first() else { return };
    println!(
        "| contender | KiB each after the handshake | {0}'s over theirs | KiB each after one request | {0}'s over theirs |",
        ours.name
    );
    println!("| --- | --- | --- | --- | --- |");
    for row in rows {
        println!(
            "| {} | {:.1} | {:.2} | {:.1} | {:.2} |",
            row.name,
            row.fresh,
            ours.fresh / row.fresh,
            row.used,
            ours.used / row.used,
        );
    }
    println!();
}

/// Prints the system calls per request.
pub fn print_calls(rows: &[Calls]) {
    println!("| contender | system calls per request | of these | counted by |");
    println!("| --- | --- | --- | --- |");
    for row in rows {
        let each: Vec<String> = row
            .each
            .iter()
            .filter(|(_, n)| *n >= 0.005)
            .map(|(name, n)| format!("{name} {n:.2}"))
            .collect();
        println!(
            "| {} | {:.2} | {} | {} |",
            row.name,
            row.total(),
            each.join(", "),
            row.tracer
        );
    }
    println!();
}

/// Prints what processes with few and with many routes need.
pub fn print_growth(rows: &[Grown]) {
    println!(
        "| routes | start | idle, CPU per second | reload | `/livez` meanwhile, at most | scrape | `/livez` meanwhile, at most | memory |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for row in rows {
        let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        println!(
            "| {} | {:.0} ms | {:.2} ms | {:.0} ms | {:.1} ms | {:.0} ms | {:.1} ms | {} KiB |",
            row.routes,
            millis(row.start),
            millis(row.idle),
            millis(row.reload),
            millis(row.livez_in_reload),
            millis(row.scrape),
            millis(row.livez_in_scrape),
            row.memory_kib,
        );
    }
    println!();
}
