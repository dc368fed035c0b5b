//! SIGTERM under load: every request either gets an answer that matches what the upstream recorded, or no answer and
//! was not delivered.

use crate::support::http2::{self, Http2};
use crate::support::upstream::answer;
use crate::support::{Client, Gateway, Setup, Upstream, Webhook};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Statuses by body; `None` for a request that was sent and got no answer.
type Answers = Mutex<BTreeMap<String, Option<u16>>>;

/// Sends webhooks on kept-alive connections until the gateway accepts no more.
fn sender(gateway: &Gateway, number: usize, sent: &AtomicUsize, answers: &Answers) {
    let tls = number % 2 == 1;
    let connect = || -> Option<Client> {
        // A refused connection means that the gateway drains: this sender ends.
        std::net::TcpStream::connect(if tls { gateway.tls() } else { gateway.plain() }).ok()?;
        std::panic::catch_unwind(|| if tls { gateway.connect_tls() } else { gateway.connect() }).ok()
    };
    let Some(mut client) = connect() else { return };
    for count in 0..10_000 {
        let body = format!("{number}-{count}");
        sent.fetch_add(1, Ordering::SeqCst);
        let result = client
            .try_send(&Webhook::new(body.as_str()).bytes())
            .and_then(|()| client.try_response(false));
        let closing = result.as_ref().map_or(true, |response| {
            response.header("Connection").as_deref() == Some("close")
        });
        if let Ok(response) = &result {
            assert!(
                response.status != 200 || response.body == body.as_bytes(),
                "another request's answer: {response:?}"
            );
        }
        answers
            .lock()
            .unwrap()
            .insert(body, result.ok().map(|response| response.status));
        if closing {
            match connect() {
                Some(next) => client = next,
                None => return,
            }
        }
    }
}

/// I08: the same under load.
#[test]
fn sigterm_under_load_loses_nothing() {
    let upstream = Upstream::new(|request, connection| connection.send(&answer("200 OK", &[], &request.body)));
    let mut gateway = Setup::new(&upstream.url()).start();
    let (sent, answers) = (AtomicUsize::new(0), Answers::default());
    std::thread::scope(|scope| {
        for number in 0..12 {
            let (gateway, sent, answers) = (&gateway, &sent, &answers);
            scope.spawn(move || sender(gateway, number, sent, answers));
        }
        crate::support::eventually("load", || (sent.load(Ordering::SeqCst) > 1500).then_some(()));
        gateway.signal(Signal::TERM);
    });
    assert_eq!(gateway.wait_for_exit().code(), Some(0), "{}", gateway.logs.text());

    let mut delivered: BTreeMap<String, usize> = BTreeMap::new();
    for request in upstream.requests() {
        *delivered
            .entry(String::from_utf8(request.body.clone()).unwrap())
            .or_default() += 1;
    }
    assert!(upstream.broken().is_empty(), "half-forwarded: {:?}", upstream.broken());
    let answers = answers.into_inner().unwrap();
    assert!(answers.len() > 1500);
    for (body, status) in &answers {
        match status {
            Some(200) => assert_eq!(delivered.get(body), Some(&1), "{body} was answered 200"),
            Some(other) => assert_eq!((delivered.get(body), *other), (None, 503), "{body}"),
            None => assert_eq!(delivered.get(body), None, "{body} was delivered and never answered"),
        }
    }
    let audited = gateway
        .logs
        .objects()
        .iter()
        .filter(|line| line["verdict"] == "forwarded")
        .count();
    assert_eq!(audited, delivered.len(), "one audit line per delivery");
}

/// I08: the same over HTTP/2: a connection with many open streams when the signal arrives.
#[test]
fn sigterm_under_http2_load_loses_nothing() {
    const STREAMS: usize = 60;
    let gate = crate::support::Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |request, connection| {
        held.pass();
        connection.send(&answer("200 OK", &[], &request.body))
    });
    let mut gateway = Setup::new(&upstream.url()).limits("http2_streams = 100").start();
    http2::run(async {
        let Http2 { mut sender, connection } = Http2::connect(&gateway).await;
        let mut streams = Vec::new();
        for number in 0..STREAMS {
            sender.ready().await.unwrap();
            streams.push(tokio::spawn(
                sender.send_request(http2::request(&Webhook::new(format!("{number}")))),
            ));
        }
        while upstream.requests().len() < STREAMS {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        gateway.signal(Signal::TERM);
        while gateway.readiness() == Some(200) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        gate.open();
        for (number, stream) in streams.into_iter().enumerate() {
            let answer = http2::read(stream.await.unwrap().unwrap()).await.unwrap();
            assert_eq!((answer.status, &answer.body[..]), (200, number.to_string().as_bytes()));
        }
        connection.await.unwrap().unwrap();
    });
    assert_eq!(gateway.wait_for_exit().code(), Some(0), "{}", gateway.logs.text());
}
