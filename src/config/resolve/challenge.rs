//! `challenge` and `verify_token` of a route: the provider's challenges and the token with which one is checked.

use super::Resolver;
use crate::config::challenge_reference::ChallengeReference;
use crate::config::fault::Report;
use crate::config::file;
use crate::config::value::{Flag, OneOrMany};
use crate::scheme::Verifier;
use crate::scheme::challenge::{self, Challenge, ChallengeDescription, PresetChallenge};
use crate::secret::Secret;
use crate::settings::{SecretInfo, defaults};
use hyper::Method;
use std::collections::{BTreeSet, HashMap};

/// Challenges of one route at most.
const MOST_CHALLENGES: usize = 4;

/// The scheme of the route whose challenges are resolved.
pub(super) struct ChallengedScheme<'a> {
    /// Name of the provider as the file writes it.
    pub(super) provider: &'a str,
    /// The scheme with its keys.
    pub(super) verifier: &'a Verifier,
    /// Names and sources of its keys.
    pub(super) keys: &'a [SecretInfo],
    /// Accepted methods of the route.
    pub(super) methods: &'a [Method],
}

impl ChallengedScheme<'_> {
    /// The index of the secret whose HMAC an answer has: the first that is not retired.
    fn signing_key(&self) -> usize {
        self.keys.iter().position(|key| !key.retired).unwrap_or_default()
    }
}

impl Resolver<'_> {
    /// The challenges, and the name and source of the token. If `scheme` is `None`, it has its own fault already.
    pub(super) fn challenges(
        &mut self,
        key: &str,
        scheme: Option<ChallengedScheme<'_>>,
        written: Option<ChallengeReference>,
        older: Option<Flag>,
        token: Option<file::SecretReference>,
    ) -> (Vec<Challenge>, Option<SecretInfo>) {
        let written = self.with_older_name(key, written, older);
        let token_key = format!("{key}.verify_token");
        let enabled = !matches!(written, None | Some(ChallengeReference::OfPreset(false)));
        if token.is_some() && !enabled {
            self.report.fault(
                &token_key,
                "the token belongs to a challenge, which this route does not answer",
                "write `challenge = true`, or remove it",
            );
        }
        let has_token = token.is_some();
        let token = token.and_then(|file::SecretReference(table)| self.verify_token(&token_key, table));
        // A token with a fault of its own must not cause another.
        let Some(scheme) = scheme.filter(|_| token.is_some() == has_token) else {
            return (Vec::new(), None);
        };
        let secret = token.as_ref().map(|(_, secret)| secret);
        let challenges = match written {
            None => {
                self.suggest_challenge(key, scheme.provider);
                Vec::new()
            }
            Some(ChallengeReference::OfPreset(false)) => Vec::new(),
            Some(ChallengeReference::OfPreset(true)) => {
                match Challenge::of(scheme.provider, scheme.signing_key(), scheme.verifier, secret) {
                    Ok(challenges) => challenges,
                    Err(fix) => {
                        let (at, problem) = match has_token {
                            false => (
                                format!("{key}.challenge"),
                                "the provider's challenge cannot be answered",
                            ),
                            true => (token_key, "the provider's challenge has no token"),
                        };
                        self.report.fault(at, problem, fix);
                        Vec::new()
                    }
                }
            }
            Some(ChallengeReference::Described(list)) => {
                self.described_challenges(&format!("{key}.challenge"), list, &scheme, secret)
            }
        };
        (challenges, token.map(|(info, _)| info))
    }

    /// `challenge`, or its older name `handshake`.
    fn with_older_name(
        &mut self,
        key: &str,
        written: Option<ChallengeReference>,
        older: Option<Flag>,
    ) -> Option<ChallengeReference> {
        let Some(Flag(older)) = older else {
            return written;
        };
        let older_key = format!("{key}.handshake");
        if written.is_some() {
            self.report.fault(
                older_key,
                "this is the older name of `challenge`, which is written too",
                "remove it",
            );
            return written;
        }
        self.report.warn(
            &older_key,
            format_args!("this key is called `challenge` now: write `challenge = {older}`"),
        );
        Some(ChallengeReference::OfPreset(older))
    }

    /// Says that the provider of a preset sends a challenge, on a route that does not say what to do with it.
    fn suggest_challenge(&mut self, key: &str, provider: &str) {
        let key = format!("{key}.challenge");
        let write = match provider {
            "meta" => "`challenge = true` and `verify_token = { env = \"META_VERIFY_TOKEN\" }`",
            _ => "`challenge = true`",
        };
        match challenge::PRESETS.iter().find(|preset| preset.provider == provider) {
            None => {}
            Some(PresetChallenge { is_signed: true, request, .. }) => self.report.note(
                &key,
                format_args!(
                    "{provider} sends {request} before webhooks, which the application must answer; write {write}, and hookgate answers it"
                ),
            ),
            Some(PresetChallenge { is_signed: false, request, .. }) => self.report.warn(
                &key,
                format_args!(
                    "{provider} sends {request} before webhooks, which is refused, so the endpoint cannot be registered; write {write}, or `challenge = false` if it is registered already"
                ),
            ),
        }
    }

    /// The token of a challenge; `None` after a fault.
    fn verify_token(&mut self, key: &str, mut table: file::SecretTable) -> Option<(SecretInfo, Secret)> {
        let name = table.name.take();
        let (source, secret) = self.secret(key, table, true)?;
        if secret.expose().trim_ascii().is_empty() {
            self.report.fault(
                key,
                "the token is empty",
                "write the token that you entered in the provider's form",
            );
            return None;
        }
        let info = SecretInfo {
            name: name.unwrap_or_else(|| String::from(defaults::VERIFY_TOKEN_NAME)),
            source,
            retired: false,
        };
        Some((info, secret))
    }

    /// The challenges that the file describes.
    fn described_challenges(
        &mut self,
        key: &str,
        list: OneOrMany<ChallengeDescription>,
        scheme: &ChallengedScheme<'_>,
        token: Option<&Secret>,
    ) -> Vec<Challenge> {
        let signing = scheme.signing_key();
        let mut challenges = Vec::new();
        for (key, description) in list.into_paths(key) {
            match Challenge::described(description, signing, scheme.verifier, token) {
                Ok(challenge) => {
                    if let Some(method) = challenge
                        .method_with_body()
                        .filter(|method| !scheme.methods.contains(method))
                    {
                        self.report.fault(
                            format!("{key}.method"),
                            format!("the route does not accept {method}, so the body is never read"),
                            format!("add \"{method}\" to `methods`"),
                        );
                    }
                    challenges.push(challenge);
                }
                Err(faults) => {
                    for (below, fault) in faults {
                        let at = match below.is_empty() {
                            true => key.clone(),
                            false => format!("{key}.{below}"),
                        };
                        let (problem, fix) = fault.split_once(": ").unwrap_or((&fault, ""));
                        self.report.fault(at, problem, fix);
                    }
                }
            }
        }
        if challenges.len() > MOST_CHALLENGES {
            self.report.fault(
                key,
                format!("these are more than {MOST_CHALLENGES} challenges"),
                "write those of the one provider that calls this route",
            );
        }
        challenges
    }
}

/// The keys of all routes. A key with which a route answers challenges signs no webhook, also on no other route.
#[derive(Default)]
pub(super) struct SigningRoutes {
    /// For each route: key in the file, name, whether it answers a challenge with an HMAC, digests of its keys.
    routes: Vec<(String, String, bool, Vec<[u8; 32]>)>,
}

impl SigningRoutes {
    /// Adds a route with the digests of its keys.
    pub(super) fn note(&mut self, key: &str, name: &str, digests: Vec<[u8; 32]>, challenges: &[Challenge]) {
        let signs = challenges.iter().any(Challenge::signs);
        self.routes.push((key.to_owned(), name.to_owned(), signs, digests));
    }

    /// Reports routes that share a key with one that answers challenges with it.
    pub(super) fn report(self, report: &mut Report) {
        let mut owners: HashMap<_, BTreeSet<_>> = HashMap::new();
        for (index, (_, _, _, digests)) in self.routes.iter().enumerate() {
            for digest in digests {
                owners.entry(digest).or_default().insert(index);
            }
        }
        for (index, (key, _, _, digests)) in self.routes.iter().enumerate().filter(|(_, route)| route.2) {
            let owners: BTreeSet<_> = digests
                .iter()
                .filter_map(|digest| owners.get(digest))
                .flatten()
                .collect();
            for other in owners {
                if let Some((_, name, ..)) = self.routes.get(*other).filter(|_| *other != index) {
                    report.fault(
                        format!("{key}.challenge"),
                        format!("the route `{name}` has a secret of this route, so an answer to this challenge could be a signature there"),
                        "give each route a secret of its own",
                    );
                }
            }
        }
    }
}
