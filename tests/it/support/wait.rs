//! Waiting without guessing: poll a condition until it holds, or fail at a deadline that is generous on any machine.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a test waits for what should be there at once. Long, because only a failing test ever waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until there is an answer; panics with `what` after [`PATIENCE`].
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// Asks until there is an answer; panics with `what` when the time is over.
pub(crate) fn within<T>(patience: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A door that one side waits at until the other opens it. Starts closed, clones are the same door.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open, at most three times [`PATIENCE`] so that a failed test's threads end.
    pub(crate) fn pass(&self) {
        let closed = self.0.0.lock().unwrap();
        drop(
            self.0
                .1
                .wait_timeout_while(closed, PATIENCE * 3, |open| !*open)
                .unwrap(),
        );
    }
}
