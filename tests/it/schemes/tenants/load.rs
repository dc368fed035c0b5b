//! Many tenants, and the time that the choice of one takes.

use super::{ACME, INITECH, put};
use crate::support::paddle;
use bytes::Bytes;
use hookgate::scheme::{ChosenTenant, HeadRef, NamedSecret, Tenant, Verifier};
use hookgate::secret::{Secret, SecretDirectory};
use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// A verifier with secrets that nobody knows.
fn verifier() -> Verifier {
    let unknown = ["0f1e2d3c4b5a69788796a5b4c3d2e1f0", "00112233445566778899aabbccddeeff"];
    let keys = unknown.iter().enumerate().map(|(number, secret)| NamedSecret {
        name: number.to_string(),
        secret: Secret::new((*secret).into()),
    });
    let verifier = Verifier::new("paddle", None, keys.collect(), None).unwrap();
    verifier.for_tenants(None, false)
}

/// 100,000 files are read in a small multiple of the time that reading their bytes alone takes. A file that comes, changes or
/// goes is one reading of one file, whatever the number of the others.
#[test]
fn a_hundred_thousand_tenants_load_and_come_and_go_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    let count = 100_000;
    for number in 0..count {
        let path = directory.path().join(format!("tenant-{number}"));
        std::fs::write(path, format!("{ACME}{number}")).unwrap();
    }
    let begun = Instant::now();
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        bytes += std::fs::read(entry.unwrap().path()).unwrap().len();
    }
    let bare = begun.elapsed();
    assert!(bytes > count * ACME.len());

    let verifier = verifier();
    let made = Cell::new(0);
    let make = |name: &str, secrets| {
        made.set(made.get() + 1);
        verifier.tenant(name, secrets)
    };
    let mut now = SystemTime::now();
    let begun = Instant::now();
    let (tenants, changes) = SecretDirectory::open(directory.path().to_owned(), &make, now).unwrap();
    let took = begun.elapsed();
    println!("{count} tenants load in {took:?}; reading their bytes takes {bare:?}");
    assert_eq!(
        (changes.loaded, tenants.table().len(), made.take()),
        (count, count, count)
    );
    assert!(took < bare * 40, "{took:?} for {bare:?}");

    // Later, so that every file is looked at.
    let mut refreshed = || {
        now += Duration::from_secs(60);
        let begun = Instant::now();
        let changes = tenants.refresh(&make, now).unwrap();
        println!(
            "loaded {}, removed {} in {:?}",
            changes.loaded,
            changes.removed,
            begun.elapsed()
        );
        (changes.loaded, changes.removed, made.take(), tenants.table().len())
    };
    let remove = |name: &str| std::fs::remove_file(directory.path().join(name)).unwrap();
    assert_eq!(refreshed(), (0, 0, 0, count), "nothing changed");
    put(directory.path(), "tenant-7", INITECH);
    assert_eq!(refreshed(), (1, 0, 1, count), "one changed");
    put(directory.path(), "newcomer", INITECH);
    assert_eq!(refreshed(), (1, 0, 1, count + 1), "one came");
    remove("tenant-8");
    assert_eq!(refreshed(), (0, 1, 0, count), "one went");
    remove("newcomer");
    put(directory.path(), "tenant-8", INITECH);
    assert_eq!(refreshed(), (1, 1, 1, count), "one came and one went");
}

/// Tenants, and a request with a forged signature that names one of them.
struct Measured {
    verifier: Verifier,
    tenants: SecretDirectory<Tenant>,
    headers: hookgate::http::message::Headers,
    body: Bytes,
    at: u64,
}

impl Measured {
    fn new(directory: &Path) -> Self {
        let verifier = verifier();
        let make = |name: &str, secrets| verifier.tenant(name, secrets);
        let (tenants, _) = SecretDirectory::open(directory.to_owned(), &make, SystemTime::now()).unwrap();
        let (body, at) = (Bytes::from(vec![b'x'; 2_000]), paddle::now());
        let field = (
            hyper::header::HeaderName::from_static("paddle-signature"),
            hyper::header::HeaderValue::from_str(&paddle::signature("forged", at, &body)).unwrap(),
        );
        Self {
            headers: [field].into_iter().collect(),
            verifier,
            tenants,
            body,
            at,
        }
    }

    /// Time in nanoseconds from the name of a tenant to the verdict; `width` replaces the number of keys.
    fn time(&self, name: &str, width: Option<usize>) -> f64 {
        let head = HeadRef {
            method: &hyper::Method::POST,
            target: "/",
            headers: &self.headers,
        };
        let begun = Instant::now();
        let (tenant, most) = self.tenants.table().choose(name);
        let width = width.unwrap_or(most);
        let chosen = Some(ChosenTenant { tenant, width });
        let mut aged = self
            .verifier
            .present(&head)
            .unwrap()
            .age_as(self.at, Some(60), chosen)
            .unwrap();
        aged.update(&self.body);
        assert!(aged.verify(std::slice::from_ref(&self.body), self.at).is_err());
        begun.elapsed().as_nanos() as f64
    }
}

/// The difference of the mean times of two classes in nanoseconds, and Welch's t. The class of each sample is random, and the
/// slowest tenth is dropped as noise of the machine, as in dudect (Reparaz, Balasch, Verbauwhede).
fn difference(samples: usize, measure: [&dyn Fn() -> f64; 2]) -> (f64, f64) {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let times: Vec<(usize, f64)> = (0..samples)
        .map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let class = usize::from(random & 1 == 1);
            (class, measure[class]())
        })
        .collect();
    let mut sorted: Vec<f64> = times.iter().map(|(_, time)| *time).collect();
    sorted.sort_by(f64::total_cmp);
    let crop = sorted[samples / 10 * 9];
    let moments = |class: usize| {
        let kept = times.iter().filter(|(of, time)| *of == class && *time <= crop);
        let kept: Vec<f64> = kept.map(|(_, time)| *time).collect();
        let mean = kept.iter().sum::<f64>() / kept.len() as f64;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (kept.len() - 1) as f64;
        (mean, variance / kept.len() as f64)
    };
    let ((a, va), (b, vb)) = (moments(0), moments(1));
    ((a - b).abs(), ((a - b) / (va + vb).sqrt()).abs())
}

/// Whether a tenant exists cannot be read from the time of an answer: both take the same work. What one comparison less
/// shows is the scale, and shows that the measurement works.
#[test]
fn known_and_unknown_tenants_take_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "acme", ACME);
    put(directory.path(), "rotating", &format!("{INITECH}\n{ACME}"));
    let measured = Measured::new(directory.path());
    let known = || measured.time("acme", None);
    let leak = difference(10_000, [&known, &|| measured.time("none", Some(1))]);
    println!("one key less: {:.0} ns, t = {:.1}", leak.0, leak.1);
    assert!(leak.1 > 4.5, "the measurement does not detect a leak: {leak:?}");
    for (known, unknown) in [("acme", "none"), ("rotating", "nonesuch"), ("acme", "ACME")] {
        // A busy machine may disturb one measurement, but a leak shows in all. What is less than a tenth of one key is the
        // machine's.
        let mut seen = Vec::new();
        let is_equal = (0..5).any(|_| {
            let (mean, t) = difference(
                20_000,
                [&|| measured.time(known, None), &|| measured.time(unknown, None)],
            );
            println!("{known} and {unknown}: {mean:.0} ns, t = {t:.1}");
            seen.push((mean, t));
            t < 4.5 || mean < leak.0 / 10.0
        });
        assert!(is_equal, "{known} and {unknown}: {seen:?}; one key less: {leak:?}");
    }
}
