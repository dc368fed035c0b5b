//! Why a request has no answer: from one endpoint, and as callers see it.

use crate::outcome::Rejection;

/// Why an attempt returned no answer.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// No byte of the request was sent: it is unchanged and can be sent to another endpoint.
    NotSent(Rejection),
    /// The request was sent, completely or in part: it must not be sent again.
    MaybeSent(Rejection),
}

impl AttemptError {
    pub(super) fn rejection(&self) -> Rejection {
        match self {
            Self::NotSent(rejection) | Self::MaybeSent(rejection) => *rejection,
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardError {
    /// The reason.
    pub rejection: Rejection,
    /// Whether a byte of the request was sent, so that the application may have processed it.
    pub is_sent: bool,
}

impl From<&AttemptError> for ForwardError {
    fn from(error: &AttemptError) -> Self {
        Self {
            rejection: error.rejection(),
            is_sent: match error {
                AttemptError::NotSent(_) => false,
                AttemptError::MaybeSent(_) => true,
            },
        }
    }
}
