//! How long 100,000 tenants take to load, and one that changes, comes or goes among them.
//!
//!     cargo bench --bench tenants
//!
//! Each row has the time of the work and its ratio to reading the bytes of all files without doing anything with them. The last
//! row is the look at the directory while nothing changes, which the process does every second.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use hookgate::scheme::{NamedSecret, Tenant, Verifier};
use hookgate::secret::{Secret, SecretDirectory};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

const COUNT: usize = 100_000;
const SECRET: &str = "pdl_ntfset_acme_5zX0qDk1Lr7mHcVb93TnYw";

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for number in 0..COUNT {
        fs::write(path(&format!("tenant-{number}")), format!("{SECRET}{number}")).unwrap();
    }
    let bare = (0..3).map(|_| timed(|| read_all(directory.path())).0).min().unwrap();
    println!("{COUNT} tenants; reading the bytes of all files takes {bare:?}");
    let row = |what: &str, took: Duration| {
        println!(
            "{what:<32} {took:>12.3?} {:>8.3}",
            took.as_secs_f64() / bare.as_secs_f64()
        );
    };

    let key = NamedSecret {
        name: "unknown".to_owned(),
        secret: Secret::new(SECRET.into()),
    };
    let verifier = Verifier::new("paddle", None, vec![key], None).unwrap();
    let make = |name: &str, secrets| verifier.tenant(name, secrets);
    let mut now = SystemTime::now();
    let open = || SecretDirectory::<Tenant>::open(directory.path().to_owned(), &make, now).unwrap();
    let (took, (tenants, changes)) = timed(open);
    assert_eq!(changes.loaded, COUNT);
    row("all loaded", took);
    for what in ["one changed", "one came", "one went", "nothing changed, all looked at"] {
        match what {
            "one changed" => fs::write(path("tenant-7"), "another secret of the tenant").unwrap(),
            "one came" => fs::write(path("newcomer"), "the secret of the newcomer").unwrap(),
            "one went" => fs::remove_file(path("tenant-8")).unwrap(),
            _ => {}
        }
        now += Duration::from_secs(60);
        let (took, changes) = timed(|| tenants.refresh(&make, now).unwrap());
        assert!(changes.loaded + changes.removed <= 1);
        row(what, took);
    }
    let (took, ()) = timed(|| drop(tenants.refresh(&make, now + Duration::from_secs(10)).unwrap()));
    row("nothing changed", took);
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let result = work();
    (begun.elapsed(), result)
}

fn read_all(directory: &Path) -> usize {
    let files = fs::read_dir(directory).unwrap();
    files.map(|entry| fs::read(entry.unwrap().path()).unwrap().len()).sum()
}
