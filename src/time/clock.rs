//! The wall clock, read in one place: once per exchange, in whole Unix seconds, and passed on as an argument.

use httpdate::HttpDate;
use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

thread_local! {
    /// The second that was written last, and how.
    static DATE: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

/// Unix seconds now; 0 on a machine whose clock stands before 1970.
#[must_use]
pub fn unix_now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Gives `use_it` the value of a `Date` field for now (RFC 9110, 5.6.7): nothing is judged by it.
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
