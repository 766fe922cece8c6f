//! The runtime of a component: sees only the volume that its broker writes, and speaks with its broker alone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use data_encoding::HEXLOWER;
use futures::FutureExt as _;
use kubefox_core::documents::certificate::BROKER_DNS_NAME;
use kubefox_core::names::Pem;
use kubefox_io::exchange::Presentation;
use kubefox_io::shell::connector::{Connector, Target};
use kubefox_io::shell::host::Real;
use kubefox_io::shell::tls::{self, Expected};
use kubefox_proto::broker::v1::broker_client::BrokerClient;
use kubefox_proto::broker::v1::{IdentifyRequest, Message, PublishRequest, SubscribeRequest};
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use zeroize::Zeroizing;

/// A message there and back takes some milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The subject of the proof.
const SUBJECT: &str = "proof";

/// Messages that may be on their way at once.
const STREAM_WINDOW: u64 = 16;

/// A component's runtime that proves that messages arrive.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The volume shared with the broker.
    #[arg(long)]
    shared_dir: PathBuf,
    /// Where the broker listens.
    #[arg(long)]
    broker: SocketAddr,
    /// The user key of another component, which sends back what comes. Without it, send back what comes.
    #[arg(long)]
    to: Option<String>,
    /// Send this, in hexadecimal, and wait until it comes back.
    #[arg(long, requires = "to", conflicts_with = "stream")]
    payload: Option<String>,
    /// Send numbers until stdin closes. Each must come back once and in order.
    #[arg(long, requires = "to")]
    stream: bool,
}

/// Runs until the proof is complete or, without one, until stdin closes.
pub(super) async fn run(arguments: Arguments) -> Result<()> {
    let mut told_to_end = pin!(kubefox_io::shell::signals::stdin_closed());
    let (mut broker, mut messages) = tokio::select! {
        biased;
        () = &mut told_to_end => return Ok(()),
        subscribed = subscribe(&arguments) => subscribed?,
    };
    match (arguments.to, arguments.payload) {
        (Some(to), None) if arguments.stream => stream(broker, messages, to, told_to_end).await,
        (Some(to), Some(payload)) => {
            let payload = HEXLOWER.decode(payload.as_bytes()).context("--payload is hexadecimal")?;
            tokio::select! {
                biased;
                () = told_to_end => Ok(()),
                answered = ask(&mut broker, &mut messages, to, payload) => answered,
            }
        }
        (Some(_), None) => bail!("--to wants --payload or --stream"),
        (None, _) => tokio::select! {
            biased;
            () = told_to_end => Ok(()),
            ended = echo(&mut broker, &mut messages) => ended,
        },
    }
}

async fn subscribe(arguments: &Arguments) -> Result<(BrokerClient<Channel>, Streaming<Message>)> {
    let mut broker = connect(&arguments.shared_dir, arguments.broker).await?;
    let own = broker.identify(IdentifyRequest {}).await?.into_inner().user;
    let messages = broker.subscribe(SubscribeRequest {}).await?.into_inner();
    tell("Subscribed", &serde_json::json!({"user": own}));
    Ok((broker, messages))
}

/// Who a runtime with these files is to the broker at this address.
pub(super) async fn identify(shared_dir: &Path, broker: &str) -> Result<String> {
    let mut broker = connect(shared_dir, broker.parse()?).await?;
    Ok(broker.identify(IdentifyRequest {}).await?.into_inner().user)
}

async fn stream(
    mut broker: BrokerClient<Channel>,
    mut messages: Streaming<Message>,
    to: String,
    mut told_to_end: impl Future<Output = ()> + Unpin,
) -> Result<()> {
    let (mut sent, mut returned, mut ends) = (0, 0, false);
    while !ends || returned < sent {
        if !ends && sent - returned < STREAM_WINDOW {
            let request =
                PublishRequest { to: to.clone(), subject: SUBJECT.to_owned(), payload: number(sent) };
            broker.publish(request).await.with_context(|| format!("message {sent} was not taken"))?;
            sent += 1;
            ends = (&mut told_to_end).now_or_never().is_some();
            continue;
        }
        let message = next(&mut messages).await.with_context(|| format!("message {returned} of {sent}"))?;
        if (&message.from, message.subject.as_str(), &message.payload) != (&to, SUBJECT, &number(returned)) {
            let came = HEXLOWER.encode(&message.payload);
            bail!("message {returned} of {sent} was to come back, and {came} did from {}", message.from);
        }
        returned += 1;
    }
    tell("Streamed", &serde_json::json!({"messages": returned}));
    Ok(())
}

fn number(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

async fn next(messages: &mut Streaming<Message>) -> Result<Message> {
    tokio::time::timeout(ANSWER_WITHIN, messages.message())
        .await
        .with_context(|| format!("no answer came within {} s", ANSWER_WITHIN.as_secs()))??
        .context("the broker closed the subscription")
}

async fn ask(
    broker: &mut BrokerClient<Channel>,
    messages: &mut Streaming<Message>,
    to: String,
    payload: Vec<u8>,
) -> Result<()> {
    let request = PublishRequest { to: to.clone(), subject: SUBJECT.to_owned(), payload: payload.clone() };
    let begun = Instant::now();
    broker.publish(request).await?;
    let answer = next(messages).await?;
    let round_trip_us = u64::try_from(begun.elapsed().as_micros())?;
    if answer.from != to || answer.subject != SUBJECT || answer.payload != payload {
        bail!("another message came than the one that was sent");
    }
    let payload = HEXLOWER.encode(&answer.payload);
    tell(
        "Answered",
        &serde_json::json!({"from": answer.from, "payload": payload, "round_trip_us": round_trip_us}),
    );
    Ok(())
}

async fn echo(broker: &mut BrokerClient<Channel>, messages: &mut Streaming<Message>) -> Result<()> {
    loop {
        let message = messages.message().await?.context("the broker closed the subscription")?;
        let Message { from, subject, payload } = message;
        tell("Received", &serde_json::json!({"from": from, "payload": HEXLOWER.encode(&payload)}));
        broker.publish(PublishRequest { to: from, subject, payload }).await?;
    }
}

async fn connect(shared_dir: &Path, broker: SocketAddr) -> Result<BrokerClient<Channel>> {
    let read = |name: &str| {
        let path = shared_dir.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let (leaf, ca) = (Pem::parse(&read("tls.crt")?)?, Pem::parse(&read("ca.crt")?)?);
    let key = Zeroizing::new(read("tls.key")?.into_bytes());
    // A runtime's URI is its broker's with `/runtime` behind it.
    let own = tls::spiffe_id(&leaf)?;
    let spiffe = own.strip_suffix("/runtime").context("the certificate is not a runtime's")?.to_owned();
    let expected = Expected { dns: BROKER_DNS_NAME.to_owned(), spiffe };
    let presentation = Presentation { leaf, ca: ca.clone(), key };
    let mut config = tls::client(&ca, Some(&presentation), &expected)?;
    config.alpn_protocols = vec![tls::ALPN_H2.to_vec()];
    let target = Target::Tls {
        host: broker.ip().to_string(),
        port: broker.port(),
        name: tls::server_name(BROKER_DNS_NAME)?,
        config: Arc::new(config),
    };
    let endpoint =
        Endpoint::from_static("http://broker.kubefox.internal").connect_timeout(Duration::from_secs(5));
    let channel = endpoint.connect_with_connector(Connector::new(Arc::new(Real), target)).await?;
    Ok(BrokerClient::new(channel))
}

/// One JSON line, in the form of the roles' logs.
fn tell(message: &str, facts: &serde_json::Value) {
    use std::io::Write as _;
    let line = serde_json::json!({"level": "INFO", "message": message, "facts": facts.to_string()});
    // Whoever closed stdout does not want to hear it.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
