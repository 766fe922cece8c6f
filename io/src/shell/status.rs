//! `/healthz`, `/readyz` and `/metrics` on a plain port: what a role waits for, for the kubelet and for people.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kubefox_core::machine::Standing;
use kubefox_core::time::Unix;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::driver::Clock;
use crate::shell::accept::accept;
use crate::shell::host::{BoxStream, Host, Listening};

/// Connections at once; the kubelet and a scraper need three.
pub const CONNECTIONS_MAX: usize = 32;

/// How long a request's head may take, and how long a connection may be idle.
pub const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// What a role tells about itself; no secret is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Which machine.
    pub role: &'static str,
    /// The state it is in.
    pub phase: &'static str,
    /// Since when.
    pub since: Unix,
    /// What it waits for, in a sentence.
    pub waits_for: &'static str,
    /// How far it has come.
    pub standing: Standing,
    /// Steps it has taken.
    pub steps: u64,
    /// Since when Vault's root token has been alive, if it is.
    pub root_token_since: Option<Unix>,
}

impl Snapshot {
    /// A role before its first step.
    #[must_use]
    pub fn before_start(role: &'static str) -> Self {
        Self {
            role,
            phase: "NotStarted",
            since: Unix(0),
            waits_for: "its first step",
            standing: Standing::Starting,
            steps: 0,
            root_token_since: None,
        }
    }

    /// Whether the role does what it is for, or has done it.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        match self.standing {
            Standing::Ready | Standing::Finished => true,
            Standing::Starting | Standing::Stopped(_) => false,
        }
    }
}

/// A status server; it ends when this is dropped.
pub struct StatusServer {
    address: SocketAddr,
    task: AbortHandle,
}

impl StatusServer {
    /// Opens the port and serves what `snapshots` holds.
    ///
    /// # Errors
    /// What the operating system says about the port.
    pub async fn open(
        host: &dyn Host,
        address: SocketAddr,
        snapshots: watch::Receiver<Snapshot>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let port = host.listen(address).await?;
        let address = port.local_address()?;
        let task = tokio::spawn(serve(port, snapshots, clock)).abort_handle();
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for StatusServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(port: Box<dyn Listening>, snapshots: watch::Receiver<Snapshot>, clock: Arc<dyn Clock>) {
    let serve = |stream| connection(stream, snapshots.clone(), Arc::clone(&clock));
    accept(port, CONNECTIONS_MAX, serve).await;
}

async fn connection(stream: BoxStream, snapshots: watch::Receiver<Snapshot>, clock: Arc<dyn Clock>) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let snapshot = *snapshots.borrow();
        let response = respond(&request, &snapshot, clock.now().unix);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "StatusConnectionFailed");
    }
}

fn respond<B>(request: &Request<B>, snapshot: &Snapshot, now: Unix) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
    }
    let verbose = request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "verbose"));
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" if verbose => json(readiness(snapshot), snapshot),
        "/readyz" => text(readiness(snapshot), format!("{}\n", sentence(snapshot))),
        "/metrics" => {
            let mut response = text(StatusCode::OK, metrics(snapshot, now));
            let version = "text/plain; version=0.0.4; charset=utf-8";
            response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(version));
            response
        }
        _ => text(StatusCode::NOT_FOUND, "try /healthz, /readyz, /readyz?verbose or /metrics\n".to_owned()),
    }
}

fn readiness(snapshot: &Snapshot) -> StatusCode {
    if snapshot.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn sentence(snapshot: &Snapshot) -> String {
    match snapshot.standing {
        Standing::Ready => "ready".to_owned(),
        Standing::Finished => "finished".to_owned(),
        Standing::Starting => format!("not ready: {}", snapshot.waits_for),
        Standing::Stopped(fatal) => format!("{fatal:?}: {} {}", fatal.cause(), fatal.remedy()),
    }
}

fn json(status: StatusCode, snapshot: &Snapshot) -> Response<Full<Bytes>> {
    let (standing, fatal) = match snapshot.standing {
        Standing::Starting => ("starting", None),
        Standing::Ready => ("ready", None),
        Standing::Finished => ("finished", None),
        Standing::Stopped(fatal) => ("stopped", Some(fatal)),
    };
    let body = json!({
        "role": snapshot.role,
        "standing": standing,
        "phase": snapshot.phase,
        "since_unix_s": snapshot.since.0,
        "waits_for": snapshot.waits_for,
        "steps": snapshot.steps,
        "fatal": fatal.map(|fatal| format!("{fatal:?}")),
        "cause": fatal.map(kubefox_core::fatal::Fatal::cause),
        "remedy": fatal.map(kubefox_core::fatal::Fatal::remedy),
    });
    let mut response = text(status, format!("{body}\n"));
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// Prometheus' text format, version 0.0.4.
fn metrics(snapshot: &Snapshot, now: Unix) -> String {
    let mut out = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, sample: String| {
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{sample}")
            .expect("a String takes it all");
    };
    let Snapshot { role, phase, steps, .. } = snapshot;
    let version = env!("CARGO_PKG_VERSION");
    let ready = u8::from(snapshot.standing == Standing::Ready);
    metric(
        "kubefox_build_info",
        "gauge",
        "What runs here.",
        format!("{{role=\"{role}\",version=\"{version}\"}} 1"),
    );
    metric("kubefox_ready", "gauge", "Whether the role does what it is for.", format!(" {ready}"));
    metric("kubefox_phase", "gauge", "The state the role is in.", format!("{{phase=\"{phase}\"}} 1"));
    metric("kubefox_steps_total", "counter", "Steps the role has taken.", format!(" {steps}"));
    if let Some(since) = snapshot.root_token_since {
        let alive = now.0.saturating_sub(since.0);
        let help = "For how long Vault's root token has been alive.";
        metric("kubefox_root_token_alive_seconds", "gauge", help, format!(" {alive}"));
    }
    out
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use kubefox_core::fatal::Fatal;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::shell::clock::SystemClock;
    use crate::shell::host::Real;

    const STARTING: Snapshot = Snapshot {
        role: "controller",
        phase: "Unsealing",
        since: Unix(1_000),
        waits_for: "waiting for Vault to be unsealed",
        standing: Standing::Starting,
        steps: 42,
        root_token_since: None,
    };

    #[tokio::test]
    async fn a_role_is_unready_and_says_why_until_it_is_ready() {
        let (sender, receiver) = watch::channel(STARTING);
        let any = "127.0.0.1:0".parse().expect("an address");
        let server =
            StatusServer::open(&Real, any, receiver, Arc::new(SystemClock::start())).await.expect("a port");

        let waiting = get(server.address(), "/readyz").await;
        sender.send_replace(Snapshot { standing: Standing::Ready, ..STARTING });
        let ready = get(server.address(), "/readyz").await;

        assert_eq!(waiting, (503, "not ready: waiting for Vault to be unsealed\n".to_owned()));
        assert_eq!(ready, (200, "ready\n".to_owned()));
        assert_eq!(get(server.address(), "/healthz").await, (200, "ok\n".to_owned()));
        assert_eq!(get(server.address(), "/").await.0, 404);
    }

    #[test]
    fn a_stopped_role_names_cause_and_remedy() {
        let stopped = Snapshot { standing: Standing::Stopped(Fatal::StorageLost), ..STARTING };

        assert_eq!(readiness(&stopped), StatusCode::SERVICE_UNAVAILABLE);
        let expected = format!("StorageLost: {} {}", Fatal::StorageLost.cause(), Fatal::StorageLost.remedy());
        assert_eq!(sentence(&stopped), expected);
    }

    #[tokio::test]
    async fn verbosely_everything_is_told() {
        let (_sender, receiver) = watch::channel(STARTING);
        let any = "127.0.0.1:0".parse().expect("an address");
        let server =
            StatusServer::open(&Real, any, receiver, Arc::new(SystemClock::start())).await.expect("a port");

        let (status, body) = get(server.address(), "/readyz?verbose").await;

        assert_eq!(status, 503);
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            body,
            json!({
                "role": "controller", "standing": "starting", "phase": "Unsealing", "since_unix_s": 1_000,
                "waits_for": "waiting for Vault to be unsealed", "steps": 42, "fatal": null, "cause": null, "remedy": null,
            })
        );
    }

    #[test]
    fn the_metrics_are_these() {
        let snapshot = Snapshot { root_token_since: Some(Unix(1_000)), ..STARTING };
        let samples: Vec<String> = metrics(&snapshot, Unix(1_007))
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(String::from)
            .collect();
        assert_eq!(
            samples,
            [
                concat!(
                    "kubefox_build_info{role=\"controller\",version=\"",
                    env!("CARGO_PKG_VERSION"),
                    "\"} 1"
                ),
                "kubefox_ready 0",
                "kubefox_phase{phase=\"Unsealing\"} 1",
                "kubefox_steps_total 42",
                "kubefox_root_token_alive_seconds 7",
            ]
        );
        assert!(!metrics(&STARTING, Unix(0)).contains("root_token"));
    }

    async fn get(address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("it answers");
        let (head, body) = response.split_once("\r\n\r\n").expect("a response");
        (head[9..12].parse().expect("a status"), body.to_owned())
    }
}
