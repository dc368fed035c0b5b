//! Where the store is: its lock file, its file system, and the free space.

use rustix::fs::{FlockOperation, flock, statfs, statvfs};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// File systems that may lose what was written, or on which locks and syncs do not hold: their number in `statfs`.
const UNSAFE_FILESYSTEMS: [(u64, &str); 8] = [
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x794c_7630, "overlay"),
    (0x6969, "NFS"),
    (0xff53_4d42, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
];

/// The exclusive right to use a store. It ends with the value, and with the process.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

/// The path of another file beside the store.
#[must_use]
pub fn beside(store: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(store.as_os_str());
    name.push(ending);
    PathBuf::from(name)
}

impl StoreLock {
    /// Takes the lock of the store at this path. `None` while another process has it. The lock is a file of its own,
    /// because a lock on the database itself would shut out readers such as `sqlite3`.
    ///
    /// # Errors
    /// When the lock file cannot be created.
    pub fn take(store: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(beside(store, ".lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The name of the file system of the store's directory if it may lose what was written; `None` if it is safe.
///
/// # Errors
/// When the directory does not exist or cannot be read.
pub fn unsafe_filesystem(store: &Path) -> io::Result<Option<&'static str>> {
    let kind = statfs(directory(store))?.f_type;
    // The type of the number differs between platforms; its lower 32 bits are the same.
    #[expect(clippy::cast_sign_loss, reason = "the number is a set of bits")]
    let kind = kind as u64 & 0xffff_ffff;
    let found = UNSAFE_FILESYSTEMS.iter().find(|(number, _)| *number == kind);
    Ok(found.map(|(_, name)| *name))
}

/// Bytes that an unprivileged process may still write to the store's file system.
///
/// # Errors
/// When the directory does not exist or cannot be read.
pub fn free_bytes(store: &Path) -> io::Result<u64> {
    let found = statvfs(directory(store))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// The owner of the store's file, as a user id; `None` when there is no file.
#[must_use]
pub fn owner(store: &Path) -> Option<u32> {
    std::fs::metadata(store).ok().map(|metadata| metadata.uid())
}

/// The directory of the store.
#[must_use]
pub fn directory(store: &Path) -> &Path {
    match store.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_owner_at_a_time_has_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("inbox.db");
        let first = StoreLock::take(&store).unwrap().unwrap();
        assert!(StoreLock::take(&store).unwrap().is_none());
        drop(first);
        assert!(StoreLock::take(&store).unwrap().is_some());
    }

    #[test]
    fn memory_is_not_a_safe_place_and_a_missing_directory_is_an_error() {
        assert_eq!(
            unsafe_filesystem(Path::new("/dev/shm/inbox.db")).unwrap(),
            Some("tmpfs")
        );
        assert!(unsafe_filesystem(Path::new("/nowhere/at/all/inbox.db")).is_err());
        assert!(free_bytes(Path::new("inbox.db")).unwrap() > 0);
    }
}
