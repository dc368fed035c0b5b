//! Waiting without fixed sleeps: poll a condition until it holds, or fail at a deadline that is generous on any
//! machine.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a test waits for something that should happen immediately. Long, because only a failing test waits this
/// long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until there is a value; panics with `what` after [`PATIENCE`].
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// Polls until there is a value; panics with `what` after `patience`.
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

/// A gate at which one side waits until the other opens it. Starts closed; clones are the same gate.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open, at most three times [`PATIENCE`], so that the threads of a failed test end.
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
