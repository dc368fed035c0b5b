//! Routes and keys that change while webhooks are stored.

use super::{KEY, count, free_address, opened, setup, wait_for, webhook};
use crate::support::upstream::answer;
use crate::support::{Gateway, Setup, Upstream};

/// A key of the inbox that replaces [`KEY`].
const NEW_KEY: &str = "77777f3e6a1b8d7290e4c3b2a1f0e9d8c7b6a5948372615049382716f5e4d3c2";

fn end(mut gateway: Gateway) {
    gateway.signal(rustix::process::Signal::TERM);
    assert!(gateway.wait_for_exit().success());
}

fn serve(address: &std::net::SocketAddr) -> Upstream {
    Upstream::at(&address.to_string(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    })
}

/// The setup with these keys of the inbox.
fn with_keys(setup: Setup, keys: &str) -> Setup {
    setup.replacing("keys = [{ env = \"INBOX_KEY\" }]", &format!("keys = [{keys}]"))
}

/// Deliveries under a name that no route has wait and do not age. `formerly` takes them over, also at a reload.
#[test]
fn a_route_that_was_renamed_takes_over_what_is_stored() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let url = format!("http://{address}");
    let make = || setup(&url, directory.path(), "failover", "");
    let gateway = opened(make().start());
    for at in 0..20 {
        assert_eq!(gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
    }
    end(gateway);
    let upstream = serve(&address);
    let gateway = opened(make().replacing("name = \"paddle\"", "name = \"shop\"").start());
    assert_eq!(gateway.exchange(&webhook("evt_new", 0).bytes()).status, 200);
    assert_eq!((count(&gateway, "waiting"), upstream.requests().len()), (20.0, 1));
    crate::support::eventually("the warning", || {
        gateway
            .logs
            .text()
            .contains("a route that does not exist")
            .then_some(())
    });
    let text = std::fs::read_to_string(gateway.setup.file()).unwrap();
    let adopted = text.replace("name = \"shop\"", "name = \"shop\"\nformerly = [\"paddle\"]");
    std::fs::write(gateway.setup.file(), adopted).unwrap();
    gateway.signal(rustix::process::Signal::HUP);
    wait_for(&gateway, "delivered", 20.0);
    assert_eq!(upstream.requests().len(), 21);
}

/// A key that was replaced still opens what it encrypted. Without it the deliveries are blocked, and lost only if the key
/// is.
#[test]
fn a_replaced_key_still_opens_what_is_stored() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let url = format!("http://{address}");
    let make = || setup(&url, directory.path(), "failover", "").variable("NEW_KEY", NEW_KEY);
    assert_ne!(KEY, NEW_KEY);
    let gateway = opened(make().start());
    assert_eq!(gateway.exchange(&webhook("evt_1", 0).bytes()).status, 200);
    end(gateway);
    let upstream = serve(&address);
    let start = |keys| opened(with_keys(make(), keys).start());
    let gateway = start("{ env = \"NEW_KEY\" }");
    wait_for(&gateway, "blocked", 1.0);
    end(gateway);
    upstream.assert_untouched();
    let gateway = start("{ env = \"INBOX_KEY\", retired = true }, { env = \"NEW_KEY\" }");
    wait_for(&gateway, "delivered", 1.0);
    assert_eq!(upstream.requests().len(), 1);
}

/// A route that goes back to `direct` still delivers what it stored.
#[test]
fn a_route_that_goes_back_to_direct_delivers_what_it_stored() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(setup(&format!("http://{address}"), directory.path(), "failover", "").start());
    assert_eq!(gateway.exchange(&webhook("evt_1", 0).bytes()).status, 200);
    let text = std::fs::read_to_string(gateway.setup.file()).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("delivery =") && !line.starts_with("retry ="));
    std::fs::write(gateway.setup.file(), lines.collect::<Vec<_>>().join("\n")).unwrap();
    gateway.signal(rustix::process::Signal::HUP);
    let upstream = serve(&address);
    wait_for(&gateway, "delivered", 1.0);
    assert_eq!(upstream.requests().len(), 1);
}

/// A thousand deliveries: the route is removed, then it is back with another application and another secret. All are delivered
/// there, each once.
#[test]
fn a_route_that_is_removed_and_added_again_delivers_what_it_stored() {
    let directory = tempfile::tempdir().unwrap();
    let gone = format!("http://{}", free_address());
    let gateway = opened(setup(&gone, directory.path(), "queue", "").start());
    let mut client = gateway.connect();
    for at in 0..1_000 {
        assert_eq!(client.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
    }
    drop(client);
    end(gateway);
    let upstream = serve(&free_address());
    let other = "pdl_ntfset_01other0000000000000000000_abcdefghijklmnopqrstuvwxyz01234";
    let removed = setup(&upstream.url(), directory.path(), "queue", "")
        .replacing("name = \"paddle\"", "name = \"other\"")
        .secrets(&[other]);
    let gateway = opened(removed.start());
    crate::support::eventually("the warning", || {
        let text = gateway.logs.text();
        text.contains("a route that does not exist").then_some(())
    });
    assert_eq!(count(&gateway, "waiting"), 1_000.0);
    end(gateway);
    upstream.assert_untouched();
    let gateway = opened(
        setup(&upstream.url(), directory.path(), "queue", "")
            .secrets(&[other])
            .start(),
    );
    wait_for(&gateway, "delivered", 1_000.0);
    assert_eq!(upstream.requests().len(), 1_000);
    let once = super::arrivals(&upstream).len();
    assert_eq!(once, 1_000);
}
