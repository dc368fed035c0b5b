//! Every file and list of this repository that is made from the code. `cargo xtask lists` writes them, and the tests compare
//! them with what is checked in.
//!
//! | module | what it makes |
//! | --- | --- |
//! | [`providers`] | the documents of the providers |
//! | [`cases`] | the list of cases in `docs/security.md` |
//! | [`manual`] | the manual page |
//! | [`help`] | the data of the console's help page |

pub(crate) mod cases;
pub(crate) mod help;
pub(crate) mod manual;
pub(crate) mod providers;

use std::path::{Path, PathBuf};

/// A path below the root of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file that is generated, as a whole or in parts.
pub(crate) struct Document {
    /// The path below the root of the repository.
    pub(crate) path: String,
    /// What the file should contain.
    pub(crate) text: String,
}

impl Document {
    fn whole(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }

    /// The file as it is, with other text between the two comments that name each part.
    fn with_parts(path: &str, parts: &[(&str, String)]) -> Self {
        let mut text = std::fs::read_to_string(repository(path)).unwrap();
        for (part, list) in parts {
            let begin = format!("<!-- {part}: made by cargo xtask lists, do not edit -->\n");
            let end = format!("<!-- end of {part} -->");
            let (before, rest) = text.split_once(&begin).expect("the line before the list");
            let (_, after) = rest.split_once(&end).expect("the line after the list");
            text = format!("{before}{begin}{list}{end}{after}");
        }
        Self::whole(path, text)
    }

    /// A copy of another file, for a tool that reads files of its own folder only.
    fn copy(path: &str, of: &str) -> Self {
        Self::whole(path, std::fs::read_to_string(repository(of)).unwrap())
    }

    /// Whether the file that is checked in has this text.
    pub(crate) fn is_current(&self) -> bool {
        std::fs::read_to_string(repository(&self.path)).is_ok_and(|text| text == self.text)
    }

    pub(crate) fn write(&self) {
        std::fs::write(repository(&self.path), &self.text).unwrap();
    }
}

/// All generated files.
pub(crate) fn all() -> Vec<Document> {
    let mut documents = providers::documents();
    documents.extend([cases::document(), manual::document(), help::document(), schema()]);
    documents.extend(chart());
    documents
}

/// The JSON Schema of the configuration file, for editors.
pub(crate) fn schema() -> Document {
    let text = format!("{:#}\n", hookgate::config::schema());
    Document::whole("deploy/schema/gateway.schema.json", text)
}

/// The rules and the dashboard, which a chart reads from its own folder.
pub(crate) fn chart() -> [Document; 3] {
    [
        ("alerts.yml", "deploy/prometheus/alerts.yml"),
        ("recording.yml", "deploy/prometheus/recording.yml"),
        ("hookgate.json", "deploy/grafana/hookgate.json"),
    ]
    .map(|(name, of)| Document::copy(&format!("deploy/helm/hookgate/files/{name}"), of))
}
