//! Schemes whose body has a token in every element of an array: Microsoft Graph.

use super::*;

const FIRST: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECOND: &str = "another client state that is long enough";

fn verifier(secrets: &[&str]) -> Verifier {
    Verifier::new("ms-graph", None, keys(secrets), None).unwrap()
}

/// The index of the secret that matched.
fn post(verifier: &Verifier, body: &str) -> Result<usize, Rejection> {
    let headers = Headers::default();
    let head = HeadRef {
        method: &Method::POST,
        target: "/graph",
        headers: &headers,
    };
    verify(verifier, &head, body.as_bytes(), 0, None).map(|verified| verified.secret)
}

/// A body with one notification for each of these texts.
fn notifications(states: &[&str]) -> String {
    let each = states
        .iter()
        .enumerate()
        .map(|(id, state)| serde_json::json!({ "id": id, "clientState": state, "resourceData": { "clientState": 1 } }));
    serde_json::json!({ "value": each.collect::<Vec<_>>() }).to_string()
}

#[test]
fn every_notification_has_a_client_state_of_the_route() {
    let both = verifier(&[FIRST, SECOND]);
    for (states, expected) in [
        (&[FIRST][..], Ok(0)),
        (&[FIRST, FIRST], Ok(0)),
        (&[SECOND], Ok(1)),
        // Subscriptions of one URL are notified together, also while a secret is replaced.
        (&[SECOND, FIRST, SECOND], Ok(1)),
        (&[FIRST, SECOND], Ok(0)),
        (&["stranger"], Err(Rejection::SignatureMismatch)),
        (&[FIRST, "stranger"], Err(Rejection::SignatureMismatch)),
        (&["stranger", FIRST], Err(Rejection::SignatureMismatch)),
        (&[FIRST, "", FIRST], Err(Rejection::SignatureMismatch)),
        (&[], Err(Rejection::SignatureMissing)),
    ] {
        assert_eq!(post(&both, &notifications(states)), expected, "{states:?}");
    }
    let one = verifier(&[FIRST]);
    assert_eq!(
        post(&one, &notifications(&[FIRST, SECOND])),
        Err(Rejection::SignatureMismatch)
    );
    let many: Vec<String> = (0..9).map(|number| format!("{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(post(&one, &notifications(&many)), Err(Rejection::SignatureMalformed));
}

#[test]
fn bodies_that_hide_a_notification_are_refused() {
    let verifier = verifier(&[FIRST]);
    let good = format!(r#"{{"id":1,"clientState":"{FIRST}"}}"#);
    let accepted = [
        format!(r#"{{"value":[{good}]}}"#),
        format!(r#"{{"a":[1],"value":[{good},{good}],"b":{{}}}}"#),
    ];
    for body in &accepted {
        assert_eq!(post(&verifier, body), Ok(0), "{body}");
    }
    for (body, reason) in [
        (
            format!(r#"{{"value":[{good},{{"id":2}}]}}"#),
            Rejection::SignatureMalformed,
        ),
        (
            format!(r#"{{"value":[{{"id":2}},{good}]}}"#),
            Rejection::SignatureMalformed,
        ),
        (format!(r#"{{"value":[{good},null]}}"#), Rejection::SignatureMalformed),
        (
            format!(r#"{{"value":[{good},[{good}]]}}"#),
            Rejection::SignatureMalformed,
        ),
        (
            format!(r#"{{"value":[{good}],"value":[]}}"#),
            Rejection::SignatureMalformed,
        ),
        (
            format!(r#"{{"value":[{good}],"Value":[{{"id":2}}]}}"#),
            Rejection::SignatureMalformed,
        ),
        (
            format!(r#"{{"value":[{{"clientState":"{FIRST}","ClientState":"x"}}]}}"#),
            Rejection::SignatureMalformed,
        ),
        (
            format!(r#"{{"value":[{{"clientState":["{FIRST}"]}}]}}"#),
            Rejection::SignatureMalformed,
        ),
        (format!(r#"{{"value":{good}}}"#), Rejection::SignatureMissing),
        (good.clone(), Rejection::SignatureMissing),
        (format!("[{good}]"), Rejection::SignatureMissing),
        (format!(r#"{{"value":[{good}]"#), Rejection::SignatureMalformed),
        (String::new(), Rejection::SignatureMalformed),
    ] {
        assert_eq!(post(&verifier, &body), Err(reason), "{body}");
    }
}

#[test]
fn what_a_description_says_of_each_element_must_make_sense() {
    let custom = |text: &str| {
        let description: SchemeDescription = toml::from_str(text).unwrap();
        Verifier::new("custom", Some(description), keys(&[FIRST]), None).map_err(|faults| faults.join(" "))
    };
    let good = custom("signature = { each = \"/items\", pointer = \"/token\" }\nalgorithm = \"token\"").unwrap();
    assert_eq!(post(&good, &format!(r#"{{"items":[{{"token":"{FIRST}"}}]}}"#)), Ok(0));
    for (text, expected) in [
        (
            "signature = { each = \"/items\", pointer = \"/token\" }\npayload = \"{json:/a}\"",
            "`algorithm = \"token\"`",
        ),
        (
            "signature = { each = \"/items\" }\nalgorithm = \"token\"",
            "within an element",
        ),
        (
            "signature = { each = \"/items\", header = \"X\" }\nalgorithm = \"token\"",
            "within an element",
        ),
        (
            "signature = { each = \"items\", pointer = \"/token\" }\nalgorithm = \"token\"",
            "leading slash",
        ),
        (
            "signature = { header = \"X\" }\nalgorithm = \"token\"\njwt = { pointer = \"/t\" }\nkeys = { jwks = \"https://k.example\" }",
            "Tokens in the body",
        ),
        (
            "signature = { pointer = \"/s\" }\nalgorithm = \"token\"\njwt = { pointer = \"/t\" }",
            "Tokens in the body",
        ),
        (
            "signature = { pointer = \"/s\" }\nalgorithm = \"token\"\njwt = { pointer = \"/t\", body_claim = \"h\" }\nkeys = { jwks = \"https://k.example\" }",
            "`jwt.body_claim`",
        ),
    ] {
        let faults = custom(text).unwrap_err();
        assert!(faults.contains(expected), "{text}: {faults}");
    }
}

/// `expect` and `keys` of a route with tokens in the body.
#[test]
fn tokens_of_a_route_are_those_of_an_application() {
    let compile = |expect: &[(&str, &str)], url: Option<&str>, secrets: &[&str]| {
        let expect: Expected = expect
            .iter()
            .map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]))
            .collect();
        let settings = KeySettings {
            url: url.map(str::to_owned),
            ..KeySettings::default()
        };
        let lists = ListedKeys {
            secrets: keys(secrets),
            ..ListedKeys::default()
        };
        let route = RouteContext {
            url: UrlOfRoute::default(),
            expect: &expect,
            keys: &settings,
        };
        let verifier = Verifier::for_route("ms-graph", None, lists, &route);
        verifier
            .map(|verifier| verifier.key_source().map(|source| source.hosts().join(" ")))
            .map_err(|faults| {
                faults
                    .iter()
                    .map(|fault| fault.text.clone())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
    };
    assert_eq!(compile(&[], None, &[FIRST]), Ok(None));
    let microsoft = Some("login.microsoftonline.com".to_owned());
    assert_eq!(compile(&[("aud", "app")], None, &[FIRST]), Ok(microsoft));
    let other = compile(&[("aud", "app")], Some("https://keys.example/jwks"), &[FIRST]);
    assert_eq!(other, Ok(Some("keys.example".to_owned())));
    assert!(
        compile(&[("tid", "tenant")], None, &[FIRST])
            .unwrap_err()
            .contains("`aud`")
    );
    assert!(
        compile(&[], Some("https://keys.example"), &[FIRST])
            .unwrap_err()
            .contains("`expect`")
    );
    assert!(compile(&[("aud", "app")], None, &[]).is_err());
}
