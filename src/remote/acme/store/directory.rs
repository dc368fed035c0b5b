//! A directory that replicas share. Every file is written beside the old one and renamed, so that a reader sees one of the
//! two. The lock is one of the system (`flock`): it ends with the process that has it.

use super::NO_RANDOM;
use super::values::{Name, StoreError};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

pub(super) struct Directory(pub(super) PathBuf);

/// What a file looks like from outside, to find out whether another process has replaced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp(Option<(u64, i64, i64)>);

impl Directory {
    pub(super) fn path(&self, name: &Name) -> PathBuf {
        self.0.join(name.file())
    }

    /// The content of a file; `None` if it does not exist.
    pub(super) fn read(&self, name: &Name) -> Result<Option<Vec<u8>>, StoreError> {
        read(&self.path(name))
    }

    /// Writes a file beside the old one and renames it. Only the user of the process may read it.
    pub(super) fn write(&self, name: &Name, content: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name);
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| StoreError::Unusable(NO_RANDOM.to_owned()))?;
        // Two replicas may have the same process id.
        let beside = path.with_extension(format!("new-{}", hex::encode(random)));
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&beside);
            cannot("write", &path, &error)
        })
    }

    pub(super) fn remove(&self, name: &Name) {
        let _ = fs::remove_file(self.path(name));
    }

    /// The lock; `None` while another process, or another certificate, has it.
    pub(super) fn lock(&self, name: &Name) -> Result<Option<File>, StoreError> {
        let path = self.path(name);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&path).map_err(|error| cannot("create", &path, &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(cannot("lock", &path, &error.into())),
        }
    }

    pub(super) fn stamp(&self, name: &Name) -> FileStamp {
        let found = fs::metadata(self.path(name)).ok();
        FileStamp(found.map(|found| (found.ino(), found.mtime(), found.mtime_nsec())))
    }

    /// The files with certificates, at most `most`: the names of the files, and what they contain.
    pub(super) fn certificates(&self, most: usize) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let certificates = paths.filter(|path| path.extension().is_some_and(|kind| kind == "certificate"));
        let contents = certificates.take(most).filter_map(|path| {
            let file = path.file_name()?.to_str()?.to_owned();
            Some((file, read(&path).ok()??))
        });
        contents.collect()
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("read", path, &error)),
    };
    let mut content = Vec::new();
    let read = file.take(MAX_FILE_BYTES).read_to_end(&mut content);
    read.map_err(|error| cannot("read", path, &error))?;
    Ok(Some(content))
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unusable(format!("cannot {what} {}: {error}", path.display()))
}
