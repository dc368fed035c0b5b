//! Work on a large body does not keep a worker from the requests of other senders.

use crate::support::{Gateway, Setup, Upstream, Webhook};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// Sends `large` while short webhooks are sent on other connections. Returns how long `large` took from its last byte to
/// its answer, and the longest time of a short one meanwhile.
fn beside_short_ones(gateway: &Gateway, large: &[u8], statuses: &[u16], attempt: usize) -> (Duration, Duration) {
    let mut client = gateway.connect();
    let is_answered = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            client.send(large);
            let sent = Instant::now();
            let response = client.response();
            is_answered.store(true, Ordering::Relaxed);
            assert!(statuses.contains(&response.status), "{response:?}");
            sent.elapsed()
        });
        let mut longest = Duration::ZERO;
        let mut number = 0;
        while !is_answered.load(Ordering::Relaxed) {
            let begun = Instant::now();
            number += 1;
            let short = Webhook::new(format!("short {number} of {}, attempt {attempt}", large.len())).bytes();
            assert_eq!(gateway.exchange(&short).status, 200);
            longest = longest.max(begun.elapsed());
        }
        (sender.join().unwrap(), longest)
    })
}

/// One worker, and bodies whose check takes long: the JSON of Adyen, a form of Twilio, the JSON of AWS SNS that names the
/// certificate, a genuine body of 24 MiB that is hashed for its identity.
#[test]
fn short_webhooks_pass_while_a_large_body_is_verified() {
    let upstream = Upstream::ok();
    let url = upstream.url();
    let route = |path: &str, provider: &str, more: &str| {
        format!(
            "[[route]]\npath = \"{path}\"\nprovider = \"{provider}\"\nupstream = \"{url}\"\nbody_limit = \"32MiB\"\n{more}\n"
        )
    };
    let secret = "secrets = [{ env = \"HEX_SECRET\" }]";
    let routes = [
        route("/adyen", "adyen", secret),
        route(
            "/twilio",
            "twilio",
            &format!("{secret}\npublic_url = \"https://h.example/twilio\""),
        ),
        route("/sns", "aws-sns", ""),
    ];
    let setup = Setup::new(&url)
        .top("workers = 1")
        .route("body_limit = \"32MiB\"")
        .limits("in_flight_bytes = \"128MiB\"")
        .more(&routes.concat())
        .variable("HEX_SECRET", &"5f1c9a7e".repeat(8));
    let gateway = setup.start();
    let request = |path: &str, fields: &str, body: &[u8]| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let json = [
        &br#"{"notificationItems":[{"NotificationRequestItem":{"additionalData":{"hmacSignature":"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="}"#[..],
        &br#","\u0061":0"#.repeat(4 * MIB / 11),
        b"}}]}",
    ]
    .concat();
    let mut form: Vec<u8> = Vec::new();
    for number in 0..900 {
        form.extend(format!("{number}={}&", "%41".repeat(8 * MIB / 3 / 900)).bytes());
    }
    let signature =
        "X-Twilio-Signature: MfKQ9r8GKYqrTwjUPD8ILPZIo2I=\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    // Nothing is fetched from there.
    let named = [
        &br#"{"SigningCertURL":"https://keys.example/a.pem""#[..],
        &br#","\u0061":0"#.repeat(4 * MIB / 11),
        b"}",
    ]
    .concat();
    let large: [(_, &[u16]); 4] = [
        (request("/adyen", "", &json), &[401]),
        (request("/twilio", signature, &form), &[401]),
        (request("/sns", "", &named), &[401]),
        // Repeated, it is a replay.
        (Webhook::new(vec![b'x'; 24 * MIB]).bytes(), &[200, 409]),
    ];
    for (large, statuses) in large {
        // The machine may be busy with other work for a while; a worker that is held shows each time.
        let mut seen = Vec::new();
        let passes = (0..4).any(|attempt| {
            let (whole, longest) = beside_short_ones(&gateway, &large, statuses, attempt);
            seen.push((whole, longest));
            longest < whole / 2
        });
        assert!(passes, "a short webhook waited for the large one: {seen:?}");
    }
}
