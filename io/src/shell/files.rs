//! Performs [`crate::disk::Request`]s on real directories. One at a time: an operation whose caller gave up ends
//! before the next one begins, so that a late write never overtakes a newer one.

mod bundle;
mod claim;
mod replace;
mod storage;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

pub use self::claim::Claim;
use crate::disk::{Folder, Request, Response};

/// The symbolic link of a projected volume to its present version, as the kubelet names it.
const DATA_LINK: &str = "..data";

/// Where the folders of a role are. What a role does not have is absent.
#[derive(Clone, Debug, Default)]
pub struct Directories {
    /// The volume that holds the state and Vault's data as siblings, where it is mounted as a whole.
    pub volume: Option<PathBuf>,
    /// The controller's state; a mount point, so that it survives the pod.
    pub state: Option<PathBuf>,
    /// Projected service-account tokens.
    pub tokens: Option<PathBuf>,
    /// The volume of Secret `kubefox-seal-key`.
    pub seal_key: Option<PathBuf>,
    /// The volume of Secret `kubefox-trust`.
    pub trust: Option<PathBuf>,
    /// The volume shared with the pod's other containers.
    pub shared: Option<PathBuf>,
}

/// The files of one process.
#[derive(Clone, Debug)]
pub struct Files {
    directories: Arc<Directories>,
    /// Whoever has it has the turn.
    claim: Arc<Mutex<Claim>>,
}

impl Files {
    /// Files in these directories.
    #[must_use]
    pub fn new(directories: Directories) -> Self {
        Self { directories: Arc::new(directories), claim: Arc::default() }
    }

    /// Performs one operation on a thread that may block. Dropping the future does not stop an operation that has
    /// begun.
    pub fn carry(&self, request: Request) -> BoxFuture<'static, Response> {
        let (directories, claim) = (Arc::clone(&self.directories), Arc::clone(&self.claim));
        async move {
            let mut claim = claim.lock_owned().await;
            let performed = tokio::task::spawn_blocking(move || perform(&directories, &mut claim, &request));
            match performed.await {
                Ok(response) => response,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => Response::Failed(ErrorKind::Interrupted), // The runtime is shutting down.
            }
        }
        .boxed()
    }
}

/// Performs one operation. Blocks; callers see to it that there is one at a time, and keep the claim for the next.
#[must_use]
pub fn perform(directories: &Directories, claim: &mut Claim, request: &Request) -> Response {
    let root = match request {
        Request::Claim(folder)
        | Request::Read { folder, .. }
        | Request::ReadPair { folder, .. }
        | Request::Replace { folder, .. }
        | Request::ReplaceAll { folder, .. } => directories.root(*folder),
        Request::InspectData | Request::MoveData { .. } | Request::CreateData => {
            directories.volume.as_deref()
        }
    };
    let Some(root) = root else { return Response::Absent };
    let response = match request {
        Request::Claim(_) => Ok(claim.take(root)),
        Request::Read { name, limit_bytes, .. } => read_version(root, [*name], *limit_bytes)
            .map(|[bytes]| bytes.map_or(Response::Absent, Response::Bytes)),
        Request::ReadPair { names, limit_bytes, .. } => {
            read_version(root, *names, *limit_bytes).map(Response::Pair)
        }
        Request::InspectData => storage::inspect(root).map(Response::Data).map_err(|error| ended(&error)),
        Request::MoveData { to } => Ok(storage::move_aside(root, to)),
        Request::CreateData => Ok(storage::create(root)),
        Request::Replace { name, bytes, .. } => Ok(replace::replace(root, name, bytes)),
        Request::ReplaceAll { files, .. } => Ok(bundle::replace_all(root, files)),
    };
    response.unwrap_or_else(|ended| ended)
}

impl Directories {
    fn root(&self, folder: Folder) -> Option<&Path> {
        match folder {
            Folder::State => self.state.as_deref(),
            Folder::Tokens => self.tokens.as_deref(),
            Folder::SealKey => self.seal_key.as_deref(),
            Folder::Trust => self.trust.as_deref(),
            Folder::Shared => self.shared.as_deref(),
        }
    }
}

/// Another device than the parent's, or a mount of the same device (a bind mount), as far as the kernel tells.
fn is_mount_point(folder: &Path) -> io::Result<bool> {
    let folder = fs::canonicalize(folder)?;
    let Some(parent) = folder.parent() else { return Ok(true) };
    if fs::metadata(&folder)?.dev() != fs::metadata(parent)?.dev() {
        return Ok(true);
    }
    Ok(is_mount_root(&folder))
}

/// `STATX_ATTR_MOUNT_ROOT`, of Linux 5.8 and newer; elsewhere the devices decide alone.
#[cfg(target_os = "linux")]
fn is_mount_root(folder: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

    statx(CWD, folder, AtFlags::empty(), StatxFlags::empty())
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
fn is_mount_root(_: &Path) -> bool {
    false
}

/// Reads files of one version of a folder. A projected volume is read through the version that its link names now.
fn read_version<const N: usize>(
    folder: &Path,
    names: [&str; N],
    limit_bytes: u64,
) -> Result<[Option<Zeroizing<Vec<u8>>>; N], Response> {
    let version = fs::read_link(folder.join(DATA_LINK)).ok();
    let base = version.as_ref().map_or_else(|| folder.to_owned(), |version| folder.join(version));
    let mut contents = [const { None }; N];
    for (content, name) in contents.iter_mut().zip(names) {
        *content = match read_file(&base.join(name), limit_bytes) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(ended(&error)),
        };
    }
    // The kubelet removes a version as soon as there is a newer one: what vanished meanwhile was not absent.
    let vanished =
        contents.iter().any(Option::is_none) && fs::read_link(folder.join(DATA_LINK)).ok() != version;
    if vanished { Err(Response::Failed(ErrorKind::Interrupted)) } else { Ok(contents) }
}

/// The content of a file of at most `limit_bytes`.
fn read_file(path: &Path, limit_bytes: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if metadata.len() > limit_bytes {
        return Err(ErrorKind::FileTooLarge.into());
    }
    // The buffer never grows: growing would leave a copy behind that is not wiped.
    let capacity = usize::try_from(limit_bytes).map_err(|_| ErrorKind::FileTooLarge)?.saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() == capacity { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Makes what was renamed or made within a folder survive a loss of power.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What an operation that changed nothing ended with.
fn ended(error: &io::Error) -> Response {
    const REFUSALS: [ErrorKind; 6] = [
        ErrorKind::PermissionDenied,
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::ReadOnlyFilesystem,
        ErrorKind::FileTooLarge,
        ErrorKind::InvalidInput,
    ];
    let kind = error.kind();
    if kind == ErrorKind::NotFound {
        Response::Absent
    } else if REFUSALS.contains(&kind) {
        Response::Refused(kind)
    } else {
        Response::Failed(kind)
    }
}

#[cfg(test)]
mod tests;
