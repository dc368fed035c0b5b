//! Records that no honest client sends, encrypted with the right keys: each is refused with the alert that the protocol
//! requires, and none makes the gateway use much memory.

use super::pair::{ALERT, CONTENT, Forger, HANDSHAKE};
use super::{content, filled};
use crate::support::http2::run;
use proptest::prelude::*;
use rustls::AlertDescription;
use std::io;
use tokio::io::AsyncWriteExt as _;

/// The content before the record is delivered, the record is refused, and nothing after it is read.
async fn refused(forge: impl FnOnce(&mut Forger) -> Vec<u8>) -> (Option<AlertDescription>, io::Error) {
    let (mut server, mut forger) = Forger::connect().await;
    forger.send(CONTENT, b"before").await;
    let forged = forge(&mut forger);
    forger.io.write_all(&forged).await.unwrap();
    forger.send(CONTENT, b"after").await;
    assert_eq!(filled(&mut server).await.unwrap(), b"before");
    let error = filled(&mut server).await.unwrap_err();
    assert_eq!(error.to_string(), filled(&mut server).await.unwrap_err().to_string());
    assert!(server.write_all(b"answer").await.is_err());
    server.shutdown().await.unwrap();
    let mut alert = None;
    while let Some((kind, received_bytes)) = forger.received().await {
        assert_ne!(kind, CONTENT, "{received_bytes:?}");
        if kind == ALERT {
            assert_eq!(
                alert.replace(AlertDescription::from(received_bytes[1])),
                None,
                "two alerts"
            );
        }
    }
    (alert, error)
}

#[test]
fn each_forged_record_is_refused_with_its_alert() {
    run(async {
        let (alert, error) = refused(|forger| {
            let mut record = forger.record(CONTENT, b"content");
            *record.last_mut().unwrap() ^= 1;
            record
        })
        .await;
        assert_eq!(
            (alert, error.kind()),
            (Some(AlertDescription::BadRecordMac), io::ErrorKind::InvalidData)
        );

        let (alert, _) = refused(|_| {
            vec![
                CONTENT, 3, 3, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ]
        })
        .await;
        assert_eq!(
            alert,
            Some(AlertDescription::BadRecordMac),
            "a record without encryption"
        );
        let (alert, _) = refused(|_| b"GET / HTTP/1.1\r\n\r\n".to_vec()).await;
        assert_eq!(alert, Some(AlertDescription::DecodeError), "another protocol");
        let (alert, _) = refused(|_| vec![CONTENT, 3, 3, 0xff, 0xff]).await;
        assert_eq!(
            alert,
            Some(AlertDescription::DecodeError),
            "a record that is announced too long"
        );
        let (alert, _) = refused(|forger| forger.record(CONTENT, &content(16 * 1024 + 1))).await;
        assert_eq!(alert, Some(AlertDescription::RecordOverflow));
        let (alert, _) = refused(|forger| forger.record(99, b"of no type")).await;
        assert!(alert.is_some());
        // A ClientHello after the handshake, and a message that only servers send.
        for kind in [1, 4] {
            let (alert, _) = refused(|forger| forger.record(HANDSHAKE, &[kind, 0, 0, 1, 0])).await;
            assert!(alert.is_some(), "{kind}");
        }
        let (_, error) = refused(|forger| forger.record(HANDSHAKE, &[24, 0xff, 0xff, 0xff, 0])).await;
        assert!(error.to_string().contains("HandshakePayloadTooLarge"), "{error}");
        let (_, error) = refused(|forger| forger.record(ALERT, &[2, 40])).await;
        assert!(error.to_string().contains("HandshakeFailure"), "{error}");
    });
}

/// Messages that are allowed a few times are not allowed without limit.
#[test]
fn floods_of_allowed_records_are_ended() {
    run(async {
        for (what, record) in [
            ("empty records", (CONTENT, &b""[..])),
            ("key updates", (HANDSHAKE, &[24, 0, 0, 1, 0])),
            ("warnings", (ALERT, &[1, 90])),
        ] {
            let (mut server, mut forger) = Forger::connect().await;
            let mut flood = Vec::new();
            for _ in 0..1000 {
                flood.extend(forger.record(record.0, record.1));
            }
            forger.io.write_all(&flood).await.unwrap();
            let error = filled(&mut server).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}");
        }
    });
}

/// A message that arrives byte by byte is put together, and one that never ends is refused.
#[test]
fn messages_in_pieces_are_bounded() {
    run(async {
        let (mut server, mut forger) = Forger::connect().await;
        for byte in [24, 0, 0, 1] {
            forger.send(HANDSHAKE, &[byte]).await;
            let waiting = tokio::time::timeout(std::time::Duration::ZERO, filled(&mut server)).await;
            assert!(waiting.is_err());
        }
        // The last byte of the message says whether an update is requested; 7 is invalid.
        forger.send(HANDSHAKE, &[7]).await;
        assert!(filled(&mut server).await.is_err());
        assert_eq!(forger.alert().await, AlertDescription::IllegalParameter);

        // The rest never arrives: our own close_notify is still sent.
        let (mut server, mut forger) = Forger::connect().await;
        forger.send(HANDSHAKE, &[24, 0]).await;
        forger.io.shutdown().await.unwrap();
        assert_eq!(
            filled(&mut server).await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        server.write_all(b"answer").await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(forger.alert().await, AlertDescription::CloseNotify);

        let (mut server, mut forger) = Forger::connect().await;
        let mut endless = forger.record(HANDSHAKE, &[24, 0, 0xff, 0xff]);
        for _ in 0..60_000 {
            endless.extend(forger.record(HANDSHAKE, &[0]));
        }
        let sent = async {
            let _ = forger.io.write_all(&endless).await;
        };
        let (error, ()) = tokio::join!(filled(&mut server), sent);
        assert!(error.unwrap_err().to_string().contains("larger than the limit"));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// For any sequence of records in any pieces: the delivered content is what was sent, in order, and writing and
    /// closing work at any point or return an error, without a panic.
    #[test]
    fn any_sequence_of_records_is_safe(
        records in prop::collection::vec(
            prop_oneof![
                4 => (Just(CONTENT), prop::collection::vec(any::<u8>(), 0..2000)),
                2 => (Just(HANDSHAKE), (1_usize..=5).prop_map(|length| [24, 0, 0, 1, 1][..length].to_vec())),
                1 => (Just(HANDSHAKE), Just(vec![24, 0, 0, 1, 0, 24, 0])),
                1 => (any::<u8>(), prop::collection::vec(any::<u8>(), 0..6)),
            ],
            1..12,
        ),
        is_flipped in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        step in prop_oneof![1_usize..40, Just(usize::MAX)],
        answers in prop::collection::vec(any::<bool>(), 12),
    ) {
        run(async {
            let (mut server, mut forger) = Forger::connect_in(step).await;
            let mut bytes = Vec::new();
            let mut sent = Vec::new();
            for (kind, content) in &records {
                bytes.extend(forger.record(*kind, content));
                if *kind == CONTENT {
                    sent.extend_from_slice(content);
                }
            }
            if let Some(index) = is_flipped {
                *index.get_mut(&mut bytes) ^= 0x10;
            }
            forger.io.write_all(&bytes).await.unwrap();
            forger.io.shutdown().await.unwrap();
            let mut heard = Vec::new();
            for is_answered in answers {
                match filled(&mut server).await {
                    Ok(some) => heard.extend(some),
                    Err(error) => assert_eq!(error.to_string(), filled(&mut server).await.unwrap_err().to_string()),
                }
                if is_answered {
                    let _ = server.write_all(b"answer").await;
                }
            }
            let _ = server.shutdown().await;
            assert!(sent.starts_with(&heard), "{} bytes of {}", heard.len(), sent.len());
        });
    }
}
