//! Compares verification with the bare HMAC of the same bytes, and the times of two wrong signatures.
//!
//!     cargo bench --bench verify
//!
//! `paddle/…` is present, age, update and verify. `hmac/…` is the MAC of `ts:body` with a key that was expanded before.
//! The table at the end has ratios of medians of alternating turns, so that noise of the machine affects both. The
//! figures of criterion are for comparing one of them over time. Run it in the bench profile, which `cargo bench` uses.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookgate::http::message::Headers;
use hookgate::outcome::Rejection;
use hookgate::scheme::{HeadRef, NamedSecret, SignRequest, Verified, Verifier};
use hookgate::secret::Secret;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use sha2::Sha256;
use std::hint::black_box;
use std::time::{Duration, Instant};

const SECRET: &str = "pdl_ntfset_01hs0t3tw21j988db1pam5xg8m_GrOWLNef+vmtjJYq4mSnHNzvc8uWoJ1I";
const NOW: u64 = 1_700_000_000;
const SIZES: [usize; 3] = [1, 16, 64];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .configure_from_args();
    for kib in SIZES {
        let case = Case::new(kib * 1024);
        let mut group = criterion.benchmark_group(format!("{kib} KiB"));
        group.throughput(Throughput::Bytes(kib as u64 * 1024));
        group.bench_function(BenchmarkId::from_parameter("hmac"), |b| b.iter(|| case.hmac()));
        group.bench_function(BenchmarkId::from_parameter("paddle"), |b| {
            b.iter(|| case.paddle(&case.headers).unwrap());
        });
        group.finish();
    }
    criterion.final_summary();

    println!(
        "\n{:>7} {:>12} {:>12} {:>10} {:>7}",
        "body", "hmac", "paddle", "more by", "ratio"
    );
    for kib in SIZES {
        let case = Case::new(kib * 1024);
        let [hmac, paddle] = turns([&|| keep(case.hmac()), &|| keep(case.paddle(&case.headers))]);
        println!(
            "{kib:>3} KiB {hmac:>9.0} ns {paddle:>9.0} ns {:>7.0} ns {:>7.3}",
            paddle - hmac,
            paddle / hmac
        );
    }
    let case = Case::new(1024);
    let [first, last] = [0, 63].map(|digit| case.wrong_in(digit));
    assert!(case.paddle(&first).is_err() && case.paddle(&last).is_err());
    let [first, last] = turns([&|| keep(case.paddle(&first)), &|| keep(case.paddle(&last))]);
    println!(
        "wrong in the first digit {first:.0} ns, in the last {last:.0} ns: ratio {:.3}",
        first / last
    );
}

/// One genuine request with a body of `x`, and what verifies it.
struct Case {
    verifier: Verifier,
    keyed: Hmac<Sha256>,
    body: [Bytes; 1],
    headers: Headers,
}

impl Case {
    fn new(size: usize) -> Self {
        let key = NamedSecret {
            name: "primary".to_owned(),
            secret: Secret::new(SECRET.into()),
        };
        let verifier = Verifier::new("paddle", None, vec![key], None).unwrap();
        let body = vec![b'x'; size];
        let request = SignRequest {
            method: &Method::POST,
            target: "/",
            delivery_id: None,
            body: &body,
        };
        let headers = verifier.sign(0, &request, NOW).unwrap().into_iter().collect();
        let keyed = Hmac::new_from_slice(SECRET.as_bytes()).unwrap();
        Self {
            verifier,
            keyed,
            body: [Bytes::from(body)],
            headers,
        }
    }

    fn hmac(&self) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        mac.update(b"1700000000:");
        mac.update(&self.body[0]);
        mac.finalize().into_bytes().into()
    }

    fn paddle(&self, headers: &Headers) -> Result<Verified, Rejection> {
        let head = HeadRef {
            method: &Method::POST,
            target: "/webhooks/paddle",
            headers,
        };
        let presented = self.verifier.present(&head)?;
        let mut aged = presented.age(NOW, Some(5))?;
        aged.update(&self.body[0]);
        aged.verify(&self.body, NOW)
    }

    /// The headers with one digit of the signature changed.
    fn wrong_in(&self, digit: usize) -> Headers {
        let signature = self.headers.named("paddle-signature").next().unwrap();
        let mut value = String::from_utf8(signature.to_vec()).unwrap();
        let at = value.find("h1=").unwrap() + 3 + digit;
        let other = if &value[at..=at] == "0" { "1" } else { "0" };
        value.replace_range(at..=at, other);
        let name = HeaderName::from_static("paddle-signature");
        Headers::from_iter([(name, HeaderValue::try_from(value).unwrap())])
    }
}

/// Keeps the compiler from removing a computation whose result is not used.
fn keep<T>(result: T) {
    black_box(result);
}

/// Median nanoseconds per call of each function. They alternate in turns of about 50 µs, which is short enough that the
/// kernel does not interrupt most of them.
fn turns<const N: usize>(work: [&dyn Fn(); N]) -> [f64; N] {
    const TURNS: usize = 4001;
    let time = |work: &dyn Fn(), calls: u32| {
        let start = Instant::now();
        (0..calls).for_each(|_| work());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    };
    let one = (1..=5).map(|_| time(work[0], 10)).fold(f64::INFINITY, f64::min);
    let calls = (1..=64).find(|calls| f64::from(*calls) * one >= 50_000.0).unwrap_or(64);
    let mut samples = work.map(|_| Vec::with_capacity(TURNS));
    for _ in 0..TURNS {
        for (work, samples) in work.iter().zip(&mut samples) {
            samples.push(time(*work, calls));
        }
    }
    samples.map(|mut samples| {
        samples.sort_by(f64::total_cmp);
        samples[TURNS / 2]
    })
}
