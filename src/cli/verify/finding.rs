//! One cause that was found, and its fix.

/// A cause that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Stable name of the cause, for programs that read the JSON report.
    pub(super) cause: &'static str,
    /// True if the signature fits after the change is undone; false if the change only left a trace.
    pub(super) is_certain: bool,
    /// What happened, as a sentence.
    pub(super) description: String,
    /// What the user should do.
    pub(super) fix: String,
}

impl Finding {
    /// A cause for which the signature fits after the change is undone.
    pub(super) fn certain(cause: &'static str, description: String, fix: &str) -> Self {
        Self {
            cause,
            is_certain: true,
            description,
            fix: fix.to_owned(),
        }
    }

    /// A cause that only left a trace.
    pub(super) fn likely(cause: &'static str, description: String, fix: &str) -> Self {
        Self {
            is_certain: false,
            ..Self::certain(cause, description, fix)
        }
    }
}
