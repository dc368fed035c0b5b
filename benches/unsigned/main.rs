//! Prints the CPU time that an unsigned request of 1 MiB costs before it is refused, for every preset.
//!
//!     cargo bench --profile release --bench unsigned
//!
//! A number as argument is another length of the bodies, in KiB.
//!
//! Each preset gets several bodies that are slow to read (escaped keys, arrays of numbers, many form fields) and the most
//! signatures that it accepts. The table has the slowest of them: the median of 15 turns in CPU
//! time, on one thread, with one key.
//! docs/security.md has the table.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::indexing_slicing
)]

mod requests;

use requests::{Case, NOW, Unsigned};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;

const MIB: usize = 1 << 20;

fn main() {
    println!("| preset | slowest body | ms for 1 MiB |\n| --- | --- | --- |");
    let mut worst = Duration::ZERO;
    let length = std::env::args().find_map(|argument| argument.parse::<usize>().ok());
    for case in requests::all(length.map_or(MIB, |kib| kib * 1024)) {
        let measured = case
            .requests
            .iter()
            .map(|request| (median(&case, request), request.name));
        let (time, slowest) = measured.max().unwrap_or_default();
        worst = worst.max(time);
        println!("| {} | {slowest} | {:.1} |", case.name, time.as_secs_f64() * 1000.0);
    }
    println!("\nthe slowest: {:.1} ms", worst.as_secs_f64() * 1000.0);
}

fn median(case: &Case, request: &Unsigned) -> Duration {
    let mut times: Vec<Duration> = (0..15).map(|_| once(case, request)).collect();
    times.sort();
    // A body may be a little shorter than 1 MiB.
    times[times.len() / 2] * u32::try_from(MIB / 1024).unwrap()
        / u32::try_from(request.body.len().div_ceil(1024)).unwrap()
}

fn once(case: &Case, request: &Unsigned) -> Duration {
    let body = &request.body;
    let start = cpu_time();
    let mut aged = case.aged(request);
    aged.update(body);
    let _ = black_box(aged.verify(std::slice::from_ref(body), NOW));
    cpu_time().saturating_sub(start)
}

/// The CPU time of this thread: other programs may run meanwhile.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}
