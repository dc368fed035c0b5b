//! `mode` of a route, and what follows from it.

use super::Resolver;
use crate::config::file;
use crate::config::value::Keyword;
use crate::settings::{ReplayPolicy, RouteMode, defaults};
use std::time::Duration;

/// The guard of a route that never learns whether a webhook was delivered.
pub(super) const WITHOUT_GUARD: ReplayPolicy = ReplayPolicy {
    window: Some(Duration::ZERO),
    acknowledge: false,
};

impl Resolver<'_> {
    /// The mode of a route, with what an operator must know of it.
    pub(super) fn mode(&mut self, key: &str, written: &file::Route) -> RouteMode {
        let mode = written.mode.map_or(defaults::MODE, |Keyword(mode)| mode);
        let key_of_mode = format!("{key}.mode");
        match mode {
            RouteMode::Verify => {}
            RouteMode::Report => self.report.warn(
                &key_of_mode,
                "report mode: requests that fail verification are forwarded too, with `Hookgate-Report: <reason>` in place of `Hookgate-Verified`",
            ),
            RouteMode::Authorize => {
                self.report.warn(
                    &key_of_mode,
                    "authorize mode: signature and age are verified for a proxy that asks, which forwards the webhook itself; hookgate never sees the application's answer, so the replay guard, `dedupe` and the inbox are off, and the same request is authorized again as long as its time is within the tolerance (without a signed time: for ever)",
                );
                self.refuse_keys_of_forwarding(key, written);
            }
        }
        mode
    }

    /// Refuses the keys that have no effect where nothing is forwarded.
    fn refuse_keys_of_forwarding(&mut self, key: &str, written: &file::Route) {
        let replay = &written.replay;
        let keys = [
            ("upstream", written.upstream.is_some()),
            (
                "replay",
                replay.enabled.is_some() || replay.window.is_some() || replay.on_replay.is_some(),
            ),
            ("dedupe", written.dedupe.is_some()),
            ("delivery", written.delivery.is_some()),
            ("sender_deadline", written.sender_deadline.is_some()),
            ("store_on", !written.store_on.is_empty()),
            ("retry", written.retry.is_some()),
            ("concurrency", written.concurrency.is_some()),
            ("order", written.order.is_some()),
            ("answer", written.answer.is_some()),
            ("signature", written.signature.is_some()),
            ("gateway_keys", !written.gateway_keys.is_empty()),
        ];
        for (name, _) in keys.into_iter().filter(|(_, is_written)| *is_written) {
            self.report.fault(
                format!("{key}.{name}"),
                "this has no effect with `mode = \"authorize\"`: nothing is forwarded",
                "remove it, or write `mode = \"verify\"`",
            );
        }
    }
}
