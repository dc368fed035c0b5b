//! The wall clock. It is read only here, once per exchange; other modules receive the time as an argument. Audit lines
//! show milliseconds; everything else uses whole Unix seconds.

use httpdate::HttpDate;
use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

thread_local! {
    /// The Unix second that was formatted last, and its text; `u64::MAX` before the first call.
    static DATE: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

/// The current time in Unix seconds; 0 when the machine's clock is set before 1970.
#[must_use]
pub fn unix_now() -> u64 {
    since_epoch().as_secs()
}

/// The current time in Unix milliseconds; 0 when the machine's clock is set before 1970.
#[must_use]
pub fn unix_now_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the only place that reads the wall clock")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Calls `use_it` with the current time as the value of a `Date` field (RFC 9110, 5.6.7).
///
/// The text is formatted once per second and thread. No check of a request depends on it.
pub fn with_http_date<T>(use_it: impl FnOnce(&str) -> T) -> T {
    let now = unix_now();
    DATE.with_borrow_mut(|(second, text)| {
        if *second != now {
            *second = now;
            *text = HttpDate::from(UNIX_EPOCH + Duration::from_secs(now)).to_string();
        }
        use_it(text)
    })
}
