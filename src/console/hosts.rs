//! By which names a listener for operators may be asked. A page of someone else can make a browser send requests to it,
//! under a name that the owner of the page has in the public DNS (DNS rebinding). Pure.

use std::net::IpAddr;

/// Whether `host` (with or without a port) is an IP address, one of `hosts`, or a name that nobody can have in the public
/// DNS: one label, or below a domain that is reserved for local use.
#[must_use]
pub fn is_own_name(host: &str, hosts: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    if name.starts_with('[') || name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    !name.contains('.') || LOCAL_DOMAINS.iter().any(|domain| name.ends_with(domain)) || hosts.contains(&name)
}

/// Domains that the public DNS does not have: of Kubernetes, of RFC 6761, 6762 and 8375, and `internal`.
const LOCAL_DOMAINS: [&str; 6] = [".svc", ".local", ".localhost", ".internal", ".home.arpa", ".test"];
