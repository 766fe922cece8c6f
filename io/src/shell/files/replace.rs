//! Replaces one file: write a temporary one, fsync, rename, fsync the directory, read back.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use subtle::ConstantTimeEq;

use super::{ended, read_file, sync_folder};
use crate::disk::Response;

/// Nobody but the owner reads the controller's state.
const MODE: u32 = 0o600;

/// Replaces `name`. Whoever reads it, at whatever moment and after whatever crash, sees all of the old or all of the
/// new content.
pub(super) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> Response {
    let (path, temporary) = (folder.join(name), folder.join(format!(".{name}.tmp")));
    let written = remove_leftover(&temporary)
        .and_then(|()| write_new(&temporary, bytes, MODE))
        .and_then(|()| fs::rename(&temporary, &path));
    if let Err(error) = written {
        // It may never have been made; then there is nothing to remove.
        let _ = fs::remove_file(&temporary);
        return ended(&error);
    }
    match sync_folder(folder).and_then(|()| read_back(&path, bytes)) {
        Ok(()) => Response::Done,
        Err(error) => Response::Failed(error.kind()),
    }
}

/// Writes a file that must not exist, durably.
pub(super) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The process's umask must not take away what a reader of another group needs.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Holds what the disk says against what was written.
pub(super) fn read_back(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let length = u64::try_from(bytes.len()).map_err(|_| ErrorKind::FileTooLarge)?;
    let found = read_file(path, length)?;
    if bool::from(found.as_slice().ct_eq(bytes)) { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
}

/// A crash may have left the temporary file of an earlier write.
fn remove_leftover(temporary: &Path) -> io::Result<()> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
