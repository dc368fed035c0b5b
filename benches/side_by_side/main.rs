//! Side by side: CPU per request of hookgate and of what could stand in its place, measured in one run.
//!
//! `cargo bench --bench side_by_side -- [row…]` runs the rows of `rows.rs` (all of them when none is named). One worker of
//! each contender has one core; the load generator and the upstream (this process) have the other; everything is
//! on loopback. All contenders stay up and take turns of 80 ms in random order (`race.rs`), so that the machine's noise
//! falls on all alike; the figure is the kernel's account of the contender's CPU over the requests answered, and what is
//! printed is a ratio. Each contender is checked before it is timed (`check.rs`), and a ratio is refused when the
//! contender was not what set the pace (`report.rs`). Contenders are Debian's packages (`install.sh`).
//!
//! Options: `--repetitions N` (7), `--turns N` (16), `--only NAME,…` (contenders to keep), `--build NAME=PATH` (another build of hookgate to
//! race, for comparing two), `--load NAME=SECONDS` (no figures: keep the row's load on one contender, for a profiler).
// A binary has no outside for `pub` to reach; what it prints is its purpose.
#![allow(unreachable_pub, clippy::print_stdout)]
// It measures by ending with an error or a panic where a server must go on.
#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation)]
// Measuring is about real time.
#![allow(clippy::disallowed_methods)]

mod check;
mod contender;
mod generator;
mod idle;
mod place;
mod process;
mod race;
mod report;
mod rows;
mod syscalls;
mod upstream;
mod webhook;

use contender::{Contender, Entry, Kind, Workshop};
use rows::{Measure, ROWS, Row};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use upstream::Upstream;

/// Any failure ends the run with its text.
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
        ["pin", core, ..] => place::become_pinned(core.parse()?, &arguments[2..]),
        // `cargo test --benches` starts this without `--bench`, and a test must not take minutes.
        _ if !words.iter().any(|word| word == "--bench") => {
            println!("run me with: cargo bench --bench side_by_side -- [row…]");
            Ok(())
        }
        _ => run(&Options::parse(&words)?),
    }
}

struct Options {
    rows: Vec<&'static Row>,
    effort: race::Effort,
    only: Option<Vec<String>>,
    builds: Vec<Entry>,
    load: Option<(String, Duration)>,
}

impl Options {
    fn parse(words: &[String]) -> Result<Self> {
        let mut options = Self {
            rows: Vec::new(),
            effort: race::Effort {
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
                "--repetitions" => options.effort.repetitions = value()?.parse()?,
                "--turns" => options.effort.turns = value()?.parse()?,
                "--only" => options.only = Some(value()?.split(',').map(str::to_owned).collect()),
                "--build" => {
                    let (name, path) = value()?.split_once('=').ok_or("--build takes NAME=PATH")?;
                    options.builds.push(Entry {
                        name: name.to_owned(),
                        kind: Kind::Hookgate(PathBuf::from(path)),
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
        if options.effort.repetitions < 5 && options.load.is_none() {
            return Err("a spread needs at least five repetitions".into());
        }
        if options.rows.is_empty() {
            options.rows = ROWS.iter().collect();
        }
        Ok(options)
    }

    /// Who takes part in a row, hookgate first.
    fn entries(&self, row: &Row) -> Vec<Entry> {
        let mut all = vec![Entry {
            name: "hookgate".to_owned(),
            kind: Kind::Hookgate(env!("CARGO_BIN_EXE_hookgate").into()),
        }];
        all.extend(self.builds.iter().cloned());
        for (name, kind) in [
            ("redis", Kind::HookgateRedis(env!("CARGO_BIN_EXE_hookgate").into())),
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
    place::settle(place::GENERATOR_CORE)?;
    let _precedence = place::Precedence::take();
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
    let workshop = Workshop::new()?;
    let entries = options.entries(row);
    let mut upstream = Upstream::new(entries.len())?;
    let mut contenders = Vec::new();
    let mut terms = Vec::new();
    for (listener, entry) in entries.iter().enumerate() {
        let contender = Contender::start(entry, &workshop, &upstream, listener)?;
        let body_bytes = match &row.measure {
            Measure::Race(work) | Measure::Calls(work) => work.body_bytes,
            Measure::Idle => 2048,
        };
        terms.push((
            entry.name.clone(),
            check::check(&contender, &mut upstream, &workshop, body_bytes)?,
        ));
        contenders.push(contender);
    }
    check::same_terms(&terms)?;
    if let Some((_, terms)) = terms.first() {
        let agreed = &terms.agreed;
        println!(
            "Checked: {}, {}, {}, {} tickets each.\n",
            agreed.cipher, agreed.curve, agreed.alpn, terms.tickets
        );
    }
    match &row.measure {
        Measure::Race(work) => {
            report::print_race(
                &race::race(&contenders, &mut upstream, *work, options.effort)?,
                row.goals,
            );
        }
        Measure::Idle => {
            let rows = contenders
                .iter()
                .map(|contender| idle::measure(contender, &mut upstream));
            report::print_idle(&rows.collect::<Result<Vec<_>>>()?);
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

/// Keeps one contender busy and says which process to profile.
fn load(options: &Options, name: &str, span: Duration) -> Result<()> {
    let row = options.rows.first().ok_or("no row")?;
    let (Measure::Race(work) | Measure::Calls(work)) = &row.measure else {
        return Err("this row has no load".into());
    };
    let entries = options.entries(row);
    let entry = entries
        .iter()
        .find(|entry| entry.name == name)
        .ok_or("no such contender in this row")?;
    let workshop = Workshop::new()?;
    let mut upstream = Upstream::new(1)?;
    let contender = Contender::start(entry, &workshop, &upstream, 0)?;
    check::check(&contender, &mut upstream, &workshop, work.body_bytes)?;
    println!("{name} runs as {:?}", contender.tree.0);
    let mut fleet = race::fleet(&contender, *work)?;
    let end = Instant::now() + span;
    let before = contender.tree.settled()?;
    let mut answers = 0;
    while Instant::now() < end {
        answers += fleet.turn(&mut upstream, Duration::from_secs(1))?.answers();
    }
    let used = contender.tree.settled()?.since(&before);
    println!(
        "{answers} answers, {:.1} µs of CPU each",
        used.run.as_secs_f64() * 1e6 / answers as f64
    );
    Ok(())
}
