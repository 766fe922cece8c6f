//! The directories of one pod, in memory: every operation is atomic and durable, or refused.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;

use kubefox_core::state::Claimed;
use kubefox_core::storage::{Data, Facts};
use kubefox_io::disk::{Folder, NewFile, Request, Response};
use zeroize::Zeroizing;

/// A process, as the kernel tells those who lock apart. No two have the same number, however often one starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder(pub u64);

impl Holder {
    /// Whoever looks at the disk, or writes there, and is no process of the model. It never claims anything.
    pub const NONE: Self = Self(0);
}

/// Directories by role, files by name. A directory that was never made is absent.
#[derive(Clone, Default)]
pub struct Disk {
    /// Who holds the lock on the state directory. It is no file here: nobody removes it.
    lock: Option<Holder>,
    /// Shared by forked worlds until one of them writes there.
    folders: BTreeMap<Folder, Arc<Directory>>,
    /// The volume that holds the state and Vault's data as siblings, mounted as a whole.
    pub volume: Volume,
}

/// What lies beside the state on its volume. What is in Vault's data is Vault's; here is only where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Whether the data is on one file system with the state.
    pub one_file_system: bool,
    /// The data directory.
    pub data: Data,
    /// What was moved aside, by name.
    pub quarantines: BTreeSet<String>,
}

impl Default for Volume {
    fn default() -> Self {
        Self { one_file_system: true, data: Data::Missing, quarantines: BTreeSet::new() }
    }
}

#[derive(Clone, Default)]
struct Directory {
    mount_point: bool,
    files: BTreeMap<String, Vec<u8>>,
}

impl Disk {
    /// Makes a directory, or changes whether it is a volume of its own.
    pub fn mount(&mut self, folder: Folder, mount_point: bool) {
        Arc::make_mut(self.folders.entry(folder).or_default()).mount_point = mount_point;
    }

    /// What the kubelet does: all files of a volume are replaced as one.
    pub fn project(&mut self, folder: Folder, files: BTreeMap<String, Vec<u8>>) {
        let directory = self.folders.entry(folder).or_default();
        if directory.files != files {
            *directory = Arc::new(Directory { mount_point: directory.mount_point, files });
        }
    }

    /// A file as it lies there.
    #[must_use]
    pub fn file(&self, folder: Folder, name: &str) -> Option<&[u8]> {
        self.folders.get(&folder)?.files.get(name).map(Vec::as_slice)
    }

    /// Every file there is, for the invariants.
    pub fn files(&self) -> impl Iterator<Item = (Folder, &str, &[u8])> {
        self.folders.iter().flat_map(|(folder, directory)| {
            directory.files.iter().map(|(name, bytes)| (*folder, name.as_str(), bytes.as_slice()))
        })
    }

    /// Whether that process holds the lock on the state directory.
    #[must_use]
    pub fn is_held_by(&self, holder: Holder) -> bool {
        self.lock == Some(holder)
    }

    /// That process has ended, and the kernel gives up what it held.
    pub fn end(&mut self, holder: Holder) {
        self.lock = self.lock.filter(|lock| *lock != holder);
    }

    /// Nobody holds the lock any more, and whoever held it does not know.
    pub fn break_lock(&mut self) {
        self.lock = None;
    }

    /// Performs one operation of that process.
    pub fn perform(&mut self, by: Holder, request: Request) -> Response {
        match request {
            Request::Claim(folder) => self.claim(by, folder),
            Request::InspectData => {
                let Volume { one_file_system, data, .. } = self.volume;
                Response::Data(Facts { one_file_system, data })
            }
            Request::MoveData { to } => self.volume.move_data(to),
            Request::CreateData => self.volume.create_data(),
            Request::Read { folder, name, limit_bytes } => match self.file(folder, name) {
                Some(bytes) if bytes.len() as u64 > limit_bytes => Response::Refused(ErrorKind::FileTooLarge),
                Some(bytes) => Response::Bytes(Zeroizing::new(bytes.to_vec())),
                None => Response::Absent,
            },
            Request::ReadPair { folder, names, limit_bytes } => {
                let read =
                    names.map(|name| self.file(folder, name).map(|bytes| Zeroizing::new(bytes.to_vec())));
                let too_large = |bytes: &Option<Zeroizing<Vec<u8>>>| {
                    bytes.as_ref().is_some_and(|bytes| bytes.len() as u64 > limit_bytes)
                };
                if read.iter().any(too_large) {
                    return Response::Refused(ErrorKind::FileTooLarge);
                }
                Response::Pair(read)
            }
            Request::Replace { folder, name, bytes } => {
                match self.folders.get_mut(&folder).map(Arc::make_mut) {
                    Some(directory) => {
                        directory.files.insert(name.to_owned(), bytes.to_vec());
                        Response::Done
                    }
                    None => Response::Refused(ErrorKind::NotFound),
                }
            }
            Request::ReplaceAll { folder, files } => match self.folders.get_mut(&folder).map(Arc::make_mut) {
                Some(directory) => {
                    directory.files = files
                        .into_iter()
                        .map(|NewFile { name, bytes, mode: _ }| (name, bytes.to_vec()))
                        .collect();
                    Response::Done
                }
                None => Response::Refused(ErrorKind::NotFound),
            },
        }
    }
}

impl Disk {
    fn claim(&mut self, by: Holder, folder: Folder) -> Response {
        assert!(folder == Folder::State && by != Holder::NONE, "{by:?} claims {folder:?}");
        match self.folders.get(&folder) {
            Some(directory) if *self.lock.get_or_insert(by) == by => {
                Response::Claimed(Claimed::Ours { mount_point: directory.mount_point })
            }
            Some(_) => Response::Claimed(Claimed::Others),
            None => Response::Absent,
        }
    }
}

impl Volume {
    fn move_data(&mut self, to: String) -> Response {
        if self.quarantines.contains(&to) {
            return Response::Refused(ErrorKind::AlreadyExists);
        }
        match self.data {
            Data::Missing => Response::Absent,
            Data::Empty | Data::Present => {
                self.quarantines.insert(to);
                self.data = Data::Missing;
                Response::Done
            }
        }
    }

    fn create_data(&mut self) -> Response {
        match self.data {
            Data::Missing => {
                self.data = Data::Empty;
                Response::Done
            }
            Data::Empty | Data::Present => Response::Refused(ErrorKind::AlreadyExists),
        }
    }
}
