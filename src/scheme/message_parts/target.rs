//! The parts of the URL that a sender called, as message signatures cover them (RFC 9421, 2.2).

/// A URL in its parts.
#[derive(Debug)]
pub(in crate::scheme) struct Target<'u> {
    pub(in crate::scheme) scheme: &'u str,
    /// Host in lower case, and port where it is not the usual one.
    pub(in crate::scheme) authority: String,
    /// Path and query as they are sent.
    pub(in crate::scheme) path_and_query: String,
}

impl<'u> Target<'u> {
    /// The parts of `https://host:port/path?query`. `None` for a text of another form.
    pub(in crate::scheme) fn parse(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let usual_port = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.strip_suffix(usual_port).unwrap_or(authority);
        Some(Self {
            scheme,
            authority: authority.to_ascii_lowercase(),
            path_and_query: match rest.starts_with('/') {
                true => rest.to_owned(),
                false => format!("/{rest}"),
            },
        })
    }

    pub(in crate::scheme) fn uri(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.path_and_query)
    }

    pub(in crate::scheme) fn path(&self) -> &str {
        let end = self.path_and_query.find('?').unwrap_or(self.path_and_query.len());
        self.path_and_query.split_at(end).0
    }

    /// The query without its question mark; `None` without one.
    pub(in crate::scheme) fn query(&self) -> Option<&str> {
        self.path_and_query.split_once('?').map(|(_, query)| query)
    }
}
