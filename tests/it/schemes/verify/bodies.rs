//! What real tools did to a body, recognised by `hookgate verify`.

use super::{AT, BODY, Told, changed, raw, through, verify};
use crate::support::paddle::{SECRET, signature};

/// What languages make of JSON when they read it and write it again.
#[test]
fn json_that_was_parsed_and_written_again() {
    let python = |code: &str| {
        through(
            "python3",
            &["-c", &format!("import json,sys;o=json.load(sys.stdin);{code}")],
            BODY.as_bytes(),
        )
    };
    // Sent as another language writes it, so that every way is met. 1.50 would become 1.5 in all of them: it is text here.
    let body = BODY.replace("1.50", "\"1.50\"");
    let header = format!("Paddle-Signature: {}", signature(SECRET, AT, body.as_bytes()));
    let told = |made: &[u8]| verify(&raw(&header, made), &["--secret-env", "KEY"], &[("KEY", SECRET)]);
    let of = |program: &str, arguments: &[&str]| through(program, arguments, body.as_bytes());
    let python_as = |options: &str| {
        of(
            "python3",
            &[
                "-c",
                &format!("import json,sys;print(json.dumps(json.load(sys.stdin){options}),end='')"),
            ],
        )
    };
    told(&python_as("")).is("json_reserialised", "compact");
    told(&python_as(",ensure_ascii=False")).is("json_reserialised", "escaped as \\uXXXX");
    told(&python_as(",indent=2")).is("json_reserialised", "compact");
    told(&python_as(",sort_keys=True,separators=(',',':')")).is_certain_or_nothing();
    let node = of(
        "node",
        &[
            "-e",
            "let s='';process.stdin.on('data',d=>s+=d).on('end',()=>process.stdout.write(JSON.stringify(JSON.parse(s))))",
        ],
    );
    told(&node).is("json_reserialised", "escaped as \\uXXXX");
    let reordered = of(
        "python3",
        &[
            "-c",
            "import json,sys;o=json.load(sys.stdin);print(json.dumps(dict(reversed(o.items()))),end='')",
        ],
    );
    told(&reordered).is("json_reserialised", "another order");
    // And the other way round: signed by Node, by Python and by PHP's rules, read here as Paddle would write it.
    for (signed, words) in [
        (node, "not escaped"),
        (python_as(""), "space after each comma"),
        (python_as(",indent=4"), "indented by four"),
        (body.replace('/', "\\/").into_bytes(), "slashes escaped"),
        (
            body.replace('<', "\\u003c")
                .replace('>', "\\u003e")
                .replace('&', "\\u0026")
                .replace("\\u00f3", "ó")
                .replace("\\u65e5\\u672c", "日本")
                .into_bytes(),
            "& escaped",
        ),
    ] {
        let header = format!("Paddle-Signature: {}", signature(SECRET, AT, &signed));
        let told = verify(
            &raw(&header, body.as_bytes()),
            &["--secret-env", "KEY"],
            &[("KEY", SECRET)],
        );
        told.is("json_reserialised", words);
    }
    // A value that changed is no re-serialisation.
    let other = python("o['data']['n']=[1,3];print(json.dumps(o),end='')");
    assert_eq!(changed(&other).causes(), [""; 0]);
}

impl Told {
    /// Sorted nested keys cannot be put back; nothing may be claimed then that is not so.
    #[track_caller]
    fn is_certain_or_nothing(&self) {
        assert!(
            self.causes().iter().all(|cause| *cause == "json_reserialised"),
            "{}",
            self.human
        );
    }
}

#[test]
fn bytes_at_the_end_and_ends_of_lines() {
    changed(&through("sed", &["$a\\"], format!("{BODY}\n").as_bytes()))
        .is("trailing_newline", "newline that was not signed");
    changed(format!("{BODY}\n \n").as_bytes()).is("trailing_newline", "white space");
    let with = format!("{BODY}\n");
    let header = format!("Paddle-Signature: {}", signature(SECRET, AT, with.as_bytes()));
    verify(
        &raw(&header, BODY.as_bytes()),
        &["--secret-env", "KEY"],
        &[("KEY", SECRET)],
    )
    .is("trailing_newline", "missing");
    // An editor's newline behind the announced length.
    let header = format!(
        "Paddle-Signature: {}\r\nContent-Length: {}",
        signature(SECRET, AT, b"{} "),
        3
    );
    verify(
        &raw(&header, b"{} \n\n\n"),
        &["--secret-env", "KEY"],
        &[("KEY", SECRET)],
    )
    .is("trailing_newline", "Content-Length");

    let unix = "a=1\nb=2\nc=3";
    let dos = through("sed", &["s/$/\\r/"], unix.as_bytes());
    let header = |body: &[u8]| format!("Paddle-Signature: {}", signature(SECRET, AT, body));
    let told = |signed: &[u8], saved: &[u8]| {
        verify(
            &raw(&header(signed), saved),
            &["--secret-env", "KEY"],
            &[("KEY", SECRET)],
        )
    };
    // sed puts a CR at the last line too, which has no LF.
    let dos = dos.strip_suffix(b"\r").unwrap_or(&dos);
    told(unix.as_bytes(), dos).is("line_ends", "with LF");
    told(dos, unix.as_bytes()).is("line_ends", "with CRLF");
}

#[test]
fn bodies_in_another_coat() {
    changed(&through("base64", &["-w0"], BODY.as_bytes())).is("base64_body", "decodes to");
    let signed = r#"{"name":"Jósef Müller"}"#.as_bytes();
    let header = |body: &[u8]| format!("Paddle-Signature: {}", signature(SECRET, AT, body));
    let told = |header: &str, saved: &[u8]| verify(&raw(header, saved), &["--secret-env", "KEY"], &[("KEY", SECRET)]);
    let twice = through("iconv", &["-f", "latin1", "-t", "utf8"], signed);
    told(&header(signed), &twice).is("charset", "read as Latin-1");
    told(
        &header(signed),
        &through("iconv", &["-f", "utf8", "-t", "latin1"], signed),
    )
    .is("charset", "in UTF-8");
    told(&header(signed), &[b"\xef\xbb\xbf", signed].concat()).is("charset", "byte order mark");
    let wide = through("iconv", &["-f", "utf8", "-t", "utf-16le"], signed);
    told(&header(&wide), signed).is("charset", "UTF-16LE");
    let lossy = String::from_utf8_lossy(b"{\"name\":\"J\xf3sef\"}").into_owned();
    told(&header(b"{\"name\":\"J\xf3sef\"}"), lossy.as_bytes()).is_likely("charset", "U+FFFD");

    let gzip = through("gzip", &["-c"], BODY.as_bytes());
    changed(&gzip).is("compression", "compressed");
    let header = format!("{}\r\nContent-Encoding: gzip", header(&gzip));
    told(&header, BODY.as_bytes()).is_likely("compression", "decompressed");
}
