//! `hookgate sign`: prints the headers that a provider would send with a body, for tests by hand and in scripts. Where the
//! signature is in the body, it prints the body.

use super::signing::{Prepared, SigningArguments};
use crate::cli::{CommandResult, Failure, inputs, terminal};
use crate::config::Sources;
use crate::scheme::{SignRequest, SignedRequest};
use crate::time::clock;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Uri};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `sign`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SignArguments {
    /// File with the exact body, or - for standard input
    #[arg(value_name = "BODY")]
    body: PathBuf,
    #[command(flatten)]
    signing: SigningArguments,
    /// Time of signing in Unix seconds; the default is the current time
    #[arg(long, value_name = "SECONDS")]
    timestamp: Option<u64>,
    /// Print a curl command that posts the body to URL
    #[arg(long, value_name = "URL", conflicts_with = "json")]
    curl: Option<Uri>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints header lines, JSON or a curl command.
pub(in crate::cli) fn run(arguments: &SignArguments, sources: &Sources) -> CommandResult {
    let signer = match arguments.signing.prepare(sources)? {
        Prepared::Ready(signer) => signer,
        Prepared::FilesWritten(text) => {
            terminal::emit(&text)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let body = inputs::read_body(&arguments.body)?;
    let target = arguments
        .curl
        .as_ref()
        .map_or("/", |url| url.path_and_query().map_or("/", |target| target.as_str()));
    let request = SignRequest {
        method: &Method::POST,
        target,
        delivery_id: None,
        body: &body,
    };
    let signed_at_unix = arguments.timestamp.unwrap_or_else(clock::unix_now);
    let SignedRequest { headers, body } = signer.sign(&request, signed_at_unix)?;
    if let Some(body) = body {
        return in_body(arguments, &body, signed_at_unix);
    }
    terminal::emit(&match &arguments.curl {
        Some(url) => curl(url, &headers, &arguments.body)?,
        None if arguments.json => json(&headers, signed_at_unix),
        None => headers
            .iter()
            .map(|(name, value)| format!("{}: {}\n", title_case(name), value_text(value)))
            .collect(),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a body that has the signature in it.
fn in_body(arguments: &SignArguments, body: &[u8], signed_at_unix: u64) -> CommandResult {
    let text = String::from_utf8_lossy(body);
    if arguments.curl.is_some() {
        return Err(Failure::Usage(
            "this scheme has its signature in the body: leave out --curl to get the signed body, or use `hookgate send`"
                .into(),
        ));
    }
    terminal::emit(&if arguments.json {
        format!(
            "{:#}\n",
            json!({ "timestamp": signed_at_unix, "headers": {}, "body": text })
        )
    } else {
        text.into_owned()
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The headers and the time of signing as a JSON object.
fn json(headers: &[(HeaderName, HeaderValue)], signed_at_unix: u64) -> String {
    let headers: Map<String, Value> = headers
        .iter()
        .map(|(name, value)| (title_case(name), Value::from(value_text(value))))
        .collect();
    format!("{:#}\n", json!({ "timestamp": signed_at_unix, "headers": headers }))
}

/// A curl command for a POSIX shell that posts the body to `url` with these headers.
fn curl(url: &Uri, headers: &[(HeaderName, HeaderValue)], body: &Path) -> Result<String, Failure> {
    if url.scheme().is_none() {
        return Err(Failure::Usage(
            "--curl takes an absolute URL, such as https://localhost:8443/webhooks/paddle".into(),
        ));
    }
    let mut command = "curl".to_owned();
    for (name, value) in headers {
        command += &format!(
            " -H {}",
            quoted(&format!("{}: {}", title_case(name), value_text(value)))
        );
    }
    let source = format!("@{}", body.display());
    command += &format!(
        " -H 'Content-Type: application/json' --data-binary {} {}\n",
        quoted(&source),
        quoted(&url.to_string())
    );
    Ok(command)
}

/// The name as providers write it: `Paddle-Signature`.
fn title_case(name: &HeaderName) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_ascii_uppercase().to_string() + letters.as_str()
        })
    };
    name.as_str().split('-').map(word).collect::<Vec<_>>().join("-")
}

/// The value as text; bytes that are not UTF-8 become U+FFFD.
fn value_text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Quotes the text as one word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn headers() -> Vec<(HeaderName, HeaderValue)> {
        vec![(
            HeaderName::from_static("paddle-signature"),
            HeaderValue::from_static("ts=1;h1=ab"),
        )]
    }

    #[test]
    fn header_names_are_written_in_title_case() {
        for (name, expected) in [
            ("paddle-signature", "Paddle-Signature"),
            ("webhook-id", "Webhook-Id"),
            ("x-", "X-"),
        ] {
            assert_eq!(title_case(&HeaderName::from_static(name)), expected);
        }
    }

    #[test]
    fn json_contains_timestamp_and_headers() {
        let value: Value = serde_json::from_str(&json(&headers(), 1)).unwrap();
        assert_eq!(
            value,
            json!({ "timestamp": 1, "headers": { "Paddle-Signature": "ts=1;h1=ab" } })
        );
    }

    #[test]
    fn a_shell_reads_the_curl_command_as_intended() {
        let url = "https://localhost:8443/hook?a='$(id)'".parse::<Uri>().unwrap();
        let command = curl(&url, &headers(), Path::new("it's $HOME.json")).unwrap();
        let printed = std::process::Command::new("sh")
            .args(["-c", &command.replacen("curl", r"printf '%s\n'", 1)])
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(printed.stdout).unwrap(),
            "-H\nPaddle-Signature: ts=1;h1=ab\n-H\nContent-Type: application/json\n--data-binary\n\
             @it's $HOME.json\nhttps://localhost:8443/hook?a='$(id)'\n"
        );
        assert!(curl(&"/hook".parse().unwrap(), &headers(), Path::new("-")).is_err());
    }
}
