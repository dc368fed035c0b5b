//! A deploy under load, by the means of the application's own server, with `delivery = "failover"`: no sender sees another
//! status than 2xx, and the application's own log has each webhook once.

use super::Example;
use super::order::{Convention, Order, counted};
use super::processes::{Application, START, Transport};
use crate::support::paddle::now;
use crate::support::wait::{SetOnDrop, within};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const SENDERS: usize = 4;
/// A key of the inbox.
const KEY: &str = "5f0c4f3e6a1b8d7290e4c3b2a1f0e9d8c7b6a5948372615049382716f5e4d3c2";

pub(super) fn a_deploy_under_load_is_seen_by_no_sender(example: &'static Example, transport: Transport) {
    if !example.is_deployed_always && std::env::var_os("INBOX_SOAK").is_none() {
        return;
    }
    let mut application = Application::new(example, transport);
    let inbox = tempfile::tempdir().unwrap();
    // The SDK of an application that verifies refuses the original signature of a webhook that was stored.
    let signature = if example.verifies { "fresh" } else { "original" };
    let proxy = application.start_proxy_with(&[
        ("HOOKGATE_INBOX__STORE", inbox.path().join("inbox.db").to_str().unwrap()),
        ("HOOKGATE_INBOX__ANY_FILESYSTEM", "true"),
        ("HOOKGATE_INBOX__KEYS", "[{ env = \"INBOX_KEY\" }]"),
        ("INBOX_KEY", KEY),
        ("HOOKGATE_ROUTE__0__DELIVERY", "failover"),
        ("HOOKGATE_ROUTE__0__SIGNATURE", signature),
    ]);
    let secret = application.secrets["PADDLE_WEBHOOK_SECRET"].clone();
    let is_over = AtomicBool::new(false);
    let sent: Mutex<Vec<Order>> = Mutex::default();
    std::thread::scope(|scope| {
        let _over = SetOnDrop(&is_over);
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::SeqCst) {
                        let order = Order::new(Convention::Billing, 1);
                        let request = order.billing(example.path, &secret, now()).bytes();
                        let response = proxy.connect().exchange(&request);
                        assert_eq!(response.status, 200, "{order:?}: {response:?}");
                        sent.lock().unwrap().push(order);
                    }
                })
            })
            .collect();
        let more = |number: usize| {
            let count = || sent.lock().unwrap().len();
            let before = count();
            within(START, "further webhooks", || {
                let is_alive = senders.iter().all(|sender| !sender.is_finished());
                (count() >= before + number || !is_alive).then_some(())
            });
        };
        more(20);
        deploy(&mut application);
        more(20);
    });
    let sent = sent.into_inner().unwrap();
    within(START, "the work of every order", || {
        sent.iter()
            .all(|order| counted(&application, order).1 > 0)
            .then_some(())
    });
    for order in &sent {
        assert_eq!(counted(&application, order), (1, 1), "{order:?}: asked for, done");
    }
}

/// Replaces the running application by itself.
fn deploy(application: &mut Application) {
    let Some((signal, word)) = application.example.reload else {
        application.stop();
        application.start();
        return;
    };
    let begun = |application: &Application| {
        let lines = application.output.lines();
        lines.iter().filter(|line| line.contains(word)).count()
    };
    let before = begun(application);
    application.signal(signal);
    within(START, "the new application", || {
        (begun(application) > before).then_some(())
    });
}
