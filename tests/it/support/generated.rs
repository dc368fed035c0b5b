//! Compares generated files with those that are checked in.

use crate::generated::Document;

/// Fails unless every document is checked in as it is generated. With `UPDATE_LISTS=1` it writes them instead.
pub(crate) fn are_current(documents: &[Document]) {
    let outdated: Vec<&Document> = documents.iter().filter(|document| !document.is_current()).collect();
    if std::env::var_os("UPDATE_LISTS").is_some() {
        outdated.iter().for_each(|document| document.write());
        return;
    }
    let paths: Vec<&str> = outdated.iter().map(|document| document.path.as_str()).collect();
    assert!(
        paths.is_empty(),
        "out of date: {}; run `cargo xtask lists`",
        paths.join(", ")
    );
}
