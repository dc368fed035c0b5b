//! Why a request's head could not be read. Such a request has no exchange: its connection answers it and is closed.

use super::http1::request::RequestHeadError;
use hyper::StatusCode;

/// Why a request's head could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadHead {
    /// It is not HTTP.
    Syntax,
    /// It is larger than the limit, or has too many fields.
    TooLarge,
    /// It did not arrive before its deadline.
    Timeout,
    /// The HTTP/2 library refused the stream, or its sender reset it, before there was a request.
    Stream,
}

impl UnreadHead {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Syntax, Self::TooLarge, Self::Timeout, Self::Stream];

    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Syntax | Self::Stream => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The `reason` in the answer and in the audit line, and the `kind` in `malformed_requests_total`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::TooLarge => "head_too_large",
            Self::Timeout => "head_timeout",
            Self::Stream => "stream_refused",
        }
    }

    /// One sentence for people who read the provider's delivery log.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Syntax => "The request is not valid HTTP/1.1",
            Self::TooLarge => "The header fields are larger or more than the gateway accepts",
            Self::Timeout => "The header fields did not arrive in time",
            Self::Stream => "The HTTP/2 stream was ended before there was a request",
        }
    }
}

impl From<RequestHeadError> for UnreadHead {
    fn from(error: RequestHeadError) -> Self {
        match error {
            RequestHeadError::Syntax => Self::Syntax,
            RequestHeadError::TooLarge => Self::TooLarge,
        }
    }
}
