//! Changes that real tools made to a body, recognised by `hookgate verify`.

use super::{AT, BODY, Told, changed, raw, through, verify};
use crate::support::paddle::{SECRET, signature};

/// What languages write when they parse JSON and serialise it again.
#[test]
fn reserialised_json_is_recognised() {
    let python = |code: &str| {
        through(
            "python3",
            &["-c", &format!("import json,sys;o=json.load(sys.stdin);{code}")],
            BODY.as_bytes(),
        )
    };
    // Sent in the form of another language, so that every form occurs. All of them would write 1.50 as 1.5: here it is
    // a string.
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
    // The other direction: signed as Node, Python and PHP serialise, compared with the form that Paddle writes.
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
    // A changed value is not a re-serialisation.
    let other = python("o['data']['n']=[1,3];print(json.dumps(o),end='')");
    assert_eq!(changed(&other).causes(), [""; 0]);
}

impl Told {
    /// The original order of nested keys is lost after sorting; the command must then not claim a cause that is not
    /// certain.
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
fn changed_line_ends_are_recognised() {
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
    // An editor's newline after the announced length.
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
    // sed also adds a CR to the last line, which has no LF.
    let dos = dos.strip_suffix(b"\r").unwrap_or(&dos);
    told(unix.as_bytes(), dos).is("line_ends", "with LF");
    told(dos, unix.as_bytes()).is("line_ends", "with CRLF");
}

#[test]
fn reencoded_bodies_are_recognised() {
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
