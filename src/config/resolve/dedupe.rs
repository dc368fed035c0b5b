//! `dedupe` of a route: where the delivery id is in a request, and how long it is remembered.

use super::Resolver;
use crate::config::file::{self, OnMissingId, OnReplay};
use crate::config::value::{DurationValue, Keyword};
use crate::scheme::{DeliveryId, LocationDescription, Verifier};
use crate::settings::{Dedupe, defaults};
use std::time::Duration;

impl Resolver<'_> {
    /// The deduplication of a route; `None` after a fault. If `verifier` is `None`, the scheme has its own fault already.
    pub(super) fn dedupe(&mut self, key: &str, written: &file::Dedupe, verifier: Option<&Verifier>) -> Option<Dedupe> {
        let location = LocationDescription {
            header: written.header.clone(),
            pointer: written.pointer.clone(),
            form: written.form.clone(),
        };
        let fix = "write one of `header = \"X-Delivery-Id\"`, `pointer = \"/event_id\"`, `form = \"alert_id\"`";
        let id = match (&location.header, &location.pointer, &location.form) {
            (None, None, None) => {
                let default = verifier?.delivery_id_location().cloned();
                if default.is_none() {
                    let problem = format!("`{}` has no default location of the delivery id", verifier?.name());
                    self.report.fault(key, problem, fix);
                }
                default
            }
            (Some(_), None, None) | (None, Some(_), None) | (None, None, Some(_)) => {
                let id = DeliveryId::new("dedupe", location);
                id.map_err(|problem| self.report.fault(key, problem, fix)).ok()
            }
            (Some(_), ..) | (None, Some(_), Some(_)) => {
                self.report
                    .fault(key, "the delivery id has more than one location", fix);
                None
            }
        };
        let window = match written.window {
            None => defaults::DEDUPE_WINDOW,
            Some(DurationValue(window)) if window >= Duration::from_secs(1) => window,
            Some(DurationValue(_)) => {
                let window_key = format!("{key}.window");
                self.report.fault(
                    window_key,
                    "this window is shorter than one second",
                    "write a duration such as \"3d\"",
                );
                defaults::DEDUPE_WINDOW
            }
        };
        Some(Dedupe {
            id: id?,
            window,
            acknowledge: written
                .on_duplicate
                .map_or(defaults::ACKNOWLEDGE_DUPLICATE, |Keyword(answer)| {
                    answer == OnReplay::Acknowledge
                }),
            reject_missing: written
                .on_missing_id
                .map_or(defaults::REJECT_MISSING_ID, |Keyword(action)| {
                    action == OnMissingId::Reject
                }),
        })
    }
}
