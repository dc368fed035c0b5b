//! `signature` and `gateway_keys` of a route: the signature that the application gets.

use super::Resolver;
use super::inbox::RouteContext;
use super::secret::RouteKeys;
use crate::config::file;
use crate::config::inbox_keys::SignatureKind;
use crate::config::value::{Keyword, OneOrMany};
use crate::scheme::{Expected, KeySettings, ListedKeys, RouteContext as SchemeContext, UrlOfRoute, Verifier};
use crate::settings::{ApplicationSignature, Dedupe, Delivery, DeliveryMode, GatewayKeys};
use std::sync::Arc;

/// The scheme in which hookgate signs with its own keys.
const GATEWAY_SCHEME: &str = "standard-webhooks";

impl Resolver<'_> {
    /// The signature that the application gets.
    pub(super) fn signature(
        &mut self,
        key: &str,
        written: &mut file::Route,
        context: &RouteContext<'_>,
        has_delivery: bool,
    ) -> ApplicationSignature {
        let kind = written.signature.map_or(SignatureKind::Original, |Keyword(kind)| kind);
        let keys = std::mem::take(&mut written.gateway_keys);
        let signature_key = format!("{key}.signature");
        match kind {
            SignatureKind::Original | SignatureKind::Fresh if !keys.is_empty() => self.report.fault(
                format!("{key}.gateway_keys"),
                "these keys sign nothing",
                "write `signature = \"gateway\"`, or remove them",
            ),
            SignatureKind::Original | SignatureKind::Fresh | SignatureKind::Gateway => {}
        }
        match kind {
            SignatureKind::Original => {}
            SignatureKind::Fresh | SignatureKind::Gateway
                if has_delivery && context.has_inbox && !context.has_inbox_keys =>
            {
                self.report.fault(
                    &signature_key,
                    "whoever can change the file of the inbox could have anything signed",
                    "write `keys = [{ file = \"…\" }]` in `[inbox]`; `openssl rand -hex 32` makes one",
                );
            }
            SignatureKind::Fresh | SignatureKind::Gateway => {}
        }
        match kind {
            SignatureKind::Original => ApplicationSignature::Original,
            SignatureKind::Fresh => {
                if !has_delivery {
                    self.report.fault(
                        &signature_key,
                        "only stored webhooks are signed again, and this route stores none",
                        "write `delivery = \"failover\"`, or remove it",
                    );
                }
                if let Some(obstacle) = context.verifier.signing_obstacle() {
                    self.report.fault(
                        &signature_key,
                        format!("`{}` cannot be signed again: {obstacle}", context.provider),
                        "write `signature = \"gateway\"` with `gateway_keys`",
                    );
                }
                ApplicationSignature::Fresh
            }
            SignatureKind::Gateway => self
                .gateway_keys(&format!("{key}.gateway_keys"), keys)
                .map_or(ApplicationSignature::Original, |keys| {
                    ApplicationSignature::Gateway(Arc::new(keys))
                }),
        }
    }

    /// The keys with which hookgate signs; `None` after a fault.
    fn gateway_keys(&mut self, key: &str, written: OneOrMany<file::SecretReference>) -> Option<GatewayKeys> {
        if written.is_empty() {
            self.report.missing(
                key.to_owned(),
                "`signature = \"gateway\"` has no key to sign with",
                "write `gateway_keys = [{ file = \"…\" }]`; `openssl rand -base64 32` makes one, for hookgate and for the application",
            );
            return None;
        }
        let RouteKeys { named, sources, places } = self.secrets(key, written, true);
        if named.is_empty() {
            return None;
        }
        let lists = ListedKeys {
            secrets: named,
            public_keys: Vec::new(),
        };
        let url = UrlOfRoute {
            public: None,
            credentials: None,
            is_path_fixed: true,
        };
        let route = SchemeContext {
            url,
            expect: &Expected::new(),
            keys: &KeySettings::default(),
        };
        match Verifier::for_route(GATEWAY_SCHEME, None, lists, &route) {
            Ok(verifier) => {
                for (index, weakness) in verifier.weak_keys() {
                    self.decoded_weakness(places.get(*index).map_or(key, String::as_str), *weakness);
                }
                Some(GatewayKeys {
                    verifier,
                    infos: sources,
                })
            }
            Err(problems) => {
                for problem in problems {
                    let place = problem.key.and_then(|index| places.get(index));
                    self.report.fault(place.map_or(key, String::as_str), problem.text, "");
                }
                None
            }
        }
    }

    /// Refuses `dedupe.durable` where it has no effect.
    pub(super) fn check_durable_dedupe(&mut self, key: &str, dedupe: Option<&Dedupe>, delivery: Option<&Delivery>) {
        if !dedupe.is_some_and(|dedupe| dedupe.durable) {
            return;
        }
        let (problem, fix) = match delivery.map(|delivery| delivery.mode) {
            Some(DeliveryMode::Failover) => return,
            Some(DeliveryMode::Queue) => (
                "`delivery = \"queue\"` stores the id of every webhook anyway",
                "remove it",
            ),
            None => (
                "ids are stored in the inbox, and this route has none",
                "write `delivery = \"failover\"`, or remove it",
            ),
        };
        self.report.fault(format!("{key}.dedupe.durable"), problem, fix);
    }
}
