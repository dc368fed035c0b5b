//! Sample events in the formats of providers, for `send --event`.
//!
//! `{{number}}` is replaced by the number of the delivery, and `{{run}}` by a number of this run, so that no two events
//! are the same.

use super::events::EVENTS;

/// A sample: the provider, the event's name, and the body.
pub(super) type Sample = (&'static str, &'static str, &'static str);

/// Content-Type of forms.
const FORM: &str = "application/x-www-form-urlencoded";

/// The samples of the most used providers, several of each; the first of a provider is its default. Those of the others
/// are in [`super::events`].
const SAMPLES: [Sample; 17] = [
    (
        "paddle",
        "transaction.completed",
        r#"{"event_id":"evt_{{run}}_{{number}}","event_type":"transaction.completed","occurred_at":"2026-01-01T00:00:00.000000Z","notification_id":"ntf_{{run}}_{{number}}","data":{"id":"txn_{{run}}_{{number}}","status":"completed","customer_id":"ctm_01hv6y1jedq4p1n0yqn5ba3ky4","currency_code":"EUR","items":[{"price":{"id":"pri_01gsz8x8sawmvhz1pv30nge1ke","unit_price":{"amount":"3000","currency_code":"EUR"}},"quantity":1}],"details":{"totals":{"subtotal":"2521","tax":"479","total":"3000"}},"custom_data":null}}"#,
    ),
    (
        "paddle",
        "subscription.created",
        r#"{"event_id":"evt_{{run}}_{{number}}","event_type":"subscription.created","occurred_at":"2026-01-01T00:00:00.000000Z","notification_id":"ntf_{{run}}_{{number}}","data":{"id":"sub_{{run}}_{{number}}","status":"active","customer_id":"ctm_01hv6y1jedq4p1n0yqn5ba3ky4","billing_cycle":{"interval":"month","frequency":1},"next_billed_at":"2026-02-01T00:00:00Z"}}"#,
    ),
    (
        "stripe",
        "payment_intent.succeeded",
        "{\n  \"id\": \"evt_{{run}}_{{number}}\",\n  \"object\": \"event\",\n  \"api_version\": \"2025-03-31.basil\",\n  \"created\": 1767225600,\n  \"data\": {\n    \"object\": {\n      \"id\": \"pi_{{run}}_{{number}}\",\n      \"object\": \"payment_intent\",\n      \"amount\": 2000,\n      \"currency\": \"eur\",\n      \"status\": \"succeeded\"\n    }\n  },\n  \"livemode\": false,\n  \"pending_webhooks\": 1,\n  \"type\": \"payment_intent.succeeded\"\n}",
    ),
    (
        "stripe",
        "checkout.session.completed",
        "{\n  \"id\": \"evt_{{run}}_{{number}}\",\n  \"object\": \"event\",\n  \"api_version\": \"2025-03-31.basil\",\n  \"created\": 1767225600,\n  \"data\": {\n    \"object\": {\n      \"id\": \"cs_test_{{run}}_{{number}}\",\n      \"object\": \"checkout.session\",\n      \"amount_total\": 2000,\n      \"currency\": \"eur\",\n      \"mode\": \"payment\",\n      \"payment_status\": \"paid\",\n      \"status\": \"complete\"\n    }\n  },\n  \"livemode\": false,\n  \"pending_webhooks\": 1,\n  \"type\": \"checkout.session.completed\"\n}",
    ),
    (
        "stripe",
        "invoice.paid",
        "{\n  \"id\": \"evt_{{run}}_{{number}}\",\n  \"object\": \"event\",\n  \"api_version\": \"2025-03-31.basil\",\n  \"created\": 1767225600,\n  \"data\": {\n    \"object\": {\n      \"id\": \"in_{{run}}_{{number}}\",\n      \"object\": \"invoice\",\n      \"amount_paid\": 2000,\n      \"currency\": \"eur\",\n      \"status\": \"paid\"\n    }\n  },\n  \"livemode\": false,\n  \"pending_webhooks\": 1,\n  \"type\": \"invoice.paid\"\n}",
    ),
    (
        "github",
        "push",
        r#"{"ref":"refs/heads/main","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"0000000000000000000000000000000{{run}}{{number}}","repository":{"id":1296269,"name":"hello-world","full_name":"octocat/hello-world","private":false},"pusher":{"name":"octocat","email":"octocat@example.com"},"commits":[]}"#,
    ),
    (
        "github",
        "ping",
        r#"{"zen":"Keep it logically awesome.","hook_id":{{run}}{{number}},"hook":{"type":"Repository","events":["push"],"active":true},"repository":{"id":1296269,"full_name":"octocat/hello-world"}}"#,
    ),
    (
        "github",
        "pull_request",
        r#"{"action":"opened","number":{{run}}{{number}},"pull_request":{"id":1,"state":"open","title":"Update the README","user":{"login":"octocat"}},"repository":{"id":1296269,"full_name":"octocat/hello-world"},"sender":{"login":"octocat"}}"#,
    ),
    (
        "shopify",
        "orders/create",
        r#"{"id":{{run}}{{number}},"email":"jon@example.com","created_at":"2026-01-01T00:00:00-05:00","currency":"EUR","total_price":"30.00","line_items":[{"id":1,"title":"T-Shirt","quantity":1,"price":"30.00"}],"customer":{"id":115310627314723954,"first_name":"J\u00f3sef"}}"#,
    ),
    (
        "slack",
        "event_callback",
        r#"{"token":"z","team_id":"T123ABC456","api_app_id":"A123ABC456","event":{"type":"app_mention","user":"U123ABC456","text":"hello {{number}}","ts":"1767225600.{{run}}","channel":"C123ABC456"},"type":"event_callback","event_id":"Ev{{run}}{{number}}","event_time":1767225600}"#,
    ),
    (
        "slack",
        "slash_command",
        "token=z&team_id=T123ABC456&team_domain=example&channel_id=C123ABC456&channel_name=general&user_id=U123ABC456&user_name=jo&command=%2Fweather&text=94070+{{number}}&api_app_id=A123ABC456&is_enterprise_install=false&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2F{{run}}&trigger_id={{run}}.{{number}}",
    ),
    (
        "twilio",
        "message",
        "ToCountry=DE&SmsMessageSid=SM{{run}}{{number}}&NumMedia=0&SmsSid=SM{{run}}{{number}}&FromZip=&FromCity=&SmsStatus=received&Body=Hello+{{number}}&FromCountry=DE&To=%2B4915735987654&NumSegments=1&MessageSid=SM{{run}}{{number}}&AccountSid=AC00000000000000000000000000000000&From=%2B4915735981234&ApiVersion=2010-04-01",
    ),
    (
        "linear",
        "Issue",
        r#"{"action":"create","type":"Issue","data":{"id":"{{run}}-{{number}}","title":"A new issue","state":{"name":"Todo"}},"url":"https://linear.app/issue/LIN-{{number}}","organizationId":"1","webhookTimestamp":{{now_ms}},"webhookId":"{{run}}"}"#,
    ),
    (
        "zoom",
        "meeting.started",
        r#"{"event":"meeting.started","payload":{"account_id":"AAAAAABBBB","object":{"id":"{{run}}{{number}}","topic":"My meeting","type":2}},"event_ts":{{now_ms}}}"#,
    ),
    (
        "square",
        "payment.updated",
        r#"{"merchant_id":"6SSW7HV8K2ST5","type":"payment.updated","event_id":"{{run}}-{{number}}","created_at":"2026-01-01T00:00:00Z","data":{"type":"payment","id":"{{run}}{{number}}","object":{"payment":{"id":"{{run}}{{number}}","amount_money":{"amount":1000,"currency":"EUR"},"status":"COMPLETED"}}}}"#,
    ),
    (
        "standard-webhooks",
        "contact.created",
        r#"{"type":"contact.created","timestamp":"2026-01-01T00:00:00Z","data":{"id":"{{run}}_{{number}}","first_name":"John","last_name":"Doe"}}"#,
    ),
    (
        "",
        "event",
        r#"{"id":"evt_{{run}}_{{number}}","type":"event","webhookTimestamp":{{now_ms}},"data":{"id":"{{run}}_{{number}}","status":"completed"}}"#,
    ),
];

/// The sample of a provider with this event, or its default sample, with its Content-Type.
///
/// # Errors
/// The provider has no such event. The message lists those that it has.
pub(super) fn find(provider: &str, event: Option<&str>) -> Result<(&'static str, &'static str), String> {
    let own = || SAMPLES.iter().chain(&EVENTS).filter(|(name, ..)| *name == provider);
    let found = match event {
        None => own().next().or(SAMPLES.last()),
        Some(event) => own().find(|(_, name, _)| *name == event),
    };
    let names: Vec<_> = own().map(|(_, name, _)| *name).collect();
    let (.., body) = found.ok_or_else(|| {
        if names.is_empty() {
            format!("there are no named sample events for `{provider}`; give the body with --body FILE")
        } else {
            format!(
                "there is no such sample event for `{provider}`; choose one of {}",
                names.join(", ")
            )
        }
    })?;
    let is_form = !body.starts_with(['{', '[']);
    Ok((body, if is_form { FORM } else { "application/json" }))
}

/// The event's name in the header with which the provider tells it.
pub(super) fn event_header(provider: &str, event: Option<&str>) -> Option<(&'static str, String)> {
    let header = match provider {
        "github" => "x-github-event",
        "shopify" => "x-shopify-topic",
        "gitlab" | "gitlab-token" => "x-gitlab-event",
        "gitea" => "x-gitea-event",
        "forgejo" => "x-forgejo-event",
        "bitbucket" => "x-event-key",
        "woocommerce" => "x-wc-webhook-topic",
        _ => return None,
    };
    let default = || {
        SAMPLES
            .iter()
            .chain(&EVENTS)
            .find(|(name, ..)| *name == provider)
            .map(|(_, event, _)| *event)
    };
    Some((header, event.or_else(default)?.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_sample_is_json_or_a_form_of_a_known_provider() {
        for (provider, event, body) in SAMPLES.into_iter().chain(EVENTS) {
            assert!(
                provider.is_empty() || crate::scheme::presets::names().any(|name| name == provider),
                "{provider}"
            );
            let filled = body
                .replace("{{number}}", "7")
                .replace("{{run}}", "42")
                .replace("{{now_ms}}", "1767225600000");
            if filled.starts_with(['{', '[']) {
                assert!(
                    serde_json::from_str::<serde_json::Value>(&filled).is_ok(),
                    "{provider} {event}"
                );
            } else {
                assert!(filled.split('&').all(|field| field.contains('=')), "{provider} {event}");
            }
            assert!(
                body.contains("{{number}}"),
                "{provider} {event}: two deliveries would be the same"
            );
        }
        assert!(find("stripe", Some("invoice.paid")).unwrap().0.contains("invoice.paid"));
        assert!(
            find("stripe", Some("nothing"))
                .unwrap_err()
                .contains("checkout.session.completed")
        );
        assert!(
            find("vercel", Some("nothing"))
                .unwrap_err()
                .contains("deployment.succeeded")
        );
        assert!(find("custom", Some("nothing")).unwrap_err().contains("--body"));
        assert_eq!(find("tailscale", None).unwrap().1, "application/json");
        assert_eq!(find("twilio", None).unwrap().1, FORM);
    }
}
