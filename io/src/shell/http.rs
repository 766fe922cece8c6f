//! The HTTP client below Vault and the Kubernetes API. One request out, one response back; no redirect, no retry.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kubefox_core::machine::Lost;
use zeroize::Zeroizing;

use crate::shell::connector::{Connector, KEEP_ALIVE_EVERY, KEEP_ALIVE_WITHIN, Target};
use crate::shell::host::Host;

/// Largest body that is read, 4 MiB: the largest answer asked for is a list of Vault's mounts, some tens of KiB.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// An idle connection is closed after this time: well before a server would, so that a request rarely meets a
/// connection that is just being closed.
pub const IDLE_MAX: Duration = Duration::from_secs(60);

/// Idle connections kept.
pub const IDLE_CONNECTIONS_MAX: usize = 8;

/// A client of one server.
#[derive(Clone)]
pub struct Http {
    client: Client<Connector, Full<Bytes>>,
    scheme: Scheme,
    authority: Authority,
}

impl Http {
    /// A client of `target`; nothing is dialled before the first request.
    ///
    /// # Panics
    /// If the host in `target` could not stand in a URL; [`Target`]'s own constructors make none of that kind.
    #[must_use]
    pub fn new(host: Arc<dyn Host>, target: Target) -> Self {
        let (scheme, authority) = target.origin();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            // A request on a connection that was just closed is lost, and the machine is told.
            .retry_canceled_requests(false)
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .http2_keep_alive_timeout(KEEP_ALIVE_WITHIN)
            .http2_keep_alive_while_idle(true)
            .build(Connector::new(host, target));
        Self {
            client,
            scheme: scheme.parse().expect("http and https are schemes"),
            authority: authority.parse().expect("a target's host can stand in a URL"),
        }
    }

    /// Carries a request out and its response back. Scheme, authority and `Host` are set here; of the request's URI
    /// only path and query count.
    ///
    /// # Errors
    /// [`Lost::Connection`] if there was no complete response, [`Lost::Garbled`] if it was not HTTP or too long.
    pub fn carry(&self, request: Request<Vec<u8>>) -> BoxFuture<'static, Result<Response<Vec<u8>>, Lost>> {
        let response = self.client.request(self.addressed(request));
        async move {
            let response = response.await.map_err(|error| {
                let garbled = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
                lost(&error, garbled.is_some_and(hyper::Error::is_parse))
            })?;
            collect(response).await
        }
        .boxed()
    }

    fn addressed(&self, request: Request<Vec<u8>>) -> Request<Full<Bytes>> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        head.uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .expect("scheme, authority and path make a URI");
        // The library writes it from the URI, for the one version of HTTP that wants it.
        head.headers.remove(HOST);
        // Bodies carry secrets; the buffer is wiped as soon as it has been sent.
        let body = Bytes::from_owner(Zeroizing::new(body));
        Request::from_parts(head, Full::new(body))
    }
}

async fn collect(response: Response<Incoming>) -> Result<Response<Vec<u8>>, Lost> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| lost(&*error, error.is::<LengthLimitError>()))?;
    Ok(Response::from_parts(head, Vec::from(body.to_bytes())))
}

fn lost(error: &(dyn std::error::Error + 'static), garbled: bool) -> Lost {
    let cause = error.source().map(ToString::to_string);
    tracing::debug!(%error, cause, "NoHttpResponse");
    if garbled { Lost::Garbled } else { Lost::Connection }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use http::HeaderValue;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::shell::host::Real;
    use crate::shell::tls;
    use crate::shell::tls::tests::Authority;

    #[tokio::test]
    async fn path_query_headers_and_body_arrive_and_the_response_comes_back() {
        let (http, server) =
            serve_once(|_| b"HTTP/1.1 204 No Content\r\nx-answer: 42\r\n\r\n".to_vec()).await;
        let request = Request::post("/v1/sys/init?x=1").header("x-vault-token", "t").body(b"{}".to_vec());

        let response = http.carry(request.expect("a request")).await.expect("answered");

        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-answer"]),
            (204, &HeaderValue::from(42))
        );
        let (seen, port) = server.await.expect("served");
        let seen = seen.to_ascii_lowercase();
        assert!(seen.starts_with("post /v1/sys/init?x=1 http/1.1\r\n"), "{seen}");
        assert!(seen.contains(&format!("\r\nhost: 127.0.0.1:{port}\r\n")), "{seen}");
        assert!(seen.contains("\r\nx-vault-token: t\r\n"), "{seen}");
        assert!(seen.ends_with("\r\n\r\n{}"), "{seen}");
    }

    #[tokio::test]
    async fn of_an_absolute_uri_only_path_and_query_count() {
        let (http, server) = serve_once(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()).await;
        let request = Request::get("http://elsewhere.example:1/v1/x?y=1").body(Vec::new());

        let response = http.carry(request.expect("a request")).await.expect("answered");

        assert_eq!(response.into_body(), b"ok");
        let (seen, port) = server.await.expect("served");
        assert!(seen.starts_with("GET /v1/x?y=1 HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{seen}");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_like_any_other() {
        let (http, _) = serve_once(|port| {
            format!("HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:{port}/\r\ncontent-length: 0\r\n\r\n")
                .into_bytes()
        })
        .await;

        let response = http.carry(Request::get("/").body(Vec::new()).expect("a request")).await;

        assert_eq!(response.map(|response| response.status().as_u16()), Ok(307));
    }

    #[tokio::test]
    async fn what_is_no_complete_response_is_lost() {
        let cases: [(&str, Vec<u8>, Lost); 4] = [
            ("silence", Vec::new(), Lost::Connection),
            ("half a body", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec(), Lost::Connection),
            ("not HTTP", b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(), Lost::Garbled),
            ("too long", too_long(), Lost::Garbled),
        ];
        for (case, answer, expected) in cases {
            let (http, _) = serve_once(move |_| answer).await;

            let response = http.carry(Request::get("/").body(Vec::new()).expect("a request")).await;

            assert_eq!(response.map(|_| ()), Err(expected), "{case}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_a_lost_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);

        let response = client(port).carry(Request::get("/").body(Vec::new()).expect("a request")).await;

        assert_eq!(response.map(|_| ()), Err(Lost::Connection));
    }

    #[tokio::test]
    async fn the_kubernetes_api_is_verified_under_the_dialled_name_and_spoken_to_in_http_2() {
        let (authority, other) = (Authority::new(), Authority::new());
        for (case, server, trusted, expected) in [
            (
                "the one",
                authority.issue(&["localhost"], &[]),
                &authority,
                Ok("POST /api/v1/x?y=1 HTTP/2.0 localhost"),
            ),
            ("another name", authority.issue(&["elsewhere"], &[]), &authority, Err(Lost::Connection)),
            ("another authority", other.issue(&["localhost"], &[]), &authority, Err(Lost::Connection)),
        ] {
            let listener = TcpListener::bind("localhost:0").await.expect("a port");
            let port = listener.local_addr().expect("bound").port();
            let acceptor = TlsAcceptor::from(Arc::new(tls::server(&server, None).expect("usable")));
            tokio::spawn(async move {
                let (stream, _) = listener.accept().await.expect("a connection");
                // A client that does not trust the server ends the handshake.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let served = http2::Builder::new(TokioExecutor::new()).serve_connection(
                    TokioIo::new(stream),
                    service_fn(async |request| Ok::<_, std::convert::Infallible>(seen(&request))),
                );
                let _ = served.await;
            });
            let config = tls::kubernetes(&trusted.pem()).expect("an authority");
            let target = Target::kubernetes(&format!("https://localhost:{port}"), config).expect("a target");
            let http = Http::new(Arc::new(Real), target);

            let response =
                http.carry(Request::post("/api/v1/x?y=1").body(b"{}".to_vec()).expect("a request")).await;

            let body = response.map(|response| String::from_utf8(response.into_body()).expect("UTF-8"));
            assert_eq!(body, expected.map(ToOwned::to_owned), "{case}");
        }
    }

    fn seen(request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (method, uri, version) = (request.method(), request.uri(), request.version());
        let path = uri.path_and_query().expect("a path");
        let seen = format!("{method} {path} {version:?} {}", uri.host().expect("an authority"));
        assert!(!request.headers().contains_key(HOST));
        Response::new(Full::new(Bytes::from(seen)))
    }

    fn client(port: u16) -> Http {
        let target = Target::vault(&format!("http://127.0.0.1:{port}")).expect("loopback");
        Http::new(Arc::new(Real), target)
    }

    fn too_long() -> Vec<u8> {
        let mut answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", BODY_BYTES_MAX + 1).into_bytes();
        answer.resize(answer.len() + BODY_BYTES_MAX + 1, b'x');
        answer
    }

    /// A server for one connection and one request; gives back what it saw.
    async fn serve_once(
        answer: impl FnOnce(u16) -> Vec<u8> + Send + 'static,
    ) -> (Http, tokio::task::JoinHandle<(String, u16)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut seen = vec![0; 4_096];
            let mut length = 0;
            while !complete(&seen[..length]) {
                length += stream.read(&mut seen[length..]).await.expect("a request");
            }
            // The client may hang up on an answer that is too long.
            let _ = stream.write_all(&answer(port)).await;
            (String::from_utf8_lossy(&seen[..length]).into_owned(), port)
        });
        (client(port), server)
    }

    fn complete(seen: &[u8]) -> bool {
        let text = String::from_utf8_lossy(seen);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        body.len() == if head.contains("content-length: 2") { 2 } else { 0 }
    }
}
