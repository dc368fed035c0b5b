//! Which changes a reload applies, and which need a restart.

use super::Fixture;

#[test]
fn changes_of_sockets_sizes_and_threads_need_a_restart() {
    let base = || Fixture::minimal("workers = 2", "");
    let old = base().config();
    assert_eq!(old.restart_needed(&base().config()), Vec::<String>::new());
    for (key, value, words) in [
        ("workers", "3", "`workers`"),
        ("replay.capacity", "5", "`replay.capacity`"),
        ("admin.address", "off", "`admin.address`"),
        ("listen.name", "other", "was removed"),
        ("listen.name", "other", "was added"),
        ("listen.address", "0.0.0.0:9443", "was removed"),
        ("listen.trusted_proxies", "10.0.0.0/8", "`trusted_proxies` of listener"),
        ("limits.connections", "1", "`limits.connections`"),
        ("limits.head_timeout", "1s", "`limits.head_timeout`"),
        ("drain.grace", "1s", "`drain.grace`"),
        ("log.format", "human", "`log.format`"),
    ] {
        let needed = old.restart_needed(&base().option(key, value).config());
        assert!(
            needed.iter().any(|sentence| sentence.contains(words)),
            "{key}: {needed:?}"
        );
    }
    let named = |address: &str| {
        base()
            .option("listen.name", "a")
            .option("listen.address", address)
            .config()
    };
    assert_eq!(
        named("0.0.0.0:1").restart_needed(&named("0.0.0.0:2")),
        ["`address` of listener `a` has changed"]
    );
}

#[test]
fn changes_of_routes_secrets_and_upstreams_need_no_restart() {
    let base = || Fixture::minimal("workers = 2", "").variable("OTHER", "another secret that is long enough");
    let old = base().config();
    for (key, value) in [
        ("route.0.path", "/elsewhere"),
        ("route.0.upstream", "unix:/run/app.sock"),
        ("route.0.secrets.0.env", "OTHER"),
        ("route.0.tolerance", "9s"),
        ("listen.tls_minimum", "1.3"),
        ("listen.client_auth.ca", "tls.crt"),
        ("limits.in_flight_bytes", "128MiB"),
        ("log.filter", "debug"),
    ] {
        assert_eq!(
            old.restart_needed(&base().option(key, value).config()),
            Vec::<String>::new(),
            "{key}"
        );
    }
}
