//! Serves a pure handler on a socket: HTTP/1.1 and HTTP/2, over TLS or not. The embedded servers of `cargo up`
//! stand behind it.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Answers one request. The caller locks its server inside; a call must not block for long.
pub type Handler = Arc<dyn Fn(Request<Vec<u8>>) -> Response<Vec<u8>> + Send + Sync>;

/// A larger request body is a 413.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// More connections wait until one of these ends.
pub const CONNECTIONS_MAX: usize = 512;

/// A TLS handshake, the headers and the body of a request may each take this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// After a failed `accept` (too many open files, say) the next try waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server. It stops with all its connections when this is dropped.
pub struct Served {
    /// Where it listens, with the port that was chosen for port 0.
    pub address: SocketAddr,
    tasks: Tasks,
}

/// Serves `handler` until the returned guard is dropped. TLS if given.
///
/// # Errors
/// If `listen` cannot be bound.
pub async fn serve(
    listen: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    handler: Handler,
) -> std::io::Result<Served> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let tasks = Tasks::default();
    tasks.spawn(accept(listener, tls.map(TlsAcceptor::from), handler, tasks.clone()));
    Ok(Served { address, tasks })
}

impl Drop for Served {
    fn drop(&mut self) {
        let running = self.tasks.list().take();
        drop(running);
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, handler: Handler, tasks: Tasks) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes the semaphore");
        match listener.accept().await {
            Ok((stream, _)) => {
                let (tls, handler, inner) = (tls.clone(), Arc::clone(&handler), tasks.clone());
                tasks.spawn(async move {
                    connect(stream, tls, handler, inner).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connect(stream: TcpStream, tls: Option<TlsAcceptor>, handler: Handler, tasks: Tasks) {
    // Small answers must not wait for more to come; a socket that refuses the option is merely slower.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return converse(stream, handler, tasks).await;
    };
    match timeout(PATIENCE, tls.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, handler, tasks).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    handler: Handler,
    tasks: Tasks,
) {
    let mut builder = auto::Builder::new(tasks);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PATIENCE);
    let service = service_fn(|request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(answer(request, &handler).await) }
    });
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "connection ended");
    }
}

async fn answer(request: Request<Incoming>, handler: &Handler) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = match timeout(PATIENCE, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes().to_vec(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return refusal(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => return refusal(StatusCode::BAD_REQUEST),
        Err(_) => return refusal(StatusCode::REQUEST_TIMEOUT),
    };
    handler(Request::from_parts(head, body)).map(|body| Full::new(Bytes::from(body)))
}

/// The rest of the body was not read, so the connection cannot go on.
fn refusal(code: StatusCode) -> Response<Full<Bytes>> {
    let text = code.canonical_reason().unwrap_or("refused");
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    response
}

/// Every task of a server, the ones that hyper starts for HTTP/2 included. None when the server has stopped: what
/// is spawned then never runs.
#[derive(Clone)]
struct Tasks(Arc<Mutex<Option<JoinSet<()>>>>);

impl Default for Tasks {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(JoinSet::new()))))
    }
}

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut list = self.list();
        let Some(running) = list.as_mut() else { return };
        while running.try_join_next().is_some() {}
        running.spawn(task);
    }

    fn list(&self) -> MutexGuard<'_, Option<JoinSet<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use hyper::client::conn::{http1, http2};
    use hyper_util::rt::TokioExecutor;
    use rustls::pki_types::ServerName;
    use tokio::io::AsyncReadExt as _;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::embedded::authority::Authority;

    const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn a_request_reaches_the_handler_over_http_1() {
        let served = serve(ANYWHERE, None, echo()).await.expect("a free port");
        let stream = TcpStream::connect(served.address).await.expect("it listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        let mut running = JoinSet::new();
        running.spawn(connection);

        let response = sender.send_request(post("/there", b"hello".to_vec())).await.expect("an answer");

        assert_eq!(
            (response.status(), read(response).await),
            (StatusCode::CREATED, "POST /there hello".to_owned())
        );
    }

    #[tokio::test]
    async fn a_request_reaches_the_handler_over_http_2_and_tls() {
        let authority = Authority::new().expect("certificates");
        let tls = authority.server_config().expect("a configuration");
        let served = serve(ANYWHERE, Some(tls), echo()).await.expect("a free port");
        let stream = TcpStream::connect(served.address).await.expect("it listens");
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let connector = TlsConnector::from(Arc::new(trusting(authority.ca_pem())));
        let stream = connector.connect(name, stream).await.expect("the certificate is trusted");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        let mut running = JoinSet::new();
        running.spawn(connection);

        let response =
            sender.send_request(post("https://127.0.0.1/there", b"hello".to_vec())).await.expect("an answer");

        assert_eq!(
            (response.status(), read(response).await),
            (StatusCode::CREATED, "POST /there hello".to_owned())
        );
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_before_the_handler() {
        let served = serve(ANYWHERE, None, echo()).await.expect("a free port");
        let stream = TcpStream::connect(served.address).await.expect("it listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        let mut running = JoinSet::new();
        running.spawn(connection);

        let response =
            sender.send_request(post("/", vec![b'x'; BODY_BYTES_MAX + 1])).await.expect("an answer");

        assert_eq!(
            (response.status(), read(response).await),
            (StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large".to_owned())
        );
    }

    #[tokio::test]
    async fn everything_ends_with_the_guard() {
        let served = serve(ANYWHERE, None, echo()).await.expect("a free port");
        let address = served.address;
        let mut open = TcpStream::connect(address).await.expect("it listens");

        drop(served);

        let mut buffer = [0; 1];
        let rest = timeout(PATIENCE, open.read(&mut buffer)).await.expect("the connection ends");
        assert!(matches!(rest, Ok(0) | Err(_)), "the open connection is closed");
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }

    fn echo() -> Handler {
        Arc::new(|request| {
            let text = format!(
                "{} {} {}",
                request.method(),
                request.uri().path(),
                String::from_utf8_lossy(request.body())
            );
            Response::builder()
                .status(StatusCode::CREATED)
                .body(text.into_bytes())
                .expect("a well-formed response")
        })
    }

    fn post(uri: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
        let request = Request::post(uri).header(header::HOST, "127.0.0.1");
        request.body(Full::new(Bytes::from(body))).expect("a well-formed request")
    }

    async fn read(response: Response<Incoming>) -> String {
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(body.to_vec()).expect("text")
    }

    fn trusting(ca_pem: &str) -> rustls::ClientConfig {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;

        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("a certificate");
        roots.add(ca).expect("a CA certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = builder.expect("ring has them").with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}
