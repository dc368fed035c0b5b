//! `[inbox]`, and what a route does with a webhook that the application does not take at once.

use super::Resolver;
use super::secret::RouteKeys;
use crate::config::file;
use crate::config::inbox_keys::{self, AnswerUse, DeliveryKind, OrderKind};
use crate::config::value::{Count, DurationValue, Flag, Keyword, OneOrMany, SingleValue as _};
use crate::inbox::place;
use crate::scheme::{DeliveryId, Verifier};
use crate::settings::{
    DeadLetters, Dedupe, Delivery, DeliveryMode, Drain, Inbox, Order, Probe, Retry, StorageKey, defaults, duration_text,
};
use std::path::Path;
use std::time::Duration;

/// The time before the sender's deadline at which the webhook is stored, and the least that is left to ask in.
const STORE_BEFORE: Duration = Duration::from_millis(500);
const LEAST_DEADLINE: Duration = Duration::from_secs(1);
/// The time before the end of the grace period at which everything must be answered.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);
/// Length in bytes of a key of the inbox.
const KEY_BYTES: usize = 32;

/// What the inbox keys of a route are checked against.
pub(super) struct RouteContext<'a> {
    pub(super) provider: &'a str,
    pub(super) verifier: &'a Verifier,
    pub(super) dedupe: Option<&'a Dedupe>,
    pub(super) has_name: bool,
    pub(super) has_inbox: bool,
    /// Whether the inbox encrypts what it stores.
    pub(super) has_inbox_keys: bool,
    pub(super) drain: &'a Drain,
}

impl Resolver<'_> {
    /// The inbox of the process; `None` without the table.
    pub(super) fn inbox(&mut self, written: Option<inbox_keys::Inbox>) -> Option<Inbox> {
        let written = written?;
        let store = self.path(written.store.as_deref().unwrap_or(defaults::INBOX_STORE));
        let any_filesystem = matches!(written.any_filesystem, Some(Flag(true)));
        self.check_place(&store, any_filesystem);
        if written.keys.is_empty() {
            let text = "without `keys`, heads and bodies are stored unencrypted, and a changed row is not noticed";
            self.report.warn("inbox", text);
        }
        let keys = self.storage_keys("inbox.keys", written.keys);
        let keep = |written: Option<DurationValue>, default| written.map_or(default, |DurationValue(keep)| keep);
        Some(Inbox {
            keys,
            max_bytes: self.size(
                format_args!("inbox.max_bytes"),
                written.max_bytes,
                defaults::INBOX_BYTES,
                1 << 20,
                1 << 44,
            ),
            max_items: self.count(
                format_args!("inbox.max_items"),
                written.max_items,
                defaults::INBOX_ITEMS,
                2,
                100_000_000,
            ),
            min_free_disk: self.size(
                format_args!("inbox.min_free_disk"),
                written.min_free_disk,
                defaults::INBOX_FREE_DISK,
                0,
                1 << 44,
            ),
            max_log: self.size(
                format_args!("inbox.max_log"),
                written.max_log,
                defaults::INBOX_LOG,
                8 << 20,
                1 << 40,
            ),
            keep: keep(written.keep, defaults::INBOX_KEEP),
            dead: DeadLetters {
                keep: keep(written.dead.keep, defaults::DEAD_KEEP),
            },
            any_filesystem,
            probe: self.probe(&written.probe),
            store,
        })
    }

    /// Reports a place that may lose what was written.
    fn check_place(&mut self, store: &Path, any_filesystem: bool) {
        match place::unsafe_filesystem(store) {
            Ok(Some(kind)) if any_filesystem => {
                let text = format!(
                    "the file system is {kind}: what is stored may be lost although the sender was answered 2xx"
                );
                self.report.warn("inbox.store", text);
            }
            Ok(Some(kind)) => {
                let problem = format!("the file system is {kind}, which may lose what was written");
                let fix = "write a path on a local disk, or `any_filesystem = true` to accept the loss";
                self.report.fault("inbox.store", problem, fix);
            }
            Ok(None) => {}
            Err(error) => {
                let directory = place::directory(store).display();
                let problem = format!("the directory {directory} cannot be used: {}", error.kind());
                self.report
                    .fault("inbox.store", problem, "create it, and let hookgate's user write to it");
            }
        }
    }

    /// Keys that encrypt what is stored.
    pub(super) fn storage_keys(&mut self, key: &str, written: OneOrMany<file::SecretReference>) -> Vec<StorageKey> {
        let RouteKeys { named, sources, .. } = self.secrets(key, written, true);
        let mut keys = Vec::with_capacity(named.len());
        for (named, info) in named.into_iter().zip(sources) {
            if named.secret.expose().len() < KEY_BYTES {
                let problem = format!("the key `{}` is shorter than {KEY_BYTES} bytes", named.name);
                self.report.fault(key, problem, "make one with `openssl rand -hex 32`");
            }
            keys.push(StorageKey {
                info,
                secret: named.secret,
            });
        }
        // The first one encrypts, and a retired one only decrypts.
        keys.sort_by_key(|key| key.info.retired);
        keys
    }

    fn probe(&mut self, written: &inbox_keys::Probe) -> Probe {
        let backoff = self.timeout(
            format_args!("inbox.probe.backoff"),
            written.backoff,
            defaults::PROBE_BACKOFF,
        );
        let limit = self.timeout(
            format_args!("inbox.probe.backoff_limit"),
            written.backoff_limit,
            defaults::PROBE_BACKOFF_LIMIT,
        );
        Probe {
            backoff,
            backoff_limit: limit.max(backoff),
        }
    }

    /// What a route does with a webhook that the application does not take; `None` for `delivery = "direct"`.
    pub(super) fn delivery(
        &mut self,
        key: &str,
        written: &mut file::Route,
        context: &RouteContext<'_>,
    ) -> Option<Delivery> {
        let mode = match written.delivery {
            None | Some(Keyword(DeliveryKind::Direct)) => {
                self.unused_delivery_keys(key, written);
                return None;
            }
            Some(Keyword(DeliveryKind::Failover)) => DeliveryMode::Failover,
            Some(Keyword(DeliveryKind::Queue)) => DeliveryMode::Queue,
        };
        let delivery_key = format!("{key}.delivery");
        if !context.has_inbox {
            let fix = "write the table `[inbox]` with `store = \"/var/lib/hookgate/inbox.db\"`";
            self.report
                .fault(&delivery_key, "there is no inbox to store a webhook in", fix);
        }
        if !context.has_name {
            let problem = "stored deliveries belong to the name of their route, and this route has none";
            self.report
                .fault(format!("{key}.name"), problem, "write `name = \"…\"`");
        }
        if context.verifier.compares_token() && context.verifier.token_headers().is_empty() {
            let problem = format!(
                "`{}` sends the secret itself in the query or the body, and secrets are not stored",
                context.provider
            );
            self.report
                .fault(&delivery_key, problem, "write `delivery = \"direct\"`");
        }
        let facts = context.verifier.facts();
        let uses_answer = facts.is_some_and(|facts| facts.answer_used);
        self.check_answer(
            key,
            written.answer.map(|Keyword(answer)| answer),
            uses_answer,
            context.provider,
        );
        let concurrency = self.count(
            format_args!("{key}.concurrency"),
            written.concurrency,
            defaults::CONCURRENCY,
            1,
            1_024,
        );
        let order = self.order(key, written.order.take());
        Some(Delivery {
            mode,
            sender_deadline: self.sender_deadline(key, written.sender_deadline, context),
            store_on: self.store_on(key, mode, &written.store_on),
            retry: self.retry(&format!("{key}.retry"), &written.retry.take().unwrap_or_default()),
            concurrency,
            order,
            window: context.dedupe.map_or(defaults::DEDUPE_WINDOW, |dedupe| dedupe.window),
            formerly: written.formerly.paths("").map(|(_, name)| name.clone()).collect(),
        })
    }

    /// Keys that have no effect without an inbox.
    fn unused_delivery_keys(&mut self, key: &str, written: &file::Route) {
        let keys = [
            ("sender_deadline", written.sender_deadline.is_some()),
            ("store_on", !written.store_on.is_empty()),
            ("retry", written.retry.is_some()),
            ("concurrency", written.concurrency.is_some()),
            ("order", written.order.is_some()),
            ("formerly", !written.formerly.is_empty()),
            ("answer", written.answer.is_some()),
        ];
        for (name, _) in keys.into_iter().filter(|(_, is_set)| *is_set) {
            self.report.fault(
                format!("{key}.{name}"),
                "this has no effect while webhooks are delivered directly",
                "write `delivery = \"failover\"` or `delivery = \"queue\"`, or remove it",
            );
        }
    }

    /// Refuses an inbox where the provider uses the application's answer.
    fn check_answer(&mut self, key: &str, answer: Option<AnswerUse>, uses_answer: bool, provider: &str) {
        match answer {
            Some(AnswerUse::Used) => self.report.fault(
                format!("{key}.delivery"),
                "the provider uses the application's answer, which a stored webhook does not have",
                "write `delivery = \"direct\"`",
            ),
            None if uses_answer => self.report.fault(
                format!("{key}.answer"),
                format!("`{provider}` uses the application's answer for some of what it sends"),
                "write `answer = \"unused\"` if it does not use it here, or `delivery = \"direct\"`",
            ),
            Some(AnswerUse::Unused) | None => {}
        }
    }

    fn sender_deadline(&mut self, key: &str, written: Option<DurationValue>, context: &RouteContext<'_>) -> Duration {
        let key = format!("{key}.sender_deadline");
        let known = context.verifier.facts().and_then(|facts| facts.deadline.as_deref());
        let known = known
            .and_then(DurationValue::from_text)
            .map(|DurationValue(known)| known);
        let most = context.drain.grace.saturating_sub(DRAIN_MARGIN) + STORE_BEFORE;
        // A provider that waits longer than a shutdown may take is answered sooner.
        let default = known.unwrap_or(defaults::SENDER_DEADLINE).min(most);
        let deadline = self.timeout(format_args!("{key}"), written, default);
        if deadline < LEAST_DEADLINE {
            self.report.fault(
                &key,
                "the webhook is stored half a second before this deadline, so nothing would be left to ask the application",
                format!("write at least \"{}\"", duration_text(LEAST_DEADLINE)),
            );
        } else if deadline > most {
            let problem = "at a shutdown, requests that wait this long would be cut off";
            let fix = format!("write at most \"{}\", or raise `drain.grace`", duration_text(most));
            self.report.fault(&key, problem, fix);
        }
        deadline
    }

    fn store_on(&mut self, key: &str, mode: DeliveryMode, written: &OneOrMany<Count>) -> Vec<u16> {
        let key = format!("{key}.store_on");
        if mode == DeliveryMode::Queue && !written.is_empty() {
            let problem = "`delivery = \"queue\"` stores every webhook before the application is asked";
            self.report.fault(&key, problem, "remove it");
        }
        if written.is_empty() {
            return defaults::STORE_ON.to_vec();
        }
        self.statuses(&key, written, 400, 599)
    }

    /// A list of statuses from `least` to `most`.
    fn statuses(&mut self, key: &str, written: &OneOrMany<Count>, least: u16, most: u16) -> Vec<u16> {
        let mut statuses = Vec::new();
        for (key, Count(number)) in written.paths(key) {
            match u16::try_from(*number) {
                Ok(status) if (least..=most).contains(&status) => statuses.push(status),
                Ok(_) | Err(_) => {
                    let fix = format!("write a number from {least} to {most}");
                    self.report.fault(key, "this is not a status of a failed request", fix);
                }
            }
        }
        statuses
    }

    fn retry(&mut self, key: &str, written: &inbox_keys::Retry) -> Retry {
        let timeout = |resolver: &mut Self, name: &str, written, default| {
            resolver.timeout(format_args!("{key}.{name}"), written, default)
        };
        let backoff = timeout(self, "backoff", written.backoff, defaults::RETRY_BACKOFF);
        let backoff_limit = timeout(
            self,
            "backoff_limit",
            written.backoff_limit,
            defaults::RETRY_BACKOFF_LIMIT,
        );
        if backoff_limit < backoff {
            let problem = "the longest wait is shorter than the shortest, `backoff`";
            self.report
                .fault(format!("{key}.backoff_limit"), problem, "write a longer duration");
        }
        Retry {
            max_age: timeout(self, "max_age", written.max_age, defaults::RETRY_MAX_AGE),
            backoff,
            backoff_limit,
            give_up_on: self.statuses(&format!("{key}.give_up_on"), &written.give_up_on, 300, 599),
        }
    }

    fn order(&mut self, key: &str, written: Option<inbox_keys::Order>) -> Order {
        match written {
            None | Some(inbox_keys::Order::Word(Keyword(OrderKind::None))) => Order::None,
            Some(inbox_keys::Order::Word(Keyword(OrderKind::Route))) => Order::Route,
            Some(inbox_keys::Order::Key(location)) => match DeliveryId::new("order", location) {
                Ok(location) => Order::Key(location),
                Err(problem) => {
                    let fix =
                        "write one of `{ pointer = \"/data/id\" }`, `{ header = \"X-Order\" }`, `{ form = \"id\" }`";
                    self.report.fault(format!("{key}.order"), problem, fix);
                    Order::None
                }
            },
        }
    }
}
