//! The command line of `kubefox`: reads what the operator chose, refuses what cannot be, and runs one role.

mod broker;
mod caller;
mod check;
mod cluster;
mod controller;
mod init;
mod quarantine;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use kubefox_core::machine::Standing;
use kubefox_core::names::{Installation, Namespace};

use crate::driver::Clock;
use crate::shell::clock::SystemClock;
use crate::telemetry::LogFormat;

/// Exit code for what the operator has to correct on the command line, as clap has it.
const USAGE: u8 = 2;

/// KubeFox: brings Vault up from nothing, without a key in anybody's hand, and gives every pod exactly the
/// certificates, JWTs and passwords it may have.
#[derive(Parser)]
#[command(name = "kubefox", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Runs beside Vault: initializes, unseals and configures it, and serves the bootstrap API.
    Controller(controller::Arguments),
    /// Runs once before a server of the platform and writes what it starts on.
    #[command(subcommand)]
    Init(init::Kind),
    /// Runs beside a component: connects it to NATS and serves its runtime.
    Broker(broker::Arguments),
    /// Asks a role of this pod how it is: for probes in images without a shell.
    Check(check::Arguments),
}

/// What every role has.
#[derive(Args, Clone)]
pub(crate) struct Telemetry {
    /// How the log is written.
    #[arg(long, env = "KUBEFOX_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    /// What is logged, as a filter of `tracing`: `info`, `debug`, `kubefox_io=debug`.
    #[arg(long, env = "KUBEFOX_LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// Where the reason for a stop is written for the kubelet.
    #[arg(long, env = "KUBEFOX_TERMINATION_LOG", default_value = "/dev/termination-log")]
    termination_log: PathBuf,
    /// Plain HTTP for `/healthz`, `/readyz` and `/metrics`.
    #[arg(long, env = "KUBEFOX_STATUS_LISTEN", default_value = "127.0.0.1:9102")]
    status_listen: std::net::SocketAddr,
    /// End when stdin closes: for a parent that wants its children gone with it.
    #[arg(long, env = "KUBEFOX_EXIT_WITH_STDIN", hide = true)]
    exit_with_stdin: bool,
    /// Keep the last steps, and write them as `trace.jsonl` into this directory at a fatal stop and at SIGUSR1. They hold no
    /// secrets.
    #[arg(long, env = "KUBEFOX_RECORD_DIR", value_name = "DIR")]
    record_dir: Option<PathBuf>,
    /// Stand still at `STATE`, answered and not heard, or at `STATE:unsent`: for a parent that wants to kill the
    /// process there.
    #[arg(long, value_name = "STATE[:unsent]", hide = true)]
    halt_at: Option<String>,
}

/// As given, or by the name of the platform's namespace.
fn installation(given: Option<Installation>, namespace: &Namespace) -> Result<Installation, Unusable> {
    given.map_or_else(
        || {
            Installation::parse(namespace.as_str())
                .map_err(|error| Unusable(format!("--installation is not given and --namespace is {error}")))
        },
        Ok,
    )
}

/// Something the operator chose cannot be used. It says which, what the rule is, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unusable(String);

/// Runs the role that the arguments name, and gives its exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    main_with(Arc::new(SystemClock::start()), arguments)
}

/// The same with another clock, for a caller that wants time to pass.
#[must_use]
pub fn main_with(
    clock: Arc<dyn Clock>,
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors and go to stdout; nothing is lost if nobody listens.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    let ended = match cli.role {
        Role::Controller(arguments) => controller::run(arguments, clock),
        Role::Init(kind) => init::run(kind, clock),
        Role::Broker(arguments) => broker::run(arguments, clock),
        Role::Check(arguments) => return check::run(&arguments),
    };
    match ended {
        Ok(Standing::Stopped(fatal)) => ExitCode::from(fatal.exit_code()),
        Ok(Standing::Finished | Standing::Starting | Standing::Ready) => ExitCode::SUCCESS,
        Err(Unusable(reason)) => {
            use std::io::Write as _;
            // The last words before the process ends; nothing is lost if nobody listens.
            let _ = writeln!(std::io::stderr().lock(), "error: {reason}");
            ExitCode::from(USAGE)
        }
    }
}
