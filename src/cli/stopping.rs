//! `hookgate stopping`: announces to a running gateway that its application is about to end, as the pre-stop hook of a
//! sidecar. The request is a POST, which a hook of Kubernetes cannot send by itself, and the image has no shell.

use super::CommandResult;
use super::healthcheck::{self, HealthcheckArguments};
use crate::config::Sources;
use hyper::Method;

/// Prints the answer. The exit code is 1 when the gateway does not answer in time.
pub(super) fn run(arguments: &HealthcheckArguments, sources: &Sources) -> CommandResult {
    healthcheck::ask(
        arguments,
        sources,
        Method::POST,
        "/stopping",
        "refuses the announcement",
    )
}
