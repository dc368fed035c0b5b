//! How many requests each route had in the last quarter of an hour, sampled from the metrics.

use crate::gateway::snapshot::Snapshot;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time between two samples.
pub const INTERVAL: Duration = Duration::from_secs(15);
/// The most samples: a quarter of an hour, and one to subtract from.
const SAMPLES: usize = 61;

/// Totals of every route at one time.
type Sample = Vec<(String, [u64; 3])>;

/// The samples, the oldest first.
#[derive(Debug, Default)]
pub struct History(Mutex<VecDeque<Sample>>);

impl History {
    /// Takes a sample of the counters.
    pub fn sample(&self, snapshot: &Snapshot) {
        let routes = snapshot.routes().iter();
        let sample = routes.map(|route| (route.settings.name.clone(), route.metrics.totals()));
        let sample = sample.collect();
        let mut samples = self.samples();
        samples.push_back(sample);
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
    }

    /// Requests of a route in each interval, the oldest first: accepted, refused, failed.
    #[must_use]
    pub fn of(&self, route: &str) -> Vec<[u64; 3]> {
        let samples = self.samples();
        let totals: Vec<[u64; 3]> = samples
            .iter()
            .filter_map(|sample| {
                let found = sample.iter().find(|(name, _)| name == route);
                found.map(|(_, totals)| *totals)
            })
            .collect();
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

    fn samples(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
