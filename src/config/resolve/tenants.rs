//! `secrets = { directory = …, by = … }` of a route: one secret for each tenant.

use super::Resolver;
use super::secret::RouteKeys;
use crate::config::fault::unreadable;
use crate::config::file::{self, RouteSecret, RouteSecretTable, SecretReference, TenantBy, TenantPlaceTable};
use crate::config::value::OneOrMany;
use crate::scheme::{SECRET_NAMES, SchemeDescription, TenantPlace, Verifier, presets, unknown_secrets};
use crate::secret::{MAX_SECRETS, SecretDirectory};
use crate::settings::{SecretInfo, SecretSource, Tenants};
use hyper::header::HeaderName;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// A directory of tenants as the file describes it.
pub(super) struct WrittenTenants {
    directory: PathBuf,
    place: TenantPlace,
    by: String,
}

impl WrittenTenants {
    /// The header that names the tenant.
    pub(super) const fn header_name(&self) -> Option<&HeaderName> {
        self.place.header_name()
    }

    /// Whether the tenant is known only when the body is complete.
    pub(super) const fn is_in_body(&self) -> bool {
        self.place.is_in_body()
    }
}

impl Resolver<'_> {
    /// The entries of `secrets`, or a directory of tenants with secrets that nobody knows; `None` after a fault of the directory.
    pub(super) fn route_secrets(
        &mut self,
        key: &str,
        mut list: OneOrMany<RouteSecret>,
        route: &file::Route,
        matching: (Option<&str>, Option<&str>),
    ) -> Option<(RouteKeys, Option<WrittenTenants>)> {
        let has_tenants = list.paths(key).any(|(_, RouteSecret(table))| table.directory.is_some());
        match self.written_tenants(key, &mut list, matching) {
            Some(tenants) => {
                let provider = route.provider.as_deref().unwrap_or_default();
                let keys = self.unknown_keys(key, provider, route.custom.as_ref());
                Some((keys, Some(tenants)))
            }
            None if has_tenants => None,
            None => Some((self.secrets(key, list.map(SecretReference::from), true), None)),
        }
    }

    /// What cannot be combined with a directory of tenants.
    pub(super) fn check_tenants(&mut self, key: &str, route: &file::Route, verifier: &Verifier) {
        if route.challenge.is_some() || route.handshake.is_some() {
            self.report.fault(
                format!("{key}.challenge"),
                "a challenge is answered with the secret of the route, and here each tenant has its own",
                "remove it: the application answers the challenges",
            );
        }
        if route.delivery.is_some() && verifier.compares_token() {
            self.report.fault(
                format!("{key}.delivery"),
                "the senders send their tokens themselves, which are never stored, and the token of a tenant cannot be put back later",
                "remove it, or use a scheme with signatures",
            );
        }
    }

    /// The directory of tenants, if `secrets` is one, with secrets that nobody knows in place of the route's. `host` and `path`
    /// are those of the route.
    fn written_tenants(
        &mut self,
        key: &str,
        list: &mut OneOrMany<RouteSecret>,
        (host, path): (Option<&str>, Option<&str>),
    ) -> Option<WrittenTenants> {
        let count = list.paths(key).count();
        let has_directory = |RouteSecret(table): &RouteSecret| table.directory.is_some() || table.by.is_some();
        if !list.paths(key).any(|(_, secret)| has_directory(secret)) {
            return None;
        }
        let taken = std::mem::take(list);
        let (key, RouteSecret(table)) = taken.into_paths(key).find(|(_, secret)| has_directory(secret))?;
        if count > 1 {
            let fix =
                "write `secrets = { directory = \"…\", by = \"path\" }` alone: the other secrets belong into its files";
            self.report
                .fault(&key, "a directory of secrets stands beside other secrets", fix);
        }
        let RouteSecretTable {
            name: None,
            env: None,
            file: None,
            retired: None,
            directory: Some(directory),
            by,
        } = table
        else {
            let fix = "write `{ directory = \"/path\", by = \"path\" }`, and nothing else in it";
            self.report
                .fault(&key, "this is a directory of secrets and a single one together", fix);
            return None;
        };
        let (place, by) = self.tenant_place(&format!("{key}.by"), by, host, path)?;
        Some(WrittenTenants {
            directory: self.path(&directory),
            place,
            by,
        })
    }

    /// Where a request names its tenant; `None` after a fault.
    fn tenant_place(
        &mut self,
        key: &str,
        by: Option<TenantBy>,
        host: Option<&str>,
        path: Option<&str>,
    ) -> Option<(TenantPlace, String)> {
        const CHOICES: &str = "write `by = \"path\"`, `\"host\"`, `{ header = \"X-Tenant\" }`, `{ query = \"tenant\" }` or `{ pointer = \"/account\" }`";
        let made = match by {
            None => {
                self.report
                    .missing(key.to_owned(), "it is not known what names the tenant", CHOICES);
                return None;
            }
            Some(TenantBy::Word(word)) if word == "path" => match path.and_then(|path| path.strip_suffix('*')) {
                Some(prefix) => Ok(TenantPlace::Path(prefix.len())),
                None => Err(String::from(
                    "the route has one path, so it cannot name a tenant: end `path` of the route with `/*`",
                )),
            }
            .map(|place| (place, word)),
            Some(TenantBy::Word(word)) if word == "host" => match host.and_then(|host| host.strip_prefix('*')) {
                Some(rest) => Ok(TenantPlace::Host(rest.to_owned())),
                None => Err(String::from(
                    "the host of the route names no tenant: begin `host` of the route with `*.`",
                )),
            }
            .map(|place| (place, word)),
            Some(TenantBy::Place(TenantPlaceTable {
                header: Some(name),
                query: None,
                pointer: None,
            })) => TenantPlace::header(&name).map(|place| (place, format!("header {name}"))),
            Some(TenantBy::Place(TenantPlaceTable {
                header: None,
                query: Some(name),
                pointer: None,
            })) => Ok((TenantPlace::Query(name.clone()), format!("query {name}"))),
            Some(TenantBy::Place(TenantPlaceTable {
                header: None,
                query: None,
                pointer: Some(pointer),
            })) => TenantPlace::pointer(&pointer).map(|place| (place, format!("pointer {pointer}"))),
            Some(TenantBy::Word(_) | TenantBy::Place(_)) => Err(format!("nothing names the tenant: {CHOICES}")),
        };
        match made {
            Ok(made) => Some(made),
            Err(text) => {
                let (problem, fix) = text.split_once(": ").unwrap_or((&text, CHOICES));
                self.report.fault(key, problem, fix);
                None
            }
        }
    }

    /// Secrets that nobody knows, for a route whose tenants have the real ones.
    fn unknown_keys(&mut self, key: &str, provider: &str, custom: Option<&SchemeDescription>) -> RouteKeys {
        let mut random = [[0; 32]; MAX_SECRETS];
        for bytes in &mut random {
            if aws_lc_rs::rand::fill(bytes).is_err() {
                self.report
                    .fault(key, "the system gives no random numbers", "start it on another system");
            }
        }
        let description = custom
            .cloned()
            .or_else(|| presets::description(provider).cloned())
            .unwrap_or_default();
        let named = unknown_secrets(&description, random);
        let info = |name: &&str| SecretInfo {
            name: (*name).to_owned(),
            source: SecretSource::File(PathBuf::new()),
            retired: false,
        };
        RouteKeys {
            places: named.iter().map(|_| key.to_owned()).collect(),
            sources: SECRET_NAMES.iter().map(info).collect(),
            named,
        }
    }

    /// Reads the files of the tenants; `None` after a fault.
    pub(super) fn tenants(&mut self, key: &str, written: WrittenTenants, verifier: &Verifier) -> Option<Tenants> {
        let WrittenTenants { directory, place, by } = written;
        let now = UNIX_EPOCH + Duration::from_secs(self.now_unix);
        let shown = directory.display().to_string();
        let make = |name: &str, secrets| verifier.tenant(name, secrets);
        match SecretDirectory::open(directory, &make, now) {
            Ok((directory, changes)) => {
                for problem in &changes.problems {
                    self.report
                        .warn(key, format_args!("{shown}: {problem}; this tenant is not known"));
                }
                if changes.unusable > changes.problems.len() {
                    let more = changes.unusable - changes.problems.len();
                    self.report
                        .warn(key, format_args!("{shown}: {more} more files cannot be used"));
                }
                if directory.table().is_empty() {
                    self.report.warn(
                        key,
                        format_args!(
                            "{shown} has no tenant yet, so every request is refused until a file is put there"
                        ),
                    );
                }
                Some(Tenants {
                    place,
                    by,
                    directory: Arc::new(directory),
                })
            }
            Err(error) => {
                self.report.fault(
                    format!("{key}.directory"),
                    format!("{shown} {}", unreadable(&error)),
                    "write the path of a readable directory",
                );
                None
            }
        }
    }
}
