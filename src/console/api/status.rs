//! The process as a whole: its version, its age, its routes.

use super::Call;
use crate::console::answer::{self, Answer, Refusal};
use hyper::StatusCode;
use serde::Serialize;

#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    process_id: u32,
    started_unix: u64,
    latest_request: u64,
    routes: Vec<Route<'a>>,
}

#[derive(Serialize)]
struct Route<'a> {
    name: &'a str,
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    path: &'a str,
    mode: &'static str,
}

/// Answers `/api/v1/status`.
pub(super) fn respond(call: &Call<'_>) -> Result<Answer, Refusal> {
    call.read()?;
    let snapshot = call.operators.gateway.snapshot.load();
    let routes = snapshot.routes().iter().map(|route| Route {
        name: &route.settings.name,
        provider: route.settings.verifier.name(),
        host: route.settings.host.as_deref(),
        path: &route.settings.path,
        mode: if route.settings.report_only() {
            "report"
        } else {
            "verify"
        },
    });
    Ok(answer::json(
        StatusCode::OK,
        &Status {
            version: env!("CARGO_PKG_VERSION"),
            process_id: std::process::id(),
            started_unix: call.operators.started_unix,
            latest_request: call.operators.recent.latest(),
            routes: routes.collect(),
        },
    ))
}
