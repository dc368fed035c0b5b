//! Why a request has no answer, as callers see it.

use super::pool::AttemptError;
use crate::outcome::Rejection;

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
                AttemptError::NotSent(..) => false,
                AttemptError::MaybeSent(_) => true,
            },
        }
    }
}
