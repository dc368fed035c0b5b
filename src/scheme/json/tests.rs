#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]
use super::*;
use proptest::prelude::*;

fn text(pointer: &str, body: &str) -> Result<Option<String>, ()> {
    JsonPointer::parse(pointer).unwrap().text(body.as_bytes())
}

#[test]
fn the_value_at_the_pointer_is_found() {
    let body = r#"{"a":{"b":[1,{"c":"x"},true,-5,null]},"m~n":"t","o/p":"s","":"e","a\u0062":"esc"}"#;
    for (pointer, expected) in [
        ("/a/b/0", Some("1")),
        ("/a/b/1/c", Some("x")),
        ("/a/b/2", Some("true")),
        ("/a/b/3", Some("-5")),
        ("/a/b/4", None),
        ("/a/b/5", None),
        ("/a/b/01", None),
        ("/a/b/x", None),
        ("/m~0n", Some("t")),
        ("/o~1p", Some("s")),
        ("/", Some("e")),
        ("/ab", Some("esc")),
        ("/zz", None),
        ("/m~0n/deeper", None),
    ] {
        assert_eq!(text(pointer, body), Ok(expected.map(str::to_owned)), "{pointer}");
    }
    assert_eq!(JsonPointer::parse("/m~0n/o~1p/").unwrap().to_string(), "/m~0n/o~1p/");
    assert!(JsonPointer::parse("a").is_err() && JsonPointer::parse("").is_err());
}

#[test]
fn bodies_that_two_readers_could_read_differently_are_refused() {
    for body in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":1}x"#,
        r#"{"a":1.0}"#,
        r#"{"a":1e3}"#,
        r#"{"a":{}}"#,
        r#"{"a":[1]}"#,
        "",
        "{",
    ] {
        assert_eq!(text("/a", body), Err(()), "{body}");
    }
    assert_eq!(text("/a", r#"{"a":99999999999999999999}"#), Err(()));
    assert_eq!(text("/b", &"[".repeat(100_000)), Err(()));
    assert_eq!(text("/b", r#"{"a":1,"a":2,"b":3}"#), Ok(Some("3".into())));
}

/// Each element has a text, and the different ones are known.
#[test]
fn every_element_of_a_list_has_a_text() {
    let pointer = |text: &str| JsonPointer::parse(text).unwrap();
    let states = JsonList {
        array: pointer("/value"),
        text: Some(pointer("/a/state")),
        most: 2,
    };
    let tokens = JsonList {
        array: pointer("/tokens"),
        text: None,
        most: 2,
    };
    let plan = JsonPlan::new([&pointer("/id")], None, &[&states, &tokens]);
    let read = |body: &str| {
        let values = plan.read(body.as_bytes())?;
        Ok::<_, ()>((values.list(&states).join(","), values.list(&tokens).join(",")))
    };
    for (body, expected) in [
        (
            r#"{"value":[{"a":{"state":"x"}}],"tokens":["t","u"],"id":1}"#,
            ("x", "t,u"),
        ),
        (
            r#"{"value":[{"a":{"state":"x"}},{"b":[],"a":{"state":"x"}}]}"#,
            ("x", ""),
        ),
        (
            r#"{"value":[{"a":{"state":"x"}},{"a":{"state":"y"}},{"a":{"state":"x"}}]}"#,
            ("x,y", ""),
        ),
        (r#"{"value":[],"tokens":[]}"#, ("", "")),
        (r#"{"value":{"0":{"a":{"state":"x"}}}}"#, ("", "")),
        (r#"{"tokens":null,"value":"x"}"#, ("", "")),
        ("{}", ("", "")),
    ] {
        assert_eq!(read(body), Ok((expected.0.into(), expected.1.into())), "{body}");
    }
    for body in [
        r#"{"value":[{"a":{"state":"x"}},{}]}"#,
        r#"{"value":[{"a":{"state":"x"}},{"a":{"state":null}}]}"#,
        r#"{"value":[{"a":{"state":"x"}},{"a":{"State":"x"}}]}"#,
        r#"{"value":[{"a":{"state":"x","state":"y"}}]}"#,
        r#"{"value":[{"a":{"state":"x"}}],"value":[]}"#,
        r#"{"value":[{"a":{"state":"x"}}],"Value":[]}"#,
        r#"{"value":[{"a":{"state":["x"]}}]}"#,
        r#"{"value":[[{"a":{"state":"x"}}]]}"#,
        r#"{"value":[null]}"#,
        r#"{"value":["x"]}"#,
        r#"{"tokens":["a",1.5]}"#,
        r#"{"tokens":["a",["b"]]}"#,
        r#"{"tokens":["a",{}]}"#,
        r#"{"tokens":["a",null]}"#,
        r#"{"tokens":["a","b","c"]}"#,
    ] {
        assert_eq!(read(body), Err(()), "{body}");
    }
}

/// Go's encoding/json, for example, would read the last of them.
#[test]
fn keys_that_differ_in_their_case_only_are_refused_on_the_way() {
    for body in [
        r#"{"amount":{"value":1,"Value":2}}"#,
        r#"{"amount":{"value":1},"AMOUNT":{"value":2}}"#,
        r#"{"amount":{"Value":2}}"#,
        r#"{"amount":{"value":1,"V\u0041lue":2}}"#,
    ] {
        assert_eq!(text("/amount/value", body), Err(()), "{body}");
    }
    for (pointer, key) in [
        ("/success", "\u{17f}uccess"),
        ("/success", "SUCCE\u{17f}S"),
        ("/kind", "\u{212a}ind"),
        ("/kind", "K\u{130}ND"),
        ("/kind", "k\u{131}nd"),
        ("/stra\u{df}e", "STRASSE"),
        ("/\u{e9}t\u{e9}", "\u{c9}T\u{c9}"),
        ("/\u{3c3}", "\u{3c2}"),
    ] {
        assert_eq!(text(pointer, &format!("{{\"{key}\":1}}")), Err(()), "{pointer} {key}");
    }
    // Elsewhere a key may have any case.
    let elsewhere = r#"{"amount":{"value":1},"other":{"a":1,"A":2},"values":1}"#;
    assert_eq!(text("/amount/value", elsewhere), Ok(Some("1".into())));
}

#[test]
fn all_pointers_are_read_at_once() {
    let parse = |text| JsonPointer::parse(text).unwrap();
    let pointers = ["/a/0/b", "/a/0/c/d", "/a/1", "/e", "/nothing", "/e"].map(parse);
    let array = parse("/a");
    let plan = JsonPlan::new(&pointers, Some(&array), &[]);
    let values = plan
        .read(br#"{"e":true,"a":[{"b":"x","c":{"d":-1}},"y",null]}"#)
        .unwrap();
    let texts = pointers.each_ref().map(|pointer| values.text(pointer));
    assert_eq!(
        texts,
        [Some("x"), Some("-1"), Some("y"), Some("true"), None, Some("true")]
    );
    assert_eq!((values.elements(), values.text(&parse("/other"))), (Some(3), None));
    assert!(plan.read(br#"{"a":[{"b":{}}]}"#).is_err());
    assert!(plan.read(b"{}").unwrap().elements().is_none());
    assert!(JsonPlan::new([], None, &[]).is_empty() && !plan.is_empty());
}

#[test]
fn elements_of_an_array_are_counted() {
    let count = |pointer, body: &str| {
        let pointer = JsonPointer::parse(pointer).unwrap();
        JsonPlan::new([], Some(&pointer), &[])
            .read(body.as_bytes())
            .map(|values| values.elements())
    };
    assert_eq!(count("/a", r#"{"a":[{},{}]}"#), Ok(Some(2)));
    assert_eq!(count("/a", r#"{"a":[]}"#), Ok(Some(0)));
    assert_eq!(count("/a", r#"{"a":{"0":1}}"#), Ok(None));
    assert_eq!(count("/a", r#"{"b":[]}"#), Ok(None));
}

proptest! {
    /// The pointer of serde_json over the built document finds the same value.
    #[test]
    fn values_agree_with_the_pointer_of_serde_json(key in "[a-z~/]{0,3}", other in "[a-z~/]{0,3}", value in "\\PC{0,8}", index in 0usize..4) {
        let mut object = serde_json::Map::new();
        object.insert(key.clone(), serde_json::json!([1, "two", {&other: value}]));
        let document = serde_json::Value::Object(object);
        let escape = |token: &str| token.replace('~', "~0").replace('/', "~1");
        for pointer in [
            format!("/{}/{index}", escape(&key)),
            format!("/{}/{index}/{}", escape(&key), escape(&other)),
            format!("/{}", escape(&other)),
        ] {
            let expected = document.pointer(&pointer).map(|v| match v {
                serde_json::Value::String(text) => Ok(text.clone()),
                serde_json::Value::Number(number) => Ok(number.to_string()),
                _ => Err(()),
            }).transpose();
            prop_assert_eq!(text(&pointer, &document.to_string()), expected, "{}", pointer);
        }
    }
}
