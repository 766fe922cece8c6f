//! `up`: the whole platform on one machine, from empty disks to a message between two components.
//!
//! Every role is a process of its own; the servers are the embedded fakes or, with `--real`, the real ones. This
//! module plays what a cluster would: the administrator who applies `deploy/`, the kubelet who projects volumes, and
//! the order in which pods start.

mod cluster;
mod embedded;
mod kubelet;
mod platform;
mod process;
mod real;
mod report;
mod runtime;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use kubefox_io::shell::signals::terminated;

use self::kubelet::make;
use self::platform::Platform;
use self::report::Report;

/// Brings the whole platform up on this machine, sends a message from one component to another and back, and stays
/// until Ctrl-C.
#[derive(Parser)]
#[command(name = "up", version)]
pub struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// End after the proof: exit code 0 if everything is there, else the reason.
    #[arg(long)]
    once: bool,
    /// Keep the disks in this directory, so that the next start finds them. Default: a new one, removed at the end.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Say what happened as JSON, at the end of `--once`.
    #[arg(long, requires = "once")]
    json: bool,
    /// Use the real OpenBao, kube-apiserver and nats-server. One that is missing is an error.
    #[arg(long)]
    real: bool,
    /// Where the real servers are. Default: where tests/peers/build puts them.
    #[arg(long, requires = "real")]
    peers: Option<PathBuf>,
    /// Run the roles with this program instead of this one: the production binary.
    #[arg(long)]
    kubefox: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Role {
    /// Be one of the platform's processes; `up` starts itself this way.
    #[command(subcommand)]
    Role(Part),
}

#[derive(Subcommand)]
enum Part {
    /// A component's runtime.
    Runtime(runtime::Arguments),
    /// A role of `kubefox`.
    #[command(external_subcommand)]
    Kubefox(Vec<OsString>),
}

/// Runs what the arguments say and gives the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // `cargo up -- --once` and `cargo up --once` mean the same.
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|argument| argument == "--") {
        arguments.remove(1);
    }
    let arguments = Arguments::parse_from(arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime needs nothing that a process lacks");
    let ended = match arguments.role {
        Some(Role::Role(Part::Kubefox(rest))) => {
            drop(runtime);
            return kubefox_io::cli::main(std::iter::once("kubefox".into()).chain(rest));
        }
        Some(Role::Role(Part::Runtime(part))) => runtime.block_on(runtime::run(part)),
        None => runtime.block_on(up(arguments)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            // The last words before the process ends; nothing is lost if nobody listens.
            let _ = writeln!(std::io::stderr().lock(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn up(arguments: Arguments) -> Result<()> {
    let temporary = TemporaryState::new(arguments.state.as_deref())?;
    let directory = temporary.path.clone();
    make(&directory.join("logs"))?;
    let mut report = Report::begin(arguments.json, arguments.real);
    let mut platform = Platform::start(&arguments, &directory, &mut report).await?;
    let proved = tokio::select! {
        biased;
        proved = platform.bring_up(&mut report) => proved,
        () = terminated() => Err(anyhow::anyhow!("interrupted")),
    };
    if proved.is_ok() {
        report.finish();
        if !arguments.once {
            report.moment(
                "up",
                format!("Ctrl-C ends it; the logs are in {}", directory.join("logs").display()),
            );
            terminated().await;
        }
    }
    platform.stop().await;
    if proved.is_err() {
        temporary.keep();
    }
    proved
}

/// The state directory: the operator's, or one that is removed at the end unless something went wrong.
struct TemporaryState {
    path: PathBuf,
    ours: std::cell::Cell<bool>,
}

impl TemporaryState {
    fn new(chosen: Option<&Path>) -> Result<Self> {
        let ours = chosen.is_none();
        let path = match chosen {
            Some(path) => std::path::absolute(path)?,
            None => std::env::temp_dir().join(format!("kubefox-up-{}", std::process::id())),
        };
        make(&path)?;
        Ok(Self { path, ours: std::cell::Cell::new(ours) })
    }

    fn keep(&self) {
        self.ours.set(false);
    }
}

impl Drop for TemporaryState {
    fn drop(&mut self) {
        if self.ours.get() {
            // What cannot be removed stays in the system's own directory for such things.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
