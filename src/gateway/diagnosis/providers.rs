//! What is known about providers besides their signatures: where their dashboards show the secret, how they write
//! bodies, which credentials look like secrets and are not, and published example secrets.
//!
//! An absent row is not a fault: the diagnosis then says less.

use crate::scheme::{facts, presets};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The signature headers of all presets, in lower case.
static SIGNATURE_HEADERS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let own = presets::names().filter_map(presets::signature_header);
    let older = OLDER_HEADERS.iter().map(|older| older.header.to_owned());
    own.chain(older).map(|name| name.to_ascii_lowercase()).collect()
});

/// Whether a provider has a signature header of this name, in lower case.
pub(super) fn has_signature_header(name: &str) -> bool {
    SIGNATURE_HEADERS.contains(name)
}

/// A header that a provider still sends, or sent before, beside its present signature header.
pub(super) struct OlderHeader {
    pub(super) provider: &'static str,
    /// The older header, in lower case.
    pub(super) header: &'static str,
    /// What it is, and what to do.
    pub(super) what: &'static str,
    pub(super) fix: &'static str,
}

/// Older signature headers.
pub(super) const OLDER_HEADERS: [OlderHeader; 4] = [
    OlderHeader {
        provider: "github",
        header: "x-hub-signature",
        what: "the older signature of GitHub, made with SHA-1",
        fix: "find the proxy or the code that drops `X-Hub-Signature-256`, which GitHub sends beside it; where only the older one can be had, describe it as a custom scheme: `signature = { header = \"X-Hub-Signature\", prefix = \"sha1=\" }`, `algorithm = \"hmac-sha1\"`",
    },
    OlderHeader {
        provider: "meta",
        header: "x-hub-signature",
        what: "the older signature of Meta, made with SHA-1",
        fix: "find the proxy or the code that drops `X-Hub-Signature-256`, which Meta sends beside it",
    },
    OlderHeader {
        provider: "square",
        header: "x-square-signature",
        what: "the older signature of Square, made with SHA-1",
        fix: "use the header `x-square-hmacsha256-signature`, which Square sends beside it",
    },
    OlderHeader {
        provider: "hubspot-v3",
        header: "x-hubspot-signature",
        what: "an older signature of HubSpot (version 1 or 2)",
        fix: "use the header `X-HubSpot-Signature-v3`, which HubSpot sends beside it",
    },
];

/// Headers that show the provider where several have the same signature header.
const MARKS: [(&str, &str); 8] = [
    ("x-github-event", "github"),
    ("x-github-delivery", "github"),
    ("x-gitlab-event", "gitlab"),
    ("x-slack-request-timestamp", "slack"),
    ("intercom-webhook-version", "intercom"),
    ("x-shopify-topic", "shopify"),
    ("linear-delivery", "linear"),
    ("x-vercel-signature", "vercel"),
];

/// The provider that the headers show; `None` if they show none, or only one of several with the same header.
#[must_use]
pub fn guess(headers: &hyper::HeaderMap, body: &[u8]) -> Option<&'static str> {
    let marked = MARKS.iter().find(|(header, _)| headers.contains_key(*header));
    if let Some((_, provider)) = marked
        && presets::names().any(|name| name == *provider)
    {
        return Some(provider);
    }
    let agent = headers
        .get(hyper::header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let mut with_header: Vec<&'static str> = presets::names()
        .filter(|name| presets::signature_header(name).is_some_and(|header| headers.contains_key(header)))
        .collect();
    if with_header.len() > 1 {
        let agent = agent.to_ascii_lowercase();
        let named = with_header
            .iter()
            .copied()
            .find(|name| agent.contains(name.split('-').next().unwrap_or(name)));
        if let Some(named) = named {
            return Some(named);
        }
        if with_header.contains(&"meta") && body.starts_with(b"{\"object\":") {
            return Some("meta");
        }
        // `gitlab` and `standard-webhooks` have the same scheme; the general one is right for both.
        with_header.retain(|name| *name == "standard-webhooks" || *name == "github");
    }
    if let [only] = with_header.as_slice() {
        return Some(only);
    }
    let has_field = |name: &[u8]| body.split(|byte| *byte == b'&').any(|field| field.starts_with(name));
    has_field(b"p_signature=").then_some("paddle-classic")
}

/// Where the provider's dashboard shows the signing secret.
#[must_use]
pub fn secret_place(provider: &str) -> Option<&'static str> {
    facts::find(provider).map(|facts| facts.secret.as_str())
}

/// How a provider writes its JSON, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JsonSpelling {
    /// Whether there is no white space between the values.
    pub(super) is_compact: Option<bool>,
    /// Whether characters beyond ASCII are escaped.
    pub(super) is_ascii: Option<bool>,
}

/// The spelling of a provider's JSON.
pub(super) fn spelling(provider: &str) -> JsonSpelling {
    let (is_compact, is_ascii) = match provider {
        "paddle" | "meta" | "slack" => (Some(true), Some(true)),
        "github" | "shopify" | "square" | "linear" | "zoom" | "sendgrid" => (Some(true), None),
        "stripe" => (Some(false), None),
        _ => (None, None),
    };
    JsonSpelling { is_compact, is_ascii }
}

/// Whether the provider itself sorts the keys of its JSON.
pub(super) fn sorts_keys(provider: &str) -> bool {
    provider == "stripe"
}

/// The order of the top-level keys in the provider's JSON.
pub(super) fn key_order(provider: &str) -> Option<&'static [&'static str]> {
    Some(match provider {
        "paddle" => &["event_id", "event_type", "occurred_at", "notification_id", "data"],
        "stripe" => &[
            "id",
            "object",
            "account",
            "api_version",
            "context",
            "created",
            "data",
            "livemode",
            "pending_webhooks",
            "request",
            "type",
        ],
        "slack" => &[
            "token",
            "team_id",
            "context_team_id",
            "context_enterprise_id",
            "api_app_id",
            "event",
            "type",
            "event_id",
            "event_time",
            "authorizations",
            "is_ext_shared_channel",
            "event_context",
        ],
        "meta" => &["object", "entry"],
        _ => return None,
    })
}

/// The order of the fields in the provider's forms.
pub(super) fn field_order(provider: &str) -> Option<&'static [&'static str]> {
    (provider == "slack").then_some(&[
        "token",
        "team_id",
        "team_domain",
        "enterprise_id",
        "enterprise_name",
        "channel_id",
        "channel_name",
        "user_id",
        "user_name",
        "command",
        "text",
        "api_app_id",
        "is_enterprise_install",
        "response_url",
        "trigger_id",
    ])
}

/// Form fields of a provider that are often empty, the most frequent first.
pub(super) const fn empty_fields(provider: &str) -> &'static [&'static str] {
    match provider.as_bytes() {
        b"paddle-classic" => &[
            "coupon",
            "passthrough",
            "customer_name",
            "custom_data",
            "receipt_url",
            "payment_tax",
            "used_price_override",
            "ip",
            "next_payment_amount",
            "next_bill_date",
            "earnings",
            "balance_earnings",
            "fee",
            "marketing_consent",
            "country",
            "unit_price",
            "plan_name",
            "initial_payment",
            "order_id",
            "checkout_id",
            "update_url",
            "cancel_url",
            "paused_at",
            "paused_from",
        ],
        b"twilio" => &[
            "Body",
            "FromCity",
            "FromState",
            "FromZip",
            "FromCountry",
            "ToCity",
            "ToState",
            "ToZip",
            "ToCountry",
            "CallerName",
            "CalledCity",
            "CalledState",
            "CalledZip",
            "CalledCountry",
            "CallerCity",
            "CallerState",
            "CallerZip",
            "CallerCountry",
            "StirVerstat",
            "ForwardedFrom",
            "MessagingServiceSid",
            "ErrorCode",
        ],
        b"slack" => &[
            "text",
            "enterprise_id",
            "enterprise_name",
            "user_name",
            "channel_name",
            "team_domain",
            "trigger_id",
        ],
        _ => &[],
    }
}

/// An example secret that a provider publishes.
pub(super) struct PublishedSecret {
    pub(super) provider: &'static str,
    pub(super) secret: &'static str,
    /// Where it is used.
    pub(super) place: &'static str,
}

/// Secrets that everybody knows: those of test buttons, and those of the examples in documentation.
pub(super) const PUBLISHED_SECRETS: [PublishedSecret; 8] = [
    PublishedSecret {
        provider: "zendesk",
        secret: "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",
        place: "Zendesk signs with it when a webhook is tested before it is saved",
    },
    PublishedSecret {
        provider: "standard-webhooks",
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        place: "the Standard Webhooks specification uses it in its examples",
    },
    PublishedSecret {
        provider: "svix",
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        place: "the documentation of Svix uses it in its examples",
    },
    PublishedSecret {
        provider: "github",
        secret: "It's a Secret to Everybody",
        place: "the documentation of GitHub uses it in its example",
    },
    PublishedSecret {
        provider: "slack",
        secret: "8f742231b10e8888abcd99yyyzzz85a5",
        place: "the documentation of Slack uses it in its example",
    },
    PublishedSecret {
        provider: "twilio",
        secret: "12345",
        place: "the documentation of Twilio uses it in its example",
    },
    PublishedSecret {
        provider: "adyen",
        secret: "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
        place: "Adyen's libraries use it in their examples",
    },
    PublishedSecret {
        provider: "hubspot-v3",
        secret: "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy",
        place: "the documentation of HubSpot uses it in its example",
    },
];

/// A credential that is not a signing secret: the provider (empty for every provider), its prefix, and what it is.
pub(super) const CREDENTIALS: [(&str, &str, &str); 96] = [
    ("paddle", "pdl_live_apikey_", "an API key"),
    ("paddle", "pdl_sdbx_apikey_", "an API key of the sandbox"),
    ("paddle", "apikey_", "the id of an API key"),
    ("paddle", "live_", "a client-side token"),
    ("paddle", "test_", "a client-side token of the sandbox"),
    ("paddle", "ntfset_", "the id of the notification setting"),
    ("stripe", "sk_live_", "an API key (secret key)"),
    ("stripe", "sk_test_", "an API key (secret key) of the test mode"),
    ("stripe", "sk_", "an API key (secret key)"),
    ("stripe", "rk_", "an API key (restricted key)"),
    ("stripe", "pk_", "a publishable API key"),
    ("stripe", "we_", "the id of the endpoint"),
    ("stripe", "ws_", "the id of a workbench session, not a key"),
    ("stripe", "acct_", "the id of the account"),
    ("stripe", "ek_", "an ephemeral key"),
    ("stripe", "ca_", "the client id of a Connect application"),
    ("github", "ghp_", "a personal access token"),
    ("github", "github_pat_", "a personal access token"),
    ("github", "gho_", "an OAuth access token"),
    ("github", "ghu_", "a user access token"),
    ("github", "ghs_", "an installation access token"),
    ("github", "ghr_", "a refresh token"),
    ("github", "Iv1.", "the client id of an app"),
    ("github", "Iv23", "the client id of an app"),
    ("github", "-----BEGIN", "the private key of an app"),
    ("gitlab", "glpat-", "a personal access token"),
    ("gitlab-token", "glpat-", "a personal access token"),
    ("gitlab", "gldt-", "a deploy token"),
    ("gitlab", "glptt-", "a trigger token"),
    ("slack", "xoxb-", "a bot token"),
    ("slack", "xoxp-", "a user token"),
    ("slack", "xoxa-", "an access token"),
    ("slack", "xoxe", "a refresh token or a configuration token"),
    ("slack", "xapp-", "an app-level token"),
    ("slack", "https://hooks.slack.com", "the URL of an incoming webhook"),
    ("shopify", "shpat_", "an Admin API access token"),
    ("shopify", "shpca_", "a custom app's access token"),
    ("shopify", "shppa_", "a private app's password"),
    ("shopify", "shptka_", "a storefront access token"),
    ("sendgrid", "SG.", "an API key"),
    ("twilio", "AC", "the SID of the account"),
    ("twilio", "SK", "the SID of an API key"),
    ("square", "EAAA", "an access token"),
    ("square", "sq0idp-", "the id of the application"),
    ("square", "sq0csp-", "the application's OAuth secret"),
    ("square", "sandbox-sq0", "a credential of the sandbox's application"),
    ("linear", "lin_api_", "an API key"),
    ("linear", "lin_oauth_", "an OAuth access token"),
    ("mailgun", "key-", "an API key"),
    ("mailgun", "pubkey-", "a public key for validation"),
    ("hubspot-v3", "pat-", "an access token of a private app"),
    ("typeform", "tfp_", "a personal access token"),
    ("meta", "EAA", "an access token"),
    ("meta", "IGQ", "an access token of Instagram"),
    ("adyen", "AQE", "an API key"),
    ("adyen-platform", "AQE", "an API key"),
    ("dropbox", "sl.", "an access token"),
    ("zendesk", "Bearer ", "an API token"),
    ("openai", "sk-", "an API key"),
    ("anthropic", "sk-ant-", "an API key"),
    ("resend", "re_", "an API key"),
    ("clerk", "sk_", "an API key (secret key)"),
    ("clerk", "pk_", "a publishable API key"),
    ("paystack", "pk_", "a publishable API key"),
    ("flutterwave", "FLWSECK", "an API key (secret key)"),
    ("flutterwave", "FLWPUBK", "a public API key"),
    ("razorpay", "rzp_", "the id of an API key"),
    ("notion", "ntn_", "an access token of an integration"),
    ("polar", "polar_oat_", "an access token of the organization"),
    ("polar", "polar_pat_", "a personal access token"),
    ("sentry", "sntrys_", "a token of the organization"),
    ("sentry", "sntryu_", "a personal token"),
    ("heroku", "HRKU-", "an API key"),
    ("figma", "figd_", "a personal access token"),
    ("netlify", "nfp_", "a personal access token"),
    ("workos", "sk_", "an API key"),
    ("buildkite", "bkua_", "an API access token"),
    ("doppler", "dp.", "a service or personal token"),
    ("circleci", "CCIPAT_", "a personal API token"),
    ("replicate", "r8_", "an API token"),
    ("supabase", "sbp_", "a personal access token"),
    ("tailscale", "tskey-", "an auth key or API key"),
    ("grafana", "glsa_", "a service account token"),
    ("grafana", "glc_", "a token of Grafana Cloud"),
    ("svix", "sk_", "an API key"),
    ("svix", "testsk_", "an API key of the test mode"),
    ("easypost", "EZ", "an API key"),
    ("airtable", "pat", "a personal access token"),
    ("telnyx", "KEY0", "an API key"),
    ("launchdarkly", "sdk-", "an SDK key"),
    ("launchdarkly", "api-", "an API access token"),
    ("launchdarkly", "mob-", "a mobile key"),
    ("calendly", "eyJ", "an access token"),
    ("lemonsqueezy", "eyJ", "an API key"),
    ("gitea", "gto_", "an OAuth access token"),
    ("postmark", "POSTMARK_API_TEST", "the test token of the API"),
];
