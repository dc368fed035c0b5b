//! URLs that the provider may have signed in place of `public_url`.

use super::case::Case;
use super::finding::Change;
use crate::scheme::Verifier;
use hyper::header::HOST;

/// The scheme with other URLs.
pub(super) fn variants(case: &Case) -> Vec<(Change, Verifier)> {
    let Some(url) = case.public_url.as_deref() else {
        return Vec::new();
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        return Vec::new();
    };
    let (host, path) = rest
        .split_once('/')
        .map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    let other = if scheme == "https" { "http" } else { "https" };
    let slash = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
    let actual = case.target.split('?').next().unwrap_or_default();
    let header = |name: &str| {
        case.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let named = header(HOST.as_str()).unwrap_or(host);
    let forwarded = header("x-forwarded-host")
        .and_then(|list| list.split(',').next())
        .map_or(named, str::trim);
    let www = host
        .strip_prefix("www.")
        .map_or_else(|| format!("www.{host}"), str::to_owned);
    let bare = host.split(':').next().unwrap_or(host);
    let actual_slash = actual
        .strip_suffix('/')
        .map_or_else(|| format!("{actual}/"), str::to_owned);
    let candidates = [
        ("its scheme", format!("{other}://{rest}")),
        ("the slash at its end", format!("{scheme}://{host}{slash}")),
        ("its path", format!("{scheme}://{host}{actual}")),
        ("its path", format!("{scheme}://{host}{actual_slash}")),
        ("its host", format!("{scheme}://{named}{path}")),
        ("its host and path", format!("{scheme}://{named}{actual}")),
        ("its host", format!("{scheme}://{forwarded}{path}")),
        ("its host and path", format!("{scheme}://{forwarded}{actual}")),
        ("its host (`www.`)", format!("{scheme}://{www}{path}")),
        ("its port", format!("{scheme}://{bare}{path}")),
        ("its scheme and path", format!("{other}://{host}{actual}")),
        (
            "its scheme and the slash at its end",
            format!("{other}://{host}{slash}"),
        ),
        ("its scheme and host", format!("{other}://{named}{path}")),
        ("its scheme, host and path", format!("{other}://{named}{actual}")),
    ];
    let mut found = Vec::new();
    for (what, right) in candidates {
        if right != url
            && let Some(verifier) = case.with_url(&right)
        {
            let change = Change::new(
                "public_url",
                format!("The URL that was signed differs from `public_url` in {what}."),
                format!("write `public_url = \"{right}\"`"),
            );
            found.push((change, verifier));
        }
    }
    found
}
