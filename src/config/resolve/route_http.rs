//! `methods` and `reject_status` of a route.

use super::Resolver;
use crate::config::value::{Count, OneOrMany};
use crate::settings::defaults;
use hyper::{Method, StatusCode};
use std::fmt;

impl Resolver<'_> {
    /// The accepted methods, each once.
    pub(super) fn methods(&mut self, key: fmt::Arguments<'_>, written: &OneOrMany<String>) -> Vec<Method> {
        let mut methods = Vec::new();
        for (key, text) in written.paths(key) {
            match Method::from_bytes(text.as_bytes()) {
                Ok(Method::CONNECT | Method::TRACE) => {
                    self.report
                        .fault(&key, "a webhook cannot use CONNECT or TRACE", "write \"POST\"");
                }
                Ok(method) if text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') => {
                    if !methods.contains(&method) {
                        methods.push(method);
                    }
                }
                Ok(_) | Err(_) => {
                    self.report.fault(
                        &key,
                        "this is not a method in capital letters",
                        "write \"POST\" or \"GET\"",
                    );
                }
            }
        }
        if methods.is_empty() {
            methods.push(defaults::METHOD);
        }
        methods
    }

    /// The status of refusals about the signature.
    pub(super) fn reject_status(&mut self, key: fmt::Arguments<'_>, written: Option<Count>) -> StatusCode {
        let Some(Count(status)) = written else {
            return defaults::REJECT_STATUS;
        };
        let status = u16::try_from(status)
            .ok()
            .filter(|status| matches!(status, 400 | 401 | 403 | 500));
        if status.is_none() {
            self.report.fault(
                key,
                "senders interpret other statuses as success, as a redirect or as a removed endpoint",
                "write 400, 401, 403, or 500 for providers that retry only on 5xx",
            );
        }
        status
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(defaults::REJECT_STATUS)
    }
}
