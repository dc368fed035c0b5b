//! One cause that was found, and what to do about it.

/// A cause that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// For machines; part of the interface.
    pub(super) cause: &'static str,
    /// With this put right the signature fits; otherwise it is what the traces suggest.
    pub(super) is_certain: bool,
    pub(super) what: String,
    pub(super) fix: String,
}

impl Finding {
    pub(super) fn certain(cause: &'static str, what: String, fix: &str) -> Self {
        Self {
            cause,
            is_certain: true,
            what,
            fix: fix.to_owned(),
        }
    }

    pub(super) fn likely(cause: &'static str, what: String, fix: &str) -> Self {
        Self {
            is_certain: false,
            ..Self::certain(cause, what, fix)
        }
    }
}
