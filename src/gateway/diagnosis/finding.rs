//! A cause that was found, and its fix.

/// A change that was undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Stable name of the cause.
    pub(super) cause: &'static str,
    /// What happened, as a sentence.
    pub(super) what: String,
    /// What the user should do.
    pub(super) fix: String,
}

impl Change {
    pub(super) fn new(cause: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            cause,
            what: what.into(),
            fix: fix.into(),
        }
    }

    /// The finding of a change after which the signature fits, or of a fact that is the reason of the refusal.
    pub(super) fn certain(self) -> Finding {
        self.finding(true)
    }

    /// The finding of a change that only left a trace.
    pub(super) fn likely(self) -> Finding {
        self.finding(false)
    }

    fn finding(self, is_certain: bool) -> Finding {
        Finding {
            cause: self.cause,
            is_certain,
            description: self.what,
            fix: self.fix,
        }
    }
}

/// A cause that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable name of the cause, for programs that read the JSON report.
    pub cause: &'static str,
    /// True if the signature fits after the change is undone, or if this fact alone is the reason of the refusal; false
    /// if the change only left a trace.
    pub is_certain: bool,
    /// What happened, as a sentence.
    pub description: String,
    /// What the user should do.
    pub fix: String,
}
