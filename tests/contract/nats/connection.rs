//! A connection to NATS line by line, so that nothing of what the server says is smoothed over.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::Signer as _;
use kubefox_io::shell::tls;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::world::{World, key};

/// How long the server may take for a line.
const LINE_WITHIN: Duration = Duration::from_secs(10);

/// A connection after its CONNECT was sent.
pub(super) struct Connection {
    stream: BufReader<TlsStream<TcpStream>>,
}

/// What a client shows of itself.
pub(super) struct Shown {
    pub(super) jwt: Option<String>,
    /// Whose key signs, and whether it is the nonce that it signs.
    pub(super) signer: Option<u8>,
    pub(super) signs_nonce: bool,
    pub(super) certificate: bool,
}

impl Connection {
    /// INFO, TLS, CONNECT; `None` if there is no TLS.
    pub(super) async fn open(world: &World, address: &str, shown: &Shown) -> Option<Self> {
        let mut socket = TcpStream::connect(address).await.expect("it listens");
        let info = read_info(&mut socket).await;
        let nonce = info["nonce"].as_str().expect("INFO has a nonce").to_owned();
        let broker = world.broker();
        let identity = shown.certificate.then_some(&broker);
        let config = tls::client(&world.ca, identity, &World::server()).expect("usable");
        let name = tls::server_name("nats.kubefox.svc").expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.ok()?;
        let mut connection = Self { stream: BufReader::new(stream) };
        let mut connect = json!({
            "verbose": false, "pedantic": false, "tls_required": true, "lang": "contract", "version": "1",
            "protocol": 1, "echo": true, "headers": true, "no_responders": true,
        });
        if let Some(jwt) = &shown.jwt {
            connect["jwt"] = jwt.as_str().into();
        }
        if let Some(signer) = shown.signer {
            let signed = if shown.signs_nonce { nonce } else { "another-nonce-0".to_owned() };
            connect["sig"] = BASE64URL_NOPAD.encode(&key(signer).sign(signed.as_bytes()).to_bytes()).into();
        }
        connection.say(&format!("CONNECT {connect}\r\n")).await;
        Some(connection)
    }

    /// Sends bytes; a server that has hung up is heard of when the next line is read.
    pub(super) async fn say(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).await;
        let _ = self.stream.flush().await;
    }

    /// Everything that the server has to say up to now: to the answer of a PING, or to the end of the connection.
    pub(super) async fn hear(&mut self) -> Vec<String> {
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
    pub(super) async fn hear_to_the_end(&mut self) -> Vec<String> {
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
