//! Replaces all files of a folder as one, the way the kubelet does it for projected volumes:
//!
//! ```text
//!   nats.conf  ─> ..data/nats.conf
//!   ..data     ─> ..version-2           replaced by rename: the one moment at which everything changes
//!   ..version-2/nats.conf
//! ```
//!
//! Links to new files are made before that moment and hang in the air until then; links to files that are gone are
//! removed after it. So no reader ever sees a part of a version.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use super::replace::{read_back, write_new};
use super::{DATA_LINK, ended, sync_folder};
use crate::disk::{NewFile, Response};

const VERSION_PREFIX: &str = "..version-";

/// A link on its way to its name. One at a time, so one name is enough.
const LINK_TEMPORARY: &str = "..link.tmp";

/// Files within a folder.
const FILES_MAX: usize = 64;

/// Readable for whoever may enter the volume; the files have modes of their own.
const FOLDER_MODE: u32 = 0o755;

pub(super) fn replace_all(folder: &Path, files: &[NewFile]) -> Response {
    if files.len() > FILES_MAX || !files.iter().all(|file| is_plain(&file.name)) {
        return Response::Refused(ErrorKind::InvalidInput);
    }
    let old = fs::read_link(folder.join(DATA_LINK)).ok();
    let version = successor(old.as_deref());
    let prepared = sweep(folder, old.as_deref())
        .and_then(|()| write_version(&folder.join(&version), files))
        .and_then(|()| files.iter().try_for_each(|file| link_file(folder, &file.name)))
        .and_then(|()| link(folder, &version, DATA_LINK));
    if let Err(error) = prepared {
        // It may never have been made; then there is nothing to remove.
        let _ = fs::remove_dir_all(folder.join(&version));
        return ended(&error);
    }
    if let Err(error) = sync_folder(folder).and_then(|()| read_all_back(folder, files)) {
        return Response::Failed(error.kind());
    }
    if let Err(error) = sweep(folder, Some(Path::new(&version))).and_then(|()| unlink_gone(folder, files)) {
        // The new version stands; what is left of the old one goes with the next replacement.
        tracing::warn!(%error, folder = %folder.display(), "OldFilesNotRemoved");
    }
    Response::Done
}

/// A name that stays within the folder and is none of the kubelet's own.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && !name.starts_with("..") && !name.contains(['/', '\0'])
}

/// The name of the version after `old`.
fn successor(old: Option<&Path>) -> String {
    let number = old
        .and_then(Path::to_str)
        .and_then(|name| name.strip_prefix(VERSION_PREFIX))
        .and_then(|number| number.parse::<u64>().ok());
    format!("{VERSION_PREFIX}{}", number.map_or(1, |number| number.wrapping_add(1)))
}

fn write_version(version: &Path, files: &[NewFile]) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER_MODE).create(version)?;
    for file in files {
        write_new(&version.join(&file.name), &file.bytes, file.mode)?;
    }
    sync_folder(version)
}

/// Makes `name` lead to the file of that name in whatever version is current.
fn link_file(folder: &Path, name: &str) -> io::Result<()> {
    let target = Path::new(DATA_LINK).join(name);
    if fs::read_link(folder.join(name)).is_ok_and(|present| present == target) {
        return Ok(());
    }
    link(folder, target, name)
}

/// Makes or replaces a link by rename.
fn link(folder: &Path, target: impl AsRef<Path>, name: &str) -> io::Result<()> {
    let temporary = folder.join(LINK_TEMPORARY);
    symlink(target, &temporary)?;
    fs::rename(&temporary, folder.join(name))
}

fn read_all_back(folder: &Path, files: &[NewFile]) -> io::Result<()> {
    let current = folder.join(DATA_LINK);
    files.iter().try_for_each(|file| read_back(&current.join(&file.name), &file.bytes))
}

/// Removes every version but `current`, and what a crash left.
fn sweep(folder: &Path, current: Option<&Path>) -> io::Result<()> {
    for name in names(folder)? {
        let text = name.to_string_lossy();
        if text == LINK_TEMPORARY {
            fs::remove_file(folder.join(&name))?;
        } else if text.starts_with(VERSION_PREFIX) && current != Some(&name) {
            fs::remove_dir_all(folder.join(&name))?;
        }
    }
    Ok(())
}

/// Removes the links to files that are not part of the current version.
fn unlink_gone(folder: &Path, files: &[NewFile]) -> io::Result<()> {
    for name in names(folder)? {
        let ours = fs::read_link(folder.join(&name)).is_ok_and(|target| target.starts_with(DATA_LINK));
        if ours && !files.iter().any(|file| OsStr::new(&file.name) == name) {
            fs::remove_file(folder.join(&name))?;
        }
    }
    sync_folder(folder)
}

fn names(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(PathBuf::from(entry?.file_name()))).collect()
}
