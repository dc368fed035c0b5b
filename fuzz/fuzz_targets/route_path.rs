//! Any host and path in a route table with every kind of pattern: no panic, and a route only for a path that its
//! pattern covers.
#![no_main]
use hookgate::gateway::route_table::{RoutePattern, RouteTable};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const EXACT: &str = "/webhooks/paddle";
const PREFIX: &str = "/in/";

static TABLE: LazyLock<RouteTable> = LazyLock::new(|| {
    let row = |host: Option<&str>, path: &str| RoutePattern { host: host.map(str::to_owned), path: path.to_owned() };
    RouteTable::new([row(Some("pay.example.com"), EXACT), row(Some("*.example.com"), "/in/*"), row(None, EXACT), row(None, "/in/*")])
});

fuzz_target!(|data: (&str, &str)| {
    let (host, path) = data;
    let Some(route) = TABLE.find(host, path) else {
        assert_ne!(path, EXACT);
        return;
    };
    match route {
        0 | 2 => assert_eq!(path, EXACT),
        _ => {
            let rest = path.strip_prefix(PREFIX).expect("a prefix route");
            // A path that an application could normalize to another path has no route.
            let lower = rest.to_ascii_lowercase();
            for fold in ["//", "\\", ";", "%2e", "%2f", "%5c", "%00", "%25"] {
                assert!(!lower.contains(fold), "{path:?}");
            }
            assert!(rest.split('/').all(|segment| !matches!(segment, "" | "." | "..")), "{path:?}");
        }
    }
});
