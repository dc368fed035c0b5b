//! Who may ask the admin listener: not the browser of an operator that a page of someone else makes send a request. Pure.

use crate::console::hosts::is_own_name;
use hyper::header::{HOST, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Method, Request};

/// Whether a page of someone else may have made a browser send this request. The `Host` of such a request is a name that
/// the owner of the page has in the public DNS (DNS rebinding). `hosts` are the names that the configuration allows. A
/// browser also says from which page a request that changes something comes (`Origin`, `Sec-Fetch-Site`).
pub(super) fn is_foreign<B>(request: &Request<B>, hosts: &[String]) -> bool {
    let headers = request.headers();
    let is_of_browser = headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site");
    if is_of_browser && request.method() != Method::GET && request.method() != Method::HEAD {
        return true;
    }
    let authority = request.uri().authority().map(Authority::as_str);
    let named = headers.get_all(HOST).iter().map(HeaderValue::to_str);
    // A request of HTTP/1.0 may have no `Host`; a browser always sends one.
    !authority
        .map(Ok)
        .into_iter()
        .chain(named)
        .all(|host| host.is_ok_and(|host| is_own_name(host, hosts)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn requests_that_a_foreign_page_can_cause_are_refused() {
        let hosts = [String::from("gate.example.com")];
        let refused = |method: Method, headers: &[(&str, &str)]| {
            let mut request = Request::builder().method(method).uri("/metrics");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            is_foreign(&request.body(()).unwrap(), &hosts)
        };
        for host in [
            "127.0.0.1:9464",
            "[::1]:9464",
            "10.1.2.3",
            "localhost",
            "localhost:9464",
            "hookgate",
            "hookgate.shop.svc:9464",
            "hookgate.shop.svc.cluster.local",
            "Gate.Example.com.:9464",
            "node.internal",
        ] {
            assert!(!refused(Method::GET, &[("host", host)]), "{host}");
            assert!(!refused(Method::POST, &[("host", host)]), "{host}");
            for browser in [
                ("origin", "null"),
                ("origin", "http://127.0.0.1:9464"),
                ("sec-fetch-site", "cross-site"),
            ] {
                assert!(refused(Method::POST, &[("host", host), browser]), "{host} {browser:?}");
            }
        }
        assert!(!refused(Method::GET, &[]));
        for host in [
            "evil.example",
            "evil.example:9464",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "\u{e9}.x",
        ] {
            assert!(refused(Method::GET, &[("host", host)]), "{host}");
            assert!(refused(Method::GET, &[("host", "localhost"), ("host", host)]), "{host}");
        }
    }
}
