//! A source of keys whose server is down, with a clock that is moved.
#![allow(clippy::unwrap_used)]

use super::source::Source;
use super::store::Store;
use crate::outcome::Rejection;
use crate::remote::client::Client;
use crate::scheme::KeySource;
use crate::settings::Keys;
use crate::time::clock;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A set with one key.
fn set(id: &str) -> String {
    let point = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    serde_json::json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": point, "kid": id }] }).to_string()
}

/// The known keys are used all the time, the server is asked about once a minute, and it is asked again when it is back.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_for_days_is_asked_seldom_and_costs_no_webhook_before_the_greatest_age() {
    let directory = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let wanted = KeySource::Jwks {
        url: format!("http://{address}/jwks"),
    };
    let settings = Keys {
        directory: Some(directory.path().to_owned()),
        ca: None,
        proxy: None,
        timeout: Duration::from_secs(3),
        refresh: HOUR,
        max_age: 72 * HOUR,
        addresses: BTreeMap::new(),
    };
    let now = clock::unix_now();
    Store::new(settings.directory.as_deref(), &wanted).write("", &set("a"), now);
    let client = Arc::new(Client::new(&settings));
    let source = Source::start(wanted, &settings, &client, &Handle::current());
    for minute in 1..=24 * 60 {
        sleep(MINUTE).await;
        assert!(source.key("a", now).await.is_ok(), "minute {minute}");
    }
    let [fetched, failed] = source.sample().fetches;
    assert_eq!(fetched, 0);
    assert!((23 * 50..=24 * 60).contains(&failed), "{failed} fetches in a day");
    // A key that is not known.
    assert_eq!(source.key("b", now).await.unwrap_err(), Rejection::KeyUnavailable);
    sleep(47 * HOUR).await;
    assert!(source.key("a", now).await.is_ok());
    sleep(2 * HOUR).await;
    assert_eq!(source.key("a", now).await.unwrap_err(), Rejection::KeyUnavailable);
    // The server is back, and has another key.
    sleep(2 * MINUTE).await;
    tokio::time::resume();
    let server = TcpListener::bind(address).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut connection, _) = server.accept().unwrap();
        let _ = connection.read(&mut [0; 4096]);
        let body = set("b");
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(body.as_bytes()).unwrap();
    });
    assert!(source.key("b", now).await.is_ok());
    answering.join().unwrap();
    assert_eq!(source.key("a", now).await.unwrap_err(), Rejection::KeyUnknown);
}
