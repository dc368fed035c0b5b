//! Any bytes as a request: no panic, the same result for every split into pieces, and no request with two lengths.
#![no_main]
use bytes::BytesMut;
use hookgate::http::http1::framing::{Framing, Step};
use hookgate::http::http1::request::{RequestHead, RequestHeadLimits, RequestHeadError, RequestHeadReader};
use hookgate::http::message::Role;
use libfuzzer_sys::fuzz_target;

const LIMITS: RequestHeadLimits = RequestHeadLimits { bytes: 4096, fields: 32 };

type ParsedRequest = (RequestHead, Option<Vec<u8>>, usize);

/// Reads `wire` in pieces of `step` bytes. Returns the head, the body if it is complete, and the number of bytes left.
fn read(wire: &[u8], step: usize) -> Result<Option<ParsedRequest>, RequestHeadError> {
    let (mut reader, mut input) = (RequestHeadReader::default(), BytesMut::new());
    let mut pieces = wire.chunks(step.max(1));
    let mut head = loop {
        match reader.read(&mut input, LIMITS)? {
            Some(head) => break head,
            None => match pieces.next() {
                Some(piece) => input.extend_from_slice(piece),
                None => return Ok(None),
            },
        }
    };
    let mut body = Vec::new();
    let complete = loop {
        match head.framing.next(&mut input) {
            Ok(Step::Data(piece)) => body.extend_from_slice(&piece),
            Ok(Step::End) => break true,
            Ok(Step::More) => match pieces.next() {
                Some(piece) => input.extend_from_slice(piece),
                None => break head.framing.ends_with_connection(),
            },
            Err(_) => break false,
        }
    };
    let left = input.len() + pieces.map(<[u8]>::len).sum::<usize>();
    Ok(Some((head, complete.then_some(body), left)))
}

fuzz_target!(|data: &[u8]| {
    let Some((step, wire)) = data.split_first() else { return };
    let whole = read(wire, wire.len());
    let split = read(wire, usize::from(*step));
    match (whole, split) {
        (Ok(Some((whole, body, left))), Ok(Some((split, body_again, left_again)))) => {
            assert_eq!(format!("{:?}", whole.request), format!("{:?}", split.request));
            assert_eq!((whole.keep_alive, whole.expects_continue), (split.keep_alive, split.expects_continue));
            assert_eq!(body, body_again);
            if body.is_some() {
                assert_eq!(left, left_again);
            }
            let headers = &whole.request.headers;
            let lengths = headers.of(Role::ContentLength).count();
            let codings = headers.of(Role::TransferEncoding).count();
            assert!(lengths <= 1 && (lengths == 0 || codings == 0));
            // The connection cannot be kept after a body that only its end delimits.
            assert!(!whole.keep_alive || !matches!(whole.framing, Framing::UntilClose));
        }
        (Ok(None), Ok(None)) => {}
        (Err(whole), Err(split)) => assert_eq!(whole, split),
        (whole, split) => panic!("{whole:?} is not {split:?}"),
    }
});
