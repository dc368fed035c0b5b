//! Waiting without fixed sleeps: poll a condition until it holds, or fail at a deadline that is generous on any
//! machine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a test waits for something that should happen immediately. Long, because only a failing test waits this
/// long.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Polls until there is a value; panics with `what` after [`WAIT_TIMEOUT`].
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(WAIT_TIMEOUT, what, probe)
}

/// Polls until there is a value; panics with `what` after `timeout`.
pub(crate) fn within<T>(timeout: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {timeout:?}: {what}");
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

    /// Waits until it is open, at most three times [`WAIT_TIMEOUT`], so that the threads of a failed test end.
    pub(crate) fn pass(&self) {
        let closed = self.0.0.lock().unwrap();
        drop(
            self.0
                .1
                .wait_timeout_while(closed, WAIT_TIMEOUT * 3, |open| !*open)
                .unwrap(),
        );
    }
}

/// Sets a flag at the end of a scope, also when a test fails, so that the threads that read it end.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
