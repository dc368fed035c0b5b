//! The URL that a provider signed. It is the URL that the provider called, which differs from the one that hookgate
//! receives when another balancer is in front.

use crate::http::percent;
use crate::secret::Secret;

/// What is wrong with a `public_url` with user and password in it.
pub const CREDENTIALS_IN_URL: &str = "`public_url` has `@`: a user and a password do not belong in the configuration";

/// What to write instead.
pub const CREDENTIALS_ELSEWHERE: &str = "remove everything from `//` to `@`, and name a variable with `user:password` in `public_url_credentials = { env = \"PUBLIC_URL_CREDENTIALS\" }`; if the path has an `@`, write the origin alone as `public_url`";

/// What is wrong with the user and the password of a URL, for the operator; shows nothing of them.
#[must_use]
pub fn credentials_problem(text: &[u8]) -> Option<&'static str> {
    if text.iter().all(|byte| *byte == b':') {
        Some("the value is empty: write `user:password` there, as in the URL that you gave to the provider")
    } else if text
        .iter()
        .any(|byte| !byte.is_ascii_graphic() || b"/?#@[]\\\"<>^`{|}".contains(byte))
    {
        Some(
            "the value cannot stand in a URL: write `user:password` as in the URL that you gave to the provider, without `//` and `@`, other signs percent-encoded (RFC 3986, 3.2.1)",
        )
    } else {
        None
    }
}

/// What a route says about the URL of its requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct UrlOfRoute<'u> {
    /// The URL that the provider calls.
    pub public: Option<&'u str>,
    /// `user:password` of that URL.
    pub credentials: Option<&'u Secret>,
    /// Whether all requests of the route have the same path, so that nobody can move the end of a signed URL.
    pub is_path_fixed: bool,
}

/// `public_url` of a route, parsed.
#[derive(Debug)]
pub(super) struct PublicUrl {
    /// Scheme and authority, such as `https://hooks.example.com`.
    origin: String,
    /// `user:password`, which stands before the host of the signed URL, as the provider writes it there.
    credentials: Option<Secret>,
    /// The path, if `public_url` has one. Otherwise the request's own path is used.
    path: Option<String>,
    /// Characters whose escapes the provider decodes before it signs.
    unescape: String,
    /// Whether the provider may have signed the URL with or without its port.
    try_ports: bool,
}

impl PublicUrl {
    /// Parses `https://hooks.example.com` or `https://hooks.example.com/path`. The query is always the request's own.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn parse(text: &str, unescape: &str, try_ports: bool) -> Result<Self, String> {
        // The text is not repeated: it may contain a password.
        if text.contains('@') {
            return Err(format!("{CREDENTIALS_IN_URL}: {CREDENTIALS_ELSEWHERE}."));
        }
        let authority_at = ["https://", "http://"]
            .iter()
            .find(|scheme| text.starts_with(**scheme))
            .map(|scheme| scheme.len());
        let plain = !text.contains(['?', '#', ' ']) && text.is_ascii();
        let Some((at, rest)) = authority_at
            .zip(authority_at.and_then(|at| text.get(at..)))
            .filter(|_| plain)
        else {
            return Err(format!(
                "`{text}` is no public URL: write what the provider calls without its query, such as `https://hooks.example.com/path`."
            ));
        };
        let (origin, path) = text.split_at(rest.find('/').map_or(text.len(), |slash| at + slash));
        if origin.len() == at {
            return Err(format!(
                "`{text}` has no host: write it as in `https://hooks.example.com/path`."
            ));
        }
        let path = (path.len() > 1).then(|| path.to_owned());
        Ok(Self {
            origin: origin.to_owned(),
            credentials: None,
            path,
            unescape: unescape.to_owned(),
            try_ports,
        })
    }

    /// The URL with user and password in it.
    ///
    /// # Errors
    /// A sentence for the operator, without the credentials.
    pub(super) fn with_credentials(self, credentials: Option<&Secret>) -> Result<Self, String> {
        if let Some(problem) = credentials.and_then(|text| credentials_problem(text.expose())) {
            return Err(format!("`public_url_credentials`: {problem}."));
        }
        Ok(Self {
            credentials: credentials.cloned(),
            ..self
        })
    }

    /// User and password of the URL.
    pub(super) const fn credentials(&self) -> Option<&Secret> {
        self.credentials.as_ref()
    }

    /// The URLs that may have been signed for this raw path and query. The first one has the port of `public_url`, if
    /// any. They are secret where they contain a password.
    pub(super) fn candidates(&self, target: &str) -> Vec<Secret> {
        let urls = self.bare_candidates(target).into_iter();
        let Some(credentials) = &self.credentials else {
            return urls.map(|url| Secret::new(url.into_bytes())).collect();
        };
        // `concat` allocates once, so no copy of the password stays in memory.
        let with = |url: String| {
            let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
            Secret::new([scheme.as_bytes(), credentials.expose(), b"@", rest.as_bytes()].concat())
        };
        urls.map(with).collect()
    }

    /// The URLs without credentials.
    fn bare_candidates(&self, target: &str) -> Vec<String> {
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let path = self.unescaped(self.path.as_deref().unwrap_or(path));
        let rest = format!("{path}{}", self.unescaped(query));
        let mut urls = vec![format!("{}{rest}", self.origin)];
        if self.try_ports {
            let bracket = self.origin.rfind(']').unwrap_or_default();
            let colon = self
                .origin
                .rfind(':')
                .filter(|colon| *colon > "https:".len() && *colon > bracket);
            let (bare, _) = self.origin.split_at(colon.unwrap_or(self.origin.len()));
            let port = if bare.starts_with("https:") { 443 } else { 80 };
            urls.push(match colon {
                Some(_) => format!("{bare}{rest}"),
                None => format!("{bare}:{port}{rest}"),
            });
        }
        urls
    }

    /// Decodes the escapes of the configured characters.
    fn unescaped(&self, text: &str) -> String {
        if self.unescape.is_empty() {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            let (before, escape) = rest.split_at(at);
            out.push_str(before);
            let decoded = match escape.as_bytes() {
                [_, high, low, ..] => percent::hex_pair(*high, *low)
                    .map(char::from)
                    .filter(|c| self.unescape.contains(*c)),
                _ => None,
            };
            out.push(decoded.unwrap_or('%'));
            rest = escape.get(if decoded.is_some() { 3 } else { 1 }..).unwrap_or_default();
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn texts(urls: &[Secret]) -> Vec<&str> {
        urls.iter()
            .map(|url| std::str::from_utf8(url.expose()).unwrap())
            .collect()
    }

    #[test]
    fn user_and_password_stand_before_the_host_of_every_candidate() {
        let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
        let url = PublicUrl::parse("https://a.example/p", "", true).unwrap();
        let url = url.with_credentials(Some(&secret("u:p%40"))).unwrap();
        assert_eq!(
            texts(&url.candidates("/x?u=http://b")),
            [
                "https://u:p%40@a.example/p?u=http://b",
                "https://u:p%40@a.example:443/p?u=http://b"
            ]
        );
        assert!(!format!("{url:?} {:?}", url.candidates("/")).contains("p%40"));
        for bad in [
            "",
            ":",
            "canary@host",
            "canary/x",
            "canary x",
            "canary\n",
            "canary\u{e9}",
        ] {
            let url = PublicUrl::parse("https://a.example", "", false).unwrap();
            let fault = url.with_credentials(Some(&secret(bad))).unwrap_err();
            assert!(fault.ends_with('.') && !fault.contains("canary"), "{fault}");
        }
    }

    #[test]
    fn user_and_password_in_the_url_are_not_repeated() {
        for bad in [
            "https://u:canary@a.example/",
            "https://u:canary/x@a.example",
            "u:canary@a",
        ] {
            let fault = PublicUrl::parse(bad, "", false).unwrap_err();
            assert!(
                fault.contains("public_url_credentials") && !fault.contains("canary"),
                "{fault}"
            );
        }
    }

    #[test]
    fn the_query_comes_from_the_request_and_the_path_from_the_configuration() {
        let url = |text| PublicUrl::parse(text, "", false).unwrap();
        assert_eq!(
            texts(&url("https://a.example").candidates("/x/%2f?q=1")),
            ["https://a.example/x/%2f?q=1"]
        );
        assert_eq!(
            texts(&url("https://a.example/").candidates("/x")),
            ["https://a.example/x"]
        );
        assert_eq!(
            texts(&url("https://a.example/p/").candidates("/x?q=%20")),
            ["https://a.example/p/?q=%20"]
        );
        for bad in [
            "a.example",
            "ftp://a",
            "https://",
            "https:///x",
            "https://a/?q",
            "https://a/#f",
            "https://u@a/",
            "HTTPS://a",
        ] {
            assert!(PublicUrl::parse(bad, "", false).unwrap_err().ends_with('.'), "{bad}");
        }
    }

    #[test]
    fn urls_are_tried_with_and_without_their_port() {
        let urls = |text| PublicUrl::parse(text, "", true).unwrap().bare_candidates("/");
        assert_eq!(
            urls("https://a.example"),
            ["https://a.example/", "https://a.example:443/"]
        );
        assert_eq!(urls("http://a.example"), ["http://a.example/", "http://a.example:80/"]);
        assert_eq!(
            urls("https://a.example:8443/p"),
            ["https://a.example:8443/p", "https://a.example/p"]
        );
        assert_eq!(urls("https://[::1]:8443"), ["https://[::1]:8443/", "https://[::1]/"]);
        assert_eq!(urls("https://[::1]"), ["https://[::1]/", "https://[::1]:443/"]);
    }

    #[test]
    fn only_the_configured_escapes_are_decoded() {
        let url = PublicUrl::parse("https://a.example", ":/?@", false).unwrap();
        let decoded = url.candidates("/a%3Ab%2fc%20%zz%3?u=%40%é");
        assert_eq!(texts(&decoded), ["https://a.example/a:b/c%20%zz%3?u=@%é"]);
    }
}
