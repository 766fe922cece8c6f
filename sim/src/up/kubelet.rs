//! Plays the kubelet: projects tokens and Secrets into the directories that stand for the volumes of pods.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use kubefox_io::disk::{Folder, NewFile, Request, Response};
use kubefox_io::shell::files::{Claim, Directories, perform};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::cluster::{Cluster, Pod, TOKEN_LIFE};
use super::lookout::Lookout;

/// How often volumes are brought up to date. A real kubelet takes ten seconds and more.
const SYNC_EVERY: Duration = Duration::from_millis(100);
/// How long volumes may stay as they are because the API server does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// One volume of a pod.
pub(super) enum Source {
    /// Tokens by file name and audience, and the API server's authority as `ca.crt`.
    Tokens(Vec<(&'static str, String)>),
    /// A Secret; optional, as in the manifests.
    Secret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: &'static str,
    },
}

struct Volume {
    pod: Pod,
    source: Source,
    directory: PathBuf,
    shown: Option<BTreeMap<String, Vec<u8>>>,
    projected: Option<Instant>,
}

/// A kubelet at work; it ends when this is dropped.
pub(super) struct Kubelet {
    cluster: Arc<Cluster>,
    volumes: Arc<Mutex<Volumes>>,
    task: JoinHandle<()>,
}

impl Kubelet {
    /// Keeps these volumes too.
    pub(super) async fn add(&self, more: Volumes) -> Result<()> {
        let mut volumes = self.volumes.lock().await;
        volumes.0.extend(more.0);
        volumes.sync(&self.cluster).await
    }

    /// Gives the volumes of a pod that is gone to the one that has its place, with tokens of its own.
    pub(super) async fn replace(&self, old_uid: &str, new: &Pod) -> Result<()> {
        let mut volumes = self.volumes.lock().await;
        for volume in volumes.0.iter_mut().filter(|volume| volume.pod.uid == old_uid) {
            volume.pod = new.clone();
            volume.projected = None;
        }
        volumes.sync(&self.cluster).await
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The volumes that a kubelet is to keep.
#[derive(Default)]
pub(super) struct Volumes(Vec<Volume>);

impl Volumes {
    /// Adds a volume, made as an empty directory of mode 0700.
    pub(super) fn add(&mut self, pod: &Pod, source: Source, directory: &Path) -> Result<()> {
        make(directory)?;
        self.0.push(Volume {
            pod: pod.clone(),
            source,
            directory: directory.to_owned(),
            shown: None,
            projected: None,
        });
        Ok(())
    }

    /// Projects everything once, then keeps it up to date in the background.
    pub(super) async fn keep(mut self, cluster: Arc<Cluster>, lookout: Lookout) -> Result<Kubelet> {
        self.sync(&cluster).await?;
        let volumes = Arc::new(Mutex::new(self));
        let (kept, server) = (Arc::clone(&volumes), Arc::clone(&cluster));
        let task = tokio::spawn(async move {
            let mut synced = Instant::now();
            loop {
                tokio::time::sleep(SYNC_EVERY).await;
                // An API server that is down for a moment leaves the volumes as they are, as with a real kubelet, and so
                // does a pod that is gone until another has its place.
                let sync = kept.lock().await.sync(&server).await;
                match sync {
                    Ok(()) => synced = Instant::now(),
                    Err(error) if synced.elapsed() < PATIENCE => drop(error),
                    Err(error) => {
                        return lookout.alarm(format!("the volumes of the pods are stale: {error:#}"));
                    }
                }
            }
        });
        Ok(Kubelet { cluster, volumes, task })
    }

    async fn sync(&mut self, cluster: &Cluster) -> Result<()> {
        for volume in &mut self.0 {
            let files = match &volume.source {
                Source::Tokens(tokens) => {
                    let fresh = volume.projected.is_some_and(|at| at.elapsed() < TOKEN_LIFE * 4 / 5);
                    if fresh {
                        continue;
                    }
                    let mut files = BTreeMap::from([("ca.crt".to_owned(), cluster.ca.clone().into_bytes())]);
                    for (name, audience) in tokens {
                        let token = cluster.token(&volume.pod, audience).await?;
                        files.insert((*name).to_owned(), token.into_bytes());
                    }
                    Some(files)
                }
                // The volume of an optional Secret that somebody deleted is empty.
                Source::Secret { namespace, name } => match cluster.secret(namespace, name).await? {
                    None if volume.shown.is_some() => Some(BTreeMap::new()),
                    files => files,
                },
            };
            let Some(files) = files else { continue };
            if volume.shown.as_ref() != Some(&files) {
                project(&volume.directory, &files)?;
                volume.shown = Some(files);
            }
            volume.projected = Some(Instant::now());
        }
        Ok(())
    }
}

/// Makes a directory that only this user may enter.
pub(super) fn make(directory: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("{} cannot be made", directory.display()))
}

fn project(directory: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    let new_file = |(name, bytes): (&String, &Vec<u8>)| NewFile {
        name: name.clone(),
        bytes: Zeroizing::new(bytes.clone()),
        mode: 0o600,
    };
    let directories = Directories { shared: Some(directory.to_owned()), ..Directories::default() };
    let request = Request::ReplaceAll { folder: Folder::Shared, files: files.iter().map(new_file).collect() };
    match perform(&directories, &mut Claim::default(), &request) {
        Response::Done => Ok(()),
        Response::Claimed(_)
        | Response::Data(_)
        | Response::Bytes(_)
        | Response::Pair(_)
        | Response::Absent => {
            bail!("{} answered a write with something else", directory.display())
        }
        Response::Refused(kind) | Response::Failed(kind) => bail!("{}: {kind}", directory.display()),
    }
}
