//! The tables of `docs/schemes.md`, the pages of `docs/providers/` and the list in the README, from the rows of
//! `src/scheme/presets.toml` and `src/scheme/facts.toml`.

use super::{Document, repository};
use hookgate::scheme::facts::{self, ProviderFacts};
use hookgate::scheme::{Algorithm, SchemeDescription, TimeUnit, presets};
use std::fmt::Write as _;
use std::path::PathBuf;

/// The folder of the pages.
const PAGES: &str = "docs/providers";

/// The tables, the list and the pages.
pub(crate) fn documents() -> Vec<Document> {
    let links: Vec<String> = presets::names()
        .map(|name| format!("[{name}]({PAGES}/{name}.md)"))
        .collect();
    let mut documents = vec![
        Document::with_parts(
            "docs/schemes.md",
            &[("signatures", signatures()), ("deliveries", deliveries())],
        ),
        Document::with_parts("README.md", &[("providers", format!("{}\n", links.join(", ")))]),
    ];
    let pages = rows()
        .into_iter()
        .map(|row| Document::whole(format!("{PAGES}/{}.md", row.name), page(&row)));
    documents.extend(pages);
    documents
}

/// Files among the pages that belong to no preset.
pub(crate) fn pages_without_preset() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository(PAGES)).unwrap();
    let is_known = |path: &PathBuf| presets::names().any(|name| path.ends_with(format!("{name}.md")));
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| !is_known(path))
        .collect()
}

/// Everything that is shown of a preset.
struct Row {
    name: &'static str,
    scheme: SchemeDescription,
    facts: &'static ProviderFacts,
}

fn rows() -> Vec<Row> {
    let row = |name| Row {
        name,
        scheme: presets::description(name).unwrap().clone(),
        facts: facts::find(name).unwrap(),
    };
    presets::names().map(row).collect()
}

/// The name that the configuration has for a value.
fn word(value: impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let mut word = String::new();
    for (at, c) in text.char_indices() {
        if c.is_uppercase() && at > 0 {
            word.push('-');
        }
        word.extend(c.to_lowercase());
    }
    word
}

fn dash(text: Option<&str>) -> String {
    text.unwrap_or("–").to_owned()
}

impl Row {
    /// The signature header as the provider writes it, and the header of the time.
    fn header(&self) -> String {
        let signature = self.scheme.signature.clone().unwrap_or_default();
        let time = self.scheme.timestamp.clone().unwrap_or_default();
        let prefix = signature.prefix.unwrap_or_default();
        let mut text = match (&signature.header, &signature.pointer, &signature.form, &signature.field) {
            (Some(header), _, _, Some(field)) => {
                let separator = signature.separator.unwrap_or(',');
                let time = time.field.as_ref().map(|name| format!("{name}={separator}"));
                format!(
                    "`{}: {}{field}={prefix}`",
                    header.as_slice()[0],
                    time.unwrap_or_default()
                )
            }
            (Some(header), _, _, None) => match header.as_slice() {
                [one] if prefix.is_empty() => format!("`{one}`"),
                [one] => format!("`{one}: {prefix}`"),
                [first, .., last] => format!("`{first}` to `{last}`"),
                [] => unreachable!(),
            },
            (None, Some(pointer), ..) => {
                let each = signature.each.as_ref().map(|array| format!("{array}/*"));
                format!("body `{}{pointer}`", each.unwrap_or_default())
            }
            (None, None, Some(form), _) => format!("form field `{form}`"),
            (None, None, None, _) => "`Authorization: Basic`".to_owned(),
        };
        if let Some(name) = time.header {
            write!(text, ", `{name}`").unwrap();
        }
        text
    }

    fn algorithm(&self) -> &'static str {
        match self.scheme.algorithm.unwrap_or(Algorithm::HmacSha256) {
            Algorithm::HmacSha1 => "HMAC-SHA1",
            Algorithm::HmacSha256 => "HMAC-SHA256",
            Algorithm::HmacSha512 => "HMAC-SHA512",
            Algorithm::Ed25519 => "Ed25519",
            Algorithm::EcdsaP256 => "ECDSA P-256",
            Algorithm::RsaSha1 => "RSA-SHA1",
            Algorithm::RsaSha256 => "RSA-SHA256",
            Algorithm::RsaPssSha256 => "RSA-PSS-SHA256",
            Algorithm::Token => "compares a token",
            Algorithm::Basic => "compares user and password",
            Algorithm::Md5 => "MD5",
            Algorithm::Sha1 => "SHA-1",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha512 => "SHA-512",
        }
    }

    fn compares(&self) -> bool {
        matches!(self.scheme.algorithm, Some(Algorithm::Token | Algorithm::Basic))
    }

    /// The algorithm and how a signature is written.
    fn mac(&self) -> String {
        if self.scheme.signature_token().is_some() {
            let published = match self.scheme.keys.as_ref().and_then(|keys| keys.jwks.as_deref()) {
                _ if self.scheme.keys.is_none() => return "token (JWT), HS256".to_owned(),
                Some("") => "HS256; RS256, ES256, EdDSA with published keys",
                Some(_) | None => "RS256, ES256 or EdDSA",
            };
            return format!("token (JWT), {published}");
        }
        if self.scheme.message.is_some() {
            return "message signatures (RFC 9421): HMAC, Ed25519, ECDSA or RSA".to_owned();
        }
        if self.compares() {
            return self.algorithm().to_owned();
        }
        let encoding = self.scheme.encoding.map_or_else(|| "hex".to_owned(), word);
        let other = self.scheme.alternative.as_ref();
        let other = other.map(|other| format!("; `{}` {}", other.prefix, word(other.algorithm)));
        format!("{} {encoding}{}", self.algorithm(), other.unwrap_or_default())
    }

    /// The payload's template.
    fn signed(&self) -> String {
        if let Some(jwt) = self.scheme.signature_token() {
            return match (&jwt.body_claim, &jwt.request_claim) {
                (Some(claim), _) => format!("`{{body}}` (claim `{claim}`)"),
                (None, Some(claim)) => format!("method, path and query (claim `{claim}`)"),
                (None, None) => "nothing of the request".to_owned(),
            };
        }
        if let Some(message) = &self.scheme.message {
            let required = message.required.as_deref().unwrap_or_default();
            return format!("at least `{}`", required.join("`, `"));
        }
        match &self.scheme.payload {
            _ if self.compares() => "nothing".to_owned(),
            Some(payload) if payload.len() > 200 => "eight values of the item".to_owned(),
            payload => format!(
                "`{}`",
                payload
                    .as_deref()
                    .unwrap_or("{body}")
                    .replace('|', "\\|")
                    .replace('\n', "\\n")
            ),
        }
    }

    fn key(&self) -> String {
        if presets::fetches_keys(self.name) {
            return "fetched".to_owned();
        }
        let key = self.scheme.key.clone().unwrap_or_default();
        let encoding = key.encoding.map_or_else(|| "verbatim".to_owned(), word);
        let prefix = key.prefix.map(|prefix| format!("`{}` ", prefix.as_slice()[0]));
        format!("{}{encoding}", prefix.unwrap_or_default())
    }

    fn time(&self) -> String {
        let Some(time) = &self.scheme.timestamp else {
            return match self.scheme.signature_token() {
                Some(_) => "claim `exp`, if there is one".to_owned(),
                None => "none".to_owned(),
            };
        };
        if let Some(claim) = &time.claim {
            let ours = if self.facts.own_tolerance { " (ours)" } else { "" };
            let place = if self.scheme.message.is_some() {
                "parameter"
            } else {
                "claim"
            };
            return format!("{place} `{claim}`, {}{ours}", self.scheme.tolerance.as_deref().unwrap());
        }
        let unit = match time.unit {
            None | Some(TimeUnit::Seconds) => "s",
            Some(TimeUnit::Milliseconds) => "ms",
            Some(TimeUnit::Rfc3339) => "RFC 3339",
            Some(TimeUnit::DateTime) => "date and time",
            Some(TimeUnit::HttpDate) => "HTTP date",
        };
        let place = time.pointer.as_ref().map(|pointer| format!("body `{pointer}`, "));
        let ours = if self.facts.own_tolerance { " (ours)" } else { "" };
        let tolerance = self.scheme.tolerance.as_deref().unwrap_or("no tolerance");
        format!("{}{unit}, {tolerance}{ours}", place.unwrap_or_default())
    }

    /// The location of the delivery id.
    fn id(&self) -> String {
        let last = |pointer: &String| pointer.rsplit('/').next().unwrap().to_owned();
        let id = self.scheme.delivery_id.clone().unwrap_or_default();
        match (id.header, id.pointer, id.form, id.pointers.as_slice()) {
            (Some(header), ..) => format!("`{header}`"),
            (_, Some(pointer), ..) => format!("body `{pointer}`"),
            (_, _, Some(form), _) => format!("form `{form}`"),
            (.., []) => "none".to_owned(),
            (.., pointers) => {
                let names: Vec<String> = pointers.iter().map(last).collect();
                format!("body, `{}` together", names.join("` and `"))
            }
        }
    }

    fn acknowledgement(&self) -> String {
        let mut text = self.facts.acknowledgement.clone();
        match self.facts.acknowledgement_body.as_str() {
            "" => {}
            body => write!(text, " `{body}`").unwrap(),
        }
        if self.facts.answer_used {
            text.push_str(", the application's only");
        }
        text
    }

    fn largest(&self) -> String {
        self.facts
            .largest_body
            .map_or("–".to_owned(), |bytes| match bytes >> 10 {
                kib if kib % 1024 == 0 => format!("{} MiB", kib >> 10),
                kib => format!("{kib} KiB"),
            })
    }

    /// The judges in words.
    fn judges(&self) -> String {
        let words = |judge: &String| match judge.as_str() {
            "node:crypto" => "documents only (node:crypto)".to_owned(),
            other => other.to_owned(),
        };
        let judges: Vec<String> = self.facts.judges.iter().map(words).collect();
        judges.join(", ")
    }

    fn sources(&self) -> Vec<String> {
        let sources = self.facts.sources.iter().enumerate();
        let link = |(index, source): (usize, &String)| match source.starts_with("https://") {
            true => format!("[{}]({source})", index + 1),
            false => source.clone(),
        };
        sources.map(link).collect()
    }
}

/// The table of signatures.
fn signatures() -> String {
    let mut list = String::from(
        "| preset | signature | signed | MAC, encoding | key | time, tolerance | delivery id | proven against |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows() {
        let id = if row.id() == "none" { String::new() } else { row.id() };
        let name = format!("[`{0}`](providers/{0}.md)", row.name);
        let cells = [
            name,
            row.header(),
            row.signed(),
            row.mac(),
            row.key(),
            row.time(),
            id,
            row.judges(),
        ];
        writeln!(list, "| {} |", cells.join(" | ")).unwrap();
    }
    list
}

/// The table of deliveries.
fn deliveries() -> String {
    let mut list = String::from(
        "| preset | delivery id | of | equal bytes | a retry | deadline | retries | largest body | acknowledgement | sources |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows() {
        let facts = row.facts;
        let cells = [
            format!("`{}`", row.name),
            row.id(),
            facts.id.map_or("–".to_owned(), word),
            word(facts.equal_bytes),
            facts
                .retry
                .map_or("–".to_owned(), |retry| word(retry).replace('-', " ")),
            dash(facts.deadline.as_deref()),
            dash(facts.retries.as_deref()),
            row.largest(),
            row.acknowledgement(),
            row.sources().join(", "),
        ];
        writeln!(list, "| {} |", cells.join(" | ")).unwrap();
    }
    list
}

/// The page of one provider.
fn page(row: &Row) -> String {
    let facts = row.facts;
    let name = row.name;
    let (list, variable) = match presets::takes_public_keys(name) {
        true => ("public_keys", "PUBLIC_KEY"),
        false => ("secrets", "WEBHOOK_SECRET"),
    };
    let variable = format!("{}_{variable}", name.to_uppercase().replace('-', "_"));
    let keys = match &facts.example {
        Some(line) => format!("{line}\n"),
        None => format!("{list} = [{{ env = \"{variable}\" }}]\n"),
    };
    let url = match presets::signs_url(name) {
        true => {
            format!("public_url = \"https://hooks.example.com/webhooks/{name}\"  # the URL that the provider calls\n")
        }
        false => String::new(),
    };
    let mut page = format!(
        "# {name}\n\n**Where the secret is:** {}\n\n```toml\n[[route]]\npath = \"/webhooks/{name}\"\nprovider = \"{name}\"\n\
         {keys}{url}upstream = \"http://127.0.0.1:8000\"\n```\n\n",
        facts.secret
    );
    let mut fact = |name: &str, value: &str| writeln!(page, "- **{name}:** {value}").unwrap();
    fact("Signature", &format!("{}, {}", row.header(), row.mac()));
    fact("Signed", &row.signed());
    fact("Key", &row.key());
    fact("Time and tolerance", &row.time());
    fact(
        "Delivery id",
        &match facts.id {
            Some(id) => format!("{}, of one {}", row.id(), word(id)),
            None => "none".to_owned(),
        },
    );
    fact(
        "Different notifications with equal bytes",
        &word(facts.equal_bytes).replace('-', " "),
    );
    fact(
        "A retry",
        &facts
            .retry
            .map_or("not documented".to_owned(), |retry| word(retry).replace('-', " ")),
    );
    fact("Retries", facts.retries.as_deref().unwrap_or("not documented"));
    fact(
        "Deadline of the sender",
        facts.deadline.as_deref().unwrap_or("not documented"),
    );
    fact("Largest body", &row.largest().replace('–', "not documented"));
    fact("Answer that contents the sender", &row.acknowledgement());
    fact("Proven against", &row.judges());
    fact("A sample", &sample(name, facts, &variable));
    for note in &facts.notes {
        writeln!(page, "\n{note}").unwrap();
    }
    let sources: Vec<String> = facts
        .sources
        .iter()
        .map(|source| match source.starts_with("https://") {
            true => format!("<{source}>"),
            false => source.clone(),
        })
        .collect();
    write!(
        page,
        "\nSources: {}.\n\nThe words are explained in [schemes.md](../schemes.md). If a signature is refused, [verify.md](../verify.md) finds out why.\n",
        sources.join(", ")
    )
    .unwrap();
    page
}

/// How to send a sample event of the provider.
fn sample(name: &str, facts: &ProviderFacts, variable: &str) -> String {
    if let Some(test) = &facts.own_test {
        return format!("nobody but the provider can sign one: {test}");
    }
    let key = match presets::takes_public_keys(name) || presets::fetches_keys(name) {
        true => "--private-key key.pem".to_owned(),
        false => format!("--secret-env {variable}"),
    };
    let url = match presets::signs_url(name) {
        true => format!(" --public-url https://hooks.example.com/webhooks/{name}"),
        false => String::new(),
    };
    let required = presets::description(name)
        .and_then(|row| row.jwt.as_ref())
        .map(|jwt| jwt.required.clone());
    let expect: String = required
        .iter()
        .flatten()
        .map(|claim| format!(" --expect {claim}=…"))
        .collect();
    format!("`hookgate send https://localhost:8443/webhooks/{name} --provider {name} {key}{url}{expect}`")
}
