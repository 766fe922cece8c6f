//! A connection to NATS line by line, so that nothing of what the server says is smoothed over.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use kubefox_core::names::Pem;
use kubefox_io::exchange::Presentation;
use kubefox_io::shell::tls::{self, Expected};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long the server may take for a line; one of them is the end of a JWT of some seconds.
const LINE_WITHIN: Duration = Duration::from_secs(30);

/// A connection after its CONNECT was sent.
pub(crate) struct Connection {
    stream: BufReader<TlsStream<TcpStream>>,
}

/// Where the server is, and who it must be.
pub(crate) struct Server<'a> {
    pub(crate) address: &'a str,
    pub(crate) ca: &'a Pem,
    pub(crate) expected: &'a Expected,
}

impl Connection {
    /// INFO, TLS, CONNECT with that JWT and what `sign` makes of the nonce; `None` if there is no TLS.
    pub(crate) async fn open(
        server: &Server<'_>,
        certificate: Option<&Presentation>,
        jwt: Option<&str>,
        sign: impl AsyncFnOnce(String) -> Option<Vec<u8>>,
    ) -> Option<Self> {
        let mut socket = TcpStream::connect(server.address).await.expect("it listens");
        let info = read_info(&mut socket).await;
        let nonce = info["nonce"].as_str().expect("INFO has a nonce").to_owned();
        let config = tls::client(server.ca, certificate, server.expected).expect("usable");
        let name = tls::server_name(&server.expected.dns).expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.ok()?;
        let mut connection = Self { stream: BufReader::new(stream) };
        let mut connect = json!({
            "verbose": false, "pedantic": false, "tls_required": true, "lang": "contract", "version": "1",
            "protocol": 1, "echo": true, "headers": true, "no_responders": true,
        });
        if let Some(jwt) = jwt {
            connect["jwt"] = jwt.into();
        }
        if let Some(signature) = sign(nonce).await {
            connect["sig"] = BASE64URL_NOPAD.encode(&signature).into();
        }
        connection.say(&format!("CONNECT {connect}\r\n")).await;
        Some(connection)
    }

    /// Sends bytes; a server that has hung up is heard of when the next line is read.
    pub(crate) async fn say(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).await;
        let _ = self.stream.flush().await;
    }

    /// Everything that the server has to say up to now: to the answer of a PING, or to the end of the connection.
    pub(crate) async fn hear(&mut self) -> Vec<String> {
        self.say("PING\r\n").await;
        let mut heard = Vec::new();
        loop {
            let line = self.line().await;
            match line.as_deref() {
                None => {
                    heard.push("closed".to_owned());
                    return heard;
                }
                Some("PONG") => return heard,
                Some("PING") => self.say("PONG\r\n").await,
                Some(info) if info.starts_with("INFO ") => {}
                Some(message) => heard.push(message.to_owned()),
            }
        }
    }

    /// The next lines until the connection ends.
    pub(crate) async fn hear_to_the_end(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        while let Some(line) = self.line().await {
            if line != "PING" && !line.starts_with("INFO ") {
                heard.push(line);
            }
        }
        heard
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(LINE_WITHIN, self.stream.read_line(&mut line)).await;
        match read.expect("the server says something in time") {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }
}

/// INFO comes in clear, byte by byte: what follows it is TLS.
async fn read_info(socket: &mut TcpStream) -> Value {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(socket.read_u8().await.expect("INFO"));
    }
    let json = line.strip_prefix(b"INFO ").expect("INFO comes first");
    serde_json::from_slice(json).expect("INFO is JSON")
}
