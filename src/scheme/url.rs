//! The URL that a provider signed. It is the URL that the provider called, which differs from the one that hookgate
//! receives when another balancer is in front.

use crate::http::percent;

/// `public_url` of a route, parsed.
#[derive(Debug)]
pub(super) struct PublicUrl {
    /// Scheme and authority, such as `https://hooks.example.com`.
    origin: String,
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
        let authority_at = ["https://", "http://"]
            .iter()
            .find(|scheme| text.starts_with(**scheme))
            .map(|scheme| scheme.len());
        let plain = !text.contains(['?', '#', ' ', '@']) && text.is_ascii();
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
            path,
            unescape: unescape.to_owned(),
            try_ports,
        })
    }

    /// The URLs that may have been signed for this raw path and query. The first one has the port of `public_url`, if
    /// any.
    pub(super) fn candidates(&self, target: &str) -> Vec<String> {
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

    #[test]
    fn the_query_comes_from_the_request_and_the_path_from_the_configuration() {
        let url = |text| PublicUrl::parse(text, "", false).unwrap();
        assert_eq!(
            url("https://a.example").candidates("/x/%2f?q=1"),
            ["https://a.example/x/%2f?q=1"]
        );
        assert_eq!(url("https://a.example/").candidates("/x"), ["https://a.example/x"]);
        assert_eq!(
            url("https://a.example/p/").candidates("/x?q=%20"),
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
        let urls = |text| PublicUrl::parse(text, "", true).unwrap().candidates("/");
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
        assert_eq!(decoded, ["https://a.example/a:b/c%20%zz%3?u=@%é"]);
    }
}
