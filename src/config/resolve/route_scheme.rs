//! The scheme of a route with its secrets, public keys and tenants.

use super::Resolver;
use super::fetched_keys;
use crate::config::file;
use crate::scheme::{Expected, ListedKeys, RouteContext as SchemeContext, UrlOfRoute, Verifier, presets};
use crate::settings::{SecretInfo, Tenants};
use sha2::{Digest as _, Sha256};

/// The scheme of a route.
pub(super) struct ResolvedScheme {
    /// The scheme with its keys.
    pub(super) verifier: Verifier,
    /// The tenants, where they have the secrets.
    pub(super) tenants: Option<Tenants>,
    /// Name of the provider as the file writes it.
    pub(super) provider: String,
    /// Names and sources of the keys, in the order of `verifier`.
    pub(super) keys: Vec<SecretInfo>,
    /// Name and source of the credentials of the signed URL.
    pub(super) credentials: Option<SecretInfo>,
    /// SHA-256 of every key.
    pub(super) digests: Vec<[u8; 32]>,
    /// Values that signed requests must carry.
    pub(super) expect: Expected,
    /// Name and source of the secret with which fetched keys are asked for.
    pub(super) key_secret: Option<SecretInfo>,
}

impl Resolver<'_> {
    /// The scheme of a route with its keys; `None` after a fault.
    pub(super) fn scheme(
        &mut self,
        key: &str,
        written: &mut file::Route,
        (host, path): (Option<&str>, Option<&str>),
    ) -> Option<ResolvedScheme> {
        let is_path_fixed = path.is_some_and(|path| !path.ends_with("/*"));
        let secrets = std::mem::take(&mut written.secrets);
        let public_keys = std::mem::take(&mut written.public_keys);
        // Which keys a described scheme needs is known when it is compiled.
        let may_fetch = match (&written.provider, &written.custom) {
            (_, Some(custom)) => custom.keys.is_some(),
            (Some(provider), None) => presets::description(provider).is_some_and(|preset| preset.keys.is_some()),
            (None, None) => false,
        };
        let has_keys = !secrets.is_empty() || !public_keys.is_empty();
        if !has_keys && !may_fetch && !self.report.is_meant(&format!("{key}.public_keys")) {
            let fix = "write `secrets = [{ env = \"PADDLE_WEBHOOK_SECRET\" }]`";
            self.report.missing(
                format!("{key}.secrets"),
                "this route has neither `secrets` nor `public_keys`",
                fix,
            );
        }
        let credentials = self.public_url(key, written, is_path_fixed);
        let place_of_secrets = format!("{key}.secrets");
        let (secrets, written_tenants) = self.route_secrets(&place_of_secrets, secrets, written, (host, path))?;
        let public_keys = self.secrets(&format!("{key}.public_keys"), public_keys, false);
        let places = [secrets.places, public_keys.places].concat();
        let keys = [secrets.sources, public_keys.sources].concat();
        let lists = ListedKeys {
            secrets: secrets.named,
            public_keys: public_keys.named,
        };
        let provider = written
            .provider
            .take()
            .or_else(|| written.custom.is_some().then(|| String::from("custom")));
        let Some(provider) = provider else {
            let fix = "write `provider = \"paddle\"`, or another provider of docs/schemes.md";
            self.report
                .missing(format!("{key}.provider"), "this route has no provider", fix);
            return None;
        };
        let fetched = self.route_keys(&format!("{key}.keys"), written.keys.take());
        let expect = fetched_keys::expect(std::mem::take(&mut written.expect));
        if keys.is_empty() && (has_keys || !may_fetch) {
            // The keys have their own faults; only the name of the provider can still be checked.
            self.check_provider(key, &provider);
            return None;
        }
        for (secret, place) in lists.secrets.iter().zip(&places) {
            self.check_shared_secret(place, &secret.secret);
        }
        let digests = lists.secrets.iter().chain(&lists.public_keys);
        let digests = digests.map(|key| Sha256::digest(key.secret.expose()).into()).collect();
        self.remark_on_secrets(&provider, &lists.secrets, &places);
        let custom_key = format!("{key}.custom");
        let is_described = written.custom.is_some() && provider == "custom";
        let of_scheme = if is_described { &custom_key } else { key };
        let place = |index: Option<usize>| {
            index
                .and_then(|index| places.get(index))
                .map_or(of_scheme, String::as_str)
        };
        let Ok(credentials) = credentials else {
            return None;
        };
        if self.report.has_fault_within(&custom_key) {
            // The rest of the description is not what the operator meant, so what it lacks is no fault.
            self.check_provider(key, &provider);
            return None;
        }
        match Verifier::for_route(
            &provider,
            written.custom.take(),
            lists,
            &SchemeContext {
                url: UrlOfRoute {
                    public: written.public_url.as_deref(),
                    credentials: credentials.as_ref().map(|(_, secret)| secret),
                    is_path_fixed,
                },
                expect: &expect,
                keys: &fetched.settings,
            },
        ) {
            Ok(mut verifier) => {
                let mut tenants = None;
                if let Some(written) = written_tenants {
                    verifier = verifier.for_tenants(written.header_name(), written.is_in_body());
                    tenants = Some(self.tenants(&place_of_secrets, written, &verifier)?);
                }
                for warning in verifier.warnings() {
                    self.report.warn(format_args!("{key}.provider"), warning);
                }
                for (index, weakness) in verifier.weak_keys() {
                    self.decoded_weakness(place(Some(*index)), *weakness);
                }
                Some(ResolvedScheme {
                    verifier,
                    tenants,
                    provider,
                    keys,
                    credentials: credentials.map(|(info, _)| info),
                    digests,
                    expect,
                    key_secret: fetched.secret,
                })
            }
            Err(problems) => {
                if self.check_provider(key, &provider) {
                    for problem in problems {
                        self.report.fault(place(problem.key), problem.text, "");
                    }
                }
                None
            }
        }
    }
}
