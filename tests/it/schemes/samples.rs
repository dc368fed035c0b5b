//! `hookgate send` plays every provider: a gateway with a route for each preset accepts the sample that is sent without
//! further options. Where nobody but the provider can sign, the command says what to do instead.

use crate::support::gateway::{Gateway, binary};
use crate::support::tools::repository;
use crate::support::upstream::{AfterAnswer, answer};
use crate::support::{Setup, Upstream};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookgate::scheme::{Algorithm, KeyEncoding, facts, presets};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

/// One preset, and how it is sent.
struct Sender {
    /// The preset, or the preset, `+` and a variant.
    name: &'static str,
    provider: &'static str,
    /// The private key, for providers that sign with one.
    private_key: Option<PathBuf>,
    secret: String,
    /// The values that the tokens carry.
    expect: &'static [(&'static str, &'static str)],
}

impl Sender {
    fn new(name: &'static str, directory: &Path) -> Self {
        let (provider, variant) = name.split_once('+').unwrap_or((name, ""));
        let has_private_key =
            presets::takes_public_keys(provider) || presets::fetches_keys(provider) || !variant.is_empty();
        Self {
            name,
            provider,
            private_key: has_private_key.then(|| directory.join(format!("{name}.pem"))),
            secret: secret(provider),
            expect: match provider {
                "livekit" => &[("iss", "key")],
                "google-pubsub" => &[("aud", "shop"), ("email", "push@example.iam.gserviceaccount.com")],
                "azure-event-grid" => &[("aud", "shop"), ("iss", "https://login.example.com/v2.0")],
                _ => &[],
            },
        }
    }

    /// The route, with the path `/NAME`. `keys` is the address of the server of key sets.
    fn route(&self, upstream: &str, keys: &str) -> String {
        let Self { name, provider, .. } = self;
        let mut text = format!(
            "[[route]]\nname = \"sent-{name}\"\npath = \"/{name}\"\nprovider = {provider:?}\nupstream = {upstream:?}\n"
        );
        if presets::signs_url(provider) {
            text += "public_url = \"https://hooks.example.com\"\n";
        }
        if !self.expect.is_empty() {
            let pairs: Vec<_> = self
                .expect
                .iter()
                .map(|(name, value)| format!("{name} = {value:?}"))
                .collect();
            let _ = writeln!(text, "expect = {{ {} }}", pairs.join(", "));
        }
        let _ = match &self.private_key {
            None => writeln!(text, "secrets = [{{ env = {:?} }}]", self.variable()),
            Some(path) if *provider == "plaid" => writeln!(
                text,
                "keys = {{ url = \"{keys}/{}\", client_id = \"any\", secret = {{ env = {:?} }} }}",
                published(path, "jwks"),
                self.variable()
            ),
            Some(path) if path.with_extension("pem.jwks").exists() => {
                writeln!(text, "keys = {{ url = \"{keys}/{}\" }}", published(path, "jwks"))
            }
            Some(path) => writeln!(
                text,
                "public_keys = [{{ file = {:?} }}]",
                path.with_extension("pem.pub")
            ),
        };
        text
    }

    fn variable(&self) -> String {
        self.name.to_uppercase().replace(['-', '+'], "_")
    }

    fn send(&self, url: &str) -> Output {
        let mut command = binary();
        command.args(["send", url, "--provider", self.provider]);
        match &self.private_key {
            Some(path) => command.arg("--private-key").arg(path),
            None => command.args(["--secret-env", "SECRET"]).env("SECRET", &self.secret),
        };
        for (name, value) in self.expect {
            command.args(["--expect", &format!("{name}={value}")]);
        }
        if presets::signs_url(self.provider) {
            command.args(["--public-url", &format!("https://hooks.example.com/{}", self.name)]);
        }
        command.output().unwrap()
    }
}

fn published(path: &Path, ending: &str) -> String {
    format!("{}.{ending}", path.file_name().unwrap().display())
}

/// A secret in the notation of the preset.
fn secret(provider: &str) -> String {
    let row = presets::description(provider).unwrap().clone();
    let key = row.key.unwrap_or_default();
    let prefix = key.prefix.as_ref().map_or("", |prefix| &prefix.as_slice()[0]);
    let bytes: [u8; 32] = rand(provider);
    match (row.algorithm, key.encoding) {
        (Some(Algorithm::Basic), _) => format!("user:{}", hex::encode(bytes)),
        (_, Some(KeyEncoding::Base64)) => format!("{prefix}{}", STANDARD.encode(bytes)),
        (_, Some(KeyEncoding::Hex)) => hex::encode(bytes),
        _ => format!("{prefix}{}", hex::encode(bytes)),
    }
}

/// Bytes that differ from provider to provider.
fn rand(provider: &str) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(provider).into()
}

/// Text of both streams.
fn shown(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

/// A server of the files of a directory, for GET and POST.
fn file_server(directory: &Path) -> Upstream {
    let directory = directory.to_owned();
    Upstream::new(move |request, connection| {
        let name = request.start.split([' ', '/']).nth(2).unwrap();
        let text = std::fs::read(directory.join(name)).unwrap();
        connection.send(&answer("200 OK", &[("Content-Type", "application/json")], &text));
        AfterAnswer::Close
    })
}

/// The gateway with a route for each sender.
fn gateway(senders: &[Sender], upstream: &Upstream, keys: &Upstream) -> Gateway {
    let mut setup = Setup::new(&upstream.url());
    for sender in senders {
        setup = setup
            .more(&sender.route(&upstream.url(), &keys.url()))
            .variable(&sender.variable(), &sender.secret);
    }
    setup.start()
}

#[test]
fn the_sample_of_every_preset_is_accepted_or_the_command_says_what_to_do_instead() {
    let directory = tempfile::tempdir().unwrap();
    let (upstream, keys) = (Upstream::ok(), file_server(directory.path()));
    let is_unsignable = |name: &str| facts::find(name).unwrap().own_test.is_some();
    // The keys of these may be shared secrets, or public ones.
    let variants = [
        "fusionauth+private",
        "http-signatures+private",
        "standard-webhooks+private",
    ];
    let senders: Vec<Sender> = presets::names()
        .filter(|name| !is_unsignable(name))
        .chain(variants)
        .map(|name| Sender::new(name, directory.path()))
        .collect();
    for sender in senders.iter().filter(|sender| sender.private_key.is_some()) {
        // The first run makes the key and writes what the route needs.
        let made = sender.send("http://127.0.0.1:1/");
        assert_eq!(made.status.code(), Some(0), "{}: {}", sender.name, shown(&made));
        assert!(shown(&made).contains("Made a private key"), "{}", shown(&made));
    }
    let gateway = gateway(&senders, &upstream, &keys);
    for sender in &senders {
        let sent = sender.send(&format!("http://{}/{}", gateway.plain(), sender.name));
        assert_eq!(sent.status.code(), Some(0), "{}: {}", sender.name, shown(&sent));
    }
    let requests = upstream.requests();
    let verified: BTreeSet<String> = requests
        .iter()
        .map(|request| {
            format!(
                "{} {}",
                request.start.split(' ').nth(1).unwrap(),
                request.header("Hookgate-Verified").unwrap()
            )
        })
        .collect();
    let wanted = senders
        .iter()
        .map(|sender| format!("/{} {}", sender.name, sender.provider));
    assert_eq!(verified, wanted.collect());
    assert_eq!(requests.len(), senders.len());
    for name in presets::names().filter(|name| is_unsignable(name)) {
        let refused = Sender::new(name, directory.path()).send("http://127.0.0.1:1/");
        assert_eq!(refused.status.code(), Some(2), "{name}: {}", shown(&refused));
        let test = facts::find(name).unwrap().own_test.as_deref().unwrap();
        assert!(shown(&refused).contains(test), "{name}: {}", shown(&refused));
        // Only a certificate, which the provider alone has, is a reason.
        let keys = presets::description(name).unwrap().keys.clone();
        assert!(keys.is_some_and(|keys| keys.certificate.is_some()), "{name}");
    }
}

/// A preset without a sample of its own would be sent a made-up event.
#[test]
fn every_preset_that_can_be_sent_has_a_sample_of_its_own() {
    let sources = ["events.rs", "samples.rs"].map(|file| repository(&format!("src/cli/tools/send/{file}")));
    let text: String = sources
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    for name in presets::names() {
        let has_sample = text.contains(&format!("(\"{name}\", ")) || text.contains(&format!("        \"{name}\",\n"));
        assert_eq!(has_sample, facts::find(name).unwrap().own_test.is_none(), "{name}");
    }
}

#[test]
fn a_private_key_is_kept_and_its_faults_are_explained() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let run = |provider: &str, key: &Path| {
        let mut command = binary();
        command.args(["send", "http://127.0.0.1:1/", "--provider", provider, "--private-key"]);
        command.arg(key).output().unwrap()
    };
    let made = run("discord", &path("key.pem"));
    assert_eq!(made.status.code(), Some(0), "{}", shown(&made));
    let (key, public) = (path("key.pem"), path("key.pem.pub"));
    let text = std::fs::read_to_string(&key).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        !shown(&made).contains(text.lines().nth(1).unwrap()),
        "the private key is printed"
    );
    assert!(shown(&made).contains(std::fs::read_to_string(&public).unwrap().trim()));
    // The public key of a key that the user has is written, and nothing else is changed.
    std::fs::remove_file(&public).unwrap();
    let again = run("discord", &key);
    assert!(!shown(&again).contains("Made") && public.exists(), "{}", shown(&again));
    assert_eq!(std::fs::read_to_string(&key).unwrap(), text);
    let sent = run("discord", &key);
    assert_eq!(sent.status.code(), Some(1), "nothing listens there: {}", shown(&sent));
    std::fs::write(path("text"), "a secret").unwrap();
    for (provider, file, expected) in [
        ("discord", path("text"), "is not a private key"),
        ("wise", key.clone(), "not an RSA public key"),
        ("stripe", key, "signs with a shared secret"),
        ("discord", path("none/key.pem"), "cannot write"),
    ] {
        let refused = run(provider, &file);
        assert_eq!(refused.status.code(), Some(2), "{provider}: {}", shown(&refused));
        assert!(shown(&refused).contains(expected), "{provider}: {}", shown(&refused));
    }
    let mut without = binary();
    let without = without
        .args(["send", "http://127.0.0.1:1/", "--provider", "wise"])
        .output()
        .unwrap();
    assert!(
        shown(&without).contains("add --private-key FILE"),
        "{}",
        shown(&without)
    );
}
