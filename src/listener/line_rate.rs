//! The rate of log lines that a sender causes: one in a second, with the number of those that were left out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Shortest time between two lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// Decides which lines are written. Each worker has its own.
#[derive(Debug, Default)]
pub struct LineRate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When the next line may come; `None` before the first one.
    next: Option<Instant>,
    /// Lines left out since the last one.
    left_out: u64,
}

impl LineRate {
    /// Whether a line may be written at `now`: the number of lines that were left out before it, or `None`.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.next.is_some_and(|next| now < next) {
            state.left_out += 1;
            return None;
        }
        state.next = Some(now + INTERVAL);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_a_second_with_the_number_of_the_others() {
        let rate = LineRate::default();
        let start = Instant::now();
        assert_eq!(rate.admit(start), Some(0));
        assert_eq!(rate.admit(start), None);
        assert_eq!(rate.admit(start + INTERVAL / 2), None);
        assert_eq!(rate.admit(start + INTERVAL), Some(2));
        assert_eq!(rate.admit(start + INTERVAL * 3), Some(0));
    }
}
