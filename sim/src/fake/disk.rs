//! The directories of one pod, in memory: every operation is atomic and durable, or refused.

use std::collections::BTreeMap;

use kubefox_io::disk::{Folder, NewFile, Request, Response};
use zeroize::Zeroizing;

/// Directories by role, files by name. A directory that was never made is absent.
#[derive(Clone, Default)]
pub struct Disk {
    folders: BTreeMap<Folder, Directory>,
}

#[derive(Clone, Default)]
struct Directory {
    mount_point: bool,
    files: BTreeMap<String, Vec<u8>>,
}

impl Disk {
    /// Makes a directory, or changes whether it is a volume of its own.
    pub fn mount(&mut self, folder: Folder, mount_point: bool) {
        self.folders.entry(folder).or_default().mount_point = mount_point;
    }

    /// What the kubelet does: all files of a volume are replaced as one.
    pub fn project(&mut self, folder: Folder, files: BTreeMap<String, Vec<u8>>) {
        self.folders.entry(folder).or_default().files = files;
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

    /// Performs one operation.
    pub fn perform(&mut self, request: Request) -> Response {
        match request {
            Request::Inspect(folder) => match self.folders.get(&folder) {
                Some(directory) => Response::Folder { mount_point: directory.mount_point },
                None => Response::Absent,
            },
            Request::Read { folder, name, limit_bytes } => match self.file(folder, name) {
                Some(bytes) if bytes.len() as u64 > limit_bytes => {
                    Response::Refused(std::io::ErrorKind::FileTooLarge)
                }
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
                    return Response::Refused(std::io::ErrorKind::FileTooLarge);
                }
                Response::Pair(read)
            }
            Request::Replace { folder, name, bytes } => match self.folders.get_mut(&folder) {
                Some(directory) => {
                    directory.files.insert(name.to_owned(), bytes.to_vec());
                    Response::Done
                }
                None => Response::Refused(std::io::ErrorKind::NotFound),
            },
            Request::ReplaceAll { folder, files } => match self.folders.get_mut(&folder) {
                Some(directory) => {
                    directory.files = files
                        .into_iter()
                        .map(|NewFile { name, bytes, mode: _ }| (name, bytes.to_vec()))
                        .collect();
                    Response::Done
                }
                None => Response::Refused(std::io::ErrorKind::NotFound),
            },
        }
    }
}
