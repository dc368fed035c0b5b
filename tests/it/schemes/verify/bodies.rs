//! Changes that real tools made to a body, recognised by `hookgate verify`.

use super::{BODY, SIGNED_AT_UNIX, VerifyResult, raw_request, run_tool, verify, verify_with_body};
use crate::support::paddle::{SECRET, signature};

/// What languages write when they parse JSON and serialise it again.
#[test]
fn reserialised_json_is_recognised() {
    let python = |code: &str| {
        run_tool(
            "python3",
            &["-c", &format!("import json,sys;o=json.load(sys.stdin);{code}")],
            BODY.as_bytes(),
        )
    };
    // Sent in the form of another language, so that every form occurs. All of them would write 1.50 as 1.5: here it is
    // a string.
    let body = BODY.replace("1.50", "\"1.50\"");
    let header = format!(
        "Paddle-Signature: {}",
        signature(SECRET, SIGNED_AT_UNIX, body.as_bytes())
    );
    let result = |made: &[u8]| {
        verify(
            &raw_request(&header, made),
            &["--secret-env", "KEY"],
            &[("KEY", SECRET)],
        )
    };
    let of = |program: &str, arguments: &[&str]| run_tool(program, arguments, body.as_bytes());
    let python_as = |options: &str| {
        of(
            "python3",
            &[
                "-c",
                &format!("import json,sys;print(json.dumps(json.load(sys.stdin){options}),end='')"),
            ],
        )
    };
    result(&python_as("")).has_certain_cause("json_reserialised", "compact");
    result(&python_as(",ensure_ascii=False")).has_certain_cause("json_reserialised", "escaped as \\uXXXX");
    result(&python_as(",indent=2")).has_certain_cause("json_reserialised", "compact");
    result(&python_as(",sort_keys=True,separators=(',',':')")).has_no_cause_but_json_reserialised();
    let node = of(
        "node",
        &[
            "-e",
            "let s='';process.stdin.on('data',d=>s+=d).on('end',()=>process.stdout.write(JSON.stringify(JSON.parse(s))))",
        ],
    );
    result(&node).has_certain_cause("json_reserialised", "escaped as \\uXXXX");
    let reordered = of(
        "python3",
        &[
            "-c",
            "import json,sys;o=json.load(sys.stdin);print(json.dumps(dict(reversed(o.items()))),end='')",
        ],
    );
    result(&reordered).has_certain_cause("json_reserialised", "another order");
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
        let header = format!("Paddle-Signature: {}", signature(SECRET, SIGNED_AT_UNIX, &signed));
        let result = verify(
            &raw_request(&header, body.as_bytes()),
            &["--secret-env", "KEY"],
            &[("KEY", SECRET)],
        );
        result.has_certain_cause("json_reserialised", words);
    }
    // With a changed value, only the white space shows that Python wrote the body.
    let other = python("o['data']['n']=[1,3];print(json.dumps(o),end='')");
    verify_with_body(&other).has_likely_cause("json_reserialised", "white space between its values");
}

impl VerifyResult {
    /// The original order of nested keys is lost after sorting; the command must then not claim a cause that is not
    /// certain.
    #[track_caller]
    fn has_no_cause_but_json_reserialised(&self) {
        assert!(
            self.causes().iter().all(|cause| *cause == "json_reserialised"),
            "{}",
            self.human
        );
    }
}

#[test]
fn changed_line_ends_are_recognised() {
    verify_with_body(&run_tool("sed", &["$a\\"], format!("{BODY}\n").as_bytes()))
        .has_certain_cause("trailing_newline", "newline that was not signed");
    verify_with_body(format!("{BODY}\n \n").as_bytes()).has_certain_cause("trailing_newline", "white space");
    let with = format!("{BODY}\n");
    let header = format!(
        "Paddle-Signature: {}",
        signature(SECRET, SIGNED_AT_UNIX, with.as_bytes())
    );
    verify(
        &raw_request(&header, BODY.as_bytes()),
        &["--secret-env", "KEY"],
        &[("KEY", SECRET)],
    )
    .has_certain_cause("trailing_newline", "missing");
    // An editor's newline after the announced length.
    let header = format!(
        "Paddle-Signature: {}\r\nContent-Length: {}",
        signature(SECRET, SIGNED_AT_UNIX, b"{} "),
        3
    );
    verify(
        &raw_request(&header, b"{} \n\n\n"),
        &["--secret-env", "KEY"],
        &[("KEY", SECRET)],
    )
    .has_certain_cause("trailing_newline", "Content-Length");

    let unix = "a=1\nb=2\nc=3";
    let dos = run_tool("sed", &["s/$/\\r/"], unix.as_bytes());
    let header = |body: &[u8]| format!("Paddle-Signature: {}", signature(SECRET, SIGNED_AT_UNIX, body));
    let result = |signed: &[u8], saved: &[u8]| {
        verify(
            &raw_request(&header(signed), saved),
            &["--secret-env", "KEY"],
            &[("KEY", SECRET)],
        )
    };
    // sed also adds a CR to the last line, which has no LF.
    let dos = dos.strip_suffix(b"\r").unwrap_or(&dos);
    result(unix.as_bytes(), dos).has_certain_cause("line_ends", "with LF");
    result(dos, unix.as_bytes()).has_certain_cause("line_ends", "with CRLF");
}

#[test]
fn reencoded_bodies_are_recognised() {
    verify_with_body(&run_tool("base64", &["-w0"], BODY.as_bytes())).has_certain_cause("base64_body", "decodes to");
    let signed = r#"{"name":"Jósef Müller"}"#.as_bytes();
    let header = |body: &[u8]| format!("Paddle-Signature: {}", signature(SECRET, SIGNED_AT_UNIX, body));
    let result = |header: &str, saved: &[u8]| {
        verify(
            &raw_request(header, saved),
            &["--secret-env", "KEY"],
            &[("KEY", SECRET)],
        )
    };
    let twice = run_tool("iconv", &["-f", "latin1", "-t", "utf8"], signed);
    result(&header(signed), &twice).has_certain_cause("charset", "read as Latin-1");
    result(
        &header(signed),
        &run_tool("iconv", &["-f", "utf8", "-t", "latin1"], signed),
    )
    .has_certain_cause("charset", "in UTF-8");
    result(&header(signed), &[b"\xef\xbb\xbf", signed].concat()).has_certain_cause("charset", "byte order mark");
    let wide = run_tool("iconv", &["-f", "utf8", "-t", "utf-16le"], signed);
    result(&header(&wide), signed).has_certain_cause("charset", "UTF-16LE");
    let lossy = String::from_utf8_lossy(b"{\"name\":\"J\xf3sef\"}").into_owned();
    result(&header(b"{\"name\":\"J\xf3sef\"}"), lossy.as_bytes()).has_likely_cause("charset", "U+FFFD");

    let gzip = run_tool("gzip", &["-c"], BODY.as_bytes());
    verify_with_body(&gzip).has_certain_cause("compression", "compressed");
    let header = format!("{}\r\nContent-Encoding: gzip", header(&gzip));
    result(&header, BODY.as_bytes()).has_likely_cause("compression", "decompressed");
}
