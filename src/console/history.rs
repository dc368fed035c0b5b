//! How many requests each route had in the last quarter of an hour, sampled from the metrics.

use crate::gateway::snapshot::Snapshot;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time between two samples.
pub const INTERVAL: Duration = Duration::from_secs(15);
/// The most samples of a route: a quarter of an hour, and one to subtract from.
const SAMPLES: usize = 61;

/// Totals of a route at successive times, the oldest first: accepted, refused, failed.
type Totals = VecDeque<[u64; 3]>;

/// The samples of each route by its name.
#[derive(Debug, Default)]
pub struct History(Mutex<HashMap<String, Totals>>);

impl History {
    /// Takes a sample of the counters. Routes that are gone are forgotten.
    pub fn sample(&self, snapshot: &Snapshot) {
        let mut samples = self.samples();
        let mut before = std::mem::take(&mut *samples);
        samples.reserve(snapshot.routes().len());
        for route in snapshot.routes() {
            let name = route.settings.name.as_str();
            let (name, mut totals) = before
                .remove_entry(name)
                .unwrap_or_else(|| (name.to_owned(), Totals::new()));
            if totals.len() >= SAMPLES {
                totals.pop_front();
            }
            totals.push_back(route.metrics.totals());
            samples.insert(name, totals);
        }
    }

    /// Requests of a route in each interval, the oldest first: accepted, refused, failed.
    #[must_use]
    pub fn of(&self, route: &str) -> Vec<[u64; 3]> {
        let samples = self.samples();
        let Some(totals) = samples.get(route) else {
            return Vec::new();
        };
        let pairs = totals.iter().zip(totals.iter().skip(1));
        pairs
            .map(|([a, b, c], [later_a, later_b, later_c])| {
                [
                    later_a.saturating_sub(*a),
                    later_b.saturating_sub(*b),
                    later_c.saturating_sub(*c),
                ]
            })
            .collect()
    }

    /// Requests of a route that failed in the last quarter of an hour.
    #[must_use]
    pub fn failures(&self, route: &str) -> u64 {
        let samples = self.samples();
        let ends = samples.get(route).and_then(|totals| totals.front().zip(totals.back()));
        ends.map_or(0, |([.., first], [.., last])| last.saturating_sub(*first))
    }

    fn samples(&self) -> MutexGuard<'_, HashMap<String, Totals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
