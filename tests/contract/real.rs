//! The real servers as a stage: one control plane of Kubernetes for a run, a Vault of its own for each story.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, Response};
use kubefox_core::names::Pem;
use kubefox_io::shell::connector::Target;
use kubefox_io::shell::host::Real as RealHost;
use kubefox_io::shell::http::Http;
use kubefox_io::shell::tls;
use kubefox_sim::up::cluster::Cluster;
use kubefox_sim::up::lookout;
use kubefox_sim::up::real::{Peers, Servers};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long a request may take: the first initialization of raft takes seconds on a busy machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at a server that is about to be ready.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The running servers.
pub(crate) struct Real {
    runtime: Runtime,
    servers: Option<Servers>,
    cluster: Arc<Cluster>,
    kubernetes: Target,
    vault: Option<Http>,
    folder: TempDir,
}

impl Real {
    /// Starts the control plane of Kubernetes. `bao` is the program that is to be Vault.
    pub(crate) fn start(bao: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime needs nothing that a process lacks");
        let folder = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(folder.path().join("logs")).expect("an empty directory");
        std::fs::create_dir(folder.path().join("pod")).expect("an empty directory");
        let peers = Peers::find(None).and_then(|peers| peers.with_vault(bao));
        let peers = peers.expect("tests/peers/build was run").guarded_by(up());
        // Nobody listens to the alarms: a server that ends makes the next request fail.
        let (lookout, _) = lookout::new();
        let servers = runtime.block_on(Servers::start(peers, folder.path(), lookout)).expect("kube starts");
        let cluster = Arc::clone(&servers.cluster);
        let ca = Pem::parse(&cluster.ca).expect("PEM");
        let config = tls::kubernetes(&ca).expect("an authority");
        let kubernetes = Target::kubernetes(&cluster.url, config).expect("a URL with https");
        Self { runtime, servers: Some(servers), cluster, kubernetes, vault: None, folder }
    }

    /// A Vault that was never initialized, in place of the one that ran before.
    pub(crate) fn found_vault(&mut self) {
        self.kill_vault();
        let data = self.vault_data();
        // It is not there before the first start.
        let _ = std::fs::remove_dir_all(&data);
        std::fs::create_dir(&data).expect("an empty directory");
        self.start_vault();
    }

    /// Vault's process is killed and started again on its disk.
    pub(crate) fn restart_vault(&mut self) {
        self.kill_vault();
        self.start_vault();
    }

    fn kill_vault(&mut self) {
        let servers = self.servers.as_mut().expect("it runs until this is dropped");
        self.runtime.block_on(servers.kill_vault());
    }

    fn start_vault(&mut self) {
        let (pod, data) = (self.pod(), self.vault_data());
        let servers = self.servers.as_mut().expect("it runs until this is dropped");
        let url = self.runtime.block_on(servers.start_vault(&pod, &data)).expect("OpenBao starts");
        let target = Target::vault(&url).expect("a URL on loopback");
        self.vault = Some(self.runtime.block_on(async { Http::new(Arc::new(RealHost), target) }));
    }

    pub(crate) fn vault(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let vault = self.vault.clone().expect("it was founded");
        self.carry(&vault, request)
    }

    /// Each request has a connection of its own: the API server closes one on which it answered 401, and a request that
    /// leaves on it meanwhile is lost.
    pub(crate) fn kubernetes(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let target = self.kubernetes.clone();
        let http = self.runtime.block_on(async { Http::new(Arc::new(RealHost), target) });
        self.carry(&http, request)
    }

    /// Asks with the administrator's certificate.
    pub(crate) fn administrate(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.runtime.block_on(self.cluster.request(method, path, body)).expect("the API server answers")
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The directory that Vault finds where its service account's token is.
    pub(crate) fn pod(&self) -> PathBuf {
        self.folder.path().join("pod")
    }

    /// Vault's storage.
    fn vault_data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Deletes every object of that kind in that namespace, whatever its finalizers.
    pub(crate) fn clear(&self, namespace: &str, plural: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/{plural}");
        let (_, list) = self.administrate(Method::GET, &path, None);
        for object in list["items"].as_array().into_iter().flatten() {
            let name = object["metadata"]["name"].as_str().expect("every object has a name");
            let deleted = self.runtime.block_on(self.cluster.delete(namespace, plural, name));
            deleted.expect("an administrator may delete");
        }
    }

    pub(crate) fn wait(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Asks again until the answer will do.
    pub(crate) fn until(&self, within: Duration, mut will_do: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !will_do() {
            assert!(begin.elapsed() < within, "it did not come about in {within:?}");
            self.wait(LOOK_EVERY);
        }
    }

    /// Starts nats-server on what is in that folder. Answers its address.
    pub(crate) fn start_nats(&mut self, folder: &Path) -> String {
        let servers = self.servers.as_mut().expect("it runs until this is dropped");
        self.runtime.block_on(servers.start_nats(folder, &folder.join("ports"))).expect("nats-server starts")
    }

    /// Waits for a story that talks to a server by itself.
    pub(crate) fn wait_for<T>(&self, story: impl Future<Output = T>) -> T {
        self.runtime.block_on(story)
    }

    /// Name and version of each server.
    pub(crate) fn versions(&self) -> [(&'static str, String); 3] {
        self.runtime.block_on(self.servers().versions()).expect("each tells its version")
    }

    fn servers(&self) -> &Servers {
        self.servers.as_ref().expect("it runs until this is dropped")
    }

    fn carry(&self, http: &Http, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let line = format!("{} {}", request.method(), request.uri().path());
        let carried = async { tokio::time::timeout(ANSWER_WITHIN, http.carry(request)).await };
        let carried = self.runtime.block_on(carried);
        let answered = carried.unwrap_or_else(|_| panic!("{line} was not answered in {ANSWER_WITHIN:?}"));
        answered.unwrap_or_else(|lost| panic!("{line} got no answer: {lost:?}"))
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if let Some(servers) = self.servers.take() {
            self.runtime.block_on(servers.stop());
        }
    }
}

fn up() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_up-under-test")).to_owned()
}
