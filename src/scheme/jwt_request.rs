//! The hash of a request that Atlassian Connect puts into a token (`qsh`): SHA-256 over method, path and query in one
//! canonical form.

use super::form;
use super::types::HeadRef;
use crate::http::percent;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The parameter of the query that may hold the token itself. It is not part of the hash.
const TOKEN_PARAMETER: &[u8] = b"jwt";

/// The hash in lower-case hex. A query that two servers could read differently has the hash of no request.
pub(super) fn hash(head: &HeadRef<'_>) -> String {
    canonical(head).map_or_else(String::new, |text| hex::encode(Sha256::digest(text)))
}

/// `METHOD&path&query`: the path without a slash at its end, the parameters sorted, the values of a repeated one joined.
fn canonical(head: &HeadRef<'_>) -> Option<String> {
    let (path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
    let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form::decode(query.as_bytes()).ok()? {
        if name != TOKEN_PARAMETER {
            parameters
                .entry(percent::encode(&name))
                .or_default()
                .push(percent::encode(&value));
        }
    }
    let parameters: Vec<String> = parameters
        .into_iter()
        .map(|(name, mut values)| {
            values.sort();
            format!("{name}={}", values.join(","))
        })
        .collect();
    let method = head.method.as_str().to_ascii_uppercase();
    Some(format!(
        "{method}&{}&{}",
        path.replace('&', "%26"),
        parameters.join("&")
    ))
}
