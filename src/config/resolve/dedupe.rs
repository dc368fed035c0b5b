//! `[route.dedupe]`: where the id of a delivery stands, and for how long it counts.

use super::super::Dedupe;
use super::super::file::{self, OnMissingId, OnReplay};
use super::super::value::{Wait, Word};
use super::Resolver;
use super::route::Scheme;
use crate::scheme::{DeliveryId, LocationDescription};
use std::time::Duration;

/// As long as Paddle repeats what it got no answer to (live, 60 times).
const WINDOW: Duration = Duration::from_secs(3 * 24 * 3600);

impl Resolver<'_> {
    /// The route's deduplication; `None` with a fault recorded where no id can be found. A scheme that is `None` has its
    /// own fault already.
    pub(super) fn dedupe(&mut self, key: &str, written: &file::Dedupe, scheme: Option<&Scheme>) -> Option<Dedupe> {
        let place = LocationDescription {
            header: written.header.clone(),
            pointer: written.pointer.clone(),
            form: written.form.clone(),
        };
        let fix = "write one of `header = \"X-Delivery-Id\"`, `pointer = \"/event_id\"`, `form = \"alert_id\"`";
        let id = match (&place.header, &place.pointer, &place.form) {
            (None, None, None) => {
                let usual = scheme?.verifier.delivery_id_location().cloned();
                if usual.is_none() {
                    let problem = format!("`{}` has no usual place for the id of a delivery", scheme?.provider);
                    self.report.fault(key, problem, fix);
                }
                usual
            }
            (Some(_), None, None) | (None, Some(_), None) | (None, None, Some(_)) => {
                let id = DeliveryId::new("dedupe", place);
                id.map_err(|problem| self.report.fault(key, problem, fix)).ok()
            }
            (Some(_), ..) | (None, Some(_), Some(_)) => {
                self.report.fault(key, "more than one place for the id", fix);
                None
            }
        };
        let window = match written.window {
            None => WINDOW,
            Some(Wait(window)) if window >= Duration::from_secs(1) => window,
            Some(Wait(_)) => {
                let window_key = format!("{key}.window");
                self.report
                    .fault(window_key, "shorter than a second", "write a duration such as \"3d\"");
                WINDOW
            }
        };
        Some(Dedupe {
            id: id?,
            window,
            acknowledge: !matches!(written.on_duplicate, Some(Word(OnReplay::Reject))),
            reject_missing: matches!(written.on_missing_id, Some(Word(OnMissingId::Reject))),
        })
    }
}
