//! Paddle Billing: the grammar of its signature header, cases B02 and D01 to D06.

use super::paddle::{NOW, OTHER, SECRET, h1, header, headers, paddle, try_header, verdict};
use super::*;

/// Case D01.
#[test]
fn d01_a_header_outside_the_grammar_is_refused() {
    let good = h1(SECRET, "1700000000", b"{}");
    assert!(try_header(&format!("ts=1700000000;h1={good}")).is_ok());
    let empty = Headers::default();
    let head = HeadRef {
        method: &Method::POST,
        target: "/",
        headers: &empty,
    };
    assert_eq!(
        paddle(&[SECRET]).present(&head).unwrap_err(),
        Rejection::SignatureMissing
    );
    for missing in ["", " ", "   "] {
        assert_eq!(try_header(missing), Err(Rejection::SignatureMissing), "{missing:?}");
    }
    for bad in [
        "ts=1700000000".to_owned(),
        format!("h1={good}"),
        "ts=1700000000;h1=".to_owned(),
        "v1=abc".to_owned(),
        format!("ts=1700000000;ts=1700000000;h1={good}"),
        format!("ts=1700000000;ts=1;h1={good}"),
        format!("ts=1;ts=1700000000;h1={good}"),
        format!("ts=1700000000;;h1={good}"),
        format!("ts=1700000000;h1={good};;"),
        format!("ts=1700000000;junk;h1={good}"),
        format!("ts=1700000000;=;h1={good}"),
        format!("TS=1700000000;h1={good}"),
        format!("ts=1700000000;H1={good}"),
        format!("ts=1700000000,h1={good}"),
        format!("ts = 1700000000;h1={good}"),
        format!("ts=1700000000;\th1={good}"),
        format!("ts=1700000000;h1={good};h2={}", "x".repeat(64 * 1024)),
        ";;".to_owned(),
        "=".to_owned(),
    ] {
        assert_eq!(try_header(&bad), Err(Rejection::SignatureMalformed), "{bad:.120}");
    }
    for fine in [
        format!("h1={good};ts=1700000000"),
        format!(" ts=1700000000 ; h1={good} "),
        format!("ts=1700000000;h1={good};"),
        format!("ts=1700000000;h2=new=thing;h1={good};x="),
    ] {
        assert!(try_header(&fine).is_ok(), "{fine}");
    }
}

/// Case B02: the header repeated, joined with a comma, or with bytes other than ASCII.
#[test]
fn b02_a_repeated_header_is_refused() {
    let good = header(SECRET, "1700000000", b"{}");
    let mut twice = headers(good.as_bytes());
    twice.append("Paddle-Signature", HeaderValue::from_str(&good).unwrap());
    let head = HeadRef {
        method: &Method::POST,
        target: "/",
        headers: &twice.iter().collect(),
    };
    assert_eq!(
        paddle(&[SECRET]).present(&head).unwrap_err(),
        Rejection::SignatureMalformed
    );
    assert_eq!(
        try_header(&format!("{good},{good}")),
        Err(Rejection::SignatureMalformed)
    );
    let beyond = verdict(&[SECRET], format!("{good};x=é").as_bytes(), b"{}", NOW, Some(5));
    assert_eq!(beyond, Err(Rejection::SignatureMalformed));
}

/// Case D02.
#[test]
fn d02_an_h1_is_64_lower_case_hex_digits() {
    let good = h1(SECRET, "1700000000", b"{}");
    let mut mixed = good.clone();
    let letter = mixed.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    mixed.replace_range(letter..=letter, &good[letter..=letter].to_uppercase());
    for bad in [
        good.to_uppercase(),
        mixed,
        good[1..].to_owned(),
        good[2..].to_owned(),
        format!("{good}0"),
        format!("{good}00"),
        format!("g{}", &good[1..]),
        format!("0x{}", &good[2..]),
        "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U=".to_owned(),
        "０".repeat(64),
    ] {
        assert_eq!(
            try_header(&format!("ts=1700000000;h1={bad}")),
            Err(Rejection::SignatureMalformed),
            "{bad}"
        );
        // It is also refused next to a valid one.
        assert_eq!(
            try_header(&format!("ts=1700000000;h1={good};h1={bad}")),
            Err(Rejection::SignatureMalformed),
            "{bad}"
        );
    }
}

/// Case D03.
#[test]
fn d03_any_h1_may_match_any_active_secret() {
    let junk = "0".repeat(64);
    for (index, secret) in [SECRET, OTHER].into_iter().enumerate() {
        let good = h1(secret, "1700000000", b"{}");
        for order in [[&good, &junk, &junk], [&junk, &good, &junk], [&junk, &junk, &good]] {
            let text = format!("ts=1700000000;h1={};h1={};h1={}", order[0], order[1], order[2]);
            let got = verdict(&[SECRET, OTHER], text.as_bytes(), b"{}", NOW, Some(5)).unwrap();
            assert_eq!(got.secret, index);
            assert_eq!(got.timestamp, Some(NOW));
        }
    }
    // When both match, the result is the first in configuration order.
    let text = format!(
        "{};h1={}",
        header(OTHER, "1700000000", b"{}"),
        h1(SECRET, "1700000000", b"{}")
    );
    assert_eq!(
        verdict(&[SECRET, OTHER], text.as_bytes(), b"{}", NOW, Some(5))
            .unwrap()
            .secret,
        0
    );
    assert_eq!(
        verdict(&["third"], text.as_bytes(), b"{}", NOW, Some(5)),
        Err(Rejection::SignatureMismatch)
    );
}

/// Case D04: one to eight. The header's length bounds everything else.
#[test]
fn d04_more_than_eight_candidates_are_refused() {
    let with = |junk: usize| {
        let text = format!(
            "ts=1700000000{};h1={}",
            format!(";h1={}", "0".repeat(64)).repeat(junk),
            h1(SECRET, "1700000000", b"{}")
        );
        try_header(&text)
    };
    assert!(with(7).is_ok());
    for junk in [8, 9, 10_000] {
        assert_eq!(with(junk), Err(Rejection::SignatureMalformed));
    }
}

/// Case D05.
#[test]
fn d05_a_timestamp_is_one_to_twelve_digits() {
    for bad in [
        "18446744073709551616",
        "9223372036854775808",
        "1000000000000",
        "1700000000000",
        "-1700000000",
        "+1700000000",
        "01700000000",
        "1700000000.0",
        "17e8",
        "1_700_000_000",
        "١٧٠٠٠٠٠٠٠٠",
        "１７００００００００",
        "0",
        "",
        "Infinity",
        "0x65",
        "1700000000a",
    ] {
        assert_eq!(
            try_header(&header(SECRET, bad, b"{}")),
            Err(Rejection::SignatureMalformed),
            "{bad:?}"
        );
    }
    // The signed value begins with a space. Only spaces around the whole part are removed, so this one is refused.
    assert_eq!(
        try_header(&header(SECRET, " 1700000000", b"{}")),
        Err(Rejection::SignatureMalformed)
    );
}

/// Case D06: the digits of the header are signed, not the number.
#[test]
fn d06_the_digits_are_signed_verbatim() {
    let swapped = header(SECRET, "01700000000", b"{}").replace("ts=0", "ts=");
    assert_eq!(try_header(&swapped), Err(Rejection::SignatureMismatch));
    let long = header(SECRET, "999999999999", b"{}");
    assert!(verdict(&[SECRET], long.as_bytes(), b"{}", NOW, None).is_ok());
}
