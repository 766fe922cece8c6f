//! Moves Vault's data directory aside: renames it, and makes it anew. Deletes nothing.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use kubefox_core::storage::{Data, Facts};

use super::{ended, sync_folder};
use crate::disk::{DATA, Response, STATE};

/// What a new data directory is called until it is complete.
const UNFINISHED: &str = ".vault.tmp";
/// Nobody else looks into it before it has its mode.
const UNFINISHED_MODE: u32 = 0o700;
/// Permission bits, with set-user-id, set-group-id and sticky: a volume's group is inherited by the second.
const MODE_BITS: u32 = 0o7777;

/// What lies on the volume.
pub(super) fn inspect(volume: &Path) -> io::Result<Facts> {
    let state = fs::metadata(volume.join(STATE))?.dev();
    let data = volume.join(DATA);
    // A link is not followed: it would be renamed, and what it leads to would stay.
    let (device, data) = match fs::symlink_metadata(&data) {
        Ok(found) if found.is_dir() => (found.dev(), content(&data)?),
        Ok(found) => (found.dev(), Data::Present),
        Err(error) if error.kind() == ErrorKind::NotFound => (fs::metadata(volume)?.dev(), Data::Missing),
        Err(error) => return Err(error),
    };
    Ok(Facts { one_file_system: device == state, data })
}

fn content(folder: &Path) -> io::Result<Data> {
    let mut entries = match fs::read_dir(folder) {
        // Only Vault may look into it, and it can be renamed all the same.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(Data::Present),
        entries => entries?,
    };
    Ok(if entries.next().transpose()?.is_none() { Data::Empty } else { Data::Present })
}

/// Renames the data directory. A rename would replace an empty directory of that name, so the name must be free; only
/// one process of one pod ever works on the volume.
pub(super) fn move_aside(volume: &Path, to: &str) -> Response {
    let (from, to) = (volume.join(DATA), volume.join(to));
    match fs::symlink_metadata(&to) {
        Ok(_) => return Response::Refused(ErrorKind::AlreadyExists),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return ended(&error),
    }
    match fs::rename(from, to) {
        Ok(()) => synced(volume),
        // Something is mounted there, or it is another file system: a rename that fails like this has done nothing.
        Err(error) if matches!(error.kind(), ErrorKind::ResourceBusy | ErrorKind::CrossesDevices) => {
            Response::Refused(error.kind())
        }
        Err(error) => ended(&error),
    }
}

/// Makes the data directory. It appears with its mode, or not at all.
pub(super) fn create(volume: &Path) -> Response {
    let (unfinished, data) = (volume.join(UNFINISHED), volume.join(DATA));
    match fs::symlink_metadata(&data) {
        Ok(_) => return Response::Refused(ErrorKind::AlreadyExists),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return ended(&error),
    }
    let made = match DirBuilder::new().mode(UNFINISHED_MODE).create(&unfinished) {
        // Whoever made it died before it was complete.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => fs::metadata(volume),
    };
    let renamed = made
        .and_then(|volume| {
            fs::set_permissions(&unfinished, Permissions::from_mode(volume.mode() & MODE_BITS))
        })
        .and_then(|()| fs::rename(&unfinished, &data));
    match renamed {
        Ok(()) => synced(volume),
        Err(error) => ended(&error),
    }
}

fn synced(volume: &Path) -> Response {
    match sync_folder(volume) {
        Ok(()) => Response::Done,
        Err(error) => Response::Failed(error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Request;
    use crate::shell::files::{Claim, Directories, perform};
    use tempfile::TempDir;

    const QUARANTINE: &str = "quarantine-1800000000";

    #[test]
    fn vaults_data_is_renamed_and_its_directory_made_anew_with_the_volumes_mode() {
        let volume = volume(0o2770);
        assert_eq!(inspected(&volume), Some(Facts { one_file_system: true, data: Data::Present }));

        assert_eq!(seen(&volume, &move_to_quarantine()), Seen::Done);
        assert_eq!(inspected(&volume), Some(Facts { one_file_system: true, data: Data::Missing }));
        assert_eq!(seen(&volume, &Request::CreateData), Seen::Done);

        assert_eq!(inspected(&volume), Some(Facts { one_file_system: true, data: Data::Empty }));
        let kept = fs::read(volume.path().join(QUARANTINE).join("vault.db")).expect("it was renamed");
        assert_eq!(kept, b"raft");
        let mode = fs::metadata(volume.path().join(DATA)).expect("it was made").mode() & MODE_BITS;
        assert_eq!(mode, 0o2770);
        assert_eq!(names(&volume), [STATE, QUARANTINE, DATA]);
    }

    #[test]
    fn nothing_is_ever_replaced() {
        let volume = volume(0o770);
        fs::create_dir(volume.path().join(QUARANTINE))
            .expect("an empty directory, which a rename would replace");

        assert_eq!(seen(&volume, &move_to_quarantine()), Seen::Refused(ErrorKind::AlreadyExists));
        assert_eq!(seen(&volume, &Request::CreateData), Seen::Refused(ErrorKind::AlreadyExists));

        assert_eq!(fs::read(volume.path().join("vault/vault.db")).expect("untouched"), b"raft");
    }

    #[test]
    fn a_directory_that_was_not_finished_is_finished() {
        let volume = volume(0o770);
        assert_eq!(seen(&volume, &move_to_quarantine()), Seen::Done);
        fs::create_dir(volume.path().join(UNFINISHED)).expect("a leftover");

        assert_eq!(seen(&volume, &Request::CreateData), Seen::Done);

        assert_eq!(names(&volume), [STATE, QUARANTINE, DATA]);
    }

    #[test]
    fn data_that_is_not_there_and_a_volume_that_is_not_mounted_are_told_apart_from_an_empty_one() {
        let volume = volume(0o770);
        fs::remove_dir_all(volume.path().join(DATA)).expect("there is data");
        assert_eq!(seen(&volume, &move_to_quarantine()), Seen::Absent);
        assert!(matches!(
            perform(&Directories::default(), &mut Claim::default(), &Request::InspectData),
            Response::Absent
        ));
        fs::remove_dir(volume.path().join(STATE)).expect("there is a state directory");
        assert_eq!(inspected(&volume), None);
    }

    #[test]
    fn a_link_is_moved_and_not_followed() {
        let (volume, elsewhere) = (volume(0o770), TempDir::new().expect("a directory"));
        fs::remove_dir_all(volume.path().join(DATA)).expect("there is data");
        std::os::unix::fs::symlink(elsewhere.path(), volume.path().join(DATA)).expect("a link");

        assert_eq!(inspected(&volume).map(|facts| facts.data), Some(Data::Present));
        assert_eq!(seen(&volume, &move_to_quarantine()), Seen::Done);

        assert!(fs::symlink_metadata(volume.path().join(QUARANTINE)).expect("renamed").is_symlink());
        assert!(elsewhere.path().is_dir());
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Done,
        Absent,
        Refused(ErrorKind),
        Other,
    }

    fn seen(volume: &TempDir, request: &Request) -> Seen {
        match perform(&directories(volume), &mut Claim::default(), request) {
            Response::Done => Seen::Done,
            Response::Absent => Seen::Absent,
            Response::Refused(kind) => Seen::Refused(kind),
            Response::Claimed(_)
            | Response::Data(_)
            | Response::Bytes(_)
            | Response::Pair(_)
            | Response::Failed(_) => Seen::Other,
        }
    }

    fn inspected(volume: &TempDir) -> Option<Facts> {
        match perform(&directories(volume), &mut Claim::default(), &Request::InspectData) {
            Response::Data(facts) => Some(facts),
            Response::Claimed(_)
            | Response::Bytes(_)
            | Response::Pair(_)
            | Response::Absent
            | Response::Done
            | Response::Refused(_)
            | Response::Failed(_) => None,
        }
    }

    fn directories(volume: &TempDir) -> Directories {
        Directories { volume: Some(volume.path().to_owned()), ..Directories::default() }
    }

    fn move_to_quarantine() -> Request {
        Request::MoveData { to: QUARANTINE.to_owned() }
    }

    /// A volume on which a Vault was initialized.
    fn volume(mode: u32) -> TempDir {
        let volume = TempDir::new().expect("a directory");
        fs::set_permissions(volume.path(), Permissions::from_mode(mode)).expect("it is ours");
        fs::create_dir(volume.path().join(STATE)).expect("it is empty");
        fs::create_dir(volume.path().join(DATA)).expect("it is empty");
        fs::write(volume.path().join("vault/vault.db"), "raft").expect("it is empty");
        volume
    }

    fn names(volume: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(volume.path()).expect("it is a directory");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("it can be read").file_name().into_string().expect("it is text"))
            .collect();
        names.sort();
        names
    }
}
