//! Operations on local directories, as data: what they are made of is in [`crate::shell`] and in the simulator.

use kubefox_core::state::Claimed;
use kubefox_core::storage::Facts;
use zeroize::Zeroizing;

/// The directories a role knows. Where each is, is configuration of the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Folder {
    /// The controller's state: `boot.state`, `reserve`, `hold-seal`, `lock`.
    State,
    /// Projected service-account tokens.
    Tokens,
    /// The volume of Secret `kubefox-seal-key`.
    SealKey,
    /// The volume of Secret `kubefox-trust`.
    Trust,
    /// The volume shared with the pod's other containers.
    Shared,
}

/// The directory of Vault's data on the platform's volume.
pub const DATA: &str = "vault";
/// The state directory, its sibling.
pub const STATE: &str = "kubefox";

/// One operation.
pub enum Request {
    /// Take it for this process until it ends, unless another one has it. Does a file system begin there?
    Claim(Folder),
    /// Read a file of at most `limit` bytes.
    Read {
        /// Directory.
        folder: Folder,
        /// File name.
        name: &'static str,
        /// More than this is a failure.
        limit_bytes: u64,
    },
    /// Read two files as one: both from the same version of the directory.
    ReadPair {
        /// Directory.
        folder: Folder,
        /// File names.
        names: [&'static str; 2],
        /// More than this, each, is a failure.
        limit_bytes: u64,
    },
    /// Replace a file atomically and durably (write, fsync, rename, fsync of the directory), then read it back.
    Replace {
        /// Directory.
        folder: Folder,
        /// File name.
        name: &'static str,
        /// New content; mode 0600.
        bytes: Zeroizing<Vec<u8>>,
    },
    /// Is Vault's data on one file system with the state, and what is in it?
    InspectData,
    /// Rename Vault's data directory to this name beside it, durably. Never replaces anything.
    MoveData {
        /// The new name.
        to: String,
    },
    /// Make Vault's data directory with the volume's mode, durably. It must not exist.
    CreateData,
    /// Replace all files of a directory as one.
    ReplaceAll {
        /// Directory.
        folder: Folder,
        /// The files.
        files: Vec<NewFile>,
    },
}

/// A file to be written.
pub struct NewFile {
    /// File name.
    pub name: String,
    /// Content.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Permission bits.
    pub mode: u32,
}

/// How an operation ended.
pub enum Response {
    /// The directory is there, and this is whose it is.
    Claimed(Claimed),
    /// What lies on the volume with Vault's data.
    Data(Facts),
    /// The file's content.
    Bytes(Zeroizing<Vec<u8>>),
    /// Both files; `None` where one is absent.
    Pair([Option<Zeroizing<Vec<u8>>>; 2]),
    /// There is no such file or directory (ENOENT, and nothing else).
    Absent,
    /// Written, durable, read back.
    Done,
    /// The system refused, and nothing has changed: permission, no space, too large.
    Refused(std::io::ErrorKind),
    /// The system failed, and what is on the disk is not known: EIO and the like.
    Failed(std::io::ErrorKind),
}
