//! Compares the CPU time per request of hookgate and of programs that could replace it, in one run.
//!
//! `cargo bench --bench side_by_side -- [row…]` runs the rows of `rows.rs` (all of them if none is named). One worker of each
//! contender has one core. The load generator and the upstream (this process) have the other core. All traffic is on loopback.
//! All contenders run during the whole test and get load in turns of 80 ms in random order (`comparison.rs`), so that noise of the
//! machine affects all equally. The figure is the contender's CPU time, as the kernel counts it, divided by the requests that it
//! answered. The report prints ratios. `check.rs` checks each contender before the measurement. `report.rs` prints no ratio when the
//! contender was not the bottleneck. The contenders are Debian packages (`install.sh`).
//!
//! Options: `--repetitions N` (7), `--turns N` (16), `--only NAME,…` (contenders to keep), `--build NAME=PATH` (another build of
//! hookgate to compare with), `--load NAME=SECONDS` (no figures: keeps the row's load on one contender, for a profiler).
//!
//! Read `rows.rs` first, then `comparison.rs`, `check.rs`, `contender.rs`, `generator/` and `upstream.rs`.
// Nothing outside a binary can use its `pub` items. Printing is the purpose of this one.
#![allow(unreachable_pub, clippy::print_stdout)]
// A benchmark may end with an error or a panic where a server must continue.
#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation)]
// A benchmark measures real time.
#![allow(clippy::disallowed_methods)]

mod check;
mod comparison;
mod contender;
mod cpu;
mod generator;
mod growth;
mod idle;
mod inbox;
mod process;
mod report;
mod rows;
mod syscalls;
mod upstream;
mod webhook;

use contender::{Contender, Entry, Kind, RunFiles, Variation};
use generator::Protocol;
use rows::{Measure, ROWS, Row};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use upstream::Upstream;

/// Result of every step; an error ends the run and is printed.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("side_by_side: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<String> = arguments
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["pin", core, ..] => cpu::exec_pinned(core.parse()?, &arguments[2..]),
        // `cargo test --benches` starts this program without `--bench`; a test must not take minutes.
        _ if !words.iter().any(|word| word == "--bench") => {
            println!("run this with: cargo bench --bench side_by_side -- [row…]");
            Ok(())
        }
        _ => run(&Options::parse(&words)?),
    }
}

struct Options {
    rows: Vec<&'static Row>,
    plan: comparison::Plan,
    only: Option<Vec<String>>,
    builds: Vec<Entry>,
    load: Option<(String, Duration)>,
}

impl Options {
    fn parse(words: &[String]) -> Result<Self> {
        let mut options = Self {
            rows: Vec::new(),
            plan: comparison::Plan {
                repetitions: 7,
                turns: 16,
                turn: Duration::from_millis(80),
            },
            only: None,
            builds: Vec::new(),
            load: None,
        };
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word {
                "--bench" => {}
                "--repetitions" => options.plan.repetitions = value()?.parse()?,
                "--turns" => options.plan.turns = value()?.parse()?,
                "--only" => options.only = Some(value()?.split(',').map(str::to_owned).collect()),
                "--build" => {
                    let (name, path) = value()?.split_once('=').ok_or("--build takes NAME=PATH")?;
                    options.builds.push(Entry {
                        name: name.to_owned(),
                        kind: Kind::Hookgate(PathBuf::from(path), Variation::Default),
                    });
                }
                "--load" => {
                    let (name, seconds) = value()?.split_once('=').ok_or("--load takes NAME=SECONDS")?;
                    options.load = Some((name.to_owned(), Duration::from_secs(seconds.parse()?)));
                }
                name => options
                    .rows
                    .push(ROWS.iter().find(|row| row.name == name).ok_or_else(|| {
                        let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
                        format!("no row {name}; there are {}", known.join(", "))
                    })?),
            }
        }
        if options.plan.repetitions < 5 && options.load.is_none() {
            return Err("a spread needs at least five repetitions".into());
        }
        if options.rows.is_empty() {
            options.rows = ROWS.iter().collect();
        }
        Ok(options)
    }

    /// The contenders of a row, hookgate first.
    fn entries(&self, row: &Row) -> Vec<Entry> {
        let ours = |variation| Kind::Hookgate(env!("CARGO_BIN_EXE_hookgate").into(), variation);
        let mut all = vec![Entry {
            name: "hookgate".to_owned(),
            kind: ours(Variation::Default),
        }];
        all.extend(self.builds.iter().cloned());
        for (name, kind) in [
            ("audit-off", ours(Variation::WithoutAudit)),
            ("10,000-routes", ours(Variation::Routes)),
            ("2-secrets", ours(Variation::Secrets)),
            ("100-endpoints", ours(Variation::Endpoints)),
            ("1,000,000-keys", ours(Variation::Keys)),
            ("unix-socket", ours(Variation::UnixSocket)),
            ("redis", ours(Variation::Redis)),
            ("nginx", Kind::Nginx),
            ("nginx-lua", Kind::NginxLua),
            ("haproxy", Kind::Haproxy),
        ] {
            if row.against.contains(&name) {
                all.push(Entry {
                    name: name.to_owned(),
                    kind,
                });
            }
        }
        all.retain(|entry| self.only.as_ref().is_none_or(|only| only.contains(&entry.name)));
        all
    }
}

fn run(options: &Options) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/side_by_side/install.sh");
    if !Command::new(&script).status()?.success() {
        return Err("the contenders could not be installed".into());
    }
    // The row of the inbox uses both cores for everybody.
    if options.rows.iter().any(|row| !matches!(row.measure, Measure::Inbox)) {
        cpu::pin_and_raise_limits(cpu::GENERATOR_CORE)?;
    }
    let _precedence = cpu::SessionPriority::take();
    if let Some((name, span)) = &options.load {
        return load(options, name, *span);
    }
    let mut failed = Vec::new();
    for row in &options.rows {
        println!("### {}: {}\n", row.name, row.title);
        if let Err(problem) = measure(options, row) {
            println!("failed: {problem}\n");
            failed.push(row.name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("rows failed: {}", failed.join(", ")).into())
    }
}

fn measure(options: &Options, row: &Row) -> Result<()> {
    if matches!(row.measure, Measure::Inbox) {
        return inbox::measure(Path::new(env!("CARGO_BIN_EXE_hookgate")));
    }
    let run_files = RunFiles::new()?;
    let entries = options.entries(row);
    let mut upstream = Upstream::new(entries.len())?;
    let mut contenders = Vec::new();
    let mut conditions = Vec::new();
    for (listener, entry) in entries.iter().enumerate() {
        let contender = Contender::start(entry, &run_files, &mut upstream, listener)?;
        let (body_bytes, protocol) = match &row.measure {
            Measure::CpuTime(work) | Measure::Calls(work) => (work.body_bytes, work.protocol),
            Measure::Idle | Measure::Growth | Measure::Inbox => (2048, Protocol::Http1),
        };
        conditions.push((
            entry.name.clone(),
            check::check(&contender, &mut upstream, &run_files, body_bytes, protocol)?,
        ));
        contenders.push(contender);
    }
    check::require_same_conditions(&conditions)?;
    if let Some((_, conditions)) = conditions.first() {
        let agreed = &conditions.agreed;
        println!(
            "Checked: {}, {}, {}, {} tickets each.\n",
            agreed.cipher, agreed.curve, agreed.alpn, conditions.tickets
        );
    }
    match &row.measure {
        Measure::Inbox => {}
        Measure::CpuTime(work) => {
            report::print_comparison(
                &comparison::compare(&contenders, &mut upstream, *work, options.plan)?,
                row.goals,
            );
        }
        Measure::Idle => {
            let rows = contenders
                .iter()
                .map(|contender| idle::measure(contender, &mut upstream));
            report::print_idle(&rows.collect::<Result<Vec<_>>>()?);
        }
        Measure::Growth => {
            let binary = Path::new(env!("CARGO_BIN_EXE_hookgate"));
            let processes = [1, 10_000].map(|routes| growth::measure(binary, &run_files, routes));
            report::print_growth(&processes.into_iter().collect::<Result<Vec<_>>>()?);
        }
        Measure::Calls(work) => {
            let rows = contenders
                .iter()
                .map(|contender| syscalls::measure(contender, &mut upstream, *work));
            report::print_calls(&rows.collect::<Result<Vec<_>>>()?);
        }
    }
    Ok(())
}

/// Keeps the load on one contender for `span`, and prints the id of the process to profile.
fn load(options: &Options, name: &str, span: Duration) -> Result<()> {
    let row = options.rows.first().ok_or("no row")?;
    let (Measure::CpuTime(work) | Measure::Calls(work)) = &row.measure else {
        return Err("this row has no load to keep up".into());
    };
    let entries = options.entries(row);
    let entry = entries
        .iter()
        .find(|entry| entry.name == name)
        .ok_or("no such contender in this row")?;
    let run_files = RunFiles::new()?;
    let mut upstream = Upstream::new(1)?;
    let contender = Contender::start(entry, &run_files, &mut upstream, 0)?;
    check::check(&contender, &mut upstream, &run_files, work.body_bytes, work.protocol)?;
    println!("{name} runs as {:?}", contender.tree.0);
    let mut connections = comparison::connections(&contender, *work)?;
    let end = Instant::now() + span;
    let before = contender.tree.cpu_times_when_idle()?;
    let mut answers = 0;
    while Instant::now() < end {
        answers += connections.turn(&mut upstream, Duration::from_secs(1))?.answers();
    }
    let used = contender.tree.cpu_times_when_idle()?.since(&before);
    println!(
        "{answers} answers, {:.1} µs of CPU each",
        used.run.as_secs_f64() * 1e6 / answers as f64
    );
    Ok(())
}
