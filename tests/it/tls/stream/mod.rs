//! The listeners' TLS stream in this process, between a rustls client and a reader, over pipes that split the bytes
//! into pieces of any size. Its behaviour over real sockets is tested in `tls::listener`, `tls::client_auth` and
//! `tls::renewal`.

mod forged;
mod pair;

use crate::support::http2::run;
use bytes::BytesMut;
use hookgate::http::transport::Readable as _;
use pair::{CERTIFICATE, Client, Server, VERSIONS, client, connected, connected_to};
use proptest::prelude::*;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::{HandshakeKind, ServerConfig};
use std::future::{Future as _, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const PIPE: usize = 1024 * 1024;

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

async fn filled(server: &mut Server) -> io::Result<Vec<u8>> {
    let mut into = BytesMut::new();
    let count = poll_fn(|cx| server.poll_fill(cx, &mut into, 1)).await?;
    assert_eq!(count, into.len());
    Ok(into.to_vec())
}

/// Sends each piece as one or more records; returns what the server received and what the client got back.
async fn echoed(
    mut server: Server,
    mut client: Client,
    pieces: Vec<Vec<u8>>,
    read: Option<usize>,
) -> (Vec<u8>, Vec<u8>) {
    let serve = async {
        let mut heard = Vec::new();
        loop {
            let piece = match read {
                None => filled(&mut server).await.unwrap(),
                Some(size) => {
                    let mut piece = vec![0; size];
                    let count = server.read(&mut piece).await.unwrap();
                    piece.truncate(count);
                    piece
                }
            };
            if piece.is_empty() {
                break;
            }
            server.write_all(&piece).await.unwrap();
            server.flush().await.unwrap();
            heard.extend(piece);
        }
        server.shutdown().await.unwrap();
        heard
    };
    let (mut from, mut to) = tokio::io::split(&mut client);
    let send = async {
        for piece in &pieces {
            to.write_all(piece).await.unwrap();
            to.flush().await.unwrap();
        }
        to.shutdown().await.unwrap();
    };
    let receive = async {
        let mut back = Vec::new();
        from.read_to_end(&mut back).await.unwrap();
        back
    };
    let (heard, (), back) = tokio::join!(serve, send, receive);
    (heard, back)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the records are split on the way, and in whatever sizes content is written and read: it arrives in
    /// order, in both directions, and the end is clean.
    #[test]
    fn content_arrives(
        lengths in prop::collection::vec(prop_oneof![1_usize..4, 1_usize..2000, 1_usize..80_000], 1..12),
        step in prop_oneof![1_usize..8, 1_usize..3000, Just(usize::MAX)],
        // The pipe must hold two tickets: a client may not read before it gets an answer.
        pipe in prop_oneof![600_usize..2000, Just(PIPE)],
        read in prop_oneof![Just(None), (1_usize..40_000).prop_map(Some)],
        fragment in prop_oneof![Just(None), (32_usize..1000).prop_map(Some)],
        is_old in any::<bool>(),
    ) {
        let pieces: Vec<Vec<u8>> = lengths.iter().map(|length| content(*length)).collect();
        let all = pieces.concat();
        let (heard, back) = run(async {
            let mut client = client(VERSIONS[usize::from(!is_old)]);
            client.max_fragment_size = fragment;
            let (server, client) = connected(client, step, pipe).await;
            echoed(server, client, pieces, read).await
        });
        prop_assert!(heard == all && back == all, "{} and {} of {} bytes", heard.len(), back.len(), all.len());
    }
}

/// A client whose key share is of an unsupported group is asked for another one.
#[test]
fn a_second_client_hello_is_accepted() {
    run(async {
        let mut provider = default_provider();
        provider.kx_groups = vec![kx_group::SECP384R1];
        let server = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(CERTIFICATE.server().cert_resolver.clone());
        let (server, client) = connected_to(Arc::new(server), client(VERSIONS[1]), 3, PIPE).await;
        let kind = server.session().handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::FullWithHelloRetryRequest));
        let all = content(40_000);
        let (heard, back) = echoed(server, client, vec![all.clone()], None).await;
        assert!(heard == all && back == all);
    });
}

/// Two tickets are sent with a TLS 1.3 handshake, before anything is read, and the sessions of both versions can be
/// resumed.
#[test]
fn two_tickets_are_sent_and_resumable() {
    run(async {
        for version in VERSIONS {
            let (server, client) = (CERTIFICATE.server(), client(version));
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let (mut near, mut far) = connected_to(server.clone(), client.clone(), usize::MAX, PIPE).await;
                assert_eq!(near.session().handshake_kind(), Some(kind), "{version:?}");
                near.write_all(b"hello").await.unwrap();
                near.flush().await.unwrap();
                far.read_exact(&mut [0; 5]).await.unwrap();
                let expected = if *version == rustls::version::TLS13 { 2 } else { 0 };
                assert_eq!(far.get_ref().1.tls13_tickets_received(), expected, "{version:?}");
            }
        }
    });
}

/// Everything that has arrived is returned by one read, up to four full records.
#[test]
fn one_read_returns_everything_received() {
    run(async {
        for version in VERSIONS {
            let (mut server, mut client) = connected(client(version), usize::MAX, PIPE).await;
            let all = content(48 * 1024 + 5);
            client.write_all(&all).await.unwrap();
            client.flush().await.unwrap();
            assert!(filled(&mut server).await.unwrap() == all);
            client.write_all(&content(PIPE / 2)).await.unwrap();
            client.flush().await.unwrap();
            let first = filled(&mut server).await.unwrap();
            assert!((48 * 1024..=80 * 1024).contains(&first.len()), "{}", first.len());
        }
    });
}

/// A peer's close_notify is a clean end; a connection that breaks off is an error, after the content before it. Our own
/// close_notify is sent, and a peer that has sent its own still gets an answer.
#[test]
fn only_close_notify_is_a_clean_end() {
    run(async {
        for version in VERSIONS {
            let (mut server, mut far) = connected(client(version), usize::MAX, PIPE).await;
            far.write_all(b"last").await.unwrap();
            far.shutdown().await.unwrap();
            assert_eq!(filled(&mut server).await.unwrap(), b"last");
            for _ in 0..2 {
                assert!(filled(&mut server).await.unwrap().is_empty());
            }
            server.write_all(b"answer").await.unwrap();
            server.shutdown().await.unwrap();
            let mut answer = Vec::new();
            far.read_to_end(&mut answer).await.expect("no close_notify");
            assert_eq!(answer, b"answer");

            for partial in [0, 1, 5, 20] {
                let (mut server, mut far) = connected(client(version), usize::MAX, PIPE).await;
                far.write_all(b"last").await.unwrap();
                let (mut raw, mut session) = far.into_inner();
                std::io::Write::write_all(&mut session.writer(), b"never").unwrap();
                let mut record = Vec::new();
                session.write_tls(&mut record).unwrap();
                raw.write_all(&record[..partial]).await.unwrap();
                drop(raw);
                assert_eq!(filled(&mut server).await.unwrap(), b"last");
                for _ in 0..2 {
                    let error = filled(&mut server).await.unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
                }
            }
        }
    });
}

/// A handshake that is cut short, and bytes that are no handshake.
#[test]
fn a_broken_handshake_is_an_error() {
    run(async {
        let (cut, bad) = (io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData);
        for (bytes, kind, is_told) in [
            (&b""[..], cut, false),
            (b"\x16\x03\x01\x02", cut, false),
            (b"\x16\x03\x01\x00\x05\x01\x00\x00\x41x", cut, false),
            // 16 MiB are announced.
            (b"\x16\x03\x01\x00\x05\x01\xff\xff\xffx", bad, false),
            (b"\x16\x03\x01\x00\x05\x02\x00\x00\x01x", bad, true),
            (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01x", bad, true),
            (b"\x16\x03\x01\xff\xffhello", bad, true),
            (b"GET / HTTP/1.1\r\n\r\n", bad, true),
        ] {
            let (near, mut far) = tokio::io::duplex(PIPE);
            far.write_all(bytes).await.unwrap();
            far.shutdown().await.unwrap();
            let error = hookgate::tls::Stream::accept(CERTIFICATE.server(), near)
                .await
                .unwrap_err();
            assert_eq!(error.kind(), kind, "{bytes:?}: {error}");
            let mut received_bytes = Vec::new();
            far.read_to_end(&mut received_bytes).await.unwrap();
            // A fatal alert without encryption.
            let is_alert = received_bytes.starts_with(&[21, 3]) && received_bytes.get(5) == Some(&2);
            assert_eq!(
                (is_alert, received_bytes.is_empty()),
                (is_told, !is_told),
                "{bytes:?}: {received_bytes:?}"
            );
        }
    });
}

/// Key updates in the middle of the traffic, requested by the peer, again and again.
#[test]
fn key_updates_are_followed() {
    run(async {
        let (mut server, mut client) = connected(client(VERSIONS[1]), 7, PIPE).await;
        for round in 0..100_usize {
            client.get_mut().1.refresh_traffic_keys().unwrap();
            let all = content(round * 40 + 1);
            client.write_all(&all).await.unwrap();
            client.flush().await.unwrap();
            let mut heard = vec![0; all.len()];
            server.read_exact(&mut heard).await.unwrap();
            assert!(heard == all, "{round}");
            server.write_all(&all).await.unwrap();
            server.flush().await.unwrap();
            client.read_exact(&mut heard).await.unwrap();
            assert!(heard == all, "{round}");
        }
    });
}

/// A peer that does not read makes our writes wait after two records, and all accepted bytes arrive once it reads.
#[test]
fn a_peer_that_does_not_read_makes_writes_wait() {
    run(async {
        for version in VERSIONS {
            let pipe = 2048;
            let (mut server, mut client) = connected(client(version), usize::MAX, pipe).await;
            let all = content(300_000);
            let mut accepted = 0;
            let mut cx = Context::from_waker(Waker::noop());
            while let Poll::Ready(written) = pin!(&mut server).poll_write(&mut cx, &all[accepted..]) {
                accepted += written.unwrap();
                assert!(accepted <= 32 * 1024 + pipe, "{accepted} bytes are buffered");
            }
            assert!(accepted > 0);
            let rest = async {
                server.write_all(&all[accepted..]).await.unwrap();
                server.shutdown().await.unwrap();
            };
            let mut heard = Vec::new();
            let ((), read) = tokio::join!(rest, client.read_to_end(&mut heard));
            read.unwrap();
            assert!(heard == all);
        }
    });
}

/// Bytes that wait for a slow peer are also sent while we read.
#[test]
fn waiting_bytes_are_sent_while_reading() {
    run(async {
        let (mut server, mut client) = connected(client(VERSIONS[1]), usize::MAX, 512).await;
        let all = content(20_000);
        server.write_all(&all).await.unwrap();
        let mut heard = vec![0; all.len()];
        let (read, next) = tokio::join!(filled(&mut server), async {
            client.read_exact(&mut heard).await.unwrap();
            client.write_all(b"next").await
        });
        next.unwrap();
        assert_eq!(read.unwrap(), b"next");
        assert!(heard == all);
    });
}

/// Reads that are cancelled half-way lose no bytes.
#[test]
fn cancelled_reads_lose_nothing() {
    run(async {
        let (mut server, mut client) = connected(client(VERSIONS[0]), 11, 300).await;
        let all = content(50_000);
        let send = async {
            client.write_all(&all).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let receive = async {
            let mut heard = Vec::new();
            loop {
                let mut piece = [0; 100];
                let mut given_up = Box::pin(server.read(&mut piece));
                let read = poll_fn(|cx| match given_up.as_mut().poll(cx) {
                    Poll::Pending => Poll::Ready(None),
                    Poll::Ready(read) => Poll::Ready(Some(read.unwrap())),
                });
                let read = read.await;
                drop(given_up);
                match read {
                    None => tokio::task::yield_now().await,
                    Some(0) => return heard,
                    Some(count) => heard.extend_from_slice(&piece[..count]),
                }
            }
        };
        let ((), heard) = tokio::join!(send, receive);
        assert!(heard == all);
    });
}

/// A head and a body become one record.
#[test]
fn slices_become_one_record() {
    run(async {
        let (mut server, client) = connected(client(VERSIONS[1]), usize::MAX, PIPE).await;
        let (mut raw, mut session) = client.into_inner();
        let big = content(17_000);
        for (slices, records) in [
            (&[&b"head"[..], b"", b"body"][..], 1),
            (&[b"head", &big[..16_000], b"tail"], 1),
            (&[b"head", &big[..]], 1),
            (&[&big[..], b"tail"], 2),
        ] {
            let borrowed: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            let written = server.write_vectored(&borrowed).await.unwrap();
            server.flush().await.unwrap();
            let mut bytes = vec![0; 60_000];
            let mut seen = 0;
            let mut heard = Vec::new();
            while heard.len() < written {
                let count = raw.read(&mut bytes).await.unwrap();
                let mut at = 0;
                while at < count {
                    // Only whole records are written, and the pipe takes them whole.
                    let length = 5 + usize::from(u16::from_be_bytes([bytes[at + 3], bytes[at + 4]]));
                    let mut record = &bytes[at..at + length];
                    while !record.is_empty() {
                        session.read_tls(&mut record).unwrap();
                        session.process_new_packets().unwrap();
                    }
                    let before = heard.len();
                    let _ = io::Read::read_to_end(&mut session.reader(), &mut heard);
                    seen += usize::from(heard.len() > before);
                    at += length;
                }
            }
            assert_eq!((seen, heard[..] == slices.concat()[..written]), (records, true));
        }
    });
}

/// hyper and the listener's connections require these traits; the compiler checks them here.
const fn _is_a_stream<S: AsyncRead + AsyncWrite + Send + Unpin>() {}
const _: () = _is_a_stream::<Server>();
