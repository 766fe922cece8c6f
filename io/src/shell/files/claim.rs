//! Claims the state directory: an exclusive lock (flock) on its file `lock`, held as long as the process lives.
//!
//! The kernel gives it up when the process ends, however it ends, so nothing is ever left behind that a person would have
//! to clear away. The file stays and is never written. It is close-on-exec like every file of the standard library: no
//! child keeps the lock alive.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use kubefox_core::state::Claimed;
use rustix::io::Errno;

use super::{ended, is_mount_point};
use crate::disk::Response;

/// The file that is locked.
const LOCK: &str = "lock";

/// Nobody but the owner locks the controller's state.
const MODE: u32 = 0o600;

/// The lock of one process on its state directory. Dropping it gives the lock up.
#[derive(Debug, Default)]
pub struct Claim {
    /// The locked file.
    held: Option<File>,
}

impl Claim {
    /// Takes the lock without waiting, unless it is held already.
    pub(super) fn take(&mut self, folder: &Path) -> Response {
        self.try_take(folder).unwrap_or_else(|error| ended(&error))
    }

    fn try_take(&mut self, folder: &Path) -> io::Result<Response> {
        let mount_point = is_mount_point(folder)?;
        let path = folder.join(LOCK);
        let ours = Response::Claimed(Claimed::Ours { mount_point });
        if let Some(held) = &self.held
            && is_at(held, &path)?
        {
            return Ok(ours);
        }
        // Somebody removed the file, or there was never one of ours: a lock on a file without a name keeps nobody out.
        self.held = None;
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(&path)?;
        match file.try_lock() {
            Ok(()) if is_at(&file, &path)? => {
                self.held = Some(file);
                Ok(ours)
            }
            // It was removed between the two.
            Ok(()) => Err(ErrorKind::Interrupted.into()),
            Err(TryLockError::WouldBlock) => Ok(Response::Claimed(Claimed::Others)),
            Err(TryLockError::Error(error)) if knows_no_locks(&error) => {
                Ok(Response::Claimed(Claimed::Unlockable))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Whether this path leads to that file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(path) {
        Ok(there) => Ok(identity(there) == identity(file.metadata()?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What flock(2) fails with where the file system, or the server behind it, has no locks.
fn knows_no_locks(error: &io::Error) -> bool {
    const NO_LOCKS: [Errno; 4] = [Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL, Errno::NOLCK];
    error.raw_os_error().is_some_and(|code| NO_LOCKS.contains(&Errno::from_raw_os_error(code)))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    use tempfile::TempDir;

    use super::*;

    /// Tells the process that a test starts of this program which directory to hold.
    const HOLD: &str = "KUBEFOX_TEST_HOLD";
    const HOLDER: &str = "shell::files::claim::tests::a_process_that_is_killed_gives_its_lock_up";

    const OURS: Claimed = Claimed::Ours { mount_point: false };

    #[test]
    fn of_two_one_holds_it_until_it_is_dropped() {
        let folder = TempDir::new().expect("a temporary directory");
        let (mut one, mut other) = (Claim::default(), Claim::default());

        assert_eq!(claim(&mut one, &folder), OURS);
        assert_eq!(claim(&mut one, &folder), OURS, "it holds it already");
        assert_eq!(claim(&mut other, &folder), Claimed::Others);
        assert_eq!(claim(&mut other, &folder), Claimed::Others);
        drop(one);
        assert_eq!(claim(&mut other, &folder), OURS);

        let file = fs::metadata(folder.path().join(LOCK)).expect("it stays");
        assert_eq!((file.permissions().mode() & 0o777, file.len()), (0o600, 0));
    }

    #[test]
    fn a_lock_whose_file_was_removed_is_taken_anew() {
        let folder = TempDir::new().expect("a temporary directory");
        let (mut one, mut other) = (Claim::default(), Claim::default());
        assert_eq!(claim(&mut one, &folder), OURS);

        fs::remove_file(folder.path().join(LOCK)).expect("it is there");
        assert_eq!(claim(&mut other, &folder), OURS, "nothing keeps it out");

        assert_eq!(claim(&mut one, &folder), Claimed::Others, "and one finds out");
    }

    #[test]
    fn without_a_directory_there_is_nothing_to_claim() {
        let folder = TempDir::new().expect("a temporary directory");

        let response = Claim::default().take(&folder.path().join("missing"));

        assert!(matches!(response, Response::Absent));
    }

    #[test]
    fn a_process_that_is_killed_gives_its_lock_up() {
        if let Some(folder) = std::env::var_os(HOLD) {
            let mut claim = Claim::default();
            let held = matches!(claim.take(Path::new(&folder)), Response::Claimed(OURS));
            writeln!(io::stdout(), "\n{}", if held { "held" } else { "not held" }).expect("stdout is open");
            std::thread::park();
            return;
        }
        let folder = TempDir::new().expect("a temporary directory");
        let program = std::env::current_exe().expect("this test");
        let mut holder = Command::new(program)
            .args(["--exact", HOLDER, "--nocapture"])
            .env(HOLD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test");
        let lines = BufReader::new(holder.stdout.take().expect("a pipe")).lines();
        let mut said = lines.map_while(Result::ok).filter(|line| line.ends_with("held"));
        let said = said.next();
        let mut claimant = Claim::default();
        let meanwhile = claim(&mut claimant, &folder);
        holder.kill().expect("it is alive");
        holder.wait().expect("it was killed");

        assert_eq!((said.as_deref(), meanwhile), (Some("held"), Claimed::Others));
        assert_eq!(claim(&mut claimant, &folder), OURS);
    }

    #[test]
    fn a_file_system_without_locks_is_told_from_one_that_fails() {
        for (error, without) in [
            (Errno::OPNOTSUPP, true),
            (Errno::NOSYS, true),
            (Errno::INVAL, true),
            (Errno::NOLCK, true),
            (Errno::IO, false),
            (Errno::BADF, false),
        ] {
            let error = io::Error::from_raw_os_error(error.raw_os_error());
            assert_eq!(knows_no_locks(&error), without, "{error}");
        }
    }

    fn claim(claim: &mut Claim, folder: &TempDir) -> Claimed {
        match claim.take(folder.path()) {
            Response::Claimed(claimed) => claimed,
            Response::Data(_)
            | Response::Bytes(_)
            | Response::Pair(_)
            | Response::Absent
            | Response::Done
            | Response::Refused(_)
            | Response::Failed(_) => panic!("a claim is answered with whose it is"),
        }
    }
}
