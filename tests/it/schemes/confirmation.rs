//! Subscriptions of AWS SNS that hookgate confirms, with a server of the test's own in the place of AWS.

use super::fetched::{openssl_sign, post};
use crate::support::certificates::Authority;
use crate::support::upstream::{AfterAnswer, Recorded, answer};
use crate::support::{Gateway, Setup, Upstream};
use serde_json::json;
use std::sync::{Arc, Mutex};

/// A server with a signer's certificate, which also confirms; and what is needed to sign.
struct Aws {
    server: Upstream,
    directory: tempfile::TempDir,
    host: String,
    /// The status of its answers to confirmations.
    status: Arc<Mutex<&'static str>>,
}

impl Aws {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key.pem");
        let mut command = std::process::Command::new("openssl");
        command.args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-out",
        ]);
        let made = command.arg(&key).stderr(std::process::Stdio::null()).status();
        assert!(made.unwrap().success());
        let pair = rcgen::KeyPair::from_pem(&std::fs::read_to_string(&key).unwrap()).unwrap();
        let root_key = rcgen::KeyPair::generate().unwrap();
        let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        std::fs::write(
            directory.path().join("root.pem"),
            root.self_signed(&root_key).unwrap().pem(),
        )
        .unwrap();
        let root = rcgen::Issuer::new(root, root_key);
        let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&pair, &root).unwrap().pem();
        let authority = Authority::new();
        std::fs::write(directory.path().join("ca.pem"), &authority.certificate.chain_pem).unwrap();
        let status = Arc::new(Mutex::new("200 OK"));
        let answered = status.clone();
        let server = Upstream::tls(authority.issue(&["localhost"]).server(), move |request, connection| {
            let is_certificate = request.start.contains("SimpleNotificationService-");
            let bytes = match is_certificate {
                true => answer("200 OK", &[], leaf.as_bytes()),
                false => answer(
                    *answered.lock().unwrap(),
                    &[("Location", "https://evil.example/")],
                    b"<xml/>",
                ),
            };
            connection.send(&bytes);
            AfterAnswer::Close
        });
        let host = server
            .url()
            .replace("https://127.0.0.1", "localhost")
            .replace("https://", "");
        Self {
            server,
            directory,
            host,
            status,
        }
    }

    fn gateway(&self, upstream: &Upstream, challenge: &str) -> Gateway {
        let path = |name: &str| self.directory.path().join(name);
        let (ca, root, host, url) = (path("ca.pem"), path("root.pem"), &self.host, upstream.url());
        Setup::new(&url)
            .more(&format!(
                "[keys]\nca = {ca:?}\n[[route]]\nname = \"sns\"\npath = \"/sns\"\nprovider = \"aws-sns\"\nexpect = {{ TopicArn = \"arn:t\" }}\nkeys = {{ hosts = [{host:?}], ca = {root:?} }}\n{challenge}\nupstream = \"{url}\"\n",
            ))
            .start()
    }

    /// A signed message that asks for a confirmation at this URL.
    fn message(&self, topic: &str, url: &str) -> String {
        let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
        let text = format!(
            "Message\nm\nMessageId\n1\nSubscribeURL\n{url}\nTimestamp\n{now}\nToken\nt\nTopicArn\n{topic}\nType\nSubscriptionConfirmation\n"
        );
        json!({
            "Type": "SubscriptionConfirmation", "MessageId": "1", "TopicArn": topic, "Message": "m", "Timestamp": now, "Token": "t",
            "SubscribeURL": url, "SignatureVersion": "2",
            "Signature": openssl_sign(&self.directory.path().join("key.pem"), &text),
            "SigningCertURL": format!("https://{}/SimpleNotificationService-0a.pem", self.host),
        })
        .to_string()
    }

    fn url(&self) -> String {
        format!(
            "https://{}/?Action=ConfirmSubscription&TopicArn=arn:t&Token=t",
            self.host
        )
    }

    fn confirmations(&self) -> usize {
        let is_confirmation = |request: &&Recorded| request.start.contains("ConfirmSubscription");
        self.server.requests().iter().filter(is_confirmation).count()
    }
}

#[test]
fn a_genuine_subscription_is_confirmed_and_nothing_else_is() {
    let (upstream, aws) = (Upstream::ok(), Aws::new());
    let gateway = aws.gateway(&upstream, "challenge = true");
    let send = |message: &str| {
        let response = gateway.exchange(&post("/sns", "", message));
        let reason = if response.status == 200 {
            String::new()
        } else {
            response.reason()
        };
        (response.status, reason)
    };
    let genuine = aws.message("arn:t", &aws.url());
    assert_eq!(send(&genuine).0, 200);
    assert_eq!(aws.confirmations(), 1);
    // Forged, of another topic, or at another address.
    assert_eq!(send(&genuine.replace("Token=t", "Token=u")).0, 401);
    assert_eq!(send(&aws.message("arn:other", &aws.url())).0, 401);
    for url in [
        aws.url().replace("localhost", "127.0.0.1"),
        aws.url().replace("https://", "http://"),
        aws.url().replace("/?", "/x?"),
        aws.url().replace("ConfirmSubscription", "Unsubscribe"),
        aws.url().replace("https://", "https://user@"),
        "https://169.254.169.254/?Action=ConfirmSubscription&Token=t".to_owned(),
    ] {
        let got = send(&aws.message("arn:t", &url));
        assert_eq!(got, (401, "signature_malformed".to_owned()), "{url}");
    }
    assert_eq!(aws.confirmations(), 1);
    // AWS cannot be asked: it sends the message again. A redirect is not followed.
    for status in ["500 No", "302 Found"] {
        *aws.status.lock().unwrap() = status;
        assert_eq!(send(&genuine), (503, "key_unavailable".to_owned()), "{status}");
    }
    *aws.status.lock().unwrap() = "200 OK";
    assert_eq!(send(&genuine).0, 200);
    assert_eq!(aws.confirmations(), 4);
    upstream.assert_untouched();
}

#[test]
fn without_a_challenge_the_application_confirms() {
    let (upstream, aws) = (Upstream::ok(), Aws::new());
    let gateway = aws.gateway(&upstream, "challenge = false");
    let response = gateway.exchange(&post("/sns", "", &aws.message("arn:t", &aws.url())));
    assert_eq!((response.status, aws.confirmations()), (200, 0));
    assert_eq!(upstream.requests().len(), 1);
}
