//! `public_url` and `public_url_credentials` of a route: the URL that the provider signs.

use super::Resolver;
use crate::config::file;
use crate::scheme::{CREDENTIALS_ELSEWHERE, CREDENTIALS_IN_URL, credentials_problem};
use crate::secret::Secret;
use crate::settings::{SecretInfo, defaults};

/// User and password of the signed URL: their name and source, and their bytes.
pub(super) type UrlCredentials = (SecretInfo, Secret);

impl Resolver<'_> {
    /// The credentials of the signed URL, if any; `Err` after a fault, so that it is not reported twice.
    pub(super) fn public_url(
        &mut self,
        key: &str,
        written: &mut file::Route,
        is_path_fixed: bool,
    ) -> Result<Option<UrlCredentials>, ()> {
        let url_key = format!("{key}.public_url");
        let credentials_key = format!("{key}.public_url_credentials");
        let is_bare = written.public_url.as_deref().is_none_or(|url| !url.contains('@'));
        if !is_bare {
            self.report
                .fault(url_key.clone(), CREDENTIALS_IN_URL, CREDENTIALS_ELSEWHERE);
        }
        let path = written
            .public_url
            .as_deref()
            .and_then(|url| url.split_once("://")?.1.split_once('/'));
        if is_bare && !is_path_fixed && path.is_some_and(|(_, path)| !path.is_empty()) {
            self.report.fault(
                url_key,
                "it has a path and this route has many, so the signature of one path would be valid for all of them",
                "write an exact `path` for the route, or only the origin as `public_url`, such as \"https://hooks.example.com\"",
            );
        }
        let Some(file::SecretReference(mut table)) = written.public_url_credentials.take() else {
            return if is_bare { Ok(None) } else { Err(()) };
        };
        if written.public_url.is_none() {
            self.report.fault(
                credentials_key,
                "user and password of a URL, and this route has no `public_url`",
                "write `public_url = \"https://hooks.example.com/path\"` beside it, for a provider that signs the URL, or remove it",
            );
            return Err(());
        }
        let name = table.name.take();
        let (source, secret) = self.secret(&credentials_key, table, true).ok_or(())?;
        if let Some(problem) = credentials_problem(secret.expose()) {
            self.report.fault(credentials_key, problem, "");
            return Err(());
        }
        let info = SecretInfo {
            name: name.unwrap_or_else(|| String::from(defaults::URL_CREDENTIALS_NAME)),
            source,
            retired: false,
        };
        if is_bare { Ok(Some((info, secret))) } else { Err(()) }
    }
}
