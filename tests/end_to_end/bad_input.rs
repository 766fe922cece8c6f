//! What is wrong with a request or a volume, the one at fault is told, by the whole platform.
//!
//! Which tokens there are that are no good, and that none of them reaches Vault, is told without a wire in
//! `sim/src/model/callers.rs`; who abuses connections, in `io/src/shell/bootstrap_server/tests/abuse.rs`.

use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use kubefox_io::exchange::BootstrapRequest;
use kubefox_io::shell::bootstrap_server::MESSAGE_BYTES_MAX;
use kubefox_io::token::TOKEN_BYTES_MAX;
use kubefox_proto::bootstrap::v1::{ComponentBootstrapRequest, NatsBootstrapRequest, SignNonceRequest};
use kubefox_sim::up::stand::caller::NONCE;
use serde_json::json;
use tonic::Code;

use crate::caller::{Platform, Refused, refused};
use crate::run::{finish, kubefox, text};

/// Gives the program after it a full or a read-only volume at `$0`.
const FULL: &str = r#"mount -t tmpfs -o size=4k none "$0" && exec "$@""#;
const READ_ONLY: &str = r#"mount -t tmpfs -o ro none "$0" && exec "$@""#;
/// Of `VolumeNotWritable`, in the README's table.
const EXIT: i32 = 49;

#[test]
fn every_bad_request_and_volume_has_its_answer() {
    tell(&[]);
}

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_platform_answers_every_bad_request_and_volume() {
    tell(&["--real"]);
}

fn tell(flags: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let platform = Platform::start(folder.path(), flags);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime needs nothing that a process lacks");
    runtime.block_on(requests(&platform));
    for volume in [FULL, READ_ONLY] {
        a_broker_on(volume, &platform);
    }
    platform.interrupt();
}

async fn requests(platform: &Platform) {
    let pod = platform.caller("component-a");
    let good = pod.token.clone();
    let mounted = |path: &str| {
        std::fs::read_to_string(platform.directory.join("pods").join(path)).expect("it is mounted")
    };
    let [header, claims, signature] = parts(&good);
    let unsigned = BASE64URL_NOPAD.encode(json!({"alg": "none"}).to_string().as_bytes());
    let others = mounted("component-b/tokens/kubefox");
    let [_, others_claims, _] = parts(&others);
    let huge = "x".repeat(MESSAGE_BYTES_MAX);
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    let component = |token: &str| {
        BootstrapRequest::Component(ComponentBootstrapRequest {
            token: token.to_owned(),
            csr: String::new(),
            runtime_csr: String::new(),
        })
    };
    let nats = |token: &str| {
        BootstrapRequest::Nats(NatsBootstrapRequest { token: token.to_owned(), csr: String::new() })
    };
    let sign = |token: &str, nonce: &str| {
        BootstrapRequest::SignNonce(SignNonceRequest { token: token.to_owned(), nonce: nonce.to_owned() })
    };
    let cases = [
        ("no token", component(""), Code::InvalidArgument, "TOKEN_MALFORMED"),
        ("a token of four parts", component(&format!("{good}.x")), Code::InvalidArgument, "TOKEN_MALFORMED"),
        // The library ends what is longer than any request may be, and says by how much.
        ("a message that is too large", component(&huge), Code::OutOfRange, ""),
        ("a token that is too large", component(&long), Code::InvalidArgument, "TOKEN_MALFORMED"),
        ("alg none", component(&format!("{unsigned}.{claims}.AA")), Code::Unauthenticated, "TOKEN_UNSIGNED"),
        (
            "another's claims under the own signature",
            component(&format!("{header}.{others_claims}.{signature}")),
            Code::Unauthenticated,
            "TOKEN_FORGED",
        ),
        (
            "a token for Vault",
            component(&mounted("controller/tokens/vault")),
            Code::Unauthenticated,
            "AUDIENCE_FOREIGN",
        ),
        ("a component that wants to be NATS", nats(&good), Code::PermissionDenied, "NOT_ENTITLED"),
        (
            "NATS that wants to be a component",
            component(&mounted("nats/tokens/kubefox")),
            Code::PermissionDenied,
            "NOT_ENTITLED",
        ),
        ("a nonce with dots", sign(&good, "abcDEF012345.-x"), Code::InvalidArgument, "NONCE_MALFORMED"),
        ("a short nonce", sign(&good, &NONCE[1..]), Code::InvalidArgument, "NONCE_MALFORMED"),
        (
            "a nonce that is a JWT's",
            sign(&good, &format!("{header}.{claims}")),
            Code::InvalidArgument,
            "NONCE_MALFORMED",
        ),
    ];
    for (case, request, code, reason) in cases {
        assert_eq!(refused(&pod, request).await, Refused { code, reason: reason.to_owned() }, "{case}");
    }
    pod.bootstrap().await.expect("its documents are its own");
    let sign = async || pod.sign(NONCE).await.expect("its key is its own");
    assert_eq!(sign().await, sign().await, "a nonce may be shown twice; NATS takes it once");
}

/// It stops by name, with the remedy as its last words.
fn a_broker_on(volume: &str, platform: &Platform) {
    let shared = tempfile::tempdir().expect("a temporary directory");
    let last_words = platform.directory.join("logs/broker-on-a-bad-volume");
    let pods = platform.directory.join("pods/component-a");
    let mut broker = kubefox();
    broker.args(["broker", "--listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0"]);
    broker.args(["--controller-address", &platform.controller.to_string(), "--nats-address", &platform.nats]);
    broker.arg("--service-account-dir").arg(pods.join("tokens")).arg("--trust-dir").arg(pods.join("trust"));
    broker.arg("--shared-dir").arg(shared.path()).arg("--termination-log").arg(&last_words);

    let output = finish(&mut inside(volume, shared.path(), &broker));

    assert_eq!(
        output.status.code(),
        Some(EXIT),
        "{volume}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let said = std::fs::read_to_string(last_words).expect("it says why it ends");
    assert!(said.starts_with("VolumeNotWritable: The shared volume cannot be written."), "{said}");
    assert!(said.contains("Mount a writable emptyDir with medium Memory"), "{said}");
}

/// The command in a mount namespace of its own, after that was mounted.
fn inside(mount: &str, volume: &Path, command: &std::process::Command) -> std::process::Command {
    let mut inside = std::process::Command::new("unshare");
    inside.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount]).arg(volume);
    inside.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    inside
}

fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().expect("a JWT has three parts")
}
