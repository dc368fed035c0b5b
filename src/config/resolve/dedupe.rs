//! `dedupe` of a route: where the delivery id is in a request, and how long it is remembered.

use super::Resolver;
use crate::config::file::{self, OnMissingId, OnReplay};
use crate::config::value::{DurationValue, Flag, Keyword};
use crate::scheme::facts::IdScope;
use crate::scheme::{DeliveryId, LocationDescription, Verifier};
use crate::settings::{Dedupe, defaults};
use std::time::Duration;

impl Resolver<'_> {
    /// The deduplication of a route; `None` after a fault. If `verifier` is `None`, the scheme has its own fault already.
    pub(super) fn dedupe(&mut self, key: &str, written: &file::Dedupe, verifier: Option<&Verifier>) -> Option<Dedupe> {
        let location = LocationDescription {
            header: written.header.clone(),
            pointer: written.pointer.clone(),
            pointers: written
                .pointers
                .paths(key)
                .map(|(_, pointer)| pointer.clone())
                .collect(),
            form: written.form.clone(),
        };
        let fix = "write one of `header = \"X-Delivery-Id\"`, `pointer = \"/event_id\"`, `pointers = [\"/type\", \"/id\"]`, `form = \"alert_id\"`";
        let facts = verifier.and_then(Verifier::facts);
        let locations = [
            location.header.is_some(),
            location.pointer.is_some(),
            !location.pointers.is_empty(),
            location.form.is_some(),
        ];
        let is_default = !locations.contains(&true);
        let id = match locations.into_iter().filter(|is_set| *is_set).count() {
            0 => {
                let default = verifier?.delivery_id_location().cloned();
                if default.is_none() {
                    let name = verifier?.name();
                    let problem = match facts {
                        Some(_) => format!("`{name}` sends no id that is unique for each delivery"),
                        None => format!("`{name}` has no default location of the delivery id"),
                    };
                    self.report.fault(key, problem, fix);
                }
                default
            }
            1 => {
                let in_forms = verifier.is_some_and(Verifier::reads_forms);
                let id = DeliveryId::new("dedupe", location).map(|id| id.in_forms(in_forms));
                id.map_err(|problem| self.report.fault(key, problem, fix)).ok()
            }
            _ => {
                self.report
                    .fault(key, "the delivery id has more than one location", fix);
                None
            }
        };
        let answer_used = facts.is_some_and(|facts| facts.answer_used);
        let on_duplicate = written.on_duplicate.map(|Keyword(answer)| answer);
        if answer_used && on_duplicate == Some(OnReplay::Acknowledge) {
            self.report.fault(
                format!("{key}.on_duplicate"),
                "the provider uses the application's answer, so no other answer can replace it",
                "write \"reject\", or remove `on_duplicate`",
            );
        }
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
            per_secret: !is_default || facts.and_then(|facts| facts.id) != Some(IdScope::Delivery),
            window,
            acknowledge: on_duplicate.map_or(defaults::ACKNOWLEDGE_DUPLICATE && !answer_used, |answer| {
                answer == OnReplay::Acknowledge
            }),
            reject_missing: written
                .on_missing_id
                .map_or(defaults::REJECT_MISSING_ID, |Keyword(action)| {
                    action == OnMissingId::Reject
                }),
            durable: matches!(written.durable, Some(Flag(true))),
        })
    }
}
