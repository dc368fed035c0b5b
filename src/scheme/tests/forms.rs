//! Schemes whose sender posts forms in place of JSON: urlencoded, and multipart with files.

use super::*;

const NOW: u64 = 1_700_000_000;
const KEY: &str = "a signing secret that is long enough";
const TOKEN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const MULTIPART: &str = "multipart/form-data; boundary=\"xYz\"";
const URLENCODED: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// The HMAC of Mailgun's time and this token.
fn signature(token: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, KEY.as_bytes());
    hex::encode(aws_lc_rs::hmac::sign(&key, format!("{NOW}{token}").as_bytes()))
}

/// The three fields with this token, and a subject, in each of the two kinds of forms: media type and body.
fn forms(token: &str, names: [&str; 3]) -> [(&'static str, String); 2] {
    let signature = signature(TOKEN);
    let fields = names.into_iter().zip([NOW.to_string(), token.to_owned(), signature]);
    let fields: Vec<_> = fields.chain([("subject", "Hi".to_owned())]).collect();
    let urlencoded: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let part = |(name, value): &(&str, String)| {
        format!("--xYz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let parts: String = fields.iter().map(part).collect();
    let file = "--xYz\r\nContent-Disposition: form-data; name=\"attachment-1\"; filename=\"a.bin\"\r\n\
        Content-Type: application/octet-stream\r\n\r\n\0\u{1}--xY\r\n--xYz--\r\n";
    [(URLENCODED, urlencoded.join("&")), (MULTIPART, parts + file)]
}

/// Verifies a request with this media type, and finds its delivery id.
fn sent(verifier: &Verifier, media_type: &str, body: &str) -> (Result<(), Rejection>, Option<String>) {
    let field = (
        HeaderName::from_static("content-type"),
        HeaderValue::from_str(media_type).unwrap(),
    );
    let headers: Headers = [field].into_iter().collect();
    let head = HeadRef {
        method: &Method::POST,
        target: "/",
        headers: &headers,
    };
    let id = verifier.delivery_id(&head, &[Bytes::copy_from_slice(body.as_bytes())]);
    let id = id.map(|id| String::from_utf8(id.into_owned()).unwrap());
    (verify(verifier, &head, body.as_bytes(), NOW, Some(60)).map(drop), id)
}

#[test]
fn mailgun_is_verified_in_json_and_in_both_kinds_of_forms() {
    let verifier = Verifier::new("mailgun", None, keys(&[KEY]), None).unwrap();
    let signature = signature(TOKEN);
    let json =
        format!("{{\"signature\":{{\"timestamp\":\"{NOW}\",\"token\":\"{TOKEN}\",\"signature\":\"{signature}\"}}}}");
    let genuine = (Ok(()), Some(TOKEN.to_owned()));
    assert_eq!(sent(&verifier, "application/json", &json), genuine);
    let names = ["timestamp", "token", "signature"];
    for (media_type, body) in forms(TOKEN, names) {
        assert_eq!(sent(&verifier, media_type, &body), genuine, "{media_type}");
        // Another reader would find nothing there.
        assert!(sent(&verifier, "application/json", &body).0.is_err(), "{media_type}");
        assert!(sent(&verifier, media_type, &json).0.is_err(), "{media_type}");
    }
    for (media_type, body) in forms(&TOKEN.replace('a', "b"), names) {
        assert_eq!(sent(&verifier, media_type, &body).0, Err(Rejection::SignatureMismatch));
    }
    for (media_type, body) in forms(TOKEN, ["timestamp", "token", "other"]) {
        assert_eq!(sent(&verifier, media_type, &body).0, Err(Rejection::SignatureMissing));
    }
    for (media_type, body) in forms(TOKEN, ["timestamp", "token", "token"]) {
        // Two tokens: the application might read the other one.
        assert_eq!(
            sent(&verifier, media_type, &body),
            (Err(Rejection::SignatureMalformed), None)
        );
    }
}

/// A `custom` scheme says the same with `forms`, or reads the fields by their names.
#[test]
fn custom_reads_both_kinds_of_forms() {
    let by_pointer = "signature = { pointer = '/s' }\ntimestamp = { pointer = '/t' }\npayload = '{timestamp}{json:/k}'\n\
        tolerance = '60s'\nforms = true\ndelivery_id = { pointer = '/k' }";
    let by_name = "signature = { form = 's' }\ntimestamp = { form = 't' }\npayload = '{timestamp}{form:k}'\n\
        tolerance = '60s'\ndelivery_id = { form = 'k' }";
    for description in [by_pointer, by_name] {
        let custom = toml::from_str(description).unwrap();
        let verifier = Verifier::new("custom", Some(custom), keys(&[KEY]), None).unwrap();
        for (media_type, body) in forms(TOKEN, ["t", "k", "s"]) {
            let expected = (Ok(()), Some(TOKEN.to_owned()));
            assert_eq!(
                sent(&verifier, media_type, &body),
                expected,
                "{description}: {media_type}"
            );
        }
    }
}

#[test]
fn forms_without_a_value_of_the_body_are_a_fault() {
    for description in [
        "signature = { header = 'S' }\nforms = true",
        "signature = { pointer = '/s' }\npayload = '{json:/a}'\nsingle = '/b'\nforms = true",
    ] {
        let custom = toml::from_str(description).unwrap();
        let faults = Verifier::new("custom", Some(custom), keys(&[KEY]), None).unwrap_err();
        assert!(faults[0].contains("remove `forms`"), "{faults:?}");
    }
}

/// Fields that some framework reads in place of a signed one: PHP, Rack and qs read brackets as parts, PHP ends names at a
/// NUL and has underscores in place of dots and spaces, Rack 2 divides at semicolons.
#[test]
fn fields_that_imitate_a_signed_one_are_refused() {
    let verifier = Verifier::new("mailgun", None, keys(&[KEY]), None).unwrap();
    let names = ["timestamp", "token", "signature"];
    for (media_type, body) in forms(TOKEN, names) {
        let with = |name: &str| match media_type {
            URLENCODED => body.replacen("subject", name, 1),
            _ => body.replacen("\"subject\"", &format!("\"{}\"", name.replace('+', " ")), 1),
        };
        for name in ["+token", "token[]", "token[a]", "++timestamp"] {
            let verdict = sent(&verifier, media_type, &with(name)).0;
            assert_eq!(verdict, Err(Rejection::SignatureMalformed), "{media_type}: {name}");
        }
        for name in ["token-2", "a[token]", "a.token", "mytoken", "subject[]"] {
            assert_eq!(
                sent(&verifier, media_type, &with(name)).0,
                Ok(()),
                "{media_type}: {name}"
            );
        }
    }
    let [(_, body), _] = forms(TOKEN, names);
    for more in ["&token%00x=1", "&a=1;token=2", ";"] {
        let verdict = sent(&verifier, URLENCODED, &format!("{body}{more}")).0;
        assert_eq!(verdict, Err(Rejection::SignatureMalformed), "{more}");
    }
    assert_eq!(sent(&verifier, URLENCODED, &format!("{body}&a=1%3Btoken=2")).0, Ok(()));
}
