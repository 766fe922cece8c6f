//! The directory of one run: the operator's, kept between runs, or one that is removed at the end.

use std::fs::{File, Permissions, TryLockError};
use std::io::{Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::kubelet::make;

/// Says which servers wrote the directory, and is locked while a run uses it.
const LOCK: &str = "up.lock";
/// Longer is not ours.
const SERVERS_BYTES_MAX: u64 = 64;

/// Where disks, volumes and logs are.
pub(super) enum State {
    /// Chosen by the operator; nobody else uses it while the file is locked.
    Chosen {
        /// The directory.
        path: PathBuf,
        /// Unlocked when it is closed, however this process ends.
        _lock: File,
    },
    /// Removed when this is dropped.
    Temporary(tempfile::TempDir),
}

impl State {
    /// Opens the chosen directory for servers of that kind, or makes a new one.
    pub(super) fn open(chosen: Option<&Path>, servers: &str) -> Result<Self> {
        let state = match chosen {
            Some(path) => {
                let path = std::path::absolute(path)?;
                make(&path)?;
                Self::Chosen { _lock: lock(&path, servers)?, path }
            }
            None => {
                // Keys lie in it: nobody else may enter.
                let ours = Permissions::from_mode(0o700);
                let made = tempfile::Builder::new().prefix("kubefox-up-").permissions(ours).tempdir();
                Self::Temporary(made.context("no temporary directory can be made")?)
            }
        };
        make(&state.logs())?;
        Ok(state)
    }

    /// The directory.
    #[must_use]
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Chosen { path, .. } => path,
            Self::Temporary(directory) => directory.path(),
        }
    }

    /// Where the logs are.
    #[must_use]
    pub(super) fn logs(&self) -> PathBuf {
        self.path().join("logs")
    }

    /// Leaves the directory to whoever wants to know what went wrong.
    pub(super) fn keep(self) -> PathBuf {
        match self {
            Self::Chosen { path, .. } => path,
            Self::Temporary(directory) => directory.keep(),
        }
    }
}

/// One run at a time, and always the same kind of servers: disks of one kind are a loss of storage to the other.
fn lock(directory: &Path, servers: &str) -> Result<File> {
    let path = directory.join(LOCK);
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "{} is in use by another `up`: end that one, or choose another --state",
            directory.display()
        ),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("{} cannot be locked", path.display()));
        }
    }
    let mut earlier = String::new();
    Read::by_ref(&mut file).take(SERVERS_BYTES_MAX).read_to_string(&mut earlier)?;
    match earlier.trim() {
        "" => writeln!(file, "{servers}").with_context(|| format!("{} cannot be written", path.display()))?,
        same if same == servers => {}
        other => bail!(
            "{} holds the disks of {other} servers, and these are {servers} ones: start it as it was started before, \
             or choose another --state",
            directory.display()
        ),
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_serves_one_run_at_a_time_and_one_kind_of_servers() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let open = |servers| State::open(Some(folder.path()), servers).map_err(|error| error.to_string());

        let first = open("embedded").expect("it is free");
        let busy = open("embedded").err().expect("it is in use");
        drop(first);
        let foreign = open("real").err().expect("its disks are the embedded servers'");

        assert!(busy.contains("is in use by another `up`"), "{busy}");
        assert!(foreign.contains("holds the disks of embedded servers"), "{foreign}");
        assert!(open("embedded").is_ok());
    }

    #[test]
    fn a_temporary_directory_is_private_and_goes_unless_it_is_kept() {
        let gone = State::open(None, "embedded").expect("a directory");
        let path = gone.path().to_owned();
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "only its user may enter");
        drop(gone);
        assert!(!path.exists());

        let kept = State::open(None, "embedded").expect("a directory").keep();
        assert!(kept.join("logs").is_dir());
        std::fs::remove_dir_all(kept).expect("it is ours");
    }
}
