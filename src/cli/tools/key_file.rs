//! The file of a private key that plays a provider, and what a route needs beside it: the public key, or a key set.

use super::files;
use crate::cli::{Failure, inputs};
use crate::scheme::{PrivateKey, PrivateKeyKind, PublishedKey};
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Reads the key from its file; makes a key of this kind, and the file, when it does not exist. Also returns whether it was
/// made.
///
/// # Errors
/// The file cannot be read or made, or has no private key.
pub(super) fn read_or_make(path: &Path, kind: PrivateKeyKind) -> Result<(PrivateKey, bool), Failure> {
    match fs::read(path) {
        Ok(text) => match PrivateKey::from_pem(&text) {
            Some(key) => Ok((key, false)),
            None => Err(Failure::Usage(format!(
                "{} is not a private key that can sign: write {} in PEM without a passphrase, or name a file that does not exist, and a key is made",
                path.display(),
                kind.name()
            ))),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let (key, pem) = PrivateKey::generate(kind)
                .ok_or_else(|| Failure::Failed("the system's random number generator failed".into()))?;
            let written = files::write(path, pem.as_bytes());
            written.map_err(|error| Failure::Usage(inputs::unwritable(path, &error)))?;
            Ok((key, true))
        }
        Err(error) => Err(Failure::Usage(inputs::unreadable(path, &error))),
    }
}

/// Writes what a route needs beside the key, and returns a text that says what to configure. `None` when the file is there
/// already.
///
/// # Errors
/// The file cannot be written.
pub(super) fn publish(key: &Path, key_is_new: bool, published: &PublishedKey) -> Result<Option<String>, Failure> {
    let path = beside(key, published);
    let failed = |error| Failure::Usage(inputs::unwritable(&path, &error));
    let mut file = match File::create_new(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists && !key_is_new => return Ok(None),
        // The old file belongs to another key.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => File::create(&path).map_err(failed)?,
        Err(error) => return Err(failed(error)),
    };
    file.write_all(published.text().as_bytes()).map_err(failed)?;
    let path = fs::canonicalize(&path).unwrap_or(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new("/")).display();
    let made = if key_is_new {
        format!("Made a private key: {}\n", key.display())
    } else {
        String::new()
    };
    let next = match published {
        PublishedKey::PublicKey(text) => format!(
            "Wrote its public key: {}\n{text}\nPut it into the route, and run this command again:\n  public_keys = [{{ file = {path:?} }}]\n",
            path.display()
        ),
        PublishedKey::KeySet(_) => format!(
            "Wrote its key set: {}\n\nServe it, put its URL into the route, and run this command again:\n  python3 -m http.server 8000 --bind 127.0.0.1 --directory {folder}\n  keys = {{ url = \"http://127.0.0.1:8000/{name}\" }}\n",
            path.display()
        ),
        PublishedKey::PlaidAnswer(_) => format!(
            "Wrote the answer of the key service: {}\n\nLet a server answer a POST with it, put its URL into the route, and run this command again:\n  keys = {{ url = \"http://127.0.0.1:8000/\", client_id = \"any\", secret = {{ env = \"PLAID_SECRET\" }} }}\n",
            path.display()
        ),
    };
    Ok(Some(format!("{made}{next}")))
}

/// The name of the published file: that of the key with an ending.
fn beside(key: &Path, published: &PublishedKey) -> PathBuf {
    let ending = match published {
        PublishedKey::PublicKey(_) => ".pub",
        PublishedKey::KeySet(_) | PublishedKey::PlaidAnswer(_) => ".jwks",
    };
    let mut name = key.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
